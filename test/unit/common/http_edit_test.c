/* Request heads made into others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/edit.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct http_edit host = {.host = "127.0.0.1:3000"};
static const struct http_edit who = {.from = "203.0.113.9", .proto = "https"};
static const struct http_edit both = {.host = "svc", .from = "2001:db8::1", .proto = "http"};
static const struct http_edit none;
static const struct http_edit where = {.proto = "https"};
static const struct http_edit drip = {
	.from = "203.0.113.9", .proto = "https", .said = EDIT_REPLACED, .origin_form = true};
static const struct http_edit behind = {
	.from = "10.0.0.1", .proto = "http", .said = EDIT_TRUSTED, .origin_form = true};

static struct http_set_field to_set[] = {{(char[]){"X-Env"}, (char[]){"dev"}},
					 {(char[]){"Cookie"}, NULL},
					 {(char[]){"Remote-User"}, (char[]){"me  too"}}};
static const struct http_fields fields = {to_set, 3};
static const struct http_edit set = {.set = &fields};
static const struct http_edit all = {
	.host = "svc", .from = "192.0.2.1", .proto = "http", .set = &fields};

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
	/* Only what was asked, and how. */
	{&where, "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-For: 1.1.1.1\r\n"
	 "X-Forwarded-Proto: q\r\nX_Forwarded_Host: evil\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-For: 1.1.1.1\r\n"
	 "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.me\r\n\r\n"},
	/* Nothing that a visitor says of itself, however it writes it. */
	{&drip, "GET /%2F//..;#x?q HTTP/1.1\r\nHost: A.me:8443\r\nX-forwarded-for: 1.1.1.1\r\n"
	 "X_Forwarded_For: 2.2.2.2\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: q\r\n"
	 "Connection: keep-alive\r\nAccept-Encoding: br\r\n\r\n",
	 "GET /%2F//..;#x?q HTTP/1.1\r\nHost: A.me:8443\r\n"
	 "Connection: keep-alive\r\nAccept-Encoding: br\r\n"
	 "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
	 "X-Forwarded-Host: A.me:8443\r\n\r\n"},
#define DRIP_WHO "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n" \
	"X-Forwarded-Host: a.me\r\n\r\n"
	{&drip, "GET http://a.me/p?http://b/ HTTP/1.1\r\nHost: a.me\r\n\r\n",
	 "GET /p?http://b/ HTTP/1.1\r\nHost: a.me\r\n" DRIP_WHO},
	{&drip, "GET HTTPS://a.me?q HTTP/1.0\r\n\r\n",
	 "GET /?q HTTP/1.1\r\nHost: a.me\r\n" DRIP_WHO},
	{&drip, "GET https://a.me HTTP/1.1\r\nHost: a.me\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\n" DRIP_WHO},
	{&drip, "GET / HTTP/1.0\r\nHost: a.me\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\n" DRIP_WHO},
	{&drip, "OPTIONS * HTTP/1.0\r\nHost: a.me\r\n\r\n",
	 "OPTIONS * HTTP/1.1\r\nHost: a.me\r\n" DRIP_WHO},
	/* Nor has it the next proxy take that out again. */
	{&drip, "GET / HTTP/1.1\r\nHost: a.me\r\nConnection: close,\tX-Forwarded-FOR , TE,,\r\n"
	 "connection:x_forwarded_proto\r\nConnection:  X-Forwarded-Port,close\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\nConnection: close, TE\r\n"
	 "Connection:  X-Forwarded-Port,close\r\n" DRIP_WHO},
	{&where, "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n"
	 "Connection: X-Forwarded-Host\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n"
	 "X-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n\r\n"},
	{&set, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x_env\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nX-Env: dev\r\n"
	 "Remote-User: me  too\r\n\r\n"},
	{&none, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close,X-Forwarded-For\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nConnection: close,X-Forwarded-For\r\n\r\n"},
	/* What a proxy says that is to be believed, as far as it says it. */
	{&behind, "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-For: 1.1.1.1\r\n"
	 "X-Forwarded-Proto: https\r\nX_Forwarded_Proto: q\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-Proto: https\r\n"
	 "X-Forwarded-For: 1.1.1.1, 10.0.0.1\r\nX-Forwarded-Host: a.me\r\n\r\n"},
	{&behind, "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-Host: b.me\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a.me\r\nX-Forwarded-Host: b.me\r\n"
	 "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n"},
	/* Set: last, and instead of all of that name, however it is written. */
	{&set, "GET / HTTP/1.1\r\nHost: a\r\nx-ENV: prod\r\nA: Cookie: x\r\nCookie:a=b\r\n"
	 "X-Env:\r\nRemote_User: root\r\nCookie2: c\r\nremote-user: root\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: a\r\nA: Cookie: x\r\nCookie2: c\r\nX-Env: dev\r\n"
	 "Remote-User: me  too\r\n\r\n"},
	{&set, "GET / HTTP/1.0\r\n\r\n",
	 "GET / HTTP/1.0\r\nX-Env: dev\r\nRemote-User: me  too\r\n\r\n"},
	{&all, "GET / HTTP/1.1\r\nX-Env: q\r\nHost: a\r\n\r\n",
	 "GET / HTTP/1.1\r\nHost: svc\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http"
	 "\r\nX-Forwarded-Host: a\r\nX-Env: dev\r\nRemote-User: me  too\r\n\r\n"},
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

/* clang-format off */
static const struct {
	const char *in, *out;
} answers[] = {
	{"HTTP/1.1 200 OK\r\n\r\n",
	 "HTTP/1.1 200 OK\r\nX-Env: dev\r\nRemote-User: me  too\r\n\r\n"},
	{"HTTP/1.1 404\r\nServer: x\r\nX-ENV: a, b\r\nCookie: c\r\nContent-Length: 3\r\n\r\n",
	 "HTTP/1.1 404\r\nServer: x\r\nContent-Length: 3\r\nX-Env: dev\r\nRemote-User: me  too"
	 "\r\n\r\n"},
	/* Lines that end in LF, and that go on. '_' is another letter than '-' here. */
	{"HTTP/1.0 200 OK\nCookie: a\n b\n\tc\nA: b\n  X-Env: no field\nX_Env: 1\n\n",
	 "HTTP/1.0 200 OK\nA: b\n  X-Env: no field\nX_Env: 1\nX-Env: dev\r\n"
	 "Remote-User: me  too\r\n\r\n"},
};
/* clang-format on */

static void test_answers(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct http_head h = {0};
		struct text out = {0};

		assert_int_equal(http_response_scan(&h, answers[i].in, strlen(answers[i].in)),
				 HTTP_OK);
		http_edit_answer(&out, &fields, &h, answers[i].in);
		assert_string_equal(out.p, answers[i].out);
		text_free(&out);
	}
}

/* ---- what may be set ---- */

static void test_fields(void **state)
{
	struct http_fields f = {0};
	struct err err;

	assert_true(http_fields_set(&f, "X-a", "1", true, &err));
	assert_true(http_fields_set(&f, "x-A", "2", true, &err));
	assert_true(http_fields_set(&f, "Authorization", "Bearer x\ty \xc3\xa4", true, &err));
	assert_true(http_fields_set(&f, "Cookie", "", true, &err));
	assert_true(http_fields_set(&f, "Referer", NULL, true, &err));
	assert_int_equal(f.n, 4);
	assert_string_equal(f.list[0].name, "x-A");
	assert_string_equal(f.list[0].value, "2");
	assert_null(f.list[2].value);
	assert_null(f.list[3].value);
	assert_true(http_fields_have(&f, "X-A", 3, true));
	assert_true(http_fields_have(&f, "X_AB", 3, true));
	assert_false(http_fields_have(&f, "X_A", 3, false));
	assert_false(http_fields_have(&f, "X-AB", 4, true));
	http_fields_free(&f);
	assert_true(http_fields_set(&f, "Host", "x", false, &err));
	for (int i = 0; i < FIELDS_MAX - 1; i++) {
		char name[8];

		snprintf(name, sizeof(name), "X-%d", i);
		assert_true(http_fields_set(&f, name, "v", false, &err));
	}
	assert_false(http_fields_set(&f, "X-more", "v", false, &err));
	assert_true(http_fields_set(&f, "X-1", "w", false, &err));
	http_fields_free(&f);
}

static void test_bad_fields(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} bad[] = {
		{"", "x", "can't be the name"},
		{"a b", "x", "can't be the name"},
		{"a:", "x", "can't be the name"},
		{"a\r\nHost", "x", "can't be the name"},
		{"\xc3\xa4", "x", "can't be the name"},
		{"Host", "x", "write host_header"},
		{"content-length", "0", "content-length is not to be changed"},
		{"Content_Length", "0", "is not to be changed"},
		{"Transfer-Encoding", NULL, "is not to be changed"},
		{"CONNECTION", "close", "is not to be changed"},
		{"Upgrade", "", "is not to be changed"},
		{"Keep-Alive", "", "is not to be changed"},
		{"Proxy-Connection", "", "is not to be changed"},
		{"TE", "trailers", "is not to be changed"},
		{"Trailer", "x", "is not to be changed"},
		{"Expect", "100-continue", "is not to be changed"},
		{"HTTP2-Settings", "x", "is not to be changed"},
		{"X", "a\r\nHost: b", "no line ends"},
		{"X", "a\nb", "no line ends"},
		{"X", "a\rb", "no line ends"},
		{"X", "a\x7f", "no line ends"},
		{"X", "\x01", "no line ends"},
	};
	struct http_fields f = {0};
	char longer[FIELDS_VALUE_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = {""};

		assert_false(http_fields_set(&f, bad[i].name, bad[i].value, true, &err));
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].name, err.text);
	}
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_false(http_fields_set(&f, "X", longer, true, &(struct err){""}));
	longer[FIELDS_NAME_MAX + 1] = '\0';
	assert_false(http_fields_set(&f, longer, "x", true, &(struct err){""}));
	assert_int_equal(f.n, 0);
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
		cmocka_unit_test(test_heads),         cmocka_unit_test(test_answers),
		cmocka_unit_test(test_fields),        cmocka_unit_test(test_bad_fields),
		cmocka_unit_test(test_only_the_head), cmocka_unit_test(test_host_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
