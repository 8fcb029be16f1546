/* Visitors of one tunnel: how they wait, are joined, and end. */
#include "common/base/clock.h"
#include "test/unit/pgrokd/visitor_rig.h"

/* ---- waiting ---- */

/* The worker with fewer joined visitors. */
static int home_of_next(struct rig *r)
{
	int home = registry_enter(r->core.registry, "next");

	registry_leave(r->core.registry, "next");
	return home;
}

static void test_waits_and_joins(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET);

	assert_int_equal(r->asked, 1);
	assert_int_equal(r->worker.count.waiting_now, 1);
	struct fake *c = connection(r);

	assert_int_equal(r->worker.count.waiting_now, 0);
	assert_int_equal(r->worker.count.joined_now, 1);
	assert_int_equal(home_of_next(r), 1);
	hear(c, URL GET);
	say(r, c, OK5);
	hear(v, OK5);
	wait_ms(r, LIMIT_WAIT_MS);
	say(r, v, GET2);
	hear(c, GET2);
	say(r, c, OK5);
	hear(v, OK5);
	hang_up(r, v);
	hang_up(r, c);
	assert_int_equal(r->worker.count.joined_now, 0);
	assert_int_equal(home_of_next(r), 0);
	assert_int_equal(r->at.count.visitors, 1);
	assert_int_equal(r->sum.visitors, 1);
	assert_int_equal(r->at.count.bytes[SIDE_VISITOR], strlen(GET GET2));
	assert_int_equal(r->sum.bytes[SIDE_SERVICE], 2 * strlen(OK5));
	assert_int_equal(r->worker.count.bytes[SIDE_SERVICE], 2 * strlen(OK5));
	assert_int_equal(r->worker.count.requests, 2);
	assert_int_equal(r->worker.count.answers[2], 2);
	assert_int_equal(counted_sum(r->worker.count.first_byte.bucket, HISTOGRAM_BOUNDS + 1), 2);
	assert_true(r->worker.count.first_byte.sum_us > 0);
	assert_int_equal(r->at.now, 0);
	assert_true(r->at.last > 0);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

static void test_joins_at_once(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	hear(c, URL GET);
	hang_up(r, c);
	hang_up(r, v);
}

static void test_waits_too_long(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET);

	hear(v, "");
	wait_ms(r, LIMIT_WAIT_MS);
	hear_status(v, 504);
	hear_end(v, STREAM_AGAIN);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, v);
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 1);
	assert_int_equal(r->worker.count.no_visit[NO_VISIT_TIME], 1);
}

static void test_too_many_wait(void **state)
{
	struct rig *r = *state;
	struct fake *v[LIMIT_WAITING_LONG + 1];

	for (int i = 0; i < LIMIT_WAITING_LONG; i++)
		v[i] = come(r, GET);
	wait_ms(r, LIMIT_ASKED_MS);
	v[LIMIT_WAITING_LONG] = come(r, GET);
	hear_status(v[LIMIT_WAITING_LONG], 503);
	for (int i = 0; i <= LIMIT_WAITING_LONG; i++)
		stream_close(&v[i]->s, false);
	close_tunnel(r);
	pass(r);
}

static void test_tunnel_unknown(void **state)
{
	struct rig *r = *state;

	close_tunnel(r);
	struct fake *v = come(r, GET);

	hear_status(v, 404);
	hang_up(r, v);
}

/* ---- the tunnel closes ---- */

static void test_tunnel_closes_while_waiting(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET);

	close_tunnel(r);
	pass(r);
	hear_status(v, 502);
	hear_end(v, STREAM_AGAIN);
	hang_up(r, v);
}

/* Its connection stays: the next request finds another tunnel, or none. */
static void test_tunnel_closes_at_rest(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	close_tunnel(r);
	pass(r);
	hear(c, URL GET);
	hear_end(c, STREAM_EOF);
	hear_end(v, STREAM_AGAIN);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	say(r, v, GET2);
	hear_status(v, 404);
	struct fake *d = connection_of(r, &r->other);

	say(r, v, ELSEWHERE);
	hear(d, URL_B ELSEWHERE);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
}

/* The rest of the answer comes, then it is at rest. */
static void test_tunnel_closes_inside_an_answer(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	close_tunnel(r);
	pass(r);
	hear(v, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	hear_end(v, STREAM_AGAIN);
	say(r, c, "llo");
	hear(v, "llo");
	hear(c, URL GET);
	hear_end(c, STREAM_EOF);
	hear_end(v, STREAM_AGAIN);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	assert_int_equal(r->at.count.bytes[SIDE_SERVICE], strlen(OK5) - 3); /* until it closed */
	hang_up(r, v);
	hang_up(r, c);
}

/* Who said that there is no next request, or was told so, is waiting for the end. */
static void test_tunnel_closes_behind_the_last(void **state)
{
	static const char *const asked[] = {
		"GET / HTTP/1.1\r\nConnection: close\r\n" HOST,
		"GET / HTTP/1.0\r\n" HOST,
		GET,
		GET,
	};
	static const char *const answered[] = {
		OK5,
		OK5,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	};
	struct rig *r = *state;
	struct fake *c[8], *v[8];

	for (int i = 0; i < 8; i++) {
		c[i] = connection(r);
		v[i] = come(r, asked[i % 4]);
		if (i < 4)
			say(r, c[i], answered[i % 4]);
	}
	close_tunnel(r);
	for (int i = 0; i < 8; i++) {
		if (i >= 4)
			say(r, c[i], answered[i % 4]);
		pass(r);
		hear(v[i], answered[i % 4]);
		hear_end(v[i], STREAM_EOF);
		hang_up(r, v[i]);
		hang_up(r, c[i]);
	}
}

/* The same if its connection breaks first. */
static void test_way_is_cut_at_rest(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	fake_kill(c);
	pass(r);
	hear_end(v, STREAM_AGAIN);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, c);
	say(r, v, GET2);
	c = connection(r);
	hear(c, URL GET2);
	fake_kill(c); /* not so inside an answer */
	pass(r);
	hear_end(v, STREAM_ABORT);
	hang_up(r, v);
	hang_up(r, c);
}

/* A request that has not been passed on yet is as good as a new one. */
static void test_tunnel_closes_as_it_comes(void **state)
{
	struct rig *r = *state;
	struct fake *end[2], *c = connection(r);
	struct parcel *p = a_visitor(r, GET, end);

	parcel_send(p, &r->worker, 0, &end[0]->s);
	close_tunnel(r);
	pass(r);
	hear_status(end[1], 404);
	hang_up(r, end[1]);
	hang_up(r, c);
}

/* Where more of an answer can't come any more, nobody waits for it. */
static void lose(struct rig *r)
{
	registry_unregister(r->core.registry, r->at.route, true);
	visitors_close(&r->at, true);
	r->open = false;
	pass(r);
}

static void test_client_lost_before_the_answer(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET), *d = connection(r), *w = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, HEAD "POST / HTTP/1.1\r\nContent-Length: 100\r\n" HOST "part");
	lose(r);
	hear_page(v, 502, false);
	hear_end(v, STREAM_EOF);
	hear_page(w, 502, false);
	hear_end(w, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, w);
	hang_up(r, c);
	hang_up(r, d);
	wait_ms(r, LINGER_MS);
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 2);
}

static void test_client_lost_inside_the_answer(void **state)
{
	static const char *const begun[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
		"HTTP/1.1 200 OK\r\n\r\nhe",
		"HTTP/1.1 101 Go\r\n\r\n",
	};
	struct rig *r = *state;
	struct fake *c[3], *v[3];

	for (int i = 0; i < 3; i++) {
		c[i] = connection(r);
		v[i] = come(r, i == 2 ? UPGRADE : GET);
		say(r, c[i], begun[i]);
		hear(v[i], begun[i]);
	}
	lose(r);
	for (int i = 0; i < 3; i++) {
		hear_end(v[i], STREAM_ABORT);
		hear_end(c[i], STREAM_ABORT);
		hang_up(r, v[i]);
		hang_up(r, c[i]);
	}
}

/* Lost or not: between requests there is nothing to miss. */
static void test_client_lost_at_rest(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	lose(r);
	hear_end(v, STREAM_AGAIN);
	say(r, v, ELSEWHERE);
	assert_int_equal(r->worker.count.waiting_now, 1);
	hang_up(r, v);
	hang_up(r, c);
}

/* The name is held for its client, which comes back. */
static void test_name_comes_back(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);
	struct carrier *old = r->at.carrier;
	struct route *was = r->at.route;

	say(r, c, OK5);
	hear(v, OK5);
	lose(r);
	say(r, v, GET2 GET);
	hear(v, "");
	turns_for(r->worker.loop, LIMIT_NAME_LOOK_MS * SCALE + 1);
	hear(v, "");
	struct fake *other = come(r, ELSEWHERE); /* whom nothing keeps waiting */

	assert_int_equal(r->worker.count.waiting_now, 1);
	open_tunnel(r, &r->at, URL, "");
	r->open = true;
	struct fake *d = connection(r);

	wait_ms(r, LIMIT_NAME_LOOK_MS);
	hear(d, URL GET2 GET);
	say(r, d, OK0 OK5);
	hear(v, OK0 OK5);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
	hang_up(r, other);
	carrier_close(old, "its client has another");
	route_unref(was);
}

/* Milliseconds since then until a page comes: on a busy machine none is too many. */
static double hear_page_late(struct rig *r, struct fake *end, int status, uint64_t since)
{
	for (int i = 0; !end->in_len && i < 10000; i++)
		turns_for(r->worker.loop, 1);
	double took = (double)(clock_us() - since) / 1000;

	hear_status(end, status);
	return took;
}

static void test_name_does_not_come_back(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	lose(r);
	for (int i = 0; i < 2; i++) {
		uint64_t since = clock_us();

		say(r, v, GET2);
		assert_true(hear_page_late(r, v, 502, since) > LIMIT_NAME_MS * SCALE - 20);
	}
	uint64_t since = clock_us();
	struct fake *late = come(r, GET); /* it was on its way */

	assert_true(hear_page_late(r, late, 502, since) > LIMIT_NAME_MS * SCALE - 20);
	hang_up(r, late);
	hang_up(r, v);
	hang_up(r, c);
}

/* A request behind that answer has no tunnel any more. */
static void test_tunnel_closes_before_the_next(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	close_tunnel(r);
	say(r, v, GET2);
	say(r, c, "llo");
	hear(c, URL GET);
	hear_then_status(v, OK5, 404);
	hang_up(r, v);
	hang_up(r, c);
}

/* Nothing new begins on it, whatever it is: what is no request would pass with a tunnel. */
static void test_tunnel_closes_before_bytes(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	hear(c, URL GET);
	say(r, c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	close_tunnel(r);
	say(r, v, "\x01\x02 no request\r\n\r\n");
	say(r, c, "llo");
	hear(c, "");
	hang_up(r, v);
	hang_up(r, c);
}

static void test_tunnel_closes_under_a_stream(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, UPGRADE);

	say(r, c, "HTTP/1.1 101 Go\r\n\r\n");
	hear(v, "HTTP/1.1 101 Go\r\n\r\n");
	close_tunnel(r);
	say(r, v, "anything");
	hear(c, URL UPGRADE "anything");
	say(r, c, "more");
	hear(v, "more");
	hang_up(r, v);
	hang_up(r, c);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

/* ---- later requests ---- */

static void test_later_request_refused(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, v, BAD);
	hear(c, URL GET);
	say(r, c, OK0);
	hear_then_status(v, OK0, 400);
	hear_end(v, STREAM_EOF);
	hear(c, "");
	hang_up(r, v);
	hang_up(r, c);
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 1);
}

/* The answers before the refused request do not come: there is an end to that. */
static void test_answers_owed_too_long(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, v, BAD);
	wait_ms(r, LIMIT_OWED_MS);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

static void test_later_head_too_long(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, "GET /2 HT");
	wait_ms(r, LIMIT_HEAD_MS);
	hear_end(v, STREAM_EOF);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, v);
	hang_up(r, c);
}

static void test_later_head_in_time(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, "GET /2 HT");
	say(r, v, "TP/1.1\r\n" HOST);
	wait_ms(r, LIMIT_HEAD_MS);
	hear(c, URL GET GET2);
	say(r, c, OK5);
	hear(v, OK5);
	hang_up(r, v);
	hang_up(r, c);
}

/* ---- the visitor ends its direction ---- */

static void end_direction(struct rig *r, struct fake *end)
{
	assert_int_equal(stream_finish(&end->s), STREAM_OK);
	pass(r);
}

static void test_half_close_is_carried(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	end_direction(r, v);
	hear(c, URL GET);
	hear_end(c, STREAM_EOF);
	say(r, c, OK5);
	hear(v, OK5);
	hang_up(r, c);
	hang_up(r, v);
}

/* Not to a client that would close everything: it hears of it after the answer. */
static void test_half_close_is_held(void **state)
{
	struct rig *r = *state;

	r->at.half_close = false;
	struct fake *c = connection(r), *v = come(r, GET);

	end_direction(r, v);
	hear(c, URL GET);
	hear_end(c, STREAM_AGAIN);
	say(r, c, OK5);
	hear(v, OK5);
	hear_end(c, STREAM_EOF);
	hang_up(r, c);
	hang_up(r, v);
}

/* Whose body breaks off can't be answered: that end is no half-close, and passed on. */
static void test_broken_body_is_not_held(void **state)
{
	static const char begun[] = "POST / HTTP/1.1\r\nContent-Length: 9\r\n" HOST "abc";
	struct rig *r = *state;

	r->at.half_close = false;
	struct fake *c = connection(r), *v = come(r, begun);
	char want[200];

	snprintf(want, sizeof(want), "%s%s", URL, begun);
	end_direction(r, v);
	hear(c, want);
	hear_end(c, STREAM_EOF);
	hang_up(r, c);
	hang_up(r, v);
}

/* Who has said all waits for the answer like any other, however long it takes. */
static void test_half_closed_waits(void **state)
{
	struct rig *r = *state;

	for (int carried = 0; carried < 2; carried++) {
		r->at.half_close = carried;
		struct fake *c = connection(r), *v = come(r, GET);

		end_direction(r, v);
		wait_ms(r, PAIR_SILENCE_MS * 1.5);
		hear(v, "");
		say(r, c, OK5);
		hear(v, OK5);
		hang_up(r, c);
		hang_up(r, v);
	}
}

/* Behind the answer there is nothing to wait for. */
static void test_half_closed_has_an_end(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	end_direction(r, v);
	say(r, c, OK5);
	hear(v, OK5);
	wait_ms(r, PAIR_SILENCE_MS * 1.2);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, c);
	hang_up(r, v);
}

int main(void)
{
	rig_scale();
	const struct CMUnitTest tests[] = {
		TEST(test_waits_and_joins),
		TEST(test_joins_at_once),
		TEST(test_waits_too_long),
		TEST(test_too_many_wait),
		TEST(test_tunnel_unknown),
		TEST(test_tunnel_closes_while_waiting),
		TEST(test_tunnel_closes_at_rest),
		TEST(test_tunnel_closes_inside_an_answer),
		TEST(test_tunnel_closes_behind_the_last),
		TEST(test_way_is_cut_at_rest),
		TEST(test_tunnel_closes_as_it_comes),
		TEST(test_client_lost_before_the_answer),
		TEST(test_client_lost_inside_the_answer),
		TEST(test_client_lost_at_rest),
		TEST(test_name_comes_back),
		TEST(test_name_does_not_come_back),
		TEST(test_tunnel_closes_before_the_next),
		TEST(test_tunnel_closes_before_bytes),
		TEST(test_tunnel_closes_under_a_stream),
		TEST(test_later_request_refused),
		TEST(test_answers_owed_too_long),
		TEST(test_later_head_too_long),
		TEST(test_later_head_in_time),
		TEST(test_half_close_is_carried),
		TEST(test_half_close_is_held),
		TEST(test_broken_body_is_not_held),
		TEST(test_half_closed_waits),
		TEST(test_half_closed_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
