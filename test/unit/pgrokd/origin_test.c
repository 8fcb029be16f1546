/* Whose a request is that a proxy has passed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/text.h"
#include "pgrokd/access/origin.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TRUSTED "127.0.0.0/8, ::1, 10.0.0.0/8, 2001:db8:ffff::/48"
#define XFF "X-Forwarded-For: "

/* clang-format off */
static const struct {
	const char *peer, *fields, *origin;
} rows[] = {
	{"127.0.0.1", "", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9\r\n", "203.0.113.9:0"},
	{"::1", "A: b\r\nx-forwarded-FOR:203.0.113.9\r\nB: c\r\n", "203.0.113.9:0"},
	{"::ffff:127.0.0.1", XFF "\t 203.0.113.9 \t\r\n", "203.0.113.9:0"},
	/* From who is not trusted the field counts for nothing. */
	{"198.51.100.1", XFF "203.0.113.9\r\n", "198.51.100.1:99"},
	{"::2", XFF "203.0.113.9\r\n", "[::2]:99"},
	{"::ffff:198.51.100.1", XFF "127.0.0.1\r\n", "198.51.100.1:99"},
	/* What the visitor wrote himself stands on the left. */
	{"127.0.0.1", XFF "1.1.1.1, 203.0.113.9\r\n", "203.0.113.9:0"},
	{"127.0.0.1", XFF "127.0.0.1, 10.0.0.1, 203.0.113.9\r\n", "203.0.113.9:0"},
	/* Through two proxies of ours, and no farther. */
	{"127.0.0.1", XFF "1.1.1.1, 203.0.113.9, 10.1.2.3\r\n", "203.0.113.9:0"},
	{"127.0.0.1", XFF "203.0.113.9,10.1.2.3,::ffff:10.2.2.2,2001:db8:ffff::7\r\n",
	 "203.0.113.9:0"},
	/* All are ours. */
	{"127.0.0.1", XFF "10.0.0.1, 10.0.0.2\r\n", "10.0.0.1:0"},
	/* Several fields are one list. */
	{"127.0.0.1", XFF "1.1.1.1\r\nA: b\r\n" XFF "203.0.113.9\r\n", "203.0.113.9:0"},
	{"127.0.0.1", XFF "203.0.113.9\r\n" XFF "\r\n" XFF "10.1.1.1\r\n" XFF " , ,\r\n",
	 "203.0.113.9:0"},
	/* Empty items are none. */
	{"127.0.0.1", XFF "203.0.113.9,, ,\r\n", "203.0.113.9:0"},
	{"127.0.0.1", XFF "\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF ",\r\n", "127.0.0.1:99"},
	/* Forms of an address. */
	{"127.0.0.1", XFF "203.0.113.9:4711\r\n", "203.0.113.9:4711"},
	{"127.0.0.1", XFF "2001:db8::9\r\n", "[2001:db8::9]:0"},
	{"127.0.0.1", XFF "[2001:db8::9]\r\n", "[2001:db8::9]:0"},
	{"127.0.0.1", XFF "[2001:db8::9]:4711\r\n", "[2001:db8::9]:4711"},
	{"127.0.0.1", XFF "::ffff:203.0.113.9\r\n", "203.0.113.9:0"},
	{"127.0.0.1", XFF "203.0.113.9, [::ffff:10.1.1.1]:5\r\n", "203.0.113.9:0"},
	/* What is none ends the walk. */
	{"127.0.0.1", XFF "203.0.113.9, unknown\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, _hidden, 10.1.1.1\r\n", "10.1.1.1:0"},
	{"127.0.0.1", XFF "203.0.113.9, 10.1.1.1 10.1.1.2\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, 10.1.1\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, 010.1.1.1\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, [10.1.1.1]\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, [10.1.1.1]:80\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, 10.1.1.1:\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, 10.1.1.1:x\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, 10.1.1.1:65536\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, \"10.1.1.1\"\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, fe80::1%lo\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, []\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, [\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "203.0.113.9, localhost\r\n", "127.0.0.1:99"},
	{"127.0.0.1", XFF "10.1.1.1, 0123456789012345678901234567890123456789012345678901234567890"
	 "123456789\r\n", "127.0.0.1:99"},
	/* Other names. */
	{"127.0.0.1", "X-Forwarded-For2: 1.1.1.1\r\nX-X-Forwarded-For: 1.1.1.1\r\n"
	 "X_Forwarded_For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\n", "127.0.0.1:99"},
};
/* clang-format on */

static const char *origin(const struct nets *trusted, const char *ip, const char *fields)
{
	static char text[ADDR_TEXT];
	struct text in = {0};
	struct http_head h = {0};
	struct addr peer;

	assert_true(addr_numeric(ip, 99, &peer));
	text_fmt(&in, "GET /X-Forwarded-For:1.1.1.1 HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	/* What follows is of another request. */
	text_put(&in, XFF "9.9.9.9\r\n\r\n");
	assert_int_equal(http_request_scan(&h, in.p, in.len), HTTP_OK);
	struct addr from = origin_of(trusted, &peer, &h, in.p);

	text_free(&in);
	return addr_text(&from, text);
}

static void test_rows(void **state)
{
	struct err err;
	struct nets *trusted = nets_read(TRUSTED, &err);

	assert_non_null(trusted);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = origin(trusted, rows[i].peer, rows[i].fields);

		if (strcmp(got, rows[i].origin) != 0)
			fail_msg("%s, %s: %s", rows[i].peer, rows[i].fields, got);
		got = origin(NULL, rows[i].peer, rows[i].fields);
		assert_string_not_equal(got, "203.0.113.9:0");
	}
	nets_free(trusted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
