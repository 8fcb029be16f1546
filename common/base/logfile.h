/* Where the lines of the log go: stdout, stderr or a file that is bounded. Used by log.c alone. */
#ifndef COMMON_BASE_LOGFILE_H
#define COMMON_BASE_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

#define LOGFILE_KEPT 5 /* older files: FILE.1 is the youngest, FILE.5 the oldest */

/*
 * target: "stdout" or a file (created 0640, appended to; an existing one becomes FILE.1 first).
 * /dev/stdout and /dev/stderr are those descriptors. A symbolic link is followed only to a regular
 * file that belongs to this user. False with a message in err. Main thread, as all but the write.
 */
bool logfile_open(const char *target, struct err *err) MUSTCHECK;
/* Opens the file again under its name. False with a message in err; it goes on in the old one. */
bool logfile_reopen(struct err *err) MUSTCHECK;
void logfile_close(void);
bool logfile_is_stdout(void);
/* Above so many bytes the file becomes FILE.1 and a new one is begun; 0: never. */
void logfile_set_max(uint64_t bytes);

/* One line with its end, from any thread, without ever blocking on a reader. False: it was lost. */
bool logfile_write(const char *line, size_t len);
/* Lines lost since the last call that returned more than 0. */
unsigned long logfile_take_lost(void);

#endif
