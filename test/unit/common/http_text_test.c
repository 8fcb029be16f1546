/* Unit tests of common/http/text: the codings of texts in HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_reasons(void **state)
{
	assert_string_equal(http_reason(200), "OK");
	assert_string_equal(http_reason(421), "Misdirected Request");
	assert_string_equal(http_reason(504), "Gateway Timeout");
	assert_string_equal(http_reason(299), "Answer");
}

static void test_dates(void **state)
{
	static const char *const bad[] = {"",
					  "Sun, 06 Nov 1994 08:49:37 UTC",
					  "Sunday, 06-Nov-94 08:49:37 GMT",
					  "Sun Nov  6 08:49:37 1994",
					  "Sun, 06 Nuv 1994 08:49:37 GMT",
					  "Sun, 06 ovD 1994 08:49:37 GMT",
					  "Sun, 06 Nov 1994 08:49:3x GMT"};
	char buf[HTTP_DATE];
	time_t t;

	assert_string_equal(http_date(784111777, buf), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_true(http_date_parse(buf, strlen(buf), &t));
	assert_int_equal(t, 784111777);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(http_date_parse(bad[i], strlen(bad[i]), &t));
}

static void test_percent_decode(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"", ""},     {"/a+b", "/a+b"}, {"%41%7a%C3%a9", "Az\xc3\xa9"},
		{"%25", "%"}, {"%2f..", "/.."}, {"%", NULL},
		{"%4", NULL}, {"%4g", NULL},    {"%00", NULL},
		{"a%", NULL}, {"%%41", NULL},
	};
	char out[32];

	for (size_t i = 0; i < COUNT(rows); i++) {
		bool ok = percent_decode(rows[i].text, strlen(rows[i].text), out);

		assert_int_equal(ok, rows[i].want != NULL);
		if (ok)
			assert_string_equal(out, rows[i].want);
	}
}

/* As browsers send forms, and as users write passwords into URLs. */
static void test_percent_decode_loose(void **state)
{
	static const struct {
		const char *text, *form, *url;
	} rows[] = {
		{"", "", ""},         {"a+b", "a b", "a+b"},    {"%2B%20+", "+  ", "+ +"},
		{"%", "%", "%"},      {"%4", "%4", "%4"},       {"%4g%41", "%4gA", "%4gA"},
		{"%%41", "%A", "%A"}, {"100%", "100%", "100%"},
	};
	char out[32];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].text);

		assert_int_equal(percent_decode_loose(rows[i].text, len, true, out),
				 strlen(rows[i].form));
		assert_string_equal(out, rows[i].form);
		memcpy(out, rows[i].text, len); /* in place */
		percent_decode_loose(out, len, false, out);
		assert_string_equal(out, rows[i].url);
	}
	assert_int_equal(percent_decode_loose("a%00b", 5, false, out), 3);
	assert_memory_equal(out, "a\0b", 4);
}

static void test_escapes(void **state)
{
	static const char html[] = "<a href=\"x\">&'\n\x1b日";
	struct text t = {0};

	text_percent(&t, "a b/\xff<\"'\\:?#%\n日~-._Z9");
	text_put(&t, "|");
	text_html(&t, html, strlen(html));
	text_html(&t, html, 0);
	assert_string_equal(t.p, "a%20b/%FF%3C%22%27%5C%3A%3F%23%25%0A%E6%97%A5~-._Z9|"
				 "&#60;a href=&#34;x&#34;&#62;&#38;&#39;??日");
	text_free(&t);
}

static void test_base64(void **state)
{
	static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
					   "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	for (size_t len = 0; len < COUNT(want); len++) {
		for (size_t cut = 0; cut <= len; cut++) {
			struct text t = {0};
			struct text_base64 b = {0};

			text_put(&t, "");
			text_base64_add(&t, &b, "foobar", cut);
			text_base64_add(&t, &b, "foobar" + cut, len - cut);
			text_base64_end(&t, &b);
			assert_string_equal(t.p, want[len]);
			text_free(&t);
		}
	}
}

static void test_base64_back(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: not base64 */
	} table[] = {
		{"", ""},         {"Zg==", "f"},          {"Zg", "f"},
		{"Zm8=", "fo"},   {"Zm9vYmFy", "foobar"}, {"-_", NULL}, /* of the other alphabet */
		{"Zm9v\n", NULL}, {"Zm9vY", NULL},        {"\xc3\xa9", NULL},
		{" Zg==", NULL},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct text t = {0};

		assert_int_equal(text_base64_decode(&t, table[i].in), table[i].want != NULL);
		if (table[i].want)
			assert_string_equal(t.p ? t.p : "", table[i].want);
		text_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),        cmocka_unit_test(test_dates),
		cmocka_unit_test(test_percent_decode), cmocka_unit_test(test_percent_decode_loose),
		cmocka_unit_test(test_escapes),        cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
