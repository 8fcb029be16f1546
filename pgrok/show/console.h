/*
 * What happens, line by line: plain status lines on stdout for people without a log there, or
 * events (one JSON object a line) for scripts.
 */
#ifndef PGROK_SHOW_CONSOLE_H
#define PGROK_SHOW_CONSOLE_H

#include <stdio.h>

#include "pgrok/model/model.h"

struct console {
	struct model_watch watch;
	const char *server; /* "host:port"; borrowed */
	enum model_state shown;
	bool greeted, was_online;
	bool screen; /* which shows notes */
};

/* Plain lines on stdout. Watches m from now on; c is the caller's. */
void console_start(struct console *c, struct model *m, const char *server);
/*
 * Events through log_event() instead:
 *   {"event":"state","state":"connecting"}, "online", "reconnecting" with "error" and "retry_ms"
 *   {"event":"tunnel","url":"http://...","name":"web","proto":"http","local":"127.0.0.1:80"}
 *   {"event":"tunnel_closed","url":"http://..."}
 *   {"event":"note","text":"..."}
 * They are in the log, too: a secret note is a plain line on stderr, unless there is a screen.
 */
void console_start_events(struct console *c, struct model *m, bool screen);

/* Secret notes alone, on stderr: stdout has the log, which says the rest. */
void console_start_secrets(struct console *c, struct model *m);

/*
 * Plain lines only: where the inspector is. wanted: the address that it was to have, if that is
 * another one; NULL: it is not.
 */
void console_web(struct console *c, const char *url, const char *wanted);

/* One line, with what could move a terminal's cursor replaced: texts may be a server's. */
void console_line(FILE *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
