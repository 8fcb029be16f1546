/* Unit tests of common/base/clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "common/base/clock.h"

static void test_monotonic(void **state)
{
	uint64_t before = clock_ns(), us = clock_us(), after = clock_ns();

	assert_true(before > 0);
	assert_in_range(us, before / 1000, after / 1000);
	assert_in_range(clock_coarse_ms(), before / 1000000 - 100, clock_ns() / 1000000);
	while (clock_ns() == after)
		;
	assert_true(clock_ns() > after);
}

static void test_wall(void **state)
{
	int64_t before = time(NULL) - 1, us = clock_wall_us(), after = time(NULL) + 1;

	assert_true(us >= before * 1000000 && us <= after * 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_monotonic),
		cmocka_unit_test(test_wall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
