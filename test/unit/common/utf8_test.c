/* Unit tests of common/base/utf8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/utf8.h"

struct good {
	const char *text;
	uint32_t code;
};

/* One character each, the first and the last of every length and around the surrogates. */
static const struct good good[] = {
	{"a", 'a'},
	{"\x7f", 0x7f},
	{"\xc2\x80", 0x80},
	{"\xc3\xa9", 0xe9},
	{"\xdf\xbf", 0x7ff},
	{"\xe0\xa0\x80", 0x800},
	{"\xe2\x82\xac", 0x20ac},
	{"\xed\x9f\xbf", 0xd7ff},
	{"\xee\x80\x80", 0xe000},
	{"\xef\xbf\xbf", 0xffff},
	{"\xf0\x90\x80\x80", 0x10000},
	{"\xf4\x8f\xbf\xbf", 0x10ffff},
};

static const char *const bad[] = {
	"\x80",
	"\xbf",
	"\xc0\x80",
	"\xc1\xbf",
	"\xc2",
	"\xc2"
	"a",
	"\xe0\x9f\xbf",
	"\xe2\x82",
	"\xe2"
	"a\x80",
	"\xe2\x82"
	"a",
	"\xed\xa0\x80",
	"\xed\xbf\xbf",
	"\xf0\x8f\xbf\xbf",
	"\xf0\x90\x80",
	"\xf4\x90\x80\x80",
	"\xf5\x80\x80\x80",
	"\xfe",
	"\xff",
};

static void characters(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *text = good[i].text;
		size_t len = strlen(text);
		uint32_t code = 0;

		assert_int_equal(utf8_len(text, len), len);
		assert_int_equal(utf8_len(text, len - 1), 0);
		assert_int_equal(utf8_decode(text, len + 1, &code), len);
		assert_int_equal(code, good[i].code);
		assert_true(utf8_valid(text, len));
	}
}

static void texts(void **state)
{
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid("a\0b", 3));
	assert_true(utf8_valid("a\xc3\xa9z", 4));
	assert_false(utf8_valid("ok\xff", 3));
	assert_false(utf8_valid("\xc3\xa9\xc3", 3));
	assert_int_equal(utf8_len("\xc3\xa9z", 3), 2);
}

static void damage(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* An exact copy without a NUL: a sanitizer sees a read past its end. */
		size_t len = strlen(bad[i]);
		char *copy = malloc(len);
		uint32_t code = 77;

		memcpy(copy, bad[i], len);
		assert_int_equal(utf8_len(copy, len), 0);
		assert_int_equal(utf8_decode(copy, len, &code), 0);
		assert_int_equal(code, 77);
		assert_false(utf8_valid(copy, len));
		free(copy);
	}
}

/* Whole characters stay, at whatever byte they are cut; so does what never was one. */
static void mended(void **state)
{
	static const char whole[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
	static const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
	char text[32];

	for (size_t n = 0; n < sizeof(whole); n++) {
		snprintf(text, sizeof(text), "%.*s", (int)n, whole);
		utf8_mend(text);
		assert_int_equal(strlen(text), ends[n]);
		assert_memory_equal(text, whole, ends[n]);
		/* In the middle of a text as well. */
		snprintf(text, sizeof(text), "<%.*s>\xc3\xa9", (int)n, whole);
		utf8_mend(text);
		assert_int_equal(strlen(text), ends[n] + 4);
		assert_memory_equal(text + 1, whole, ends[n]);
		assert_string_equal(text + 1 + ends[n], ">\xc3\xa9");
	}
	strcpy(text, "\x80\xff\xe0\x80z");
	utf8_mend(text);
	assert_string_equal(text, "\x80\xff\xe0\x80z");
}

static void messages(void **state)
{
	char name[ERR_TEXT + 3] = "";
	struct err err;

	for (int i = 0; i < ERR_TEXT; i += 2)
		strcat(name, "\xc3\xa9");
	for (int at = 0; at < 2; at++) {
		assert_false(err_set(&err, "%s%s", at ? "x" : "", name));
		assert_true(utf8_valid(err.text, strlen(err.text)));
		assert_in_range(strlen(err.text), ERR_TEXT - 2, ERR_TEXT - 1);
	}
	assert_false(err_set(&err, "'%.3s' is none", name));
	assert_string_equal(err.text, "'\xc3\xa9' is none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters), cmocka_unit_test(texts),    cmocka_unit_test(damage),
		cmocka_unit_test(mended),     cmocka_unit_test(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
