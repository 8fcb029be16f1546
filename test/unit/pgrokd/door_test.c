/* Half-open connections are counted by address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pgrokd/front/door.h"
#include "pgrokd/limits.h"

static struct addr of(const char *text)
{
	struct addr a;

	assert_true(addr_numeric(text, 1234, &a));
	return a;
}

/* So many of n get in. */
static int crowd(struct door *d, const char *text, int n)
{
	struct addr a = of(text);
	int in = 0;

	for (int i = 0; i < n; i++)
		in += door_enter(d, &a);
	return in;
}

static void leave(struct door *d, const char *text, int n)
{
	struct addr a = of(text);

	while (n--)
		door_leave(d, &a);
}

static void test_cap(void **state)
{
	struct door *d = door_new(LIMIT_HALF_OPEN_PER_IP, true);

	assert_int_equal(LIMIT_HALF_OPEN_PER_IP, 256);
	assert_int_equal(crowd(d, "192.0.2.1", 300), 256);
	/* Others do not notice. */
	assert_int_equal(crowd(d, "192.0.2.2", 10), 10);
	leave(d, "192.0.2.1", 3);
	assert_int_equal(crowd(d, "192.0.2.1", 10), 3);
	leave(d, "192.0.2.1", 256);
	assert_int_equal(crowd(d, "192.0.2.1", 300), 256);
	door_free(d);
}

static void test_loopback(void **state)
{
	struct door *d = door_new(2, true);

	assert_int_equal(crowd(d, "127.0.0.1", 1000), 1000);
	assert_int_equal(crowd(d, "127.8.8.8", 1000), 1000);
	assert_int_equal(crowd(d, "::1", 1000), 1000);
	leave(d, "::1", 1000);
	door_free(d);
	/* Behind a proxy on this machine that counts by itself, or where users share it. */
	d = door_new(2, false);
	assert_int_equal(crowd(d, "127.0.0.1", 1000), 2);
	assert_int_equal(crowd(d, "127.8.8.8", 1000), 2);
	assert_int_equal(crowd(d, "::1", 1000), 2);
	leave(d, "::1", 1);
	assert_int_equal(crowd(d, "::1", 1000), 1);
	door_free(d);
}

/* An IPv6 household has 2^64 addresses; an IPv4 address written as IPv6 is the same visitor. */
static void test_households(void **state)
{
	struct door *d = door_new(4, true);

	assert_int_equal(crowd(d, "2001:db8:1:2::1", 3), 3);
	assert_int_equal(crowd(d, "2001:db8:1:2:ffff::9", 3), 1);
	assert_int_equal(crowd(d, "2001:db8:1:3::1", 3), 3);
	assert_int_equal(crowd(d, "192.0.2.1", 3), 3);
	assert_int_equal(crowd(d, "::ffff:192.0.2.1", 3), 1);
	assert_int_equal(crowd(d, "::ffff:192.0.2.2", 3), 3);
	door_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_households),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
