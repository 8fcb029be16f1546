/* Lists of networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/net/nets.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static bool in(const struct nets *n, const char *ip)
{
	struct addr a;

	assert_true(addr_numeric(ip, 80, &a));
	return nets_have(n, &a);
}

static void test_good(void **state)
{
	static const struct {
		const char *list, *yes, *no;
	} good[] = {
		{"10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
		{"10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.6"},
		{"192.0.2.6/31", "192.0.2.7", "192.0.2.5"},
		{"192.0.2.128/25", "192.0.2.129", "192.0.2.127"},
		{"0.0.0.0/0", "255.255.255.255", "::1"},
		{"::/0", "2001:db8::1", "10.0.0.1"},
		{"::1", "::1", "::2"},
		{"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
		{"2001:DB8:0:8000::/49", "2001:db8:0:ffff::1", "2001:db8:0:7fff::1"},
		{"::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
		{"::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"},
		{" 1.2.3.4 , ,5.6.7.8\t9.9.9.9", "9.9.9.9", "1.2.3.5"},
		{"1.2.3.4,::1", "1.2.3.4", "4.3.2.1"},
	};
	struct err err;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct nets *n = nets_read(good[i].list, &err);

		assert_non_null(n);
		assert_true(in(n, good[i].yes));
		assert_false(in(n, good[i].no));
		nets_free(n);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *list, *says;
	} bad[] = {
		{"10.0.0.0/8, office", "'office' is not"},
		{"10.0.0.0/8 10.0.0.1:80", "'10.0.0.1:80' is not"},
		{"[::1]", "'[::1]' is not"},
		{"10.0.0.0/33,::1", "'10.0.0.0/33': "},
		{"10.0.0.1/8", "'10.0.0.1/8' is an address, not a range"},
		{"::/0;10.0.0.1", "'::/0;10.0.0.1': "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = {""};

		assert_null(nets_read(bad[i].list, &err));
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].list, err.text);
	}
}

static void test_none(void **state)
{
	struct addr nobody = {.len = 0};
	struct err err;
	struct nets *n = nets_read(" , ", &err);

	assert_non_null(n);
	assert_false(in(n, "127.0.0.1"));
	assert_false(in(NULL, "127.0.0.1"));
	nets_free(n);
	n = nets_read("0.0.0.0/0,::/0", &err);
	assert_non_null(n);
	assert_false(nets_have(n, &nobody));
	nets_free(n);
	nets_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
