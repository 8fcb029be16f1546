/* The search in captured transactions: what is found where, and that a step's work is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "pgrok/inspect/find.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PLENTY ((size_t)1 << 30)

static struct capture *store;
static struct capture_conn *conn;

static int begin(void **state)
{
	store = capture_new(&(struct capture_limits){8 << 20, 64 << 20});
	conn = capture_conn_new(store, &(struct capture_conn_info){.name = "web",
								   .url = "http://web.example",
								   .local = "127.0.0.1:80",
								   .visitor = "203.0.113.9:1",
								   .proto = PROTO_HTTP});
	capture_conn_connected(conn);
	return 0;
}

static int end(void **state)
{
	capture_conn_close(conn, NULL);
	capture_free(store);
	return 0;
}

static void said(enum side from, const char *text)
{
	capture_conn_bytes(conn, from, text, strlen(text));
}

/* An answer's body; coding NULL: none. */
static void answered(const char *coding, const char *body, size_t len)
{
	char head[200];

	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s%s%s\r\n", len,
		 coding ? "Content-Encoding: " : "", coding ? coding : "", coding ? "\r\n" : "");
	said(SIDE_SERVICE, head);
	capture_conn_bytes(conn, SIDE_SERVICE, body, len);
}

/* How many steps it took to find out, each with that budget. */
static enum find_rc look(const char *text, bool bodies, size_t budget, unsigned *steps)
{
	struct finder f;
	enum find_rc rc = FIND_MORE;

	assert_true(find_init(&f, text, bodies));
	find_begin(&f);
	for (*steps = 0; rc == FIND_MORE; ++*steps) {
		size_t left = budget;

		rc = find_step(&f, capture_newest(store), &left);
	}
	find_free(&f);
	return rc;
}

static bool found(const char *text, bool bodies)
{
	unsigned steps;

	return look(text, bodies, PLENTY, &steps) == FIND_YES;
}

static void test_where(void **state)
{
	static const struct {
		const char *text;
		bool in_heads, in_bodies;
	} table[] = {
		{"x-colour", true, false},  {"X-Colour: Vermilion", true, false},
		{"vermilion", true, false}, {"server: me", true, false},
		{"SARDINE", false, true},   {"herring", false, true},
		{"hook", false, false}, /* the start line is the list's */
		{"200", false, false},      {"gr\xc3\xbc\xc3\x9f", false, true},
		{"sardine}", false, false}, {"e\"}herring", false, false}, /* two bodies are two */
	};

	said(SIDE_VISITOR,
	     "POST /hook HTTP/1.1\r\nHost: web\r\nX-Colour:   Vermilion\r\nContent-Length: "
	     "27\r\n\r\n{\"fish\":\"Sardine gr\xc3\xbc\xc3\x9f"
	     "e\"}");
	said(SIDE_SERVICE, "HTTP/1.1 200 OK\r\nServer: me\r\nContent-Length: 7\r\n\r\nHerring");
	for (size_t i = 0; i < COUNT(table); i++) {
		assert_int_equal(found(table[i].text, false), table[i].in_heads);
		assert_int_equal(found(table[i].text, true), table[i].in_bodies);
	}
}

static void test_trailers_and_frames(void **state)
{
	said(SIDE_VISITOR, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	said(SIDE_SERVICE,
	     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	     "Transfer-Encoding: chunked\r\n\r\n15\r\ndata: one\n\ndata: Two\n\r\n1\r\n\n\r\n"
	     "0\r\nX-Sum: 6\r\n\r\n");
	assert_true(found("x-sum: 6", false));
	assert_true(found("two", true));
}

/* A word across the border of two slices, at every place around it. */
static void test_borders(void **state)
{
	enum { LEN = 200000 };
	char *body = malloc(LEN + 1);
	unsigned steps;

	assert_non_null(body);
	for (size_t at = (64 << 10) - 8; at < (64 << 10) + 2; at++) {
		memset(body, '-', LEN);
		memcpy(body + at, "needle", 6);
		said(SIDE_VISITOR, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
		answered(NULL, body, LEN);
		assert_true(found("NEEDLE", true));
		assert_int_equal(look("needle", true, 1000, &steps), FIND_YES);
		assert_false(found("needle-needle", true));
	}
	/* Never more than a slice and a bit for a small budget. */
	assert_int_equal(look("nothing", true, 1000, &steps), FIND_NO);
	assert_int_equal(steps, 4);
	free(body);
}

static char *packed(size_t zeros, const char *tail, size_t *len)
{
	size_t n = zeros + strlen(tail), cap = n / 500 + 4096;
	char *plain = calloc(1, n), *out = malloc(cap);
	z_stream z = {0};

	assert_non_null(plain);
	assert_non_null(out);
	memcpy(plain + zeros, tail, n - zeros);
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)plain;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	*len = cap - z.avail_out;
	deflateEnd(&z);
	free(plain);
	return out;
}

static void test_coded(void **state)
{
	size_t len;
	char *body = packed(100, "needle", &len);
	size_t budget = 1 << 20;
	struct finder f;

	said(SIDE_VISITOR, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	answered("gzip", body, len);
	free(body);
	assert_true(found("needle", true));
	/* Behind what is decoded; and a bomb uses the budget up. */
	body = packed(FIND_DECODE_MAX, "needle", &len);
	said(SIDE_VISITOR, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	answered("gzip", body, len);
	free(body);
	assert_true(find_init(&f, "needle", true));
	find_begin(&f);
	assert_int_equal(find_step(&f, capture_newest(store), &budget), FIND_NO);
	assert_int_equal(budget, 0);
	find_free(&f);
	assert_false(found("needle", true));
	said(SIDE_VISITOR, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	answered("rot13", "needle", 6);
	assert_true(found("needle", true));
}

static void test_bad_texts(void **state)
{
	struct finder f;
	char text[FIND_TEXT + 1];

	memset(text, 'a', FIND_TEXT);
	text[FIND_TEXT] = '\0';
	assert_false(find_init(&f, "", true));
	assert_false(find_init(&f, text, true));
	text[FIND_TEXT - 1] = '\0';
	assert_true(find_init(&f, text, true));
	find_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_where, begin, end),
		cmocka_unit_test_setup_teardown(test_trailers_and_frames, begin, end),
		cmocka_unit_test_setup_teardown(test_borders, begin, end),
		cmocka_unit_test_setup_teardown(test_coded, begin, end),
		cmocka_unit_test(test_bad_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
