/* Unit tests of common/base/text: the growing buffer and what is written into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A copy of its exact size, so that a sanitizer sees a read past the end. */
static char *exact(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static void test_grows(void **state)
{
	struct text t = {0};
	char want[20001];

	for (int i = 0; i < 10000; i++) {
		text_fmt(&t, "%d%c", i % 10, i % 26 + 'a');
		want[2 * i] = (char)(i % 10 + '0');
		want[2 * i + 1] = (char)(i % 26 + 'a');
	}
	want[20000] = '\0';
	assert_int_equal(t.len, 20000);
	assert_string_equal(t.p, want);
	text_fmt(&t, "%s", want); /* longer than what was ever doubled to */
	assert_int_equal(t.len, 40000);
	assert_string_equal(t.p + 20000, want);
	text_free(&t);
	assert_null(t.p);
	text_fmt(&t, "%s", ""); /* nothing into nothing */
	assert_int_equal(t.len, 0);
	text_put(&t, "");
	assert_string_equal(t.p, "");
	text_free(&t);
}

/* The length is the last one that fits, and the first one that does not. */
static void test_fmt_at_the_edge(void **state)
{
	for (size_t first = 0; first < 600; first++) {
		struct text t = {0};

		text_fmt(&t, "%*s", (int)first, "");
		text_fmt(&t, "%s", "edge");
		assert_int_equal(t.len, first + 4);
		assert_string_equal(t.p + first, "edge");
		text_free(&t);
	}
}

/*
 * Like a socket: written behind, taken from the front, nothing lost, in a block that stays small.
 */
static void test_queue(void **state)
{
	struct text t = {0};
	unsigned in = 0, out = 0;

	for (int turn = 0; turn < 5000; turn++) {
		for (int i = 0; i < turn % 7 + 1; i++) {
			char c = (char)in++;

			text_add(&t, &c, 1);
		}
		for (int i = 0; i < turn % 8 && t.len; i++) {
			assert_int_equal((unsigned char)*t.p, (unsigned char)out++);
			text_drop(&t, 1);
		}
	}
	assert_int_equal(t.len, in - out);
	assert_true(t.cap <= 2 * t.len + 512);
	text_drop(&t, t.len);
	assert_null(t.p);
	assert_int_equal(t.cap, 0);
}

static void test_room(void **state)
{
	struct text t = {0};

	memset(text_room(&t, 1000), 'x', 1000);
	t.len += 1000;
	text_drop(&t, 999);
	memcpy(text_room(&t, 2000), "yz", 3);
	t.len += 2;
	assert_string_equal(t.p, "xyz");
	text_free(&t);
	/* An empty one with a block gives it back. */
	*text_room(&t, 10) = 'a';
	text_drop(&t, 0);
	assert_null(t.p);
}

/* Wiping what is left behind loses nothing. */
static void test_secret(void **state)
{
	struct text t = {.secret = true};

	for (int i = 0; i < 1000; i++)
		text_put(&t, "0123456789");
	text_drop(&t, 5005);
	for (int i = 0; i < 1000; i++)
		text_put(&t, "0123456789");
	assert_int_equal(t.len, 14995);
	for (size_t i = 0; i < t.len; i++)
		assert_int_equal(t.p[i], (int)((i + 5) % 10) + '0');
	text_free(&t);
	assert_true(t.secret);
	text_put(&t, "again");
	assert_string_equal(t.p, "again");
	text_free(&t);
}

static void test_json_text(void **state)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{"", "\"\""},
		{"plain", "\"plain\""},
		{"a\"b\\c\n\r\t", "\"a\\\"b\\\\c\\n\\r\\t\""},
		{"\x01\x7f", "\"\\u0001\x7f\""},
		{"</script>&", "\"\\u003c/script\\u003e\\u0026\""},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		 "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
		{"\xe2\x80\xa8\xe2\x80\xa9", "\"\\u2028\\u2029\""}, /* end lines in JavaScript */
		{"\xff\xc3", "\"\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* half of a pair */
		{"\xc0\xaf", "\"\\ufffd\\ufffd\""},            /* too long for what it is */
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		size_t len = strlen(table[i].in);
		char *in = exact(table[i].in, len);
		struct text t = {0};

		text_json(&t, in, len);
		assert_string_equal(t.p, table[i].want);
		text_free(&t);
		free(in);
	}
}

static void test_time(void **state)
{
	struct text t = {0};

	text_time(&t, INT64_C(1795311039000042));
	assert_string_equal(t.p, "\"2026-11-22T01:30:39.000042Z\"");
	text_free(&t);
}

static void test_members(void **state)
{
	struct text t = {0};

	text_put(&t, "{");
	text_key(&t, "a");
	text_put(&t, "1");
	text_key(&t, "b");
	text_put(&t, "[");
	text_comma(&t);
	text_json_str(&t, NULL);
	text_comma(&t);
	text_json_str(&t, "x");
	text_put(&t, "]}");
	assert_string_equal(t.p, "{\"a\":1,\"b\":[null,\"x\"]}");
	text_free(&t);
}

static void test_hex(void **state)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	char out[9] = "";

	for (int c = -128; c < 128; c++) {
		const char *at = c ? strchr(digits, c) : NULL;
		long want = at ? at - digits : -1;

		assert_int_equal(hex_digit((char)c), want > 15 ? want - 6 : want);
	}
	hex_text(out, "\x00\x7f\xff\xa5", 4);
	assert_string_equal(out, "007fffa5");
	memcpy(out + 4, "\x01\x23\x45\x67", 4);
	hex_text(out, out + 4, 4);
	assert_string_equal(out, "01234567");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),  cmocka_unit_test(test_fmt_at_the_edge),
		cmocka_unit_test(test_queue),  cmocka_unit_test(test_room),
		cmocka_unit_test(test_secret), cmocka_unit_test(test_json_text),
		cmocka_unit_test(test_time),   cmocka_unit_test(test_members),
		cmocka_unit_test(test_hex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
