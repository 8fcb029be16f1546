/* Tests of the server's own answers to visitors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "common/http/head.h"
#include "pgrokd/visitor/reply.h"

static void check(int status, const char *reason)
{
	char text[REPLY_MAX], line[64];
	size_t len = reply_make(status, false, text);
	struct http_head h = {0};
	struct http_span v;

	assert_true(len < REPLY_MAX && len == strlen(text));
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
	char head[REPLY_MAX];

	assert_int_equal(reply_make(status, true, head), h.head_len);
	assert_memory_equal(head, text, h.head_len);
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

/* A status nobody wrote a page for is still an answer. */
static void unknown(void **state)
{
	char text[REPLY_MAX];

	reply_make(999, false, text);
	assert_memory_equal(text, "HTTP/1.1 500 ", 13);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pages), cmocka_unit_test(unknown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
