/* The log: levels, text or JSON lines, one write() per line, safe from any thread. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/*
 * Opens the log. target: "stdout", "none" or a file (created 0640, appended to; an existing one is
 * renamed to FILE.1, .2 ... first, as the Go pair does at each start; devices and named pipes are
 * not). level: DEBUG, INFO, WARNING (or WARN), ERROR, any case. False with a message in err.
 * Before it, and after log_close, nothing is written. With stdout SIGPIPE is ignored from here on:
 * a reader that leaves costs lines, not the process. Open, reopen and close belong to the main
 * thread; everything below log_close() may be called from any.
 */
bool log_open(const char *target, const char *level, char err[static 256]) MUSTCHECK;
void log_set_format(enum log_format format);
/* Opens the file again under its name (SIGHUP, logrotate). Nothing for stdout and none. */
void log_reopen(void);
void log_close(void);

/* Is a line of this level written at all? Ask before computing anything for a log line. */
bool log_wants(enum log_level level);
bool log_to_stdout(void);

/*
 * prefix names the object that speaks ("ctl:309f56fc", "pub:17"), "" or NULL for none.
 * Text on stdout:  [01:26:12 UTC 2026/11/22] [INFO] [prefix] message
 * Text in a file:  [2026/11/22 01:26:12 UTC] [INFO] [prefix] message
 * JSON on both:    {"t":"2026-11-22T01:26:12.123Z","level":"info","id":"prefix","msg":"message"}
 * Levels are DEBG INFO WARN EROR in text, as the Go pair writes them, and debug info warn error in
 * JSON. Control characters and invalid UTF-8 are written as \xNN (in JSON: control characters as
 * \u00NN): what a peer supplied can never forge a line. Lines are cut at 2 KiB with "...".
 * Keeps errno, so it may stand between a failed call and the use of its errno.
 */
void log_line(enum log_level level, const char *prefix, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_debug(prefix, ...)                                    \
	do {                                                      \
		if (log_wants(LOG_DEBUG))                         \
			log_line(LOG_DEBUG, prefix, __VA_ARGS__); \
	} while (0)
#define log_info(prefix, ...)                                    \
	do {                                                     \
		if (log_wants(LOG_INFO))                         \
			log_line(LOG_INFO, prefix, __VA_ARGS__); \
	} while (0)
#define log_warn(prefix, ...) log_line(LOG_WARN, prefix, __VA_ARGS__)
#define log_error(prefix, ...) log_line(LOG_ERROR, prefix, __VA_ARGS__)

/*
 * A JSON-only event for scripts: {"t":...,"event":"tunnel","url":"..."}; fields are name, value
 * pairs of strings, ended by NULL (a NULL value is ""); what is called ..._ms has digits for a
 * value and is a number. Written at every level; nothing in text form.
 */
void log_event(const char *event, ...) __attribute__((sentinel));
/* From now on events go to stdout too (once), wherever the log goes. */
void log_events_on_stdout(void);
bool log_is_json(void);

/* A start-up fault: the message on stderr (and in the log), exit status 1. */
void fatal(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
