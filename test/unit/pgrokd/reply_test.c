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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pages), cmocka_unit_test(unknown),
					   cmocka_unit_test(plain_http),
					   cmocka_unit_test(host_asked_for)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
