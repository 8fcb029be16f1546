/*
 * A descriptor that takes lines without ever blocking: stdout, stderr, a log file. What can't be
 * written now (a pipe without a reader, a paused terminal, a full disk) is dropped and counted; a
 * line says how much is missing when there is room again.
 */
#ifndef COMMON_BASE_OUT_H
#define COMMON_BASE_OUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

enum out_how {
	OUT_WRITE, /* write() can't wait: plain files and devices, or a description of our own */
	OUT_SEND,  /* a socket (systemd's journal): send() that doesn't wait */
	OUT_POLL   /* asked first: a terminal that we may not open again */
};

struct out {
	int fd;
	bool owned; /* fd is a description of our own, made to be non-blocking */
	enum out_how how;
	atomic_ulong dropped; /* lines, since the last that said so */
	atomic_bool torn;     /* the last line went out in part */
};

/*
 * Borrows fd. A pipe or terminal is opened once more, so that O_NONBLOCK is ours alone: others
 * (the shell) share the description behind fd.
 */
void out_init(struct out *o, int fd);
/* Closes what out_init() opened, never the fd it was given. */
void out_end(struct out *o);
/*
 * A whole line with its end, at most 4096 bytes (PIPE_BUF). False: it was dropped. From any thread;
 * lines of several threads never mix on pipes and files. SIGPIPE must be ignored.
 */
bool out_line(struct out *o, const char *line, size_t len);
/* Lines dropped and not yet reported; the caller that gets them reports them. */
unsigned long out_take_dropped(struct out *o);

#endif
