/* Unit tests of common/randid. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/base/randid.h"

static void hex_has_its_form(void **state)
{
	char out[40], again[40];

	memset(out, '#', sizeof(out));
	rand_hex(out, 16);
	assert_int_equal(strlen(out), 32);
	assert_int_equal(strspn(out, "0123456789abcdef"), 32);
	assert_int_equal(out[33], '#');
	rand_hex(again, 16);
	assert_string_not_equal(out, again);
	rand_hex(out, 8);
	assert_int_equal(strlen(out), 16);
	rand_hex(out, 0);
	assert_string_equal(out, "");
}

/* Every hex digit turns up at every place: the in-place expansion mixes nothing up. */
static void hex_uses_all_digits(void **state)
{
	bool seen[32][128] = {{false}}, differ = false;
	char out[33];

	for (int i = 0; i < 1000; i++) {
		rand_hex(out, 16);
		differ = differ || out[0] != out[1];
		for (int at = 0; at < 32; at++)
			seen[at][(unsigned char)out[at]] = true;
	}
	for (int at = 0; at < 32; at++) {
		for (const char *d = "0123456789abcdef"; *d; d++)
			assert_true(seen[at][(unsigned char)*d]);
	}
	assert_true(differ); /* the two halves of a byte are two digits */
}

static void bytes_fill_all(void **state)
{
	unsigned char big[3000], or [3000] = {0};

	for (int i = 0; i < 16; i++) {
		memset(big, 0, sizeof(big));
		rand_bytes(big, sizeof(big) - 1);
		assert_int_equal(big[sizeof(big) - 1], 0);
		for (size_t k = 0; k < sizeof(big); k++)
			or [k] |= big[k];
	}
	for (size_t k = 0; k + 1 < sizeof(big); k++)
		assert_int_not_equal(or [k], 0);
}

static void below_stays_below(void **state)
{
	static const uint32_t bounds[] = {1, 2, 3, 10, 256, 0x80000001U, UINT32_MAX};
	int hits[3] = {0}, low = 0;

	for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
		for (int i = 0; i < 200; i++)
			assert_true(rand_below(bounds[b]) < bounds[b]);
	}
	for (int i = 0; i < 3000; i++)
		hits[rand_below(3)]++;
	/* 1000 each is expected; 800 is eight standard deviations away. */
	for (int i = 0; i < 3; i++)
		assert_true(hits[i] > 800);
	/* The lowest third of 3 * 2^30: a plain remainder would make it 1500. */
	for (int i = 0; i < 3000; i++)
		low += rand_below(0xC0000000U) < 0x40000000U;
	assert_in_range(low, 800, 1200);
}

static void secrets_compare(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{"", "", true},         {"a", "a", true},      {"s3cret", "s3cret", true},
		{"a", "", false},       {"", "a", false},      {"s3cret", "s3creT", false},
		{"abc", "abcd", false}, {"xbc", "abc", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(secret_equal(rows[i].a, rows[i].b), rows[i].equal);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_has_its_form), cmocka_unit_test(hex_uses_all_digits),
		cmocka_unit_test(bytes_fill_all),   cmocka_unit_test(below_stays_below),
		cmocka_unit_test(secrets_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
