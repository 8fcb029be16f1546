/*
 * Visitors over connections in memory, with a real carrier under them. The test plays three: the
 * visitor, the client (who has the far ends of its connections), and the owner of the tunnel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/stream/pair.h"
#include "pgrokd/visitor/visitor.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE 0.02 /* of all limits */
#define HOST "Host: a.test\r\n\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define GET2 "GET /2 HTTP/1.1\r\n" HOST
#define HEAD "HEAD / HTTP/1.1\r\n" HOST
#define ELSEWHERE "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nUpgrade: x\r\n" HOST
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct rig {
	struct core core;
	struct worker worker;
	struct visitors at;
	struct visitor_count sum;
	int asked;
	bool open;
	unsigned ends;
};

static void on_ask(void *arg)
{
	((struct rig *)arg)->asked++;
}

static bool on_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	size_t n;

	return stream_write(s, v->url, strlen(v->url), &n) == STREAM_OK;
}

static const struct carrier_hooks hooks = {.ask = on_ask, .begin = on_begin};

#define URL "http://a.test"

static int set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->core.registry = registry_new(2);
	r->core.n_workers = 1;
	r->core.worker = &r->worker;
	worker_init(&r->worker, &r->core, 0, NULL);
	r->at = (struct visitors){
		.worker = &r->worker,
		.route = route_new(PROTO_HTTP, xstrdup(URL), ""),
		.carrier = carrier_new(r->worker.loop, "ctl:test", &hooks, r),
		.half_close = true,
		.sum = &r->sum,
	};
	r->at.route->tunnel_id = 7;
	visitors_open(&r->at);
	r->open = true;
	*state = r;
	return 0;
}

static void close_tunnel(struct rig *r)
{
	visitors_close(&r->at);
	r->open = false;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	if (r->open)
		close_tunnel(r);
	visitor_close_all(&r->worker, "the test is over");
	carrier_close(r->at.carrier, "the test is over");
	assert_int_equal(r->worker.count.waiting_now, 0);
	assert_int_equal(r->worker.count.joined_now, 0);
	turns(r->worker.loop, 4);
	route_unref(r->at.route);
	worker_free(&r->worker);
	registry_free(r->core.registry);
	free(r);
	return 0;
}

static void pass(struct rig *r)
{
	turns(r->worker.loop, 8);
}

/* ---- far ends ---- */

/* A visitor with the head of its first request; its own end. */
static struct fake *come(struct rig *r, const char *head)
{
	struct fake *end[2];
	struct parcel *p;
	struct addr peer;

	fake_pair(r->worker.loop, NULL, &r->ends, end);
	assert_true(addr_numeric("192.0.2.7", 1234, &peer));
	p = parcel_new(visitor_adopt, NULL, &peer);
	p->route = route_ref(r->at.route);
	p->unread = xstrdup(head);
	p->unread_len = strlen(head);
	parcel_send(p, &r->worker, 0, &end[0]->s);
	pass(r);
	return end[1];
}

/* A connection of the client; its own end. */
static struct fake *connection(struct rig *r)
{
	struct fake *end[2];

	assert_true(carrier_wants(r->at.carrier, CARRIER_POOLED));
	fake_pair(r->worker.loop, NULL, &r->ends, end);
	carrier_add(r->at.carrier, CARRIER_POOLED, &end[0]->s);
	pass(r);
	return end[1];
}

static void say(struct rig *r, struct fake *end, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(&end->s, text, strlen(text), &n), STREAM_OK);
	pass(r);
}

static void hear(struct fake *end, const char *text)
{
	char got[2048];
	size_t n = 0, len = strlen(text);

	assert_int_equal(stream_read(&end->s, got, sizeof(got) - 1, &n) == STREAM_OK, len > 0);
	got[n] = '\0';
	assert_string_equal(got, text);
}

/* An answer, and behind it a page of ours. */
static void hear_then_status(struct fake *end, const char *answer, int status)
{
	char got[2048], want[1024];
	size_t n;

	assert_int_equal(stream_read(&end->s, got, sizeof(got), &n), STREAM_OK);
	snprintf(want, sizeof(want), "%sHTTP/1.1 %d", answer, status);
	assert_true(n > strlen(want));
	assert_memory_equal(got, want, strlen(want));
}

static void hear_status(struct fake *end, int status)
{
	hear_then_status(end, "", status);
}

static void hear_end(struct fake *end, enum stream_rc rc)
{
	char c;
	size_t n;

	assert_int_equal(stream_read(&end->s, &c, 1, &n), rc);
}

static void hang_up(struct rig *r, struct fake *end)
{
	stream_close(&end->s, false);
	pass(r);
}

static void wait_ms(struct rig *r, int limit)
{
	turns_for(r->worker.loop, (int)(limit * SCALE) + 50);
	pass(r);
}

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
	hear_end(v, STREAM_EOF);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, v);
	assert_int_equal(r->worker.count.pages, 1);
}

static void test_too_many_wait(void **state)
{
	struct rig *r = *state;
	struct fake *v[LIMIT_WAITING + 1];

	for (int i = 0; i < LIMIT_WAITING; i++)
		v[i] = come(r, GET);
	v[LIMIT_WAITING] = come(r, GET);
	hear_status(v[LIMIT_WAITING], 503);
	for (int i = 0; i <= LIMIT_WAITING; i++)
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
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
}

static void test_tunnel_closes_at_rest(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	close_tunnel(r);
	pass(r);
	hear_end(v, STREAM_EOF);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, v);
	hang_up(r, c);
}

/* The rest of the answer comes, then the end. */
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
	hear_end(v, STREAM_EOF);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	assert_int_equal(r->at.count.bytes[SIDE_SERVICE], 0); /* the tunnel has said its own */
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

	say(r, v, ELSEWHERE);
	hear(c, URL GET);
	say(r, c, OK0);
	hear_then_status(v, OK0, 421);
	hear(c, "");
	hang_up(r, v);
	hang_up(r, c);
	assert_int_equal(r->worker.count.pages, 1);
}

/* The answers before the refused request do not come: there is an end to that. */
static void test_answers_owed_too_long(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, v, ELSEWHERE);
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

static void test_held_half_close_has_an_end(void **state)
{
	struct rig *r = *state;

	r->at.half_close = false;
	struct fake *c = connection(r), *v = come(r, GET);

	end_direction(r, v);
	wait_ms(r, PAIR_SILENCE_MS);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, c);
	hang_up(r, v);
}

/* ---- one request a stream ---- */

static void test_next_request_over_another_stream(void **state)
{
	struct rig *r = *state;

	r->at.one_request = true;
	struct fake *c = connection(r), *v = come(r, GET);

	hear(c, URL GET);
	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, GET2);
	hear(c, "");
	hear_end(c, STREAM_EOF);
	assert_int_equal(r->worker.count.joined_now, 0);
	assert_int_equal(r->worker.count.waiting_now, 1);
	hang_up(r, c);
	struct fake *d = connection(r);

	assert_int_equal(r->worker.count.joined_now, 1);
	hear(d, URL GET2);
	say(r, d, OK5);
	hear(v, OK5);
	assert_int_equal(r->at.count.visitors, 2);
	assert_int_equal(r->at.count.bytes[SIDE_VISITOR], strlen(GET));
	hang_up(r, v);
	hang_up(r, d);
	assert_int_equal(r->at.count.bytes[SIDE_VISITOR], strlen(GET GET2));
	assert_int_equal(r->at.count.bytes[SIDE_SERVICE], 2 * strlen(OK5));
}

/* Pipelined, and the next stream is there already. */
static void test_one_by_one(void **state)
{
	struct rig *r = *state;

	r->at.one_request = true;
	struct fake *c[3] = {connection(r), connection(r), connection(r)};
	struct fake *v = come(r, GET GET2 GET);

	for (int i = 0; i < 3; i++) {
		hear(c[i], i == 1 ? URL GET2 : URL GET);
		for (int next = i + 1; next < 3; next++)
			hear(c[next], "");
		say(r, c[i], OK5);
		hear(v, OK5);
	}
	hang_up(r, v);
	for (int i = 0; i < 3; i++)
		hang_up(r, c[i]);
}

static void test_waits_again_too_long(void **state)
{
	struct rig *r = *state;

	r->at.one_request = true;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, GET2);
	wait_ms(r, LIMIT_WAIT_MS);
	hear_status(v, 504);
	hang_up(r, v);
	hang_up(r, c);
}

/* The page belongs to the request that waited. */
static void test_waits_again_with_another_method(void **state)
{
	static const char *const asked[] = {GET, HEAD};
	struct rig *r = *state;

	r->at.one_request = true;
	for (int head = 0; head < 2; head++) {
		struct fake *c = connection(r), *v = come(r, asked[!head]);
		char got[1024] = "";
		size_t n;

		say(r, c, OK0);
		hear(v, OK0);
		say(r, v, asked[head]);
		wait_ms(r, LIMIT_WAIT_MS);
		assert_int_equal(stream_read(&v->s, got, sizeof(got) - 1, &n), STREAM_OK);
		assert_memory_equal(got, "HTTP/1.1 504", 12);
		assert_int_equal(strlen(strstr(got, "\r\n\r\n")) == 4, head);
		hang_up(r, v);
		hang_up(r, c);
	}
}

static void test_waits_again_and_tunnel_closes(void **state)
{
	struct rig *r = *state;

	r->at.one_request = true;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, GET2);
	close_tunnel(r);
	pass(r);
	hear_status(v, 502);
	hang_up(r, v);
	hang_up(r, c);
}

int main(void)
{
	char scale[16];

	snprintf(scale, sizeof(scale), "%g", SCALE);
	setenv("PGROK_TIME_SCALE", scale, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_waits_and_joins),
		TEST(test_joins_at_once),
		TEST(test_waits_too_long),
		TEST(test_too_many_wait),
		TEST(test_tunnel_unknown),
		TEST(test_tunnel_closes_while_waiting),
		TEST(test_tunnel_closes_at_rest),
		TEST(test_tunnel_closes_inside_an_answer),
		TEST(test_tunnel_closes_before_the_next),
		TEST(test_tunnel_closes_before_bytes),
		TEST(test_tunnel_closes_under_a_stream),
		TEST(test_later_request_refused),
		TEST(test_answers_owed_too_long),
		TEST(test_later_head_too_long),
		TEST(test_later_head_in_time),
		TEST(test_half_close_is_carried),
		TEST(test_half_close_is_held),
		TEST(test_held_half_close_has_an_end),
		TEST(test_next_request_over_another_stream),
		TEST(test_one_by_one),
		TEST(test_waits_again_too_long),
		TEST(test_waits_again_with_another_method),
		TEST(test_waits_again_and_tunnel_closes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
