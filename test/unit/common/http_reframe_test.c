/* Answers reframed, each with every split of its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "test/unit/common/http_reframe_play.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
#define WEBSOCKET "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"

enum flags {
	OLD = 1,      /* its reader speaks HTTP/1.0 */
	STREAM = 2,   /* it goes to another stream, where chunks are not known */
	CLOSE = 4,    /* its reader is told that it is the last */
	FINISHED = 8, /* the backend ends */
	EDITED = 16,  /* fields are set */
	OPEN = 32,    /* it is not complete */
	CUT = 64,     /* it breaks off, and shows it */
	PAGE = 128,   /* nothing of it has passed: a 502 in its place */
	SWITCHED = 256,
};

static struct http_set_field to_set[] = {{(char[]){"X-Env"}, (char[]){"dev"}},
					 {(char[]){"Server"}, NULL}};
static const struct http_fields fields = {to_set, 2};

struct answer {
	const char *request;
	int flags;
	const char *in, *out;
};

/* clang-format off */
static const struct answer good[] = {
	/* A length is one on both sides. What is about the connection goes. */
	{GET, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nA:b\r\n"
	 "Keep-Alive: timeout=5\r\n\r\nhello",
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello"},
	{GET, CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	{GET, 0, "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n",
	 "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"},
	{GET, OLD, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	 "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	/* The second of two equal lengths goes; what is behind the body is dropped. */
	{GET, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhijack",
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	{GET, FINISHED, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	/* Lines that end in LF, that go on; no reason. */
	{GET, 0, "HTTP/1.1 404\nA: b\n c\n\td\nUpgrade: x\n y\nContent-Length: 0\n\n",
	 "HTTP/1.1 404 \r\nA: b c d\r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 599 \r\n going on\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 200 O\rA: b\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 200 O\r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 299 Odd   one\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 299 Odd   one\r\nContent-Length: 0\r\n\r\n"},
	/* All that is hop by hop, and what only looks like it. */
	{GET, 0, "HTTP/1.1 200 OK\r\nTE: x\r\nTrailer: A\r\nUpgrade: h2c\r\nProxy-Connection: y\r\n"
	 "Proxy-Authenticate: Basic\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Encoding: br\r\n"
	 "Connections: z\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nProxy-Authenticate: Basic\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
	 "Content-Encoding: br\r\nConnections: z\r\nContent-Length: 0\r\n\r\n"},
	/* Chunks pass as they are, trailers with them. */
	{GET, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
	 "5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nTrailer: T\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n"},
	{GET, 0, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"},
	/* ... but not where they are not known. */
	{GET, OLD | CLOSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
	 "5;x=y\r\nhello\r\n1\n \n0\r\nT: u\r\n\r\n",
	 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello "},
	{GET, STREAM, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
	 "a\r\n0123456789\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n0123456789"},
	/* The stream's end. */
	{GET, FINISHED, "HTTP/1.1 200 OK\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{GET, OPEN, "HTTP/1.1 200 OK\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{GET, FINISHED | OLD | CLOSE, "HTTP/1.0 200 OK\r\n\r\nhello",
	 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello"},
	{GET, FINISHED | STREAM, "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\n\r\nhello"},
	/* No body. */
	{HEAD, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
	{HEAD, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n",
	 "HTTP/1.1 200 OK\r\n\r\n"},
	{HEAD, 0, "HTTP/1.1 200 OK\r\n\r\nbody", "HTTP/1.1 200 OK\r\n\r\n"},
	{GET, 0, "HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	 "HTTP/1.1 204 N\r\n\r\n"},
	{GET, 0, "HTTP/1.1 204 N\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 N\r\n\r\n"},
	{GET, FINISHED, "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
	 "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n"},
	/* Interim answers. */
	{POST, 0, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n"
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n"
	 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"},
	{POST, STREAM, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n"
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
	 "HTTP/1.1 200 OK\r\n\r\nhi"},
	/* To a visitor, his own machine is another one. */
	{GET, 0, "HTTP/1.1 302 F\r\nLocation: http://localhost:3000/a%2Fb?c#d\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 302 F\r\nLocation: https://a.me/a%2Fb?c#d\r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 302 F\r\nlocation: HTTPS://127.0.0.1\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 302 F\r\nlocation: https://a.me\r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 302 F\r\nLocation: http://[::1]:80?q\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 302 F\r\nLocation: https://a.me?q\r\nContent-Length: 0\r\n\r\n"},
	{GET, 0, "HTTP/1.1 302 F\r\nLocation: http://localhost.me/\r\nLocation: /x\r\n"
	 "Location: http://localhost:80@b/\r\nLocation: ftp://localhost/\r\n"
	 "Location: http://127.0.0.11/\r\nX-Location: http://localhost/\r\n"
	 "Location:\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 302 F\r\nLocation: http://localhost.me/\r\nLocation: /x\r\n"
	 "Location: http://localhost:80@b/\r\nLocation: ftp://localhost/\r\n"
	 "Location: http://127.0.0.11/\r\nX-Location: http://localhost/\r\n"
	 "Location: \r\nContent-Length: 0\r\n\r\n"},
	{GET, STREAM, "HTTP/1.1 302 F\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 302 F\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n"},
	{GET, EDITED, "HTTP/1.1 200 OK\r\nx-ENV: a\r\nServer: x\r\n y\r\nContent-Length: 0\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Env: dev\r\n\r\n"},
	/* Another protocol from here on, whose head is its own. */
	{WEBSOCKET, SWITCHED, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
	 "\x81\x01x",
	 "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x01x"},
	{WEBSOCKET, 0, "HTTP/1.1 403 F\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
	 "HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\nno"},
};

static const struct answer bad[] = {
	{GET, PAGE, "SSH-2.0-OpenSSH\r\n", ""},
	{GET, PAGE, "HTTP/2.0 200 OK\r\n\r\n", ""},
	{GET, PAGE, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ""},
	{GET, PAGE, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ""},
	{GET, PAGE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ""},
	{GET, PAGE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ""},
	{GET, PAGE, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\nx", ""},
	{GET, PAGE | FINISHED, "", ""},
	{GET, PAGE | FINISHED, "HTTP/1.1 200 OK\r\nContent-Len", ""},
	{POST, PAGE | FINISHED, "HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n"},
	{POST, PAGE, "HTTP/1.1 100 C\r\n\r\njunk", "HTTP/1.1 100 C\r\n\r\n"},
	{GET, CUT | FINISHED, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
	 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"},
	{GET, CUT | FINISHED, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"},
	{GET, CUT | FINISHED, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"},
	{GET, CUT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
	 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello"},
	{GET, CUT | FINISHED | STREAM, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	 "HTTP/1.1 200 OK\r\n\r\nhel"},
	{GET, CUT | STREAM, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	 "HTTP/1.1 200 OK\r\n\r\n"},
};
/* clang-format on */

/* Another split makes other chunks: they are compared without their sizes. */
static void without_chunks(struct text *t)
{
	struct http_head h = {0};
	struct http_reframe r = {.minor = 1};
	struct http_splice s = {0};
	struct text out = {0};
	size_t made;

	assert_int_equal(http_response_scan(&h, t->p, t->len), HTTP_OK);
	http_splice_begin(&s, t->p);
	http_reframe_head(&r, http_splice(&s, t->p, h.head_len), &h, t->p);
	const char *p = http_reframe_made(&r, &s, t->len, &made);

	text_add(&out, p, made);
	text_free(&s.out);
	text_free(t);
	*t = out;
}

static void play(const struct answer *a, size_t cut, bool bytewise)
{
	struct play p = {.r = {.minor = !(a->flags & OLD),
			       .chunks = !(a->flags & (OLD | STREAM)),
			       .close = a->flags & CLOSE,
			       .url = a->flags & STREAM ? NULL : "https://a.me",
			       .set = a->flags & EDITED ? &fields : NULL},
			 .interim = !(a->flags & (OLD | STREAM))};
	size_t len = strlen(a->in);

	play_begin(&p, a->request);
	for (size_t at = 0, n; at < len; at += n) {
		n = bytewise ? 1 : at < cut ? cut - at : len - at;
		play_bytes(&p, a->in + at, n);
	}
	if (a->flags & FINISHED)
		play_eof(&p);
	bool into_chunks = p.r.body == REFRAME_INTO_CHUNKS && (a->flags & FINISHED);

	if (into_chunks)
		without_chunks(&p.out);
	struct text want = {0};

	text_put(&want, a->out);
	if (into_chunks)
		without_chunks(&want);
	if (p.out.len != want.len || (want.len && memcmp(p.out.p, want.p, want.len)))
		fail_msg("cut %zu: %s", cut, p.out.len ? p.out.p : "");
	text_free(&want);
	assert_int_equal(p.t.raw, !!(a->flags & SWITCHED));
	assert_int_equal(http_track_answered(&p.t), !(a->flags & (OPEN | CUT | PAGE | SWITCHED)));
	assert_int_equal(p.verdict == JUDGE_CUT, !!(a->flags & (CUT | PAGE)));
	assert_int_equal(p.t.refused, a->flags & PAGE ? 502 : 0);
	play_free(&p);
}

static void play_all(const struct answer *a, size_t n)
{
	for (; n; n--, a++) {
		play(a, 0, false);
		play(a, 0, true);
		for (size_t cut = 1; cut < strlen(a->in); cut++)
			play(a, cut, false);
	}
}

static void test_good(void **state)
{
	play_all(good, ARRAY_SIZE(good));
}

static void test_bad(void **state)
{
	play_all(bad, ARRAY_SIZE(bad));
}

/* A stream is passed on as it comes, each piece whole in itself. */
static void test_pieces(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
	static const char *const made[] = {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
					   "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
					   "10\r\n0123456789abcdef\r\n", "0\r\n\r\n"};
	struct play p = {.r = {.minor = 1, .chunks = true}};
	struct text said = {0};

	text_put(&said, head);
	text_put(&said, "abc");
	play_begin(&p, GET);
	play_bytes(&p, said.p, said.len);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(p.out.len, strlen(made[i]));
		assert_memory_equal(p.out.p, made[i], p.out.len);
		text_drop(&p.out, p.out.len);
		if (i == 0)
			play_bytes(&p, "0123456789abcdef", 16);
		else if (i == 1)
			play_eof(&p);
	}
	assert_true(http_track_answered(&p.t));
	text_free(&said);
	play_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
