/*
 * How many proxy connections there are: what the server asks for is bounded, and those that are
 * used again count as long as they carry nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "pgrok/config/limits.h"
#include "pgrok/uplink/proxies.h"
#include "test/unit/pgrok/far.h"

struct play {
	struct loop *loop;
	struct far *far;
	struct model *model;
	struct visits *visits;
	struct mux_account *memory;
	struct proxies *proxies;
	unsigned registered, wanted, gone;
	int64_t mux; /* of the last RegProxy */
	bool reuse;  /* the server wants them to be used again */
	struct far_guest *last;
	struct mux *session[FAR_GUESTS];
	unsigned sessions;
};

static void on_accepted(void *arg, struct stream *s)
{
	fail_msg("the client opened a stream");
}

static void on_down(void *arg, const char *why)
{
}

static const struct mux_hooks far_hooks = {.accepted = on_accepted, .down = on_down};

static void far_speaks_mux(struct play *p, struct far_guest *g)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 2,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX,
					     .alone = true};

	far_start_proxy(g, START_PROXY_MUX, "");
	p->session[p->sessions++] = mux_new(far_take(g), &conf, p->memory, &far_hooks, p);
}

static void on_msg(void *arg, struct far_guest *g, const struct msg *m)
{
	struct play *p = arg;

	assert_int_equal(m->type, MSG_REG_PROXY);
	p->mux = m->reg_proxy.mux;
	p->last = g;
	if (p->reuse)
		far_speaks_mux(p, g);
	if (++p->registered == p->wanted)
		loop_stop(p->loop);
}

static void on_gone(void *arg, struct far_guest *g)
{
	struct play *p = arg;

	if (++p->gone == p->wanted)
		loop_stop(p->loop);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->loop = loop_new();
	p->far = far_new(p->loop);
	p->far->on_msg = on_msg;
	p->far->on_gone = on_gone;
	p->far->arg = p;
	p->model = model_new();
	p->visits = visits_new(p->loop, &(struct visits_conf){.model = p->model});
	p->memory = mux_account_new();
	p->proxies = proxies_new(p->loop, p->far->connector, p->visits, p->memory);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct play *p = *state;

	visits_close(p->visits, "the test ends");
	proxies_close(p->proxies, "the test ends");
	for (unsigned i = 0; i < p->sessions; i++)
		mux_close(p->session[i], true);
	far_end(p->far);
	loop_free(p->loop);
	mux_account_free(p->memory);
	model_free(p->model);
	far_free(p->far);
	free(p);
	return 0;
}

static void run_until_registered(struct play *p, unsigned n)
{
	p->wanted = n;
	if (p->registered < n)
		loop_run(p->loop);
	assert_int_equal(p->registered, n);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Everything that is under way on this machine has happened: nothing new came. */
static void run_for_a_moment(struct play *p)
{
	struct loop_timer t;

	loop_timer_init(&t, p->loop, stop_loop, p->loop);
	loop_after(&t, 100);
	loop_run(p->loop);
	loop_timer_stop(&t);
}

static void ask_for(struct play *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		proxies_add(p->proxies, "me");
}

/* 3000 wishes at once: 64 are begun, 1024 are remembered, the rest is not. */
static void remembers_so_many(void **state)
{
	struct play *p = *state;
	const unsigned most = LIMIT_PROXIES_CONNECTING + LIMIT_PROXIES_QUEUED;

	p->far->deaf = true;
	ask_for(p, 3000);
	while (p->far->guests < most)
		run_for_a_moment(p);
	run_for_a_moment(p);
	assert_int_equal(p->far->guests, most);
	/* Nothing is owed any more, and one more is made at once. */
	p->far->deaf = false;
	ask_for(p, 1);
	run_until_registered(p, 1);
}

/* Those that wait for a visitor are bounded; each that gets one makes room. */
static void keeps_so_many_waiting(void **state)
{
	struct play *p = *state;

	ask_for(p, LIMIT_PROXIES_WAITING + 10);
	run_until_registered(p, LIMIT_PROXIES_WAITING);
	run_for_a_moment(p);
	assert_int_equal(p->far->guests, LIMIT_PROXIES_WAITING);
	assert_int_equal(p->mux, 0);
	/* A visitor, of whose tunnel nothing is known. */
	far_start_proxy(p->last, "http://nobody", "1.2.3.4:5");
	run_until_registered(p, LIMIT_PROXIES_WAITING + 1);
	far_close(p->last, false);
	run_until_registered(p, LIMIT_PROXIES_WAITING + 2);
}

/* What was asked for by a control connection goes with it. */
static void drops_what_waits(void **state)
{
	struct play *p = *state;

	ask_for(p, LIMIT_PROXIES_WAITING + 10);
	run_until_registered(p, LIMIT_PROXIES_WAITING);
	p->wanted = LIMIT_PROXIES_WAITING;
	proxies_drop_waiting(p->proxies, "the control connection is gone");
	loop_run(p->loop);
	assert_int_equal(p->gone, LIMIT_PROXIES_WAITING);
	run_for_a_moment(p);
	assert_int_equal(p->far->guests, LIMIT_PROXIES_WAITING);
	proxies_add(p->proxies, "somebody else");
	run_until_registered(p, LIMIT_PROXIES_WAITING + 1);
}

/* 128 that carry nobody: no more are made, until one of them gets a visitor. */
static void counts_idle_ones(void **state)
{
	struct play *p = *state;

	p->reuse = true;
	proxies_reuse(p->proxies);
	ask_for(p, LIMIT_PROXIES_WAITING + 1);
	run_until_registered(p, LIMIT_PROXIES_WAITING);
	run_for_a_moment(p);
	assert_int_equal(p->mux, MUX_REUSED);
	assert_int_equal(p->far->guests, LIMIT_PROXIES_WAITING);

	struct stream *s = mux_open(p->session[7]);
	size_t n;
	assert_non_null(s);
	assert_int_equal(stream_write(s, "\x20\0\0\0\0\0\0\0", 8, &n), STREAM_OK);
	run_until_registered(p, LIMIT_PROXIES_WAITING + 1);

	/* When it has gone the connection carries nobody again. */
	stream_close(s, true);
	run_for_a_moment(p);
	ask_for(p, 1);
	run_for_a_moment(p);
	assert_int_equal(p->far->guests, LIMIT_PROXIES_WAITING + 1);

	/* And one that is lost is one less. */
	mux_close(p->session[0], true);
	mux_close(p->session[1], true);
	p->session[0] = p->session[--p->sessions];
	p->session[1] = p->session[--p->sessions];
	while (p->registered < LIMIT_PROXIES_WAITING + 2) {
		ask_for(p, 1);
		run_for_a_moment(p);
	}
	run_for_a_moment(p);
	assert_int_equal(p->far->guests, LIMIT_PROXIES_WAITING + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(remembers_so_many, begin, end),
		cmocka_unit_test_setup_teardown(keeps_so_many_waiting, begin, end),
		cmocka_unit_test_setup_teardown(drops_what_waits, begin, end),
		cmocka_unit_test_setup_teardown(counts_idle_ones, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
