/* Ranges of addresses: what is one, and what is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/net/cidr.h"

static void test_good(void **state)
{
	static const struct {
		const char *range, *yes, *no;
	} good[] = {
		{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
		{"10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.8"},
		{"192.0.2.7/32", "::ffff:192.0.2.7", "192.0.2.6"},
		{"192.0.2.64/26", "192.0.2.127", "192.0.2.128"},
		{"0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
		{"::/0", "2001:db8::1", "203.0.113.9"},
		{"::/0", "::1", "::ffff:203.0.113.9"},
		{"2001:db8::/32", "2001:DB8:ffff::", "2001:db9::"},
		{"2001:db8::8000/113", "2001:db8::ffff", "2001:db8::7fff"},
		{"::1", "::1", "127.0.0.1"},
		{"::ffff:192.0.2.0/120", "192.0.2.255", "192.0.3.0"},
		{"::ffff:192.0.2.9", "192.0.2.9", "::192.0.2.9"},
		{"::ffff:0:0/96", "8.8.8.8", "::1"},
		{"fe80::/10", "fe80::1%1", "fec0::1"},
	};
	struct addr yes, no;
	struct cidr c;
	struct err err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(cidr_parse(good[i].range, &c, &err));
		assert_true(addr_numeric(good[i].yes, 80, &yes));
		assert_true(addr_numeric(good[i].no, 80, &no));
		if (!cidr_has(&c, &yes) || cidr_has(&c, &no))
			fail_msg("%s", good[i].range);
	}
	assert_false(cidr_has(&c, &(struct addr){.len = 0}));
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"/8",
		"10",
		"10.0.0",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/08",
		"10.0.0.0/8 ",
		" 10.0.0.0/8",
		"10.0.0.0/8/8",
		"10.0.0.0/255.0.0.0",
		"10.0.0.1/8",
		"10.0.0.0:80",
		"010.0.0.0/8",
		"0x0a000000/8",
		"10.*.*.*",
		"10.0.0.0-10.0.0.9",
		"example.com",
		"::/129",
		"2001:db8::1/32",
		"[::1]",
		"fe80::1%eth0",
		"::ffff:10.0.0.0/8",
		"::ffff:0:0/95",
		"::ffff:10.0.0.1/104",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
	};
	struct cidr c;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (cidr_parse(bad[i], &c, &err))
			fail_msg("%s", bad[i]);
		assert_true(*err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
