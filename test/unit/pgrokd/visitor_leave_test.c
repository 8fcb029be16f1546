/* Visitors that leave their tunnel: for another one, or for a page of the server's own. */
#include "common/net/nets.h"
#include "test/unit/pgrokd/visitor_rig.h"

/* ---- on the connection of a proxy ---- */

#define FROM(ip) "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: " ip "\r\n\r\n"

/* A stream to the client is one visitor's, since the client is told whose it is. */
static void test_of_another_visitor(void **state)
{
	struct rig *r = *state;
	struct err err;
	struct nets *trusted = nets_read("192.0.2.7", &err);

	r->core.trusted = trusted;
	struct fake *c = connection(r), *d = connection(r);
	struct fake *v = come(r, FROM("203.0.113.9") FROM("1.1.1.1, 203.0.113.9"));

	hear(c, URL FROM("203.0.113.9") FROM("1.1.1.1, 203.0.113.9"));
	say(r, v, FROM("203.0.113.10"));
	hear(d, "");
	say(r, c, OK5 OK0);
	hear(v, OK5 OK0);
	hear(d, URL FROM("203.0.113.10"));
	say(r, d, OK0);
	hear(v, OK0);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
	r->core.trusted = NULL;
	nets_free(trusted);
}

/* Who is not trusted may write there what he likes. */
static void test_of_another_as_it_says(void **state)
{
	struct rig *r = *state;
	struct err err;
	struct nets *trusted = nets_read("192.0.2.8", &err);

	r->core.trusted = trusted;
	struct fake *c = connection(r), *v = come(r, FROM("203.0.113.9") FROM("203.0.113.10"));

	hear(c, URL FROM("203.0.113.9") FROM("203.0.113.10"));
	hang_up(r, v);
	hang_up(r, c);
	r->core.trusted = NULL;
	nets_free(trusted);
}

/* ---- requests for other tunnels ---- */

/* There and back, each time over a stream of its own. */
static void test_for_another_tunnel(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, ELSEWHERE);
	hear(c, URL GET);
	hear_end(c, STREAM_EOF);
	hang_up(r, c);
	assert_int_equal(r->worker.count.waiting_now, 1);
	struct fake *d = connection_of(r, &r->other);

	hear(d, URL_B ELSEWHERE);
	say(r, d, OK0);
	hear(v, OK0);
	c = connection(r);
	say(r, v, GET2);
	hear(c, URL GET2);
	say(r, c, OK5);
	hear(v, OK5);
	hear_end(d, STREAM_EOF);
	assert_int_equal(r->at.count.visitors, 2);
	assert_int_equal(r->other.count.visitors, 1);
	assert_int_equal(r->other.count.bytes[SIDE_VISITOR], strlen(ELSEWHERE));
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 0);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
}

#define POST_B "POST /b HTTP/1.1\r\nContent-Length: 4\r\n" HOST_B "body"

/* All at once: each waits for the answers before it, and has its own body. */
static void test_pipelined_over_tunnels(void **state)
{
	struct rig *r = *state;
	struct fake *c[2] = {connection(r), connection(r)};
	struct fake *d = connection_of(r, &r->other), *v = come(r, GET GET2 POST_B ELSEWHERE GET);

	hear(c[0], URL GET GET2);
	say(r, c[0], OK5);
	hear(d, "");
	say(r, c[0], OK0);
	hear(v, OK5 OK0);
	hear(d, URL_B POST_B ELSEWHERE);
	hear(c[1], "");
	say(r, d, OK0 OK5);
	hear(v, OK0 OK5);
	hear(c[1], URL GET);
	say(r, c[1], OK0);
	hear(v, OK0);
	hang_up(r, v);
	hang_up(r, c[0]);
	hang_up(r, c[1]);
	hang_up(r, d);
}

/* An answer without a length can't be followed by another. */
static void test_for_another_tunnel_in_vain(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET ELSEWHERE);

	say(r, c, "HTTP/1.1 200 OK\r\n\r\nhello");
	hear(v, "HTTP/1.1 200 OK\r\n\r\nhello");
	hang_up(r, c);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
}

/* After the last answer there is none to be had. */
static void test_for_another_tunnel_too_late(void **state)
{
	struct rig *r = *state;
	struct fake *d = connection_of(r, &r->other);

	for (int pipelined = 0; pipelined < 2; pipelined++) {
		struct fake *c = connection(r);
		struct fake *v = come(r, pipelined ? GET ELSEWHERE : GET);

		say(r, c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
		hear(v, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
		if (!pipelined)
			say(r, v, ELSEWHERE);
		hear_end(v, STREAM_EOF);
		hang_up(r, v);
		hang_up(r, c);
	}
	hear(d, "");
	hang_up(r, d);
}

static void test_for_no_tunnel(void **state)
{
	struct rig *r = *state;
	struct fake *c[2] = {connection(r), connection(r)}, *v = come(r, GET NOWHERE NOWHERE GET2);

	hear(c[0], URL GET);
	hear(v, "");
	say(r, c[0], OK5);
	hear_then_status(v, OK5, 404);
	hear(c[1], URL GET2);
	say(r, c[1], OK5);
	hear(v, OK5);
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 2);
	assert_int_equal(r->worker.n_guests, 0);
	hang_up(r, v);
	hang_up(r, c[0]);
	hang_up(r, c[1]);
}

/* The rules are those of the tunnel that it goes to. */
static void test_rules_of_the_other(void **state)
{
	static const char with[] = "GET / HTTP/1.1\r\nAuthorization: Basic dTpw\r\n" HOST_B;
	struct rig *r = *state;

	registry_unregister(r->core.registry, r->other.route, false);
	visitors_close(&r->other, false);
	carrier_close(r->other.carrier, "another comes");
	route_unref(r->other.route);
	open_tunnel(r, &r->other, URL_B, "u:p");
	struct fake *c = connection(r), *d = connection_of(r, &r->other), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, ELSEWHERE);
	hear_status(v, 401);
	hear(d, "");
	say(r, v, with);
	char want[256];

	snprintf(want, sizeof(want), "%s%s", URL_B, with);
	hear(d, want);
	say(r, d, OK5);
	hear(v, OK5);
	say(r, v, ELSEWHERE);
	hear_status(v, 401);
	hear_end(d, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
}

/* ---- after a page ---- */

/* The way of a page that may stay, and of the request behind it. */
static void page_then(struct rig *r, const char *request, int status, bool stays)
{
	struct fake *v = come(r, GET), *c = connection(r), *d;

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, request);
	hear_page(v, status, stays);
	d = connection(r);
	say(r, v, stays ? GET2 : "");
	hear(d, stays ? URL GET2 : "");
	hear_end(v, stays ? STREAM_AGAIN : STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
	wait_ms(r, LINGER_MS);
	assert_int_equal(r->worker.n_guests, 0);
}

#define POST_C "POST / HTTP/1.1\r\nHost: c.test\r\n"

static void test_after_a_page(void **state)
{
	static const struct {
		const char *request;
		bool stays;
	} all[] = {
		{NOWHERE, true},
		{POST_C "Content-Length: 5\r\n\r\nhello", true},
		{POST_C "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true},
		{"HEAD / HTTP/1.1\r\nHost: c.test\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: c.test\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nHost: c.test\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nConnection: close\r\nHost: c.test\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nUpgrade: x\r\nHost: c.test\r\n\r\n", false},
		{POST_C "Content-Length: 65537\r\n\r\nhello", false},
		{POST_C "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", false},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		page_then(r, all[i].request, 404, all[i].stays);
}

/* The body may come after its page, and then has an end. */
static void test_body_after_its_page(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET), *c = connection(r);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, POST_C "Transfer-Encoding: chunked\r\n\r\n");
	hear_status(v, 404);
	for (size_t said = 0; said <= LIMIT_SKIPPED;) {
		char chunk[600];

		hear_end(v, STREAM_AGAIN);
		said += (size_t)snprintf(chunk, sizeof(chunk), "200\r\n%0512d\r\n", 0);
		say(r, v, chunk);
	}
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

static void test_after_a_page_comes_nothing(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET), *c = connection(r);

	say(r, c, OK5);
	hear(v, OK5);
	say(r, v, NOWHERE);
	hear_status(v, 404);
	wait_ms(r, LIMIT_KEPT_MS / 2);
	hear_end(v, STREAM_AGAIN);
	wait_ms(r, LIMIT_KEPT_MS / 2);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

/* Those that stay count as half-open ones. */
static void test_after_too_many_pages(void **state)
{
	struct rig *r = *state;
	struct fake *v[5];

	for (int i = 0; i < 5; i++) {
		struct fake *c = connection(r);

		v[i] = come(r, GET);
		say(r, c, OK5);
		hear(v[i], OK5);
		say(r, v[i], NOWHERE);
		hear_page(v[i], 404, i < 4);
		hang_up(r, c);
	}
	for (int i = 0; i < 5; i++)
		hang_up(r, v[i]);
}

/* A page that does not go out is no reason to wait for ever. */
static void test_page_is_stuck(void **state)
{
	struct rig *r = *state;
	struct fake *v = come(r, GET);

	v->peer->stuck = true;
	wait_ms(r, LIMIT_WAIT_MS);
	assert_int_equal(r->worker.n_guests, 1);
	wait_ms(r, LIMIT_REPLY_MS);
	assert_int_equal(r->worker.n_guests, 0);
	hang_up(r, v);
}

int main(void)
{
	rig_scale();
	const struct CMUnitTest tests[] = {
		TEST(test_of_another_visitor),
		TEST(test_of_another_as_it_says),
		TEST(test_for_another_tunnel),
		TEST(test_pipelined_over_tunnels),
		TEST(test_for_another_tunnel_in_vain),
		TEST(test_for_another_tunnel_too_late),
		TEST(test_for_no_tunnel),
		TEST(test_rules_of_the_other),
		TEST(test_after_a_page),
		TEST(test_body_after_its_page),
		TEST(test_after_a_page_comes_nothing),
		TEST(test_after_too_many_pages),
		TEST(test_page_is_stuck),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
