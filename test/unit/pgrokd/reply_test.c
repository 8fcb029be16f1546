/* Tests of the server's own answers to visitors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/head.h"
#include "pgrokd/limits.h"
#include "pgrokd/visitor/reply.h"
#include "test/unit/common/mux_pipe.h"

static void check(int status, const char *reason)
{
	struct text whole = {0}, head = {0};
	struct http_head h = {0};
	char line[64];
	struct http_span v;

	reply_make(&whole, &(struct reply_page){.status = status, .host = {"a.b", 3}});
	const char *text = whole.p;
	size_t len = whole.len;

	assert_int_equal(len, strlen(text));
	snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, reason);
	assert_memory_equal(text, line, strlen(line));
	assert_int_equal(http_response_scan(&h, text, len), HTTP_OK);
	assert_int_equal(h.status, status);
	assert_true(h.conn_close && h.has_length);
	assert_int_equal(h.length, len - h.head_len);
	assert_true(h.length > 0);
	assert_true(http_field(text, &h, "Content-Type", &v));
	assert_true(http_span_is(text, v, "text/plain; charset=utf-8"));
	assert_true(http_field(text, &h, "X-Content-Type-Options", &v));
	assert_true(http_span_is(text, v, "nosniff"));
	assert_int_equal(http_field(text, &h, "WWW-Authenticate", &v), status == 401);
	if (status == 401)
		assert_true(http_span_is(text, v, "Basic realm=\"pgrok\""));

	/* HEAD: the same head, no text. */
	reply_make(&head,
		   &(struct reply_page){.status = status, .host = {"a.b", 3}, .head_only = true});
	assert_int_equal(head.len, h.head_len);
	assert_memory_equal(head.p, text, h.head_len);
	text_free(&head);
	text_free(&whole);
}

static void pages(void **state)
{
	static const struct {
		int status;
		const char *reason;
	} all[] = {
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{421, "Misdirected Request"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{431, "Request Header Fields Too Large"},
		{501, "Not Implemented"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check(all[i].status, all[i].reason);
}

/* The 404 for this host, without its head. */
static void check_host(const char *host, size_t len, const char *body)
{
	struct text t = {0};

	reply_make(&t, &(struct reply_page){.status = 404, .host = {host, len}});
	assert_string_equal(strstr(t.p, "\r\n\r\n") + 4, body);
	text_free(&t);
}

static void host_asked_for(void **state)
{
	char big[300], shown[200] = "Tunnel ";

	check_host("Nope.PGrok.me:18080", 19, "Tunnel nope.pgrok.me:18080 not found\n");
	check_host(NULL, 0, "Tunnel  not found\n");
	check_host("[::1]:80", 8, "Tunnel [::1]:80 not found\n");
	check_host("<b>&\"'%", 7, "Tunnel %3Cb%3E%26%22%27%25 not found\n");
	check_host("\xc3\xa9\0%s", 5, "Tunnel %C3%A9%00%25s not found\n");
	memset(big, 'a', sizeof(big));
	memset(shown + 7, 'a', 100);
	strcpy(shown + 107, " not found\n");
	check_host(big, 100, shown);
	strcpy(shown + 107, "... not found\n");
	check_host(big, 101, shown);
	check_host(big, sizeof(big), shown);
}

static void plain_http(void **state)
{
	struct text t = {0};

	reply_make(&t, &(struct reply_page){.status = REPLY_PLAIN_HTTP});
	assert_memory_equal(t.p, "HTTP/1.1 400 Bad Request\r\n", 26);
	assert_non_null(strstr(t.p, "https"));
	text_free(&t);
}

/* A status nobody wrote a page for is still an answer. */
static void unknown(void **state)
{
	struct text t = {0};

	reply_make(&t, &(struct reply_page){.status = 999});
	assert_memory_equal(t.p, "HTTP/1.1 500 ", 13);
	text_free(&t);
}

/* ---- on its way ---- */

#define SCALE "0.02"

/* A visitor who takes it gets it and the end; who takes nothing is cut off in the end. */
static void is_taken_or_not(void **state)
{
	for (int takes = 0; takes < 2; takes++) {
		struct loop *l = loop_new();
		struct fake *end[2];
		unsigned open = 0;
		char got[2048];
		size_t n;

		fake_pair(l, NULL, &open, end);
		end[1]->room = 10;
		reply_send(&end[0]->s, &(struct reply_page){.status = 404, .host = {"a.b", 3}});
		turns_for(l, (int)loop_scaled(LIMIT_REPLY_MS) / 3);
		assert_int_equal(open, 2);
		assert_int_equal(end[1]->in_len, 10);
		if (takes) {
			end[1]->room = sizeof(got);
			assert_int_equal(stream_read(&end[1]->s, got, 10, &n), STREAM_OK);
			turns(l, 4);
			assert_int_equal(stream_read(&end[1]->s, got, sizeof(got), &n), STREAM_OK);
			assert_int_equal(stream_read(&end[1]->s, got, 1, &n), STREAM_EOF);
		} else {
			turns_for(l, (int)loop_scaled(LIMIT_REPLY_MS));
			assert_int_equal(open, 1);
			assert_int_equal(stream_read(&end[1]->s, got, 1, &n), STREAM_ABORT);
		}
		stream_close(&end[1]->s, false);
		turns(l, 4);
		loop_free(l);
		assert_int_equal(open, 0);
	}
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);

	const struct CMUnitTest tests[] = {cmocka_unit_test(pages), cmocka_unit_test(unknown),
					   cmocka_unit_test(plain_http),
					   cmocka_unit_test(host_asked_for),
					   cmocka_unit_test(is_taken_or_not)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
