/* Request heads made into others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/edit.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct http_edit host = {.host = "127.0.0.1:3000"};
static const struct http_edit who = {.from = "203.0.113.9", .proto = "https"};
static const struct http_edit both = {.host = "svc", .from = "2001:db8::1", .proto = "http"};
static const struct http_edit none;

/* clang-format off */
static const struct {
	const struct http_edit *edit;
	const char *in, *out;
} good[] = {
	{&none, "GET / HTTP/1.1\r\nhOsT:  a \r\nX-Forwarded-For: x\r\n\r\n",
	 "GET / HTTP/1.1\r\nhOsT:  a \r\nX-Forwarded-For: x\r\n\r\n"},
	/* One field changes, in its place; all others keep their bytes. */
	{&host, "GET /a?b HTTP/1.1\r\nX-a:1\r\nhOsT:  shop.x.me:80 \r\nX-b:  2 \r\n\r\n",
	 "GET /a?b HTTP/1.1\r\nX-a:1\r\nhOsT: 127.0.0.1:3000\r\nX-b:  2 \r\n\r\n"},
	{&host, "GET / HTTP/1.1\r\nHost:\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"},
	{&host, "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: 127.0.0.1:3000\r\n\r\n"},
	{&host, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	 "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"},
	/* Other names that hold the word. */
	{&host, "GET / HTTP/1.1\r\nX-Host: q\r\nHost: a\r\nHosts: r\r\n\r\n",
	 "GET / HTTP/1.1\r\nX-Host: q\r\nHost: 127.0.0.1:3000\r\nHosts: r\r\n\r\n"},
	/* Who is asked stands in the target, too. */
	{&host, "GET http://a.me:81/p?http://a.me HTTP/1.1\r\nHost: a.me:81\r\n\r\n",
	 "GET http://127.0.0.1:3000/p?http://a.me HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n"},
	{&host, "GET https://a.me HTTP/1.0\r\n\r\n",
	 "GET https://127.0.0.1:3000 HTTP/1.0\r\nHost: 127.0.0.1:3000\r\n\r\n"},
	{&who, "GET / HTTP/1.1\r\nHost: a.me:80\r\nA: b\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me:80\r\nA: b\r\nX-Forwarded-For: 203.0.113.9\r\n"
	 "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.me:80\r\n\r\n"},
	/* The list goes on, from however many fields; other words of a visitor on itself go. */
	{&who, "GET / HTTP/1.1\r\nx-forwarded-FOR:  1.2.3.4, 5.6.7.8 \r\nHost: a\r\n"
	 "X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: evil\r\nX-Forwarded-For:\r\n"
	 "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Port: 7\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 7\r\n"
	 "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 9.9.9.9, 203.0.113.9\r\n"
	 "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n\r\n"},
	/* The same name for CGI. */
	{&who, "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1.1.1.1\r\nx-Forwarded_proto: q\r\n"
	 "\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n"
	 "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n\r\n"},
	{&who, "GET / HTTP/1.0\r\n\r\n",
	 "GET / HTTP/1.0\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n"},
	{&both, "POST /p HTTP/1.1\r\nHost: a.me\r\nContent-Length: 3\r\n\r\n",
	 "POST /p HTTP/1.1\r\nHost: svc\r\nContent-Length: 3\r\nX-Forwarded-For: 2001:db8::1\r\n"
	 "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.me\r\n\r\n"},
};
/* clang-format on */

static void test_heads(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct http_head h = {0};
		struct text out = {0};

		assert_int_equal(http_request_scan(&h, good[i].in, strlen(good[i].in)), HTTP_OK);
		http_edit_head(&out, good[i].edit, &h, good[i].in);
		assert_string_equal(out.p, good[i].out);
		assert_int_equal(out.len, strlen(good[i].out));
		text_free(&out);
	}
}

/* What comes behind the head is not looked at. */
static void test_only_the_head(void **state)
{
	static const char in[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\nHost: b\r\nHost: c\r\n\r\n";
	struct http_head h = {0};
	struct text out = {0};

	assert_int_equal(http_request_scan(&h, in, strlen(in)), HTTP_OK);
	http_edit_head(&out, &host, &h, in);
	assert_string_equal(out.p, "GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n");
	text_free(&out);
}

static void test_host_values(void **state)
{
	static const char *const fine[] = {"rewrite", "a", "a.example:80", "[::1]:80", "127.0.0.1"};
	static const char *const bad[] = {"",    " a",  "a ",         "a b", "a\r\nX: y", "a\nb",
					  "a/b", "u@h", "a\r\n\r\nb", "a\t", "\x01",      "a?b"};

	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		assert_true(http_edit_host_valid(fine[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(http_edit_host_valid(bad[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_only_the_head),
		cmocka_unit_test(test_host_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
