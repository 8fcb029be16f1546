/* Status lines on stdout: one plain line per event, for people without a log on the screen. */
#ifndef PGROK_CONSOLE_H
#define PGROK_CONSOLE_H

#include <stdio.h>

#include "pgrok/model.h"

struct console {
	struct model_watch watch;
	const char *server; /* "host:port"; borrowed */
	enum model_state shown;
	bool greeted, was_online;
};

/* Watches m from now on; c is the caller's. */
void console_start(struct console *c, struct model *m, const char *server);

/* One line, with what could move a terminal's cursor replaced: texts may be a server's. */
void console_line(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
