/* The sessions of a Drip client: which of them a visitor gets, and what their end means. */
#include "test/unit/pgrokd/carrier_rig.h"

#define SESSIONS 3

static int ended, alive;
static char why_ended[64];

static void on_ended(void *arg, const char *why)
{
	ended++;
	snprintf(why_ended, sizeof(why_ended), "%s", why);
}

static void on_alive(void *arg)
{
	alive++;
}

static int set_up_drip(void **state)
{
	struct rig *r;

	set_up(state);
	r = *state;
	r->hooks = (struct carrier_hooks){.ask = on_ask, .ended = on_ended, .alive = on_alive};
	ended = alive = 0;
	return 0;
}

/* The client's ends, each with the number of streams that came over it. */
struct far {
	struct mux *mux[SESSIONS];
	int streams[SESSIONS];
};

static void add_session(struct rig *r, struct far *f, int i, enum carrier_kind kind)
{
	static const struct mux_conf conf = {.start_window = LIMIT_DRIP_WINDOW,
					     .max_streams = 8192,
					     .prompt = true,
					     .fin_alone = true,
					     .close_ms = LIMIT_DRIP_CLOSE_MS};
	struct fake *end = add(r, kind);

	f->streams[i] = 0;
	f->mux[i] = mux_new(&end->s, &conf, r->memory, &far_hooks, &f->streams[i]);
	turns(r->loop, 3);
}

static void leave_all(struct rig *r, struct far *f)
{
	turns(r->loop, 4);
	for (int i = 0; i < SESSIONS; i++)
		if (f->mux[i])
			mux_close(f->mux[i], true);
	turns(r->loop, 4);
}

/* The primary one serves as long as it is alone, then the one that carries the least. */
static void test_least_loaded(void **state)
{
	struct rig *r = *state;
	struct far f = {0};
	struct visit v[9];

	add_session(r, &f, 0, CARRIER_PRIMARY);
	assert_int_equal(visit_sharing(r, &v[0]), CARRIER_OK);
	turns(r->loop, 3);
	assert_int_equal(f.streams[0], 1);
	add_session(r, &f, 1, CARRIER_DATA);
	add_session(r, &f, 2, CARRIER_DATA);
	for (int i = 1; i < 9; i++)
		assert_int_equal(visit_sharing(r, &v[i]), CARRIER_OK);
	turns(r->loop, 3);
	assert_int_equal(f.streams[0], 1);
	assert_int_equal(f.streams[1], 4);
	assert_int_equal(f.streams[2], 4);
	assert_string_equal(r->said, ""); /* nothing is said on a stream */
	assert_int_equal(r->asked, 0);
	for (int i = 0; i < 9; i++)
		leave(&v[i]);
	leave_all(r, &f);
}

/* A session that is lost, or takes no more, is out of it; the primary one is the client's end. */
static void test_ends(void **state)
{
	struct rig *r = *state;
	struct far f = {0};
	struct visit v[3];

	add_session(r, &f, 0, CARRIER_PRIMARY);
	add_session(r, &f, 1, CARRIER_DATA);
	add_session(r, &f, 2, CARRIER_DATA);
	mux_close(f.mux[1], true);
	f.mux[1] = NULL;
	turns(r->loop, 3);
	assert_int_equal(visit_sharing(r, &v[0]), CARRIER_OK);
	assert_int_equal(visit_sharing(r, &v[1]), CARRIER_OK);
	turns(r->loop, 3);
	assert_int_equal(f.streams[2], 2);
	mux_close(f.mux[2], false); /* GO_AWAY: what is open runs on */
	f.mux[2] = NULL;
	turns(r->loop, 3);
	assert_int_equal(visit_sharing(r, &v[2]), CARRIER_OK);
	turns(r->loop, 3);
	assert_int_equal(f.streams[0], 1);
	assert_int_equal(f.streams[2], 2);
	assert_int_equal(ended, 0);
	mux_close(f.mux[0], true);
	f.mux[0] = NULL;
	turns(r->loop, 3);
	assert_int_equal(ended, 1);
	assert_true(*why_ended);
	for (int i = 0; i < 3; i++)
		leave(&v[i]);
	leave_all(r, &f);
}

/* As many streams as a session may have; the next visitor waits for one of them to end. */
static void test_full(void **state)
{
	struct rig *r = *state;
	struct far f = {0};
	static struct visit v[LIMIT_DRIP_STREAMS + 2];

	add_session(r, &f, 0, CARRIER_PRIMARY);
	for (int i = 0; i < LIMIT_DRIP_STREAMS; i++)
		assert_int_equal(visit_sharing(r, &v[i]), CARRIER_OK);
	for (int i = 0; i < 2; i++)
		assert_int_equal(visit_sharing(r, &v[LIMIT_DRIP_STREAMS + i]), CARRIER_WAITS);
	turns(r->loop, 3);
	leave(&v[7]);
	turns(r->loop, 8);
	assert_non_null(v[LIMIT_DRIP_STREAMS].s);
	assert_null(v[LIMIT_DRIP_STREAMS + 1].s);
	/* A session that comes is for all who wait. */
	add_session(r, &f, 1, CARRIER_DATA);
	assert_non_null(v[LIMIT_DRIP_STREAMS + 1].s);
	for (int i = 0; i < LIMIT_DRIP_STREAMS + 2; i++)
		if (v[i].s)
			leave(&v[i]);
	leave_all(r, &f);
}

static void test_alive(void **state)
{
	struct rig *r = *state;
	struct far f = {0};

	add_session(r, &f, 0, CARRIER_PRIMARY);
	turns(r->loop, 100); /* the first measurements */
	alive = 0;
	carrier_ask_alive(r->c);
	turns(r->loop, 4);
	assert_int_equal(alive, 1);
	leave_all(r, &f);
}

#define DRIP(name) cmocka_unit_test_setup_teardown(name, set_up_drip, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIP(test_least_loaded),
		DRIP(test_ends),
		DRIP(test_full),
		DRIP(test_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
