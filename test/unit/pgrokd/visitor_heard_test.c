/*
 * Visitors whose client says nothing: one that does not even know of them is not waited for. The
 * client's end is a mux session, which reads or, while the test holds it, does not.
 */
#include "test/unit/pgrokd/visitor_rig.h"

#include <sys/socket.h>
#include <unistd.h>

#include "common/mux/mux.h"

struct far {
	struct fake *end; /* the client's, of the connection */
	struct mux *mux;
	struct mux_account *memory;
	struct stream *s; /* the visitor's, at the client */
	int streams;
};

static void far_accepted(void *arg, struct stream *s)
{
	struct far *f = arg;

	f->streams++;
	f->s = s;
}

static void far_down(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static const struct mux_hooks far_hooks = {.accepted = far_accepted, .down = far_down};

/* frozen: nothing reads at its end. */
static void link_up(struct rig *r, struct far *f, enum carrier_kind kind, bool frozen)
{
	static const struct mux_conf conf = {.start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};
	struct fake *end[2];

	*f = (struct far){.memory = mux_account_new()};
	assert_true(carrier_wants(r->at.carrier, kind));
	fake_pair(r->worker.loop, NULL, &r->ends, end);
	f->end = end[1];
	if (!frozen)
		f->mux = mux_new(&end[1]->s, &conf, f->memory, &far_hooks, f);
	carrier_add(r->at.carrier, kind, &end[0]->s);
	pass(r);
}

static void cut(struct rig *r, struct far *f)
{
	if (f->s)
		stream_close(f->s, true);
	if (f->mux)
		mux_close(f->mux, true);
	else
		stream_close(&f->end->s, true);
	mux_account_free(f->memory);
	pass(r);
}

static void says(struct rig *r, struct far *f, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(f->s, text, strlen(text), &n), STREAM_OK);
	pass(r);
}

static const enum carrier_kind kinds[] = {CARRIER_SHARED, CARRIER_REUSED};

/* What it said is at its client long before. */
static void test_frozen(void **state)
{
	struct rig *r = *state;
	struct far f;

	for (int i = 0; i < 2; i++) {
		link_up(r, &f, kinds[i], true);
		struct fake *v = come(r, GET);

		assert_true(f.end->in_len > strlen(GET));
		wait_ms(r, LIMIT_HEAR_MS * 0.4);
		hear(v, "");
		wait_ms(r, LIMIT_LOOK_MS * 2 + LIMIT_HEAR_MS * 0.6);
		hear_page(v, 504, false);
		hear_end(v, STREAM_EOF);
		assert_true(TAILQ_EMPTY(&r->worker.visitors));
		hang_up(r, v);
		cut(r, &f);
	}
}

/* A service may take its time. */
static void test_slow_service(void **state)
{
	struct rig *r = *state;
	struct far f;

	for (int i = 0; i < 2; i++) {
		link_up(r, &f, kinds[i], false);
		struct fake *v = come(r, GET);

		assert_int_equal(f.streams, 1);
		wait_ms(r, LIMIT_HEAR_MS * 2);
		hear(v, "");
		assert_true(TAILQ_EMPTY(&r->worker.unheard));
		says(r, &f, OK5);
		hear(v, OK5);
		hang_up(r, v);
		cut(r, &f);
	}
}

/* Frozen after the first answer: the next request waits for the end of its client. */
static void test_frozen_later(void **state)
{
	struct rig *r = *state;
	struct far f;

	link_up(r, &f, CARRIER_SHARED, false);
	struct fake *v = come(r, GET);

	says(r, &f, OK5);
	hear(v, OK5);
	stream_want(&f.end->s, 0);
	say(r, v, GET2);
	wait_ms(r, LIMIT_HEAR_MS * 2);
	hear(v, "");
	hang_up(r, v);
	cut(r, &f);
}

/* TCP: no page, but an end that shows. */
static void test_frozen_tcp(void **state)
{
	struct rig *r = *state;
	struct far f;
	int fd[2];
	char c;
	struct visitors at = {
		.worker = &r->worker,
		.route = route_new_tcp(xstrdup("tcp://a.test:5000"), 5000, NULL),
		.carrier = r->at.carrier,
		.sum = &r->sum,
	};
	struct addr peer;

	at.route->tunnel_id = 99;
	at.route->mux = true;
	assert_true(addr_numeric("192.0.2.7", 1234, &peer));
	visitors_open(&at);
	link_up(r, &f, CARRIER_SHARED, true);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	visitor_accept(&at, fd[0], &peer, (struct seat){0});
	wait_ms(r, LIMIT_HEAR_MS / 2);
	assert_int_equal(read(fd[1], &c, 1), -1);
	wait_ms(r, LIMIT_LOOK_MS * 2 + LIMIT_HEAR_MS);
	assert_int_equal(read(fd[1], &c, 1), 0);
	close(fd[1]);
	cut(r, &f);
	visitors_close(&at, false);
	route_unref(at.route);
}

int main(void)
{
	rig_scale();
	const struct CMUnitTest tests[] = {
		TEST(test_frozen),
		TEST(test_slow_service),
		TEST(test_frozen_later),
		TEST(test_frozen_tcp),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
