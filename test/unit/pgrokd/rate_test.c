/* Events a second by address, against a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pgrokd/access/rate.h"

#define T0 1000000u /* some time */

static struct addr of(const char *text)
{
	struct addr a;

	assert_true(addr_numeric(text, 1234, &a));
	return a;
}

/* How many of n are let through. */
static int crowd(struct rate *r, const char *text, int n, uint64_t now)
{
	struct addr a = of(text);
	int in = 0;

	for (int i = 0; i < n; i++)
		in += rate_take(r, &a, now);
	return in;
}

static void test_burst_and_rate(void **state)
{
	struct rate *r = rate_new(true);

	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0), 1000); /* no limit yet */
	rate_set(r, 10);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0), 50);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0), 0);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0 + 99), 0);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0 + 100), 1);
	/* What is refused does not count; a steady stream gets its rate. */
	int in = 0;

	for (uint64_t ms = 1; ms <= 10000; ms++)
		in += crowd(r, "192.0.2.1", 3, T0 + 100 + ms);
	assert_int_equal(in, 100);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0 + 1000000), 50); /* rested */
	rate_set(r, 0);
	assert_int_equal(crowd(r, "192.0.2.1", 1000, T0 + 1000000), 1000);
	rate_free(r);
}

static void test_addresses(void **state)
{
	struct rate *r = rate_new(true);

	rate_set(r, 1);
	assert_int_equal(crowd(r, "192.0.2.1", 9, T0), 5);
	assert_int_equal(crowd(r, "192.0.2.2", 9, T0), 5);
	assert_int_equal(crowd(r, "::ffff:192.0.2.1", 9, T0), 0);
	assert_int_equal(crowd(r, "2001:db8:1:2::1", 3, T0), 3);
	assert_int_equal(crowd(r, "2001:db8:1:2:ffff::9", 9, T0), 2);
	assert_int_equal(crowd(r, "2001:db8:1:3::1", 9, T0), 5);
	assert_int_equal(crowd(r, "127.0.0.1", 99, T0), 99);
	assert_int_equal(crowd(r, "::1", 99, T0), 99);
	rate_free(r);
	r = rate_new(false);
	rate_set(r, 1);
	assert_int_equal(crowd(r, "127.0.0.1", 99, T0), 5);
	rate_free(r);
	assert_int_equal(crowd(NULL, "192.0.2.1", 9, T0), 9);
}

/* More addresses than the table has room for: nobody gets less than his due, few get more. */
static void test_full_table(void **state)
{
	struct rate *r = rate_new(true);
	int in = 0;

	rate_set(r, 1);
	for (int round = 0; round < 10; round++)
		for (unsigned i = 0; i < 20000; i++) {
			struct addr a = of("10.0.0.0");

			a.sa.in.sin_addr.s_addr += i << 8;
			bool ok = rate_take(r, &a, T0);

			assert_true(ok || round > 0);
			in += ok;
		}
	assert_true(in >= 5 * 8192);
	/* One of them that asks all the time stays bounded. */
	assert_int_equal(crowd(r, "192.0.2.1", 100, T0), 5);
	rate_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_full_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
