/*
 * Fuzzes the reframer with an answer, once whole and once in pieces: the same comes of it. A second
 * reader takes what came apart again: one final head, with one framing at most; if the answer was
 * complete it ends with it, and nothing stands behind.
 * Input: a byte that says how (see the bits below), then the backend's bytes.
 */
#include <stdint.h>

#include "test/unit/common/http_reframe_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NEW 1 /* HTTP/1.1 */
#define CHUNKS 2
#define HEAD 4
#define ENDS 8
#define UPGRADE 16
#define INTERIM 32
#define CLOSE 64

static void check(bool good)
{
	if (!good)
		abort();
}

static const char *request(uint8_t how)
{
	if (how & UPGRADE)
		return "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
	return how & HEAD ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
			  : "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
}

static void play(struct play *p, uint8_t how, const char *bytes, size_t len, bool split)
{
	uint32_t seed = (uint32_t)len * 2654435761u;

	*p = (struct play){.r = {.minor = how & NEW,
				 .chunks = (how & CHUNKS) && (how & NEW),
				 .close = how & CLOSE,
				 .url = "https://a.me"},
			   .interim = how & INTERIM};
	play_begin(p, request(how));
	for (size_t at = 0, n; at < len; at += n) {
		seed = seed * 1103515245 + 12345;
		n = split ? 1 + (seed >> 16) % (1 + (seed >> 24) % 40) : len;
		n = n < len - at ? n : len - at;
		play_bytes(p, bytes + at, n);
	}
	if (how & ENDS)
		play_eof(p);
}

static void add(void *arg, const char *bytes, size_t n)
{
	text_add(arg, bytes, n);
}

/* Of the final answer in p->out: its head, and its body without chunks. False: there is none. */
static bool take_apart(const struct play *p, struct http_head *h, struct text *body)
{
	struct http_chunked c;
	size_t used;

	if (!p->heads || p->t.raw)
		return false;
	const char *at = p->out.p, *end = at + p->out.len;

	for (;; at += h->head_len) {
		memset(h, 0, sizeof(*h));
		check(http_response_scan(h, at, (size_t)(end - at)) == HTTP_OK);
		if (h->status >= 200)
			break;
		check(p->interim);
	}
	check(!h->chunked || !h->has_length);
	check(!(h->chunked && !p->r.chunks));
	check(h->conn_close == p->r.close && h->minor == p->r.minor);
	at += h->head_len;
	if (!h->chunked) {
		text_add(body, at, (size_t)(end - at));
		return true;
	}
	http_chunked_init(&c, false);
	enum http_rc rc = http_chunked_scan(&c, at, (size_t)(end - at), &used, add, body);

	check(rc != HTTP_BAD && used == (size_t)(end - at));
	check((rc == HTTP_OK) == http_track_answered(&p->t) || p->r.head_only);
	return true;
}

static void check_whole(const struct play *p, const struct http_head *h, const struct text *body)
{
	bool none = p->r.head_only || h->status == 204 || h->status == 304;

	if (!http_track_answered(&p->t))
		return;
	if (none)
		check(body->len == 0);
	else if (h->has_length)
		check(body->len == h->length);
	else
		check(h->chunked || !p->r.chunks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text body[2] = {{0}, {0}};
	struct http_head h[2];
	struct play p[2];

	if (!size)
		return 0;
	for (int split = 0; split < 2; split++) {
		play(&p[split], data[0], (const char *)data + 1, size - 1, split);
		if (take_apart(&p[split], &h[split], &body[split]))
			check_whole(&p[split], &h[split], &body[split]);
	}
	check(p[0].verdict == p[1].verdict && p[0].heads == p[1].heads);
	check(p[0].interims == p[1].interims && p[0].t.refused == p[1].t.refused);
	check(http_track_answered(&p[0].t) == http_track_answered(&p[1].t));
	check(body[0].len == body[1].len);
	check(!body[0].len || !memcmp(body[0].p, body[1].p, body[0].len));
	if (p[0].r.body != REFRAME_INTO_CHUNKS) {
		check(p[0].out.len == p[1].out.len);
		check(!p[0].out.len || !memcmp(p[0].out.p, p[1].out.p, p[0].out.len));
	}
	for (int i = 0; i < 2; i++) {
		text_free(&body[i]);
		play_free(&p[i]);
	}
	return 0;
}
