/* Server-sent events out of the body that carries them (WHATWG HTML, section 9.2.6). */
#include <stdlib.h>
#include <string.h>

#include "pgrok/capture/frames.h"

struct capture_sse {
	struct capture *store;
	struct capture_txn *txn;
	struct capture_frame *event; /* in progress; NULL: none, or no room for it */
	char *line;                  /* of what came without its end */
	size_t line_len, line_cap;
	bool begun;    /* a field of an event came */
	bool has_data; /* and a data field */
	bool after_cr; /* the last line ended in CR: an LF now belongs to it */
	bool started;  /* a first line was there: no byte order mark any more */
};

struct capture_sse *capture_sse_new(struct capture *s, struct capture_txn *t)
{
	struct capture_sse *e = xcalloc(1, sizeof(*e));

	e->store = s;
	e->txn = t;
	return e;
}

void capture_sse_free(struct capture_sse *e)
{
	if (!e)
		return;
	if (e->event)
		e->event->complete = true;
	store_refund(e->store, NULL, e->line_cap);
	free(e->line);
	free(e);
}

/* The event that is being read, from its first field on. */
static struct capture_frame *current(struct capture_sse *e)
{
	if (!e->begun)
		e->event = store_add_frame(e->store, e->txn, CAPTURE_FRAME_EVENT, false);
	e->begun = true;
	return e->event;
}

static void dispatch(struct capture_sse *e)
{
	struct capture_frame *f = e->event;

	e->event = NULL;
	e->begun = e->has_data = false;
	if (!f)
		return;
	f->complete = true;
	store_tell(e->store, CAPTURE_EV_FRAME, e->txn, f);
}

static void comment(struct capture_sse *e, const char *text, size_t len)
{
	struct capture_frame *f = store_add_frame(e->store, e->txn, CAPTURE_FRAME_COMMENT, false);

	if (!f)
		return;
	store_grow_frame(e->store, e->txn, f, text, len);
	f->complete = true;
	store_tell(e->store, CAPTURE_EV_FRAME, e->txn, f);
}

static void data_line(struct capture_sse *e, const char *value, size_t len)
{
	struct capture_frame *f = current(e);

	if (f && e->has_data)
		store_grow_frame(e->store, e->txn, f, "\n", 1);
	if (f)
		store_grow_frame(e->store, e->txn, f, value, len);
	e->has_data = true;
}

static void retry_line(struct capture_frame *f, const char *value, size_t len)
{
	uint64_t ms = 0;

	if (!len || len > 15)
		return;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return;
		ms = ms * 10 + (uint64_t)(value[i] - '0');
	}
	f->retry_ms = ms;
}

static bool is(const char *name, size_t len, const char *word)
{
	return strlen(word) == len && !memcmp(name, word, len);
}

static void take_line(struct capture_sse *e, const char *line, size_t len)
{
	struct capture_frame *f;

	if (!e->started && len >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
		line += 3;
		len -= 3;
	}
	e->started = true;
	if (!len) {
		dispatch(e);
		return;
	}
	const char *colon = memchr(line, ':', len);
	size_t name = colon ? (size_t)(colon - line) : len;
	const char *value = colon ? colon + 1 : line + len;
	size_t value_len = len - (size_t)(value - line);

	if (value_len && *value == ' ') {
		value++;
		value_len--;
	}
	if (colon == line)
		comment(e, value, value_len);
	else if (is(line, name, "data"))
		data_line(e, value, value_len);
	else if (is(line, name, "event") && (f = current(e)))
		store_frame_text(e->store, e->txn, &f->event, value, value_len);
	else if (is(line, name, "id") && (f = current(e)))
		store_frame_text(e->store, e->txn, &f->last_id, value, value_len);
	else if (is(line, name, "retry") && (f = current(e)))
		retry_line(f, value, value_len);
}

/* Keeps the beginning of a line whose end is still to come. */
static void keep(struct capture_sse *e, const char *buf, size_t len)
{
	size_t room = CAPTURE_LINE_MAX - e->line_len;
	size_t cap = e->line_cap ? e->line_cap : 256;

	if (len > room)
		len = room;
	while (cap < e->line_len + len)
		cap *= 2;
	if (cap > e->line_cap) {
		if (!store_charge(e->store, e->txn, cap - e->line_cap))
			return;
		/* It is the connection's, not the transaction's. */
		e->txn->memory -= cap - e->line_cap;
		e->line = xrealloc(e->line, cap);
		e->line_cap = cap;
	}
	memcpy(e->line + e->line_len, buf, len);
	e->line_len += len;
}

void capture_sse_bytes(struct capture_sse *e, const char *buf, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		bool lf_of_crlf = e->after_cr && buf[i] == '\n';

		e->after_cr = buf[i] == '\r';
		if (buf[i] != '\n' && buf[i] != '\r')
			continue;
		if (!lf_of_crlf && e->line_len) {
			keep(e, buf + from, i - from);
			take_line(e, e->line, e->line_len);
		} else if (!lf_of_crlf) {
			take_line(e, buf + from, i - from);
		}
		e->line_len = 0;
		from = i + 1;
	}
	if (from < len)
		keep(e, buf + from, len - from);
}
