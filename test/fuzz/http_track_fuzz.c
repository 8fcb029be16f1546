/*
 * Fuzzes the tracker with a dialogue. Each is played twice, once in whole segments and once in
 * pieces: the splits may not change what passes or what is said. And a second, simple reader walks
 * over the bytes that passed the request side: every head it finds must have been allowed.
 * Input: segments {who and splits: 1 byte, length: 2 bytes little-endian, bytes}. Bit 3 of the very
 * first byte: nothing is guarded, the connection may be hijacked. Bit 4: there is one request, and
 * its answer is reframed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/track.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct buffer {
	char *p;
	size_t len;
};

struct side {
	struct buffer pending, passed;
	enum judge verdict;
};

/* A pair as far as the judge sees it. */
struct play {
	struct http_track t;
	struct side side[2];
	struct buffer allowed; /* all heads that were allowed, one behind the other */
	size_t raw_from;       /* where in the passed request bytes judging ended: by a 101 ... */
	bool hijacked;         /* ... or by the visitor, behind the last allowed head */
	bool fin;              /* the visitor has ended */
};

static void check(bool good)
{
	if (!good)
		abort();
}

static void buffer_add(struct buffer *b, const char *p, size_t len)
{
	b->p = realloc(b->p, b->len + len + 1);
	check(b->p != NULL);
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

/* Host "b", or a target with "no" in it, is refused; host "c" is another backend. */
static int allow(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	if (http_span_is(head, h->authority, "c"))
		return TRACK_LEAVE;
	if (http_span_is(head, h->authority, "b") || memmem(head, h->head_len, "/no", 3))
		return 421;
	buffer_add(&p->allowed, head, h->head_len);
	return 0;
}

static const struct http_track_hooks hooks = {.allow = allow};

static void play_judge(struct play *p, int from)
{
	struct side *s = &p->side[from];
	struct buffer *b = &s->pending;
	size_t len = b->len, pass = SIZE_MAX;
	bool raw = p->t.raw;
	char *copy = malloc(len + !len); /* ends where its memory ends */

	check(copy != NULL);
	if (len > 0)
		memcpy(copy, b->p, len);
	s->verdict = from == 0 ? http_track_request(&p->t, copy, len, &pass)
			       : http_track_response(&p->t, copy, len, &pass);
	check(pass <= len);
	buffer_add(&s->passed, copy, pass);
	free(copy);
	memmove(b->p, b->p + pass, len - pass);
	b->len -= pass;
	check(b->len <= HTTP_HEAD_MAX || s->verdict != JUDGE_PASS);
	if (!p->t.raw)
		p->raw_from = p->side[0].passed.len;
	p->hijacked |= from == 0 && p->t.raw && !raw;
	check(!p->hijacked || !p->t.guarded);
	check(from == 0 || s->verdict == JUDGE_PASS || s->verdict == JUDGE_CUT ||
	      (p->t.single && s->verdict == JUDGE_STOP));
	check(s->verdict == JUDGE_CUT || (from == 0 && s->verdict == JUDGE_STOP) ? p->t.stopped
										 : true);
	check(!p->t.single || !p->t.unfollowed);
	check(!p->t.single || !http_track_answered(&p->t) || !p->t.owed);
	check(s->verdict != JUDGE_LEAVE || (from == 0 && p->t.owed == 0));
	check(!p->t.stopped || !p->t.raw);
}

static bool over(const struct play *p)
{
	return p->side[0].verdict >= JUDGE_CUT || p->side[1].verdict == JUDGE_CUT;
}

static void play_bytes(struct play *p, int from, const char *bytes, size_t len)
{
	struct side *s = &p->side[from];

	if (len == 0 || over(p) || s->verdict == JUDGE_STOP || (from == 0 && p->fin))
		return;
	buffer_add(&s->pending, bytes, len);
	if (s->verdict != JUDGE_HOLD)
		play_judge(p, from);
}

static void play_fin(struct play *p)
{
	bool raw = p->t.raw;

	p->fin = true;
	http_track_request_eof(&p->t);
	p->hijacked |= p->t.raw && !raw;
	if (!over(p) && p->side[0].verdict == JUDGE_PASS)
		play_judge(p, 0);
}

/* A held visitor goes on behind a segment, so that splits do not change the order of events. */
static void play_segment(struct play *p, uint8_t kind, const char *bytes, size_t len, bool split)
{
	int from = kind & 1;
	uint32_t seed = kind * 2654435761u;

	if (from == 1 && (kind & 0xfe) == 0xfe) {
		http_track_response_eof(&p->t);
	} else if (kind == 0xfe) {
		play_fin(p);
	} else if (!split) {
		play_bytes(p, from, bytes, len);
	} else {
		for (size_t at = 0, n; at < len; at += n) {
			seed = seed * 1103515245 + 12345;
			n = 1 + (seed >> 16) % (1 + (seed >> 24) % 40);
			n = n < len - at ? n : len - at;
			play_bytes(p, from, bytes + at, n);
		}
	}
	if (p->t.resume) {
		p->t.resume = false;
		check(p->side[0].verdict == JUDGE_HOLD);
		p->side[0].verdict = JUDGE_PASS;
		if (!over(p))
			play_judge(p, 0);
	}
}

static void play(struct play *p, const uint8_t *data, size_t size, bool split)
{
	memset(p, 0, sizeof(*p));
	http_track_init(&p->t, !(size && data[0] & 8), &hooks, p);
	p->t.single = size && data[0] & 16;
	buffer_add(&p->allowed, "", 0);
	for (int i = 0; i < 2; i++) {
		buffer_add(&p->side[i].pending, "", 0);
		buffer_add(&p->side[i].passed, "", 0);
	}
	while (size >= 3) {
		size_t len = data[1] | (size_t)data[2] << 8;

		len = len < size - 3 ? len : size - 3;
		play_segment(p, data[0], (const char *)data + 3, len, split);
		data += 3 + len;
		size -= 3 + len;
	}
}

static void play_free(struct play *p)
{
	for (int i = 0; i < 2; i++) {
		free(p->side[i].pending.p);
		free(p->side[i].passed.p);
	}
	free(p->allowed.p);
}

/* The value of a field in a head, for the simple reader: a line search, nothing more. */
static const char *find_field(const char *head, size_t len, const char *name)
{
	for (const char *at = head; (at = memmem(at, len - (size_t)(at - head), "\r\n", 2));) {
		at += 2;
		if (!strncasecmp(at, name, strlen(name))) {
			at += strlen(name);
			while (*at == ' ' || *at == '\t')
				at++;
			return at;
		}
	}
	return NULL;
}

/* The length of a chunked body at p, or len if it is not complete. */
static size_t chunked_len(const char *p, size_t len)
{
	size_t at = 0;

	for (;;) {
		const char *eol = memmem(p + at, len - at, "\r\n", 2);
		uint64_t size;

		if (!eol)
			return len;
		size = strtoull(p + at, NULL, 16);
		at = (size_t)(eol - p) + 2;
		if (size == 0)
			break;
		if (size > len - at || len - at - size < 2)
			return len;
		at += size + 2;
	}
	for (;;) {
		const char *eol = memmem(p + at, len - at, "\r\n", 2);

		if (!eol)
			return len;
		if (eol == p + at)
			return at + 2;
		at = (size_t)(eol - p) + 2;
	}
}

/* Reads what passed as a server would, and meets only heads that were allowed. */
static void check_passed(const struct play *p)
{
	const struct buffer *b = &p->side[0].passed;
	size_t at = 0, len = p->hijacked ? b->len : p->raw_from, seen = 0;

	b->p[b->len] = '\0';
	while (at < len && !(p->hijacked && seen == p->allowed.len)) {
		if (!strncmp(b->p + at, "\r\n", 2)) {
			at += 2;
			continue;
		}
		const char *head = b->p + at;
		const char *end = memmem(head, len - at, "\r\n\r\n", 4);
		const char *length;
		size_t n;

		check(end != NULL); /* no part of a head ever passes */
		n = (size_t)(end - head) + 4;
		check(seen + n <= p->allowed.len && !memcmp(p->allowed.p + seen, head, n));
		check(!memmem(head, n, "/no", 3));
		seen += n;
		at += n;
		length = find_field(head, n, "content-length:");
		if (find_field(head, n, "transfer-encoding:"))
			at += chunked_len(b->p + at, len - at);
		else if (length)
			at += strtoull(length, NULL, 10) < len - at ? strtoull(length, NULL, 10)
								    : len - at;
	}
	check(seen == p->allowed.len);
}

static void compare(const struct play *a, const struct play *b)
{
	for (int i = 0; i < 2; i++) {
		check(a->side[i].passed.len == b->side[i].passed.len);
		check(!memcmp(a->side[i].passed.p, b->side[i].passed.p, a->side[i].passed.len));
	}
	check(over(a) == over(b));
	check(a->t.raw == b->t.raw && a->t.unfollowed == b->t.unfollowed);
	check(a->t.stopped == b->t.stopped && a->t.refused == b->t.refused);
	check(a->t.owed == b->t.owed);
	check(http_track_at_rest(&a->t) == http_track_at_rest(&b->t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play whole, split;

	play(&whole, data, size, false);
	play(&split, data, size, true);
	check_passed(&whole);
	check_passed(&split);
	compare(&whole, &split);
	play_free(&whole);
	play_free(&split);
	return 0;
}
