/* The log: one write() a line from a stack buffer, no lock, no allocation. */
#include "common/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/line.h"
#include "common/base/logfile.h"
#include "common/base/out.h"

#define LINE_BYTES 2048 /* below PIPE_BUF: a write to a pipe is whole or not at all */
#define LOG_NOTHING (LOG_ERROR + 1)

enum stamp_form { STAMP_TEXT, STAMP_JSON };

static const struct {
	const char *text, *json;
} level_names[] = {
	[LOG_DEBUG] = {"DEBG", "debug"},
	[LOG_INFO] = {"INFO", "info"},
	[LOG_WARN] = {"WARN", "warn"},
	[LOG_ERROR] = {"EROR", "error"},
};

/* What any thread reads. */
static atomic_int threshold = LOG_NOTHING;
static atomic_int out_format = LOG_TEXT;
static atomic_bool events_on_stdout;
static struct out event_out = {.fd = -1};
static struct logfile file = LOGFILE_INIT;

static size_t format_second(time_t sec, enum stamp_form form, char *out, size_t cap)
{
	struct tm tm;

	gmtime_r(&sec, &tm);
	return strftime(out, cap,
			form == STAMP_TEXT ? "[%Y/%m/%d %H:%M:%S UTC]" : "%Y-%m-%dT%H:%M:%S", &tm);
}

/* The time in UTC. The calendar is worked out once a second in each thread. */
static void put_stamp(struct line *l, enum stamp_form form)
{
	static _Thread_local struct {
		time_t sec;
		enum stamp_form form;
		size_t len;
		char text[40];
	} cached;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!cached.len || cached.sec != now.tv_sec || cached.form != form) {
		cached.sec = now.tv_sec;
		cached.form = form;
		cached.len = format_second(now.tv_sec, form, cached.text, sizeof(cached.text));
	}
	line_put(l, cached.text, cached.len);
	if (form == STAMP_JSON) {
		char ms[8];
		int n = snprintf(ms, sizeof(ms), ".%03dZ", (int)(now.tv_nsec / 1000000 % 1000));
		line_put(l, ms, (size_t)n);
	}
}

/* Begins a line; fields are appended by put_member, the object is closed by json_end. */
static void json_begin(struct line *l)
{
	line_str(l, "{\"t\":\"");
	put_stamp(l, STAMP_JSON);
	line_str(l, "\"");
}

/* "retry_ms" and the like. */
static bool names_number(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && strcmp(name + len - 3, "_ms") == 0;
}

/* ,"name":"value"; a value that does not fit is cut with "...", a name that does not is left out */
static void put_member(struct line *l, const char *name, const char *value)
{
	size_t before = l->len;
	const char *quote = names_number(name) ? "" : "\"";

	if (l->cut)
		return;
	line_str(l, ",\"");
	line_escaped(l, name, strlen(name));
	line_str(l, "\":");
	line_str(l, quote);
	if (l->cut) {
		l->len = before;
		return;
	}
	line_escaped(l, value, strlen(value));
	if (l->cut)
		line_tail(l, "...");
	line_tail(l, quote);
}

static void json_end(struct line *l)
{
	line_tail(l, "}");
}

static bool line_write(struct line *l)
{
	line_tail(l, "\n");
	return logfile_write(&file, l->bytes, l->len);
}

static bool write_json(enum log_level level, const char *prefix, const char *msg)
{
	char bytes[LINE_BYTES];
	struct line l = line_of(bytes, sizeof(bytes), LINE_JSON);

	json_begin(&l);
	put_member(&l, "level", level_names[level].json);
	if (prefix && *prefix)
		put_member(&l, "id", prefix);
	put_member(&l, "msg", msg);
	json_end(&l);
	return line_write(&l);
}

static bool write_text(enum log_level level, const char *prefix, const char *msg)
{
	char bytes[LINE_BYTES];
	struct line l = line_of(bytes, sizeof(bytes), LINE_TEXT);

	put_stamp(&l, STAMP_TEXT);
	line_str(&l, " [");
	line_str(&l, level_names[level].text);
	line_str(&l, "] ");
	if (prefix && *prefix) {
		line_str(&l, "[");
		line_escaped(&l, prefix, strlen(prefix));
		line_str(&l, "] ");
	}
	line_escaped(&l, msg, strlen(msg));
	if (l.cut)
		line_tail(&l, "...");
	return line_write(&l);
}

static bool write_message(enum log_level level, const char *prefix, const char *msg)
{
	return log_is_json() ? write_json(level, prefix, msg) : write_text(level, prefix, msg);
}

static void log_message(enum log_level level, const char *prefix, const char *msg)
{
	char text[80];

	if (!write_message(level, prefix, msg))
		return;
	unsigned long lost = logfile_take_lost(&file);

	if (!lost)
		return;
	snprintf(text, sizeof(text), "%lu lines were lost: the log could not be written", lost);
	write_message(LOG_WARN, NULL, text);
}

void log_line(enum log_level level, const char *prefix, const char *fmt, ...)
{
	/* Escaping only lengthens: what this cuts off would not fit into the line either. */
	char msg[LINE_BYTES];
	va_list ap;

	if (!log_wants(level))
		return;
	int saved = errno;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_message(level, prefix, msg);
	errno = saved;
}

bool log_may(struct log_kind *k, enum log_level level, const char *prefix)
{
	long now = (long)(clock_coarse_ms() / 1000);
	long began = atomic_load(&k->began);

	if (now - began >= LOG_OFTEN_S && atomic_compare_exchange_strong(&k->began, &began, now)) {
		unsigned lines = atomic_exchange(&k->lines, 0);

		if (lines > LOG_OFTEN)
			log_line(level, prefix, "%u more lines like the next one were left out",
				 lines - LOG_OFTEN);
	}
	return atomic_fetch_add(&k->lines, 1) < LOG_OFTEN;
}

void log_closed(enum log_level level, const char *prefix, const char *why, uint64_t age_ms,
		const char *fmt, ...)
{
	char more[256];
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	vsnprintf(more, sizeof(more), fmt, ap);
	va_end(ap);
	log_line(level, prefix, "Closed: %s (age %.1f s%s)", why, (double)age_ms / 1000, more);
}

void log_event(const char *event, ...)
{
	char bytes[LINE_BYTES];
	struct line l = line_of(bytes, sizeof(bytes), LINE_JSON);
	const char *name;
	int saved = errno;
	va_list ap;

	if (!log_is_json())
		return;
	json_begin(&l);
	put_member(&l, "event", event);
	va_start(ap, event);
	while ((name = va_arg(ap, const char *))) {
		const char *value = va_arg(ap, const char *);
		put_member(&l, name, value ? value : "");
	}
	va_end(ap);
	json_end(&l);
	line_write(&l);
	if (atomic_load_explicit(&events_on_stdout, memory_order_relaxed) && !log_to_stdout())
		out_line(&event_out, l.bytes, l.len);
	errno = saved;
}

void log_events_on_stdout(void)
{
	out_init(&event_out, STDOUT_FILENO);
	atomic_store(&events_on_stdout, true);
}

bool log_is_json(void)
{
	return atomic_load_explicit(&out_format, memory_order_relaxed) == LOG_JSON;
}

bool log_wants(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

bool log_to_stdout(void)
{
	return logfile_is_stdout(&file);
}

void log_set_format(enum log_format format)
{
	atomic_store(&out_format, format);
}

static bool parse_level(const char *text, int *level)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = {{"DEBUG", LOG_DEBUG}, {"TRACE", LOG_DEBUG}, /* these are the Go programs' */
		     {"FINE", LOG_DEBUG},  {"FINEST", LOG_DEBUG}, {"CRITICAL", LOG_ERROR},
		     {"INFO", LOG_INFO},   {"WARNING", LOG_WARN}, {"WARN", LOG_WARN},
		     {"ERROR", LOG_ERROR}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(text, names[i].name) == 0) {
			*level = names[i].level;
			return true;
		}
	}
	return false;
}

bool log_level_valid(const char *level)
{
	int ignored;

	return parse_level(level, &ignored);
}

bool log_open(const char *target, const char *level, struct err *err)
{
	int wanted;

	log_close();
	if (!parse_level(level, &wanted))
		return err_set(err, "unknown log level \"%s\": use DEBUG, INFO, WARNING or ERROR",
			       level);
	if (strcmp(target, "none") == 0)
		return true;
	/* Whoever read our output may leave: that is an EPIPE, not our end. */
	signal(SIGPIPE, SIG_IGN);
	if (!logfile_open(&file, target, LOGFILE_FRESH, err))
		return false;
	atomic_store(&threshold, wanted);
	return true;
}

void log_set_max(uint64_t bytes)
{
	logfile_set_max(&file, bytes);
}

void log_reopen(void)
{
	struct err err;

	if (!logfile_reopen(&file, &err))
		log_warn(NULL, "%s", err.text);
}

void log_close(void)
{
	atomic_store(&threshold, LOG_NOTHING);
	logfile_close(&file);
}

void fatal(const char *fmt, ...)
{
	char msg[LINE_BYTES], bytes[LINE_BYTES];
	struct line l = line_of(bytes, sizeof(bytes), LINE_TEXT);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	/* Who reads stdout mostly reads stderr, too. */
	if (log_wants(LOG_ERROR) && !log_to_stdout())
		log_message(LOG_ERROR, NULL, msg);
	line_escaped(&l, msg, strlen(msg));
	line_tail(&l, "\n");
	if (write(STDERR_FILENO, l.bytes, l.len) < 0) {
		/* nobody left to tell */
	}
	exit(1);
}
