/* The map of ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/loop.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/ports.h"

static void test_pick(void **state)
{
	struct ports *p = ports_new();

	/* Unasked, no port that services like to have. */
	assert_int_equal(ports_pick(p, 0, 0), LIMIT_PORT_RANDOM);
	assert_int_equal(ports_pick(p, 65535, 0), 65535);
	ports_set_busy(p, 65535, true);
	assert_int_equal(ports_pick(p, 65535, 0), LIMIT_PORT_RANDOM);
	ports_set_range(p, 100, 299);
	for (int i = 0; i < 200; i++) {
		uint16_t port = ports_pick(p, 250, 0);

		assert_int_equal(port, 100 + (150 + i) % 200);
		ports_set_busy(p, port, true);
	}
	assert_int_equal(ports_pick(p, 250, 0), 0);
	ports_set_busy(p, 127, false);
	assert_int_equal(ports_pick(p, 250, 0), 127);
	assert_int_equal(ports_pick(p, 100, 0), 127);
	assert_int_equal(ports_pick(p, 128, 0), 127);
	ports_set_range(p, 128, 128);
	assert_int_equal(ports_pick(p, 9, 0), 0);
	ports_set_busy(p, 128, false);
	assert_int_equal(ports_pick(p, 9, 0), 128);
	/* From end to end. */
	ports_set_range(p, 1, 65535);
	assert_int_equal(ports_pick(p, 1, 0), 1);
	assert_int_equal(ports_pick(p, 65535, 0), 1);
	ports_free(p);
}

/* What another program has is not tried again for a while. */
static void test_failed(void **state)
{
	struct ports *p = ports_new();
	uint64_t age = loop_scaled(LIMIT_PORT_FAILED_MS), now = 5 * age;

	ports_set_range(p, 7000, 7001);
	ports_failed(p, 7000, now);
	assert_int_equal(ports_pick(p, 7000, now), 7001);
	ports_failed(p, 7001, now + age / 2);
	assert_int_equal(ports_pick(p, 7000, now + age / 2), 0);
	assert_int_equal(ports_pick(p, 7000, now + age + age / 2 - 1), 0);
	assert_int_equal(ports_pick(p, 7001, now + 2 * age), 7001);
	assert_int_equal(ports_pick(p, 7000, now + 2 * age), 7000);
	ports_failed(p, 7000, now + 2 * age);
	assert_int_equal(ports_pick(p, 7000, now + 9 * age), 7000);
	ports_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pick),
		cmocka_unit_test(test_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
