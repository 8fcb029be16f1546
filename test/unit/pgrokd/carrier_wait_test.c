/* How many visitors may wait, and how many connections their client is asked for. */
#include "test/unit/pgrokd/carrier_rig.h"

static void test_waiting_is_bounded(void **state)
{
	struct rig *r = *state;
	struct visit *v = xcalloc(LIMIT_WAITING + 1, sizeof(*v));

	for (int i = 0; i < LIMIT_WAITING; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
	assert_int_equal(visit(r, &v[LIMIT_WAITING]), CARRIER_FULL);
	carrier_cancel(r->c, &v[0].w);
	assert_int_equal(visit(r, &v[LIMIT_WAITING]), CARRIER_WAITS);
	for (int i = 1; i <= LIMIT_WAITING; i++)
		carrier_cancel(r->c, &v[i].w);
	free(v);
}

/* A client that takes none may have fewer of them waiting, until it does. */
static void test_waiting_long_is_bounded(void **state)
{
	struct rig *r = *state;
	struct visit *v = xcalloc(LIMIT_WAITING_LONG + 2, sizeof(*v));

	for (int i = 0; i < LIMIT_WAITING_LONG; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
	turns_for(r->loop, (int)loop_scaled(LIMIT_ASKED_MS) + 10);
	assert_int_equal(visit(r, &v[LIMIT_WAITING_LONG]), CARRIER_FULL);
	carrier_cancel(r->c, &v[0].w);
	assert_int_equal(visit(r, &v[LIMIT_WAITING_LONG]), CARRIER_WAITS);
	for (int i = 1; i < LIMIT_WAITING_LONG; i++)
		carrier_cancel(r->c, &v[i].w);
	/* The one that is left has come just now. */
	assert_int_equal(visit(r, &v[LIMIT_WAITING_LONG + 1]), CARRIER_WAITS);
	carrier_cancel(r->c, &v[LIMIT_WAITING_LONG].w);
	carrier_cancel(r->c, &v[LIMIT_WAITING_LONG + 1].w);
	free(v);
}

/*
 * Connections come as half-open ones, of which an address may have only so many: further ones are
 * asked for as they come, and once more if they do not.
 */
static void test_asked_at_once_is_bounded(void **state)
{
	struct rig *r = *state;
	struct visit *v = xcalloc(LIMIT_ASKED + 2, sizeof(*v));

	for (int i = 0; i < LIMIT_ASKED + 2; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
	assert_int_equal(r->asked, LIMIT_ASKED);
	struct fake *end = add(r, CARRIER_POOLED);

	assert_int_equal(r->asked, LIMIT_ASKED + 1);
	turns_for(r->loop, 2 * (int)loop_scaled(LIMIT_ASKED_MS) + 10);
	int asked = r->asked;

	assert_true(asked >= 2 * LIMIT_ASKED);
	for (int i = 1; i < LIMIT_ASKED + 2; i++)
		carrier_cancel(r->c, &v[i].w);
	turns_for(r->loop, 2 * (int)loop_scaled(LIMIT_ASKED_MS) + 10);
	assert_int_equal(r->asked, asked);
	leave(&v[0]);
	hang_up(end);
	free(v);
}

/* A connection that was asked for is counted on for LIMIT_ASKED_MS. */
static void test_asked_ages_out(void **state)
{
	struct rig *r = *state;

	carrier_warm(r->c);
	carrier_warm(r->c);
	assert_int_equal(r->asked, 1);
	turns_for(r->loop, (int)loop_scaled(LIMIT_ASKED_MS) + 10);
	carrier_warm(r->c);
	assert_int_equal(r->asked, 2);
}

static void test_warm_enough(void **state)
{
	struct rig *r = *state;
	struct fake *end = add(r, CARRIER_POOLED);

	carrier_warm(r->c); /* one is idle */
	assert_int_equal(r->asked, 0);
	hang_up(end);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);
	const struct CMUnitTest tests[] = {
		TEST(test_waiting_is_bounded),
		TEST(test_waiting_long_is_bounded),
		TEST(test_asked_at_once_is_bounded),
		TEST(test_asked_ages_out),
		TEST(test_warm_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
