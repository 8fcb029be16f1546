/* The mux sessions that visitors share: granted, up, lost, up again, revoked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "pgrok/config/config.h"
#include "pgrok/uplink/shared.h"
#include "test/unit/pgrok/far.h"

/* Enough that the client wants another session. */
#define CROWD (MUX_STREAMS_MAX / 16 + 5)

struct play {
	struct loop *loop;
	struct far *far;
	struct model *model;
	struct visits *visits;
	struct mux_account *memory;
	struct shared *shared;
	enum { MUX, PROXY, HANG_UP, LATER } answer;
	char heard[256]; /* who registered, as what */
	unsigned registered;
	struct mux *session;   /* the server's end */
	struct stream *opened; /* the server's end of a visitor's stream */
	struct stream *came;   /* the client's */
	char said[64];
	size_t said_n;
	struct far_guest *waits; /* LATER: for its answer */
	struct mux *second;
	struct stream *crowd[CROWD], *crowd_came[CROWD];
	unsigned crowd_n;
	bool crowded;
};

/* ---- the server ---- */

static void on_accepted(void *arg, struct stream *s)
{
	fail_msg("the client opened a stream");
}

static void on_down(void *arg, const char *why)
{
	struct play *p = arg;

	mux_close(p->session, false);
	p->session = NULL;
	loop_stop(p->loop);
}

static const struct mux_hooks far_hooks = {.accepted = on_accepted, .down = on_down};

static struct mux *far_session(struct play *p, struct far_guest *g)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 2,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};

	far_start_proxy(g, START_PROXY_MUX, "");
	return mux_new(far_take(g), &conf, p->memory, &far_hooks, p);
}

static void on_msg(void *arg, struct far_guest *g, const struct msg *m)
{
	struct play *p = arg;

	assert_int_equal(m->type, MSG_REG_PROXY);
	snprintf(p->heard, sizeof(p->heard), "%s,%d", m->reg_proxy.client_id,
		 (int)m->reg_proxy.mux);
	p->registered++;
	if (p->answer == HANG_UP) {
		far_close(g, false);
	} else if (p->answer == LATER) {
		p->waits = g;
	} else if (p->answer == PROXY) {
		far_start_proxy(g, "http://nobody", "1.2.3.4:5");
		p->answer = MUX;
	} else {
		p->session = far_session(p, g);
	}
	loop_stop(p->loop);
}

/* ---- the client ---- */

static void on_said(void *arg, int dirs)
{
	struct play *p = arg;
	size_t n;

	while (stream_read(p->came, p->said + p->said_n, sizeof(p->said) - 1 - p->said_n, &n) ==
	       STREAM_OK)
		p->said_n += n;
	stream_want(p->came, STREAM_READ);
	loop_stop(p->loop);
}

static void on_stream(void *arg, struct stream *s)
{
	struct play *p = arg;

	if (p->crowded) {
		assert_in_range(p->crowd_n, 0, CROWD - 1);
		p->crowd_came[p->crowd_n++] = s;
		loop_stop(p->loop);
		return;
	}
	assert_null(p->came);
	p->came = s;
	stream_on_ready(s, on_said, p);
	stream_want(s, STREAM_READ);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->loop = loop_new();
	p->far = far_new(p->loop);
	p->far->on_msg = on_msg;
	p->far->arg = p;
	p->model = model_new();
	p->visits = visits_new(p->loop, &(struct visits_conf){.model = p->model});
	p->memory = mux_account_new();
	p->shared = shared_new(p->loop, p->far->connector, p->visits, p->memory, on_stream, p);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct play *p = *state;

	visits_close(p->visits, "the test ends");
	shared_close(p->shared, "the test ends");
	if (p->came)
		stream_close(p->came, true);
	if (p->opened)
		stream_close(p->opened, true);
	for (unsigned i = 0; i < CROWD; i++) {
		if (p->crowd[i])
			stream_close(p->crowd[i], true);
		if (p->crowd_came[i])
			stream_close(p->crowd_came[i], true);
	}
	if (p->session)
		mux_close(p->session, true);
	if (p->second)
		mux_close(p->second, true);
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
	while (p->registered < n)
		loop_run(p->loop);
}

static void say(struct play *p, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(p->opened, text, strlen(text), &n), STREAM_OK);
	while (!strstr(p->said, text))
		loop_run(p->loop);
}

static void visitor_comes(struct play *p)
{
	p->opened = mux_open(p->session);
	assert_non_null(p->opened);
	say(p, "hello");
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

static void run_for_a_moment(struct play *p)
{
	struct loop_timer t;

	loop_timer_init(&t, p->loop, stop_loop, p->loop);
	loop_after(&t, 3000);
	loop_run(p->loop);
	loop_timer_stop(&t);
}

static void carries_visitors(void **state)
{
	struct play *p = *state;

	shared_grant(p->shared, "me");
	run_until_registered(p, 1);
	assert_string_equal(p->heard, "me,1");
	visitor_comes(p);
}

/* It is made again as long as it is granted. */
static void comes_back(void **state)
{
	struct play *p = *state;

	shared_grant(p->shared, "me");
	run_until_registered(p, 1);
	visitor_comes(p);
	stream_close(p->opened, true);
	stream_close(p->came, true);
	p->opened = p->came = NULL;
	mux_close(p->session, true);
	p->session = NULL;
	run_until_registered(p, 2);
	*p->said = '\0';
	p->said_n = 0;
	visitor_comes(p);

	/* A server that does not want it is asked again, too. */
	p->answer = HANG_UP;
	mux_close(p->session, true);
	p->session = NULL;
	run_until_registered(p, 4);
}

/* Nothing new; a visitor who is there is served to the end. */
static void is_revoked(void **state)
{
	struct play *p = *state;

	shared_grant(p->shared, "me");
	run_until_registered(p, 1);
	visitor_comes(p);
	shared_revoke(p->shared);
	say(p, " again");
	while (p->session)
		loop_run(p->loop); /* the server is told that it takes no more */
	say(p, " & on");
	run_for_a_moment(p);
	assert_int_equal(p->registered, 1);

	/* By a new control connection, with another id. */
	shared_grant(p->shared, "who?");
	run_until_registered(p, 2);
	assert_string_equal(p->heard, "who?,1");
}

/* So many more visitors of this session, until all have come. */
static void crowd(struct play *p, struct mux *session, unsigned more)
{
	unsigned until = p->crowd_n + more;
	size_t n;

	p->crowded = true;
	for (unsigned i = p->crowd_n; i < until; i++) {
		p->crowd[i] = mux_open(session);
		assert_non_null(p->crowd[i]);
		assert_int_equal(stream_write(p->crowd[i], "x", 1, &n), STREAM_OK);
	}
	while (p->crowd_n < until)
		loop_run(p->loop);
}

/*
 * Some hundreds are enough for another session: one, however many more come until it is up. Then
 * one more, since the first one still has so many.
 */
static void are_opened_one_by_one(void **state)
{
	struct play *p = *state;

	shared_grant(p->shared, "me");
	run_until_registered(p, 1);
	p->answer = LATER;
	crowd(p, p->session, CROWD - 2);
	run_until_registered(p, 2);
	/* Others would have been accepted long before this one's handshake was over. */
	assert_int_equal(p->far->guests, 2);
	p->second = far_session(p, p->waits);
	crowd(p, p->second, 1);
	assert_int_equal(p->far->guests, 2);
	crowd(p, p->session, 1);
	run_until_registered(p, 3);
	assert_int_equal(p->far->guests, 3);
}

/* A server without mux pools it, and gives it to a visitor. */
static void is_taken_for_a_proxy(void **state)
{
	struct play *p = *state;
	struct config *c = config_new();
	struct config_tunnel *t = config_add_tunnel(c, "t");
	struct err err;

	assert_true(config_set_protos(t, "http", "127.0.0.1:1", "t", &err));
	model_session(p->model, "1.0");
	model_add_tunnel(p->model, t, PROTO_HTTP, "1", "http://nobody");
	p->answer = PROXY;
	shared_grant(p->shared, "me");
	run_until_registered(p, 2);
	visitor_comes(p);
	while (!p->model->counters.refused)
		run_for_a_moment(p);
	visits_close(p->visits, "the test ends");
	p->visits = NULL;
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries_visitors, begin, end),
		cmocka_unit_test_setup_teardown(comes_back, begin, end),
		cmocka_unit_test_setup_teardown(is_revoked, begin, end),
		cmocka_unit_test_setup_teardown(are_opened_one_by_one, begin, end),
		cmocka_unit_test_setup_teardown(is_taken_for_a_proxy, begin, end),
	};

	setenv("PGROK_TIME_SCALE", "0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
