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

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} rows[] = {
		{"1970-01-01T00:00:01Z", 1},
		{"1970-01-01", 86400},
		{"2027-01-31", 1801440000},
		{"2027-01-31T18:00:00Z", 1801418400},
		{"2027-01-31T18:00:00+01:30", 1801413000},
		{"2027-01-31T18:00:00-01:30", 1801423800},
		{"2028-02-29", 1835481600},
		{"2027-02-29", -1},
		{"2027-13-01", -1},
		{"2027-00-01", -1},
		{"2027-01-00", -1},
		{"2027-01-32", -1},
		{"2027-1-31", -1},
		{"2027-01-31 ", -1},
		{"2027-01-31T", -1},
		{"2027-01-31T18:00:00", -1},
		{"2027-01-31T18:00Z", -1},
		{"2027-01-31T24:00:00Z", -1},
		{"2027-01-31T18:60:00Z", -1},
		{"2027-01-31T18:00:60Z", -1},
		{"2027-01-31T18:00:00z", -1},
		{"2027-01-31T18:00:00+24:00", -1},
		{"2027-01-31T18:00:00+01", -1},
		{"2027-01-31T18:00:00+01:00x", -1},
		{"", -1},
	};
	char text[CLOCK_TEXT];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t s = -1;
		bool ok = clock_wall_parse(rows[i].text, &s);

		if (ok != (rows[i].want >= 0) || (ok && s != rows[i].want))
			fail_msg("%s gives %lld", rows[i].text, (long long)s);
	}
	assert_string_equal(clock_wall_text(1801418400, text), "2027-01-31T18:00:00Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_monotonic),
		cmocka_unit_test(test_wall),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
