/* URLs of web services. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/web_url.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void test_good(void **state)
{
	static const struct {
		const char *text;
		bool tls;
		const char *host;
		int port;
		const char *authority, *path;
	} good[] = {
		{"http://a", false, "a", 80, "a", "/"},
		{"https://a.b/", true, "a.b", 443, "a.b", "/"},
		{"https://a:9091/x/y?z=/&q", true, "a", 9091, "a:9091", "/x/y?z=/&q"},
		{"http://a?b", false, "a", 80, "a", "/?b"},
		{"http://[::1]/", false, "::1", 80, "[::1]", "/"},
		{"http://[::1]:81/", false, "::1", 81, "[::1]:81", "/"},
		{"http://10.0.0.1:1", false, "10.0.0.1", 1, "10.0.0.1:1", "/"},
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct web_url u;

		assert_true(web_url_read(&u, good[i].text, &err));
		assert_int_equal(u.tls, good[i].tls);
		assert_string_equal(u.host, good[i].host);
		assert_int_equal(u.port, good[i].port);
		assert_string_equal(u.authority, good[i].authority);
		assert_string_equal(u.path, good[i].path);
		web_url_free(&u);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"a",
		"a:80",
		"ftp://a/",
		"http:/a",
		"http://",
		"http:///x",
		"http://:80/",
		"http://u@h/",
		"http://a b/",
		"http://a/ ",
		"http://a/\n",
		"http://a/#b",
		"http://a\r/",
		"http://a:/",
		"http://a:0",
		"http://a:b/",
		"http://a:1:2",
		"http://a:-1/",
		"http://a:65536/",
		"http://[]/",
		"http://[::1",
		"http://::1/",
		"http://[::1]x/",
		"http://a/\x80",
		"HTTP://a/",
		"http://a%20/",
		"http://[::1]]:80/",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct web_url u;
		struct err err = {""};

		if (web_url_read(&u, bad[i], &err))
			fail_msg("%s is taken", bad[i]);
		assert_true(*err.text);
		assert_null(u.host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
