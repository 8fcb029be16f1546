/* Bytes a second, against a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pgrokd/access/pace.h"

#define MS UINT64_C(1000000)
#define T0 (UINT64_C(5000) * MS)

/* One that always has more, and is looked at every step. Returns what it read. */
static uint64_t run(struct pace *p, uint64_t rate, uint64_t from, uint64_t to, uint64_t step)
{
	uint64_t sum = 0, until;
	size_t n;

	for (uint64_t now = from; now < to; now += step) {
		while ((n = pace_budget(p, rate, now, &until))) {
			assert_true(until <= now);
			n = n < 65536 ? n : 65536;
			pace_pay(p, rate, now, n);
			sum += n;
		}
		assert_true(until > now);
	}
	return sum;
}

static void assert_near(uint64_t sum, uint64_t want)
{
	assert_true(sum > want - want / 20);
	assert_true(sum < want + want / 20);
}

/* Within 5 % over 2 s, whatever the rate is, and however often it is looked at. */
static void test_exact(void **state)
{
	static const uint64_t rates[] = {PACE_LEAST * 8, 100000, 1 << 20, 10 << 20, 1 << 30};
	static const uint64_t steps[] = {MS / 100, MS, 7 * MS, 30 * MS};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct pace p = {0};

			assert_near(run(&p, rates[i], T0, T0 + 2000 * MS, steps[k]), 2 * rates[i]);
		}
}

/* Time in which nothing was read is not saved up. */
static void test_after_a_rest(void **state)
{
	struct pace p = {0};

	(void)run(&p, 1 << 20, T0, T0 + 1000 * MS, MS);
	assert_near(run(&p, 1 << 20, T0 + 60000 * MS, T0 + 62000 * MS, MS), 2 << 20);
}

/* Several share it; who has read stands behind the others. */
static void test_shared(void **state)
{
	struct pace p = {0};
	uint64_t sum[4] = {0}, until;
	int next = 0;

	for (uint64_t now = T0; now < T0 + 2000 * MS; now += MS) {
		size_t n = pace_budget(&p, 1 << 20, now, &until);

		if (!n)
			continue;
		pace_pay(&p, 1 << 20, now, n);
		sum[next] += n;
		next = (next + 1) % 4;
	}
	assert_near(sum[0] + sum[1] + sum[2] + sum[3], 2 << 20);
	for (int i = 0; i < 4; i++)
		assert_near(sum[i], 2 << 18);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t rate;
	} good[] = {
		{"2000", 2000},       {"500K", 512000},          {"10MB/s", 10 << 20},
		{"10M", 10 << 20},    {"80Mbit/s", 10000000},    {"1Gbit", 125000000},
		{"1G", 1 << 30},      {"16000bit/s", 2000},      {"4096B/s", 4096},
		{"1024", PACE_LEAST}, {"1024G", 1099511627776u},
	};
	static const char *const bad[] = {
		"",       "0",      "fast",  "1023", "-5M",     "10MBit/s", "10 MB/s",
		"10m",    "10MB/h", "10MBs", "1.5M", "8000bit", "1025G",    "99999999999999",
		"10Mb/s", "10MB/s "};
	uint64_t rate;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(pace_parse(good[i].text, &rate));
		assert_int_equal(rate, good[i].rate);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pace_parse(bad[i], &rate));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_after_a_rest),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
