/* Wrong passwords are counted by address and tunnel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "pgrokd/access/guesses.h"
#include "pgrokd/limits.h"

#define START 1000000

static struct addr of(const char *text)
{
	struct addr a;

	assert_true(addr_numeric(text, 1234, &a));
	return a;
}

/* The answer to a password from there, at `ms` after the start. */
static int ask(struct guesses *g, const char *from, uint64_t tunnel, uint64_t ms, bool right)
{
	struct addr a = of(from);

	return guesses_judge(g, &a, tunnel, START + ms, right ? 0 : 401);
}

static void test_ten_a_minute(void **state)
{
	struct guesses *g = guesses_new(LIMIT_GUESSES, LIMIT_GUESS_MS, true);

	assert_int_equal(LIMIT_GUESSES, 10);
	assert_int_equal(LIMIT_GUESS_MS, 60000);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(ask(g, "192.0.2.1", 1, i, true), 0);
		assert_int_equal(ask(g, "192.0.2.1", 1, i, false), 401);
	}
	/* A right one does not show any more. */
	assert_int_equal(ask(g, "192.0.2.1", 1, 20, false), 429);
	assert_int_equal(ask(g, "192.0.2.1", 1, 20, true), 429);
	/* Others, and other tunnels, do not notice. */
	assert_int_equal(ask(g, "192.0.2.2", 1, 20, true), 0);
	assert_int_equal(ask(g, "192.0.2.2", 1, 20, false), 401);
	assert_int_equal(ask(g, "192.0.2.1", 2, 20, true), 0);
	assert_int_equal(ask(g, "192.0.2.1", 2, 20, false), 401);
	assert_int_equal(ask(g, "192.0.2.1", 1, 59999, true), 429);
	/* A minute after the first; asking meanwhile does not prolong it. */
	assert_int_equal(ask(g, "192.0.2.1", 1, 60000, true), 0);
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(ask(g, "192.0.2.1", 1, 60000, false), 401);
	assert_int_equal(ask(g, "192.0.2.1", 1, 60000, false), 429);
	guesses_free(g);
	guesses_free(NULL);
}

static void test_households(void **state)
{
	struct guesses *g = guesses_new(2, 1000, true);

	assert_int_equal(ask(g, "2001:db8:1:2::1", 1, 0, false), 401);
	assert_int_equal(ask(g, "2001:db8:1:2:ffff::9", 1, 0, false), 401);
	assert_int_equal(ask(g, "2001:db8:1:2::7", 1, 0, false), 429);
	assert_int_equal(ask(g, "2001:db8:1:3::7", 1, 0, false), 401);
	guesses_free(g);
}

static void test_loopback(void **state)
{
	struct guesses *g = guesses_new(2, 1000, true);

	for (int i = 0; i < 5; i++)
		assert_int_equal(ask(g, "127.0.0.1", 1, 0, false), 401);
	guesses_free(g);
	g = guesses_new(2, 1000, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(g, "127.0.0.1", 1, 0, false), 401);
	assert_int_equal(ask(g, "127.0.0.1", 1, 0, false), 429);
	assert_int_equal(ask(g, "::1", 1, 0, false), 401);
	guesses_free(g);
}

/* However many guess, it takes no more memory, and a minute later it is as before. */
static void test_many(void **state)
{
	struct guesses *g = guesses_new(2, 1000, true);
	char from[32];
	int held = 0;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20000; i++) {
			snprintf(from, sizeof(from), "10.%d.%d.1", i / 200, i % 200);
			held += ask(g, from, 1, 0, false) == 429;
		}
	}
	assert_in_range(held, 5000, 20000);
	assert_int_equal(ask(g, "10.0.0.1", 1, 1000, true), 0);
	guesses_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_a_minute),
		cmocka_unit_test(test_households),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
