/* Which connection of its client a visitor gets, of each kind. */
#include "test/unit/pgrokd/carrier_rig.h"

/* ---- pooled ---- */

static void test_pooled_oldest_first(void **state)
{
	struct rig *r = *state;
	struct fake *a = add(r, CARRIER_POOLED), *b = add(r, CARRIER_POOLED);
	struct visit v;

	assert_int_equal(visit_url(r, &v, "http://a", false), CARRIER_OK);
	assert_string_equal(heard(a), "http://a 192.0.2.7:1234");
	assert_string_equal(heard(b), "");
	leave(&v);
	assert_int_equal(visit_url(r, &v, "http://b", true), CARRIER_OK);
	assert_string_equal(heard(b), "http://b 192.0.2.7:1234");
	leave(&v);
	hang_up(a);
	hang_up(b);
}

/* As the Go server: one is taken, one is asked for, unless one is idle or on its way. */
static void test_one_taken_one_asked_for(void **state)
{
	struct rig *r = *state;
	struct fake *a = add(r, CARRIER_POOLED), *b = add(r, CARRIER_POOLED);
	struct visit v, w;

	assert_int_equal(visit(r, &v), CARRIER_OK);
	assert_int_equal(r->asked, 0);
	assert_int_equal(visit(r, &w), CARRIER_OK);
	assert_int_equal(r->asked, 1);
	leave(&v);
	leave(&w);
	hang_up(a);
	hang_up(b);
}

static void test_waiting_in_order(void **state)
{
	struct rig *r = *state;
	struct visit v[3];
	struct fake *end[3];

	for (int i = 0; i < 3; i++) {
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
		assert_int_equal(r->asked, i + 1);
	}
	n_served = 0;
	for (int i = 0; i < 3; i++) {
		end[i] = add(r, CARRIER_POOLED);
		assert_int_equal(n_served, i + 1);
		assert_int_equal(v[i].nth, i + 1);
	}
	assert_true(r->asked > 3); /* and for the next visitors */
	for (int i = 0; i < 3; i++) {
		leave(&v[i]);
		hang_up(end[i]);
	}
}

static void test_cancelled_is_passed_over(void **state)
{
	struct rig *r = *state;
	struct visit v, w;

	assert_int_equal(visit(r, &v), CARRIER_WAITS);
	assert_int_equal(visit(r, &w), CARRIER_WAITS);
	carrier_cancel(r->c, &v.w);
	struct fake *end = add(r, CARRIER_POOLED);

	assert_null(v.s);
	assert_non_null(w.s);
	leave(&w);
	hang_up(end);
}

/* An idle connection that ends, breaks, or has something to say is given to no visitor. */
static void test_idle_and_gone(void **state)
{
	struct rig *r = *state;
	struct fake *ended = add(r, CARRIER_POOLED), *broken = add(r, CARRIER_POOLED);
	struct fake *spoke = add(r, CARRIER_POOLED);
	struct visit v;
	size_t n;

	turns(r->loop, 2);
	assert_int_equal(r->open, 6);
	hang_up(ended);
	fake_kill(broken);
	assert_int_equal(stream_write(&spoke->s, "x", 1, &n), STREAM_OK);
	turns(r->loop, 3);
	hang_up(broken);
	hang_up(spoke);
	assert_int_equal(r->open, 0);
	assert_int_equal(visit(r, &v), CARRIER_WAITS);
	carrier_cancel(r->c, &v.w);
}

/* One that died unnoticed: the visitor gets the next. */
static void test_dead_then_next(void **state)
{
	struct rig *r = *state;

	add_dead(r, CARRIER_POOLED);
	add_dead(r, CARRIER_POOLED);
	struct fake *good = add(r, CARRIER_POOLED);
	struct visit v;

	assert_int_equal(visit(r, &v), CARRIER_OK);
	assert_int_equal(r->open, 2);
	assert_string_equal(heard(good), "tcp://x:1 192.0.2.7:1234");
	leave(&v);
	hang_up(good);
}

/* One that comes dead for a visitor that waits: another is asked for, and the visitor waits on. */
static void test_dead_for_a_waiting_visitor(void **state)
{
	struct rig *r = *state;
	struct visit v;

	assert_int_equal(visit(r, &v), CARRIER_WAITS);
	assert_int_equal(r->asked, 1);
	add_dead(r, CARRIER_POOLED);
	assert_int_equal(r->asked, 2);
	assert_null(v.s);
	assert_int_equal(r->open, 0);
	struct fake *end = add(r, CARRIER_POOLED);

	assert_non_null(v.s);
	leave(&v);
	hang_up(end);
}

static void test_idle_pooled_are_bounded(void **state)
{
	struct rig *r = *state;
	struct fake *end[LIMIT_POOL];
	struct visit v[LIMIT_POOL + 1];

	for (int i = 0; i < LIMIT_POOL; i++) {
		end[i] = add(r, CARRIER_POOLED);
		assert_non_null(end[i]);
	}
	assert_false(carrier_wants(r->c, CARRIER_POOLED));
	for (int i = 0; i < LIMIT_POOL; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_OK);
	assert_int_equal(visit(r, &v[LIMIT_POOL]), CARRIER_WAITS);
	assert_true(carrier_wants(r->c, CARRIER_POOLED));
	carrier_cancel(r->c, &v[LIMIT_POOL].w);
	for (int i = 0; i < LIMIT_POOL; i++) {
		leave(&v[i]);
		hang_up(end[i]);
	}
}

/* As many as can be are added; returns how many. */
static int fill(struct rig *r, struct fake *end[static LIMIT_POOL_MAX + 1])
{
	int n = 0;

	while (n <= LIMIT_POOL_MAX && (end[n] = add(r, CARRIER_POOLED)))
		n++;
	return n;
}

/* A crowd that had to wait is remembered; when it is gone, half of what is too much goes. */
static void test_rest_gives_up_what_is_not_needed(void **state)
{
	struct rig *r = *state;
	struct visit v[20];
	struct fake *end[20], *idle[LIMIT_POOL_MAX + 1];

	for (int i = 0; i < 20; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
	for (int i = 0; i < 20; i++)
		end[i] = add(r, CARRIER_POOLED);
	for (int i = 0; i < 20; i++) {
		leave(&v[i]);
		hang_up(end[i]);
	}
	assert_int_equal(fill(r, idle), 20); /* as many as waited at once */
	carrier_rest(r->c);
	assert_int_equal(r->open, 40);
	carrier_rest(r->c); /* half of the crowd is expected again: of 10 too many 5 go */
	assert_int_equal(r->open, 35);
	for (int i = 0; i < 10; i++)
		carrier_rest(r->c);
	assert_int_equal(r->open, 21);
	for (int i = 0; i < 20; i++)
		hang_up(idle[i]);
}

/* What was idle all the time is not needed, not what is idle again. */
static void test_rest_keeps_what_was_used(void **state)
{
	struct rig *r = *state;
	struct visit v[LIMIT_POOL];
	struct fake *end[LIMIT_POOL], *idle[LIMIT_POOL_MAX + 1];

	assert_int_equal(fill(r, idle), LIMIT_POOL);
	memcpy(end, idle, sizeof(end));
	carrier_rest(r->c);
	for (int i = 0; i < LIMIT_POOL - 1; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_OK);
	assert_int_equal(fill(r, idle), LIMIT_POOL - 1);
	for (int i = 0; i < LIMIT_POOL - 1; i++)
		leave(&v[i]);
	carrier_rest(r->c);
	assert_int_equal(r->open, 2 * LIMIT_POOL + LIMIT_POOL - 1);
	for (int i = 0; i < LIMIT_POOL; i++)
		hang_up(end[i]);
	for (int i = 0; i < LIMIT_POOL - 1; i++)
		hang_up(idle[i]);
}

/*
 * Connections that take their time to come: as many are asked for as visitors will use up
 * meanwhile, LIMIT_POOL_MAX at most.
 */
static void test_sized_by_demand(void **state)
{
	enum { N = LIMIT_POOL_MAX + 16 };
	struct rig *r = *state;
	struct visit v[N];

	for (int i = 0; i < N; i++)
		assert_int_equal(visit(r, &v[i]), CARRIER_WAITS);
	for (int i = 0; i < 10; i++)
		carrier_rest(r->c); /* that they waited at once is forgotten */
	turns_for(r->loop, 500);
	for (int i = 0; i < N; i++) {
		hang_up(add(r, CARRIER_POOLED));
		leave(&v[i]);
	}
	assert_int_equal(r->asked - N, LIMIT_POOL_MAX);
}

/* ---- reused ---- */

static void test_reused_again_and_again(void **state)
{
	struct rig *r = *state;
	int streams = 0;
	struct mux *m = add_mux(r, CARRIER_REUSED, &streams);
	struct visit v, w;

	for (int i = 1; i <= 5; i++) {
		assert_int_equal(visit_sharing(r, &v), CARRIER_OK);
		assert_int_equal(visit(r, &w), CARRIER_WAITS); /* it is in use */
		carrier_cancel(r->c, &w.w);
		turns(r->loop, 4);
		assert_int_equal(streams, i);
		leave(&v);
		turns(r->loop, 6);
	}
	assert_int_equal(r->open, 2);
	mux_close(m, false);
}

/* The one used last is taken first. */
static void test_reused_warm_one_first(void **state)
{
	struct rig *r = *state;
	int a = 0, b = 0;
	struct mux *m = add_mux(r, CARRIER_REUSED, &a), *n = add_mux(r, CARRIER_REUSED, &b);
	struct visit v, w;

	assert_int_equal(visit(r, &v), CARRIER_OK);
	assert_int_equal(visit(r, &w), CARRIER_OK);
	turns(r->loop, 4);
	leave(&v);
	turns(r->loop, 6);
	leave(&w);
	turns(r->loop, 6);
	assert_int_equal(a, 1);
	assert_int_equal(b, 1);
	assert_int_equal(visit(r, &v), CARRIER_OK);
	turns(r->loop, 4);
	assert_int_equal(b, 2);
	leave(&v);
	turns(r->loop, 6);
	mux_close(m, false);
	mux_close(n, false);
}

static void test_reused_for_the_one_that_waits(void **state)
{
	struct rig *r = *state;
	int streams = 0;
	struct mux *m = add_mux(r, CARRIER_REUSED, &streams);
	struct visit v, w;

	assert_int_equal(visit(r, &v), CARRIER_OK);
	assert_int_equal(visit(r, &w), CARRIER_WAITS);
	turns(r->loop, 4);
	leave(&v);
	turns(r->loop, 6);
	assert_non_null(w.s);
	assert_int_equal(streams, 2);
	leave(&w);
	turns(r->loop, 6);
	mux_close(m, false);
}

static void test_reused_idle_are_bounded(void **state)
{
	enum { N = LIMIT_POOL_MAX + 6 };
	struct rig *r = *state;
	struct visit v[N];
	struct mux *m[N];
	int streams = 0;

	for (int i = 0; i < N; i++) {
		m[i] = add_mux(r, CARRIER_REUSED, &streams);
		assert_non_null(m[i]);
		assert_int_equal(visit(r, &v[i]), CARRIER_OK);
		turns(r->loop, 2);
	}
	assert_int_equal(r->open, 2 * N);
	for (int i = 0; i < N; i++)
		leave(&v[i]);
	turns(r->loop, 10);
	assert_false(carrier_wants(r->c, CARRIER_REUSED));
	assert_int_equal(r->open, 2 * LIMIT_POOL_MAX);
	for (int i = 0; i < N; i++)
		mux_close(m[i], false);
}

/* Its client takes no more visitors: it is given to none, in use or not. */
static void test_reused_gone(void **state)
{
	struct rig *r = *state;
	int streams = 0;
	struct mux *m = add_mux(r, CARRIER_REUSED, &streams);
	struct mux *n = add_mux(r, CARRIER_REUSED, &streams);
	struct visit v, w;

	assert_int_equal(visit(r, &v), CARRIER_OK);
	turns(r->loop, 4);
	mux_close(m, false);
	mux_close(n, false);
	turns(r->loop, 6);
	leave(&v);
	turns(r->loop, 10);
	assert_int_equal(r->open, 0);
	assert_int_equal(visit(r, &w), CARRIER_WAITS);
	carrier_cancel(r->c, &w.w);
}

static void test_reused_dead_then_next(void **state)
{
	struct rig *r = *state;
	int streams = 0;

	add_dead(r, CARRIER_REUSED);
	struct mux *m = add_mux(r, CARRIER_REUSED, &streams);
	struct visit v;

	turns(r->loop, 4);
	assert_int_equal(visit(r, &v), CARRIER_OK);
	turns(r->loop, 4);
	assert_int_equal(streams, 1);
	leave(&v);
	turns(r->loop, 6);
	mux_close(m, false);
}

/* ---- shared ---- */

static void test_shared_by_all_that_may(void **state)
{
	struct rig *r = *state;
	int streams = 0;
	struct visit v[3], w;

	assert_int_equal(visit_sharing(r, &v[0]), CARRIER_WAITS);
	assert_int_equal(visit(r, &w), CARRIER_WAITS);
	assert_int_equal(visit_sharing(r, &v[1]), CARRIER_WAITS);
	struct mux *m = add_mux(r, CARRIER_SHARED, &streams);

	assert_non_null(v[0].s);
	assert_non_null(v[1].s);
	assert_null(w.s);
	assert_int_equal(visit_sharing(r, &v[2]), CARRIER_OK);
	turns(r->loop, 4);
	assert_int_equal(streams, 3);
	carrier_cancel(r->c, &w.w);
	for (int i = 0; i < 3; i++)
		leave(&v[i]);
	turns(r->loop, 6);
	mux_close(m, false);
}

static void test_shared_goes_before_idle(void **state)
{
	struct rig *r = *state;
	int streams = 0;
	struct fake *end = add(r, CARRIER_POOLED);
	struct mux *m = add_mux(r, CARRIER_SHARED, &streams);
	struct visit v, w;

	assert_int_equal(visit_sharing(r, &v), CARRIER_OK);
	assert_string_equal(heard(end), "");
	assert_int_equal(visit(r, &w), CARRIER_OK);
	assert_string_equal(heard(end), "tcp://x:1 192.0.2.7:1234");
	leave(&v);
	leave(&w);
	hang_up(end);
	turns(r->loop, 4);
	mux_close(m, false);
}

static void test_shared_spread_and_bounded(void **state)
{
	struct rig *r = *state;
	int streams[LIMIT_MUX] = {0};
	struct mux *m[LIMIT_MUX];
	struct visit v[2 * LIMIT_MUX];

	for (int i = 0; i < LIMIT_MUX; i++) {
		m[i] = add_mux(r, CARRIER_SHARED, &streams[i]);
		assert_non_null(m[i]);
	}
	assert_false(carrier_wants(r->c, CARRIER_SHARED));
	for (int i = 0; i < 2 * LIMIT_MUX; i++)
		assert_int_equal(visit_sharing(r, &v[i]), CARRIER_OK);
	turns(r->loop, 4);
	for (int i = 0; i < LIMIT_MUX; i++)
		assert_int_equal(streams[i], 2);
	mux_close(m[0], false);
	turns(r->loop, 4);
	assert_true(carrier_wants(r->c, CARRIER_SHARED));
	for (int i = 0; i < 2 * LIMIT_MUX; i++)
		leave(&v[i]);
	turns(r->loop, 6);
	for (int i = 1; i < LIMIT_MUX; i++)
		mux_close(m[i], false);
}

/* A session that is full, or dead without knowing it: what is idle, then waiting. */
static void test_shared_can_not(void **state)
{
	struct rig *r = *state;
	struct visit *v = xcalloc(MUX_STREAMS_MAX, sizeof(*v)), w, x;
	int streams = 0;
	struct mux *m = add_mux(r, CARRIER_SHARED, &streams);

	for (int i = 0; i < MUX_STREAMS_MAX; i++) {
		assert_int_equal(visit_sharing(r, &v[i]), CARRIER_OK);
		if (i % 64 == 0)
			turns(r->loop, 4);
	}
	struct fake *end = add(r, CARRIER_POOLED);

	assert_int_equal(visit_sharing(r, &w), CARRIER_OK);
	assert_int_equal(visit_sharing(r, &x), CARRIER_WAITS);
	turns(r->loop, 4);
	assert_int_equal(streams, MUX_STREAMS_MAX);
	carrier_cancel(r->c, &x.w);
	leave(&w);
	hang_up(end);
	for (int i = 0; i < MUX_STREAMS_MAX; i++)
		leave(&v[i]);
	turns(r->loop, 60);
	free(v);
	mux_close(m, false);
}

/* ---- the end ---- */

/* What is idle goes at once, what is in use with its visitor. */
static void test_close(void **state)
{
	struct rig *r = *state;
	int shared = 0, reused = 0;
	struct mux *m = add_mux(r, CARRIER_SHARED, &shared);
	struct mux *n = add_mux(r, CARRIER_REUSED, &reused);
	struct visit v, w;
	size_t put;

	assert_int_equal(visit_sharing(r, &v), CARRIER_OK);
	assert_int_equal(visit(r, &w), CARRIER_OK);
	struct fake *end = add(r, CARRIER_POOLED);

	turns(r->loop, 4);
	carrier_close(r->c, "the test closes it");
	r->c = NULL;
	turns(r->loop, 4);
	assert_int_equal(r->open, 5);
	hang_up(end);
	assert_int_equal(stream_write(v.s, "x", 1, &put), STREAM_OK);
	assert_int_equal(stream_write(w.s, "x", 1, &put), STREAM_OK);
	turns(r->loop, 4);
	leave(&v);
	leave(&w);
	turns(r->loop, 10);
	mux_close(m, false);
	mux_close(n, false);
	turns(r->loop, 10);
	assert_int_equal(r->open, 0);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);
	const struct CMUnitTest tests[] = {
		TEST(test_pooled_oldest_first),
		TEST(test_one_taken_one_asked_for),
		TEST(test_waiting_in_order),
		TEST(test_cancelled_is_passed_over),
		TEST(test_idle_and_gone),
		TEST(test_dead_then_next),
		TEST(test_dead_for_a_waiting_visitor),
		TEST(test_idle_pooled_are_bounded),
		TEST(test_rest_gives_up_what_is_not_needed),
		TEST(test_rest_keeps_what_was_used),
		TEST(test_sized_by_demand),
		TEST(test_reused_again_and_again),
		TEST(test_reused_warm_one_first),
		TEST(test_reused_for_the_one_that_waits),
		TEST(test_reused_idle_are_bounded),
		TEST(test_reused_gone),
		TEST(test_reused_dead_then_next),
		TEST(test_shared_by_all_that_may),
		TEST(test_shared_goes_before_idle),
		TEST(test_shared_spread_and_bounded),
		TEST(test_shared_can_not),
		TEST(test_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
