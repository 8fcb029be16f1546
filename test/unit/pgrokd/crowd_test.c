/* Connections of visitors: in all, by address, and limits that change meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pgrokd/core/crowd.h"

#define MANY 32

struct some {
	struct addr peer;
	struct seat seat[MANY];
	int in;
	enum shed why;
};

/* So many of n get in. */
static struct some come(struct crowd *c, const char *text, int n)
{
	struct some s = {0};

	assert_true(n <= MANY && addr_numeric(text, 1234, &s.peer));
	for (int i = 0; i < n; i++)
		s.in += crowd_enter(c, &s.peer, &s.seat[s.in], &s.why);
	return s;
}

static void go(struct crowd *c, struct some *s, int n)
{
	while (n--)
		crowd_leave(c, &s->seat[--s->in]);
}

static void test_all(void **state)
{
	struct crowd *c = crowd_new(true);
	struct some a = come(c, "192.0.2.1", 3), b;

	assert_int_equal(a.in, 3);
	crowd_set(c, 5, 0);
	b = come(c, "127.0.0.1", 9);
	assert_int_equal(b.in, 2);
	assert_int_equal(b.why, SHED_CONNECTIONS);
	go(c, &a, 1);
	assert_int_equal(come(c, "2001:db8::1", 9).in, 1);
	crowd_free(c);
}

static void test_by_address(void **state)
{
	struct crowd *c = crowd_new(true);
	struct some early = come(c, "192.0.2.1", 4), a, b;

	crowd_set(c, 0, 3);
	a = come(c, "192.0.2.1", 9); /* those before were not counted */
	assert_int_equal(a.in, 3);
	assert_int_equal(a.why, SHED_ADDRESS_CONNECTIONS);
	go(c, &early, 4);
	assert_int_equal(come(c, "192.0.2.1", 9).in, 0);
	go(c, &a, 2);
	b = come(c, "::ffff:192.0.2.1", 9);
	assert_int_equal(b.in, 2);
	assert_int_equal(come(c, "192.0.2.2", 9).in, 3);
	assert_int_equal(come(c, "2001:db8:1:2::1", 2).in, 2);
	assert_int_equal(come(c, "2001:db8:1:2:ffff::9", 9).in, 1);
	assert_int_equal(come(c, "127.0.0.1", 9).in, 9);
	/* Handed on, it is counted once. */
	struct seat moved = seat_take(&b.seat[0]);

	crowd_leave(c, &b.seat[0]);
	assert_int_equal(come(c, "192.0.2.1", 9).in, 0);
	crowd_leave(c, &moved);
	assert_int_equal(come(c, "192.0.2.1", 9).in, 1);
	crowd_free(c);
}

/* A proxy says whose its connection is. */
static void test_behind_a_proxy(void **state)
{
	struct crowd *c = crowd_new(true);
	struct nets *trusted;
	struct err err;
	struct some a, b;

	trusted = nets_read("192.0.2.9", &err);
	assert_non_null(trusted);
	crowd_trust(c, trusted);
	crowd_set(c, 0, 2);
	a = come(c, "192.0.2.9", 9);
	assert_int_equal(a.in, 9);
	b = come(c, "192.0.2.1", 1);
	assert_true(crowd_move(c, &b.peer, &a.seat[0], &a.why));
	assert_false(crowd_move(c, &b.peer, &a.seat[1], &a.why));
	assert_int_equal(a.why, SHED_ADDRESS_CONNECTIONS);
	assert_true(crowd_move(c, &a.peer, &a.seat[0], &a.why)); /* and back */
	assert_int_equal(come(c, "192.0.2.1", 9).in, 1);
	go(c, &a, 9);
	assert_true(crowd_move(c, &b.peer, &a.seat[0], &a.why)); /* counted nowhere */
	crowd_free(c);
	nets_free(trusted);
}

static void test_none(void **state)
{
	struct some a = come(NULL, "192.0.2.1", 9);

	assert_int_equal(a.in, 9);
	go(NULL, &a, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_by_address),
		cmocka_unit_test(test_behind_a_proxy),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
