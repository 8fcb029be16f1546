/*
 * The log: levels, text or JSON lines, one write() per line, safe from any thread, never waiting
 * for a reader: a line that can't be written now is lost, and counted in a later one.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/*
 * Opens the log. target: "stdout", "none" or a file (created 0640, appended to; an existing one
 * becomes FILE.1 first, FILE.1 becomes FILE.2 and so on, five are kept; devices and named pipes
 * stay as they are). A link is followed only to a regular file of this user. level: DEBUG, INFO,
 * WARNING (or WARN), ERROR, any case. False with a message in err. Before it, and after log_close,
 * nothing is written. SIGPIPE is ignored from here on: a reader that leaves costs lines, not the
 * process. Open, reopen and close belong to the main thread; everything below log_close() may be
 * called from any.
 */
/* Does log_open() know this level? The Go programs' TRACE, FINE, FINEST and CRITICAL are, too. */
bool log_level_valid(const char *level) MUSTCHECK;
bool log_open(const char *target, const char *level, struct err *err) MUSTCHECK;
/* A file that grows beyond so many bytes is moved away as at a start; 0: never. */
void log_set_max(uint64_t bytes);
void log_set_format(enum log_format format);
/* Opens the file again under its name (SIGHUP, logrotate). Nothing for stdout and none. */
void log_reopen(void);
void log_close(void);

/* Is a line of this level written at all? Ask before computing anything for a log line. */
bool log_wants(enum log_level level);
bool log_to_stdout(void);

/*
 * prefix names the object that speaks ("ctl:309f56fc", "pub:17"), "" or NULL for none.
 * Text:  [2026/11/22 01:26:12 UTC] [INFO] [prefix] message
 * JSON:  {"t":"2026-11-22T01:26:12.123Z","level":"info","id":"prefix","msg":"message"}
 * Levels are DEBG INFO WARN EROR in text, as the Go pair writes them, and debug info warn error in
 * JSON. Control characters and invalid UTF-8 are written as \xNN (in JSON: control characters as
 * \u00NN): what a peer supplied can never forge a line. Lines are cut at 2 KiB with "...".
 * Keeps errno, so it may stand between a failed call and the use of its errno.
 */
void log_line(enum log_level level, const char *prefix, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * The last line of an object, the same for all: "Closed: WHY (age 1.2 s, MORE)". fmt begins with
 * ", "; "" for no more.
 */
void log_closed(enum log_level level, const char *prefix, const char *why, uint64_t age_ms,
		const char *fmt, ...) PRINTF_LIKE(5, 6);

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
 * For lines that strangers can cause as often as they like: of each such place in the source at
 * most LOG_OFTEN lines in LOG_OFTEN_S seconds; how many were left out is said before the next one.
 */
#define LOG_OFTEN 50
#define LOG_OFTEN_S 10
struct log_kind {
	atomic_long began; /* seconds of a monotonic clock */
	atomic_uint lines;
};
bool log_may(struct log_kind *k, enum log_level level, const char *prefix);
#define log_often(level, prefix, ...)                                   \
	do {                                                            \
		static struct log_kind kind_;                           \
		if (log_wants(level) && log_may(&kind_, level, prefix)) \
			log_line(level, prefix, __VA_ARGS__);           \
	} while (0)

/*
 * A JSON-only event for scripts: {"t":...,"event":"tunnel","url":"..."}; fields are name, value
 * pairs of strings, ended by NULL (a NULL value is ""); what is called ..._ms has digits for a
 * value and is a number. Written at every level; nothing in text form.
 */
void log_event(const char *event, ...) __attribute__((sentinel));
/* From now on events go to stdout too (once), wherever the log goes. */
void log_events_on_stdout(void);
bool log_is_json(void);

/* A start-up fault: the message on stderr, and in the log if that is a file; exit status 1. */
void fatal(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
