/* Where the lines of a log go: stdout, stderr or a file that is bounded. */
#ifndef COMMON_BASE_LOGFILE_H
#define COMMON_BASE_LOGFILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/out.h"

#define LOGFILE_KEPT 5 /* older files: FILE.1 is the youngest, FILE.5 the oldest */

/* Private; any thread writes: the descriptor's number stays the same while a file is open. */
struct logfile {
	struct out out;
	atomic_bool on_stdout;
	atomic_ullong written; /* bytes in the file */
	atomic_ullong max_bytes;
	pthread_mutex_t rotating; /* held by whoever renames */
	char *name;               /* NULL: no file */
	bool is_regular;
};

/* A closed one. */
#define LOGFILE_INIT                                                     \
	{                                                                \
		.out = {.fd = -1}, .rotating = PTHREAD_MUTEX_INITIALIZER \
	}

enum logfile_begin {
	LOGFILE_FRESH, /* a file that is there becomes FILE.1 first */
	LOGFILE_APPEND /* it goes on */
};

/*
 * target: "stdout" or a file (created 0640, appended to). /dev/stdout and /dev/stderr are those
 * descriptors. A symbolic link is followed only to a regular file that belongs to this user. False
 * with a message in err. Main thread, as all but the write.
 */
bool logfile_open(struct logfile *f, const char *target, enum logfile_begin begin,
		  struct err *err) MUSTCHECK;
/* Opens the file again under its name. False with a message in err; it goes on in the old one. */
bool logfile_reopen(struct logfile *f, struct err *err) MUSTCHECK;
/* Nothing happens to a closed one. */
void logfile_close(struct logfile *f);
bool logfile_is_stdout(const struct logfile *f);
/* Above so many bytes the file becomes FILE.1 and a new one is begun; 0: never. */
void logfile_set_max(struct logfile *f, uint64_t bytes);

/*
 * Whole lines, together at most 4096 bytes, from any thread, without ever blocking on a reader.
 * False: they were lost.
 */
bool logfile_write(struct logfile *f, const char *lines, size_t len);
/* How many writes failed since the last call that returned more than 0. */
unsigned long logfile_take_lost(struct logfile *f);

#endif
