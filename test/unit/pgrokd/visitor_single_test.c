/* Visitors of a client whose streams carry one request each. */
#include "common/net/nets.h"
#include "test/unit/pgrokd/visitor_rig.h"

#define WHO \
	"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\n\r\n"
#define A "Host: a.test\r\n"
#define SAID(line) URL line " HTTP/1.1\r\n" A WHO /* what the client hears of a request */
#define GOT SAID("GET /")
#define GOT2 SAID("GET /2")
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LAST "0\r\n\r\n"

static int set_up_single(void **state)
{
	set_up(state);
	((struct rig *)*state)->at.one_request = true;
	return 0;
}

static void reset(struct rig *r, struct fake *end)
{
	stream_close(&end->s, true);
	pass(r);
}

static void finish(struct rig *r, struct fake *end)
{
	assert_int_equal(stream_finish(&end->s), STREAM_OK);
	pass(r);
}

/* Whatever was said on it before. */
static void ended(struct fake *end, enum stream_rc rc)
{
	char got[2048];
	size_t n;

	while (stream_read(&end->s, got, sizeof(got), &n) == STREAM_OK)
		;
	hear_end(end, rc);
}

/* Its stream was ended as one whose answer is there, and its visitor rests. */
static void rests(struct rig *r, struct fake *c, struct fake *v)
{
	ended(c, STREAM_EOF);
	hear_end(v, STREAM_AGAIN);
	assert_int_equal(r->worker.count.joined_now, 0);
	assert_int_equal(r->worker.n_guests, 0);
	hang_up(r, c);
}

/* ---- one after the other ---- */

static void test_next_request_over_another_stream(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	hear(c, GOT);
	say(r, c, OK5);
	hear(v, OK5);
	rests(r, c, v);
	say(r, v, GET2);
	assert_int_equal(r->worker.count.waiting_now, 1);
	struct fake *d = connection(r);

	assert_int_equal(r->worker.count.joined_now, 1);
	hear(d, GOT2);
	say(r, d, OK5);
	hear(v, OK5);
	/* It is one visitor; bytes count as they came. */
	assert_int_equal(r->at.count.visitors, 1);
	assert_int_equal(r->at.count.bytes[SIDE_VISITOR], strlen(GET GET2));
	hang_up(r, v);
	hang_up(r, d);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	assert_int_equal(r->at.count.bytes[SIDE_SERVICE], 2 * strlen(OK5));
	assert_int_equal(r->worker.count.requests, 2);
}

/* Pipelined, and the next stream is there already. */
static void test_one_by_one(void **state)
{
	struct rig *r = *state;
	struct fake *c[3] = {connection(r), connection(r), connection(r)};
	struct fake *v = come(r, GET GET2 GET);

	for (int i = 0; i < 3; i++) {
		hear(c[i], i == 1 ? GOT2 : GOT);
		for (int next = i + 1; next < 3; next++)
			hear(c[next], "");
		say(r, c[i], OK5);
		hear(v, OK5);
	}
	hang_up(r, v);
	for (int i = 0; i < 3; i++)
		hang_up(r, c[i]);
}

/* Both are answered, though it has ended its direction already. */
static void test_one_by_one_half_closed(void **state)
{
	struct rig *r = *state;
	struct fake *c[2] = {connection(r), connection(r)};
	struct fake *v = come(r, GET GET2);

	finish(r, v);
	hear(c[0], GOT);
	say(r, c[0], OK5);
	hear(c[1], GOT2);
	say(r, c[1], OK0);
	hear(v, OK5 OK0);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c[0]);
	hang_up(r, c[1]);
}

static void test_waits_again_too_long(void **state)
{
	struct rig *r = *state;
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

/* ---- what the client hears ---- */

static void test_requests(void **state)
{
	static const struct {
		const char *asked, *heard;
	} all[] = {
		{"GET http://a.test?q HTTP/1.1\r\n" HOST, SAID("GET /?q")},
		{"GET / HTTP/1.0\r\n" HOST, GOT},
		{"GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_proto: q\r\n" HOST,
		 GOT},
		{"POST / HTTP/1.1\r\n" A "Connection: keep-alive\r\nTE: trailers\r\n"
		 "Accept-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: u\r\n\r\n",
		 URL "POST / HTTP/1.1\r\n" A "Connection: keep-alive\r\nTE: trailers\r\n"
		     "Accept-Encoding: br\r\nTransfer-Encoding: chunked\r\n" WHO
		     "1\r\nx\r\n0\r\nT: u\r\n\r\n"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake *c = connection(r), *v = come(r, all[i].asked);

		hear(c, all[i].heard);
		hang_up(r, v);
		hang_up(r, c);
	}
}

/* A proxy that is trusted has said it already. */
static void test_behind_a_proxy(void **state)
{
	static const char asked[] = "GET / HTTP/1.1\r\n" A "X-Forwarded-For: 203.0.113.9\r\n"
				    "X-Forwarded-Proto: https\r\n\r\n";
	struct rig *r = *state;
	struct err err;
	struct nets *trusted = nets_read("192.0.2.7", &err);

	r->core.trusted = trusted;
	struct fake *c = connection(r), *v = come(r, asked);

	hear(c, URL "GET / HTTP/1.1\r\n" A "X-Forwarded-Proto: https\r\n"
		    "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\nX-Forwarded-Host: a.test\r\n\r\n");
	hang_up(r, v);
	hang_up(r, c);
	r->core.trusted = NULL;
	nets_free(trusted);
}

#define EXPECTS "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
#define GO_ON "HTTP/1.1 100 Continue\r\n\r\n"
#define HINTS "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

/* It is told to go on at once, and once. */
static void test_expects(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, EXPECTS HOST);

	hear(c, URL EXPECTS A WHO);
	hear(v, GO_ON);
	say(r, c, GO_ON HINTS);
	hear(v, HINTS);
	say(r, v, "hi");
	hear(c, "hi");
	say(r, c, OK0);
	hear(v, OK0);
	rests(r, c, v);
	hang_up(r, v);
}

/* ---- what the visitor hears ---- */

static void test_answers(void **state)
{
	static const struct {
		const char *asked, *said, *heard;
		bool ends, stays; /* the client's stream, the visitor's connection */
	} all[] = {
		{GET, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello",
		 CHUNKED "5\r\nhello\r\n" LAST, true, true},
		{GET, "HTTP/1.1 200 OK\r\n\r\n", CHUNKED LAST, true, true},
		{GET, CHUNKED "2\r\nhi\r\n0\r\nT: u\r\n\r\n",
		 CHUNKED "2\r\nhi\r\n0\r\nT: u\r\n\r\n", false, true},
		{GET, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", OK5,
		 true, true},
		{GET, OK5 "and more", OK5, false, true},
		{GET, GO_ON HINTS OK0, GO_ON HINTS OK0, false, true},
		{HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
		 "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, true},
		{GET, "HTTP/1.1 304 N\r\n\r\n", "HTTP/1.1 304 N\r\n\r\n", false, true},
		{GET,
		 "HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:3000/x\r\nContent-Length: 0\r\n\r\n",
		 "HTTP/1.1 302 F\r\nLocation: " URL "/x\r\nContent-Length: 0\r\n\r\n", false, true},
		{"GET / HTTP/1.1\r\nConnection: close\r\n" HOST, OK5,
		 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false,
		 false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" HOST,
		 HINTS CHUNKED "2\r\nhi\r\n0\r\n\r\n",
		 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhi", false, false},
		{"GET / HTTP/1.0\r\n" HOST, "HTTP/1.1 200 OK\r\n\r\nhello",
		 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", true, false},
		{"GET / HTTP/1.1\r\nUpgrade: websocket\r\n" HOST,
		 "HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n",
		 "HTTP/1.1 403 F\r\nContent-Length: 0\r\n\r\n", false, true},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake *c = connection(r), *v = come(r, all[i].asked), *d;

		say(r, c, all[i].said);
		if (all[i].ends)
			finish(r, c);
		hear(v, all[i].heard);
		hear_end(v, all[i].stays ? STREAM_AGAIN : STREAM_EOF);
		assert_int_equal(r->worker.count.joined_now, 0);
		hang_up(r, c);
		if (all[i].stays) {
			d = connection(r);
			say(r, v, GET2);
			hear(d, GOT2);
			hang_up(r, d);
		}
		hang_up(r, v);
	}
}

/* As it is made. */
static void test_events(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
	hear(v, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		"Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 3; i++) {
		say(r, c, "data: x\n\n");
		hear(v, "9\r\ndata: x\n\n\r\n");
	}
	finish(r, c);
	hear(v, LAST);
	rests(r, c, v);
	hang_up(r, v);
}

#define UPGRADED "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

static void test_upgrade(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, UPGRADE "early");

	hear(c, URL "GET / HTTP/1.1\r\nUpgrade: x\r\n" A WHO);
	say(r, c, UPGRADED "HTTP/1.1 200 OK\r\n\r\n");
	hear(v, UPGRADED "HTTP/1.1 200 OK\r\n\r\n");
	hear(c, "early");
	say(r, v, GET);
	hear(c, GET);
	finish(r, c);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hear_end(c, STREAM_EOF);
	hang_up(r, c);
}

/* An end that was said before the 101 is passed on behind it. */
static void test_upgrade_half_closed(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, UPGRADE);

	finish(r, v);
	say(r, c, UPGRADED "hi");
	hear(v, UPGRADED "hi");
	wait_ms(r, LIMIT_GONE_MS);
	hear(c, URL "GET / HTTP/1.1\r\nUpgrade: x\r\n" A WHO);
	hear_end(c, STREAM_EOF);
	say(r, c, "more");
	hear(v, "more");
	finish(r, c);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

/* All of it goes out before the visitor leaves the stream. */
static void test_slow_visitor(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	v->peer->stuck = true;
	say(r, c, "HTTP/1.1 200 OK\r\n\r\nhello");
	finish(r, c);
	assert_int_equal(r->worker.count.joined_now, 1);
	v->peer->stuck = false;
	fake_poke(v->peer);
	pass(r);
	hear(v, CHUNKED "5\r\nhello\r\n" LAST);
	rests(r, c, v);
	hang_up(r, v);
}

#define POST9 "POST / HTTP/1.1\r\nContent-Length: 9\r\n" HOST

/* What is still to come of its request is not waited for. */
static void test_early_answer(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, POST9 "abc");

	say(r, c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	hear(v, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
	/* While it goes on, so does the request. */
	c = connection(r);
	v = come(r, POST9 "abc");
	hear(c, URL "POST / HTTP/1.1\r\nContent-Length: 9\r\n" A WHO "abc");
	say(r, c, "HTTP/1.1 200 OK\r\n\r\nab");
	say(r, v, "defghi");
	hear(c, "defghi");
	say(r, c, "c");
	finish(r, c);
	hear(v, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
		"2\r\nab\r\n1\r\nc\r\n" LAST);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

/* All of it has come, and its client takes no more: what is left of it holds no one up. */
static void test_early_answer_unread(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, POST9 "abc");

	c->peer->stuck = true;
	say(r, v, "defghi");
	say(r, c, OK5);
	hear(v, OK5);
	assert_int_equal(r->worker.count.joined_now, 0);
	ended(c, STREAM_ABORT);
	hang_up(r, c);
	c = connection(r);
	say(r, v, GET2);
	hear(c, GOT2);
	hang_up(r, v);
	hang_up(r, c);
}

/* A bad request behind one whose answer only the stream's end ends: each has its own answer. */
static void test_bad_behind(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET BAD);

	say(r, c, "HTTP/1.1 200 OK\r\n\r\nhello");
	hear(v, CHUNKED "5\r\nhello\r\n");
	finish(r, c);
	hear_then_status(v, LAST, 400);
	hear_end(v, STREAM_EOF);
	hang_up(r, v);
	hang_up(r, c);
}

/* No page behind an answer that the connection's end ends, or that says it is the last. */
static void test_bad_behind_the_last(void **state)
{
	static const struct {
		const char *asked, *said, *heard;
	} all[] = {
		{"GET / HTTP/1.0\r\n" HOST BAD, "HTTP/1.1 200 OK\r\n\r\nhello",
		 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello"},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n" HOST BAD,
		 CHUNKED "5\r\nhello\r\n0\r\n\r\n",
		 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello"},
		{"GET / HTTP/1.1\r\nConnection: close\r\n" HOST BAD, OK5,
		 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake *c = connection(r), *v = come(r, all[i].asked);

		say(r, c, all[i].said);
		finish(r, c);
		hear(v, all[i].heard);
		hear_end(v, STREAM_EOF);
		hang_up(r, v);
		hang_up(r, c);
	}
}

/* ---- no answer, and half of one ---- */

static void test_no_answer(void **state)
{
	static const char *const said[] = {"", "HTTP/1.1 200 OK\r\nConte", GO_ON, "SSH-2.0\r\n",
					   "HTTP/1.1 101 S\r\n\r\n"};
	struct rig *r = *state;

	for (int i = 0; i < 5; i++) {
		for (int how = 0; how < 2; how++) {
			struct fake *c = connection(r), *v = come(r, GET);

			if (*said[i])
				say(r, c, said[i]);
			if (how == 0)
				finish(r, c);
			else
				reset(r, c);
			if (i == 2)
				hear_then_status(v, GO_ON, 502);
			else
				hear_page(v, 502, false);
			hear_end(v, STREAM_EOF);
			hang_up(r, v);
			if (how == 0)
				hang_up(r, c);
		}
	}
	assert_int_equal(counted_sum(r->worker.count.pages, COUNTED_PAGES), 10);
}

static void test_half_an_answer(void **state)
{
	static const struct {
		const char *asked, *said, *heard;
	} all[] = {
		{GET, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		 "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"},
		{GET, CHUNKED "5\r\nhel", CHUNKED "5\r\nhel"},
		{GET, CHUNKED "5\r\nhelloX", CHUNKED "5\r\nhello"},
		{"GET / HTTP/1.0\r\n" HOST, CHUNKED "5\r\nhel",
		 "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhel"},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (int how = 0; how < 2; how++) {
			struct fake *c = connection(r), *v = come(r, all[i].asked);

			say(r, c, all[i].said);
			if (i != 2)
				hear(v, all[i].heard);
			if (how)
				reset(r, c);
			else if (i != 2) /* that shows before the stream ends */
				finish(r, c);
			hear_end(v, STREAM_ABORT);
			hang_up(r, v);
			if (how == 0)
				hang_up(r, c);
		}
	}
	/* A stream whose end is the answer's must end in order. */
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, "HTTP/1.1 200 OK\r\n\r\nhel");
	hear(v, CHUNKED "3\r\nhel\r\n");
	reset(r, c);
	hear_end(v, STREAM_ABORT);
	hang_up(r, v);
}

static void test_client_lost(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);
	struct fake *d = connection(r), *w = come(r, GET);

	say(r, d, "HTTP/1.1 200 OK\r\n\r\nhel");
	hear(w, CHUNKED "3\r\nhel\r\n");
	registry_unregister(r->core.registry, r->at.route, false);
	visitors_close(&r->at, true);
	r->open = false;
	pass(r);
	hear_page(v, 502, false);
	hear_end(w, STREAM_ABORT);
	hang_up(r, v);
	hang_up(r, w);
	hang_up(r, c);
	hang_up(r, d);
}

/* ---- visitors that go ---- */

/* Its client is to hear of it at once, and as of one who has gone. */
static void test_gone(void **state)
{
	static const char *const said[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"};
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		struct fake *c = connection(r), *v = come(r, GET);

		hear(c, GOT);
		if (i)
			say(r, c, said[i]);
		reset(r, v);
		hear_end(c, STREAM_ABORT);
		hang_up(r, c);
	}
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

/* That it has gone, and not only said all, shows when something is said to it. */
static void test_gone_in_order(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	hear(c, GOT);
	say(r, c, "HTTP/1.1 200 OK\r\n\r\nhel");
	hang_up(r, v);
	hear_end(c, STREAM_AGAIN);
	say(r, c, "lo");
	hear_end(c, STREAM_ABORT);
	hang_up(r, c);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

static void test_half_closed(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET);

	finish(r, v);
	hear(c, GOT);
	hear_end(c, STREAM_AGAIN);
	say(r, c, OK5);
	hear(v, OK5);
	hear_end(v, STREAM_EOF);
	hear_end(c, STREAM_EOF);
	hang_up(r, c);
	hang_up(r, v);
}

static void test_broken_request(void **state)
{
	static const char chunked[] =
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "1\r\n";
	struct rig *r = *state;

	for (int i = 0; i < 2; i++) {
		struct fake *c = connection(r), *v = come(r, i ? chunked : POST9 "abc");

		finish(r, v);
		hear_end(c, STREAM_ABORT);
		hear_end(v, STREAM_ABORT);
		hang_up(r, c);
		hang_up(r, v);
	}
}

/* ---- at rest ---- */

static struct fake *a_resting(struct rig *r)
{
	struct fake *c = connection(r), *v = come(r, GET);

	say(r, c, OK5);
	hear(v, OK5);
	rests(r, c, v);
	return v;
}

static void test_rests_too_long(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r);

	wait_ms(r, LIMIT_KEPT_MS / 2);
	hear_end(v, STREAM_AGAIN);
	wait_ms(r, LIMIT_KEPT_MS / 2);
	hear_end(v, STREAM_EOF);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
	hang_up(r, v);
}

static void test_rests_and_goes(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r), *w = a_resting(r);

	hang_up(r, v);
	reset(r, w);
	assert_true(TAILQ_EMPTY(&r->worker.visitors));
}

static void test_rests_and_tunnel_closes(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r);

	close_tunnel(r);
	pass(r);
	hear_end(v, STREAM_AGAIN);
	say(r, v, GET2);
	hear_status(v, 404);
	hang_up(r, v);
}

/* A head that comes in pieces holds no stream; and it may be for another tunnel. */
static void test_next_head_in_pieces(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r), *c = connection(r);

	say(r, v, "GET /2 HTTP");
	hear(c, "");
	assert_int_equal(r->worker.count.joined_now, 0);
	say(r, v, "/1.1\r\n" HOST);
	hear(c, GOT2);
	say(r, c, OK5 "x");
	say(r, v, "\r\n");
	hear(v, OK5);
	hang_up(r, c);
	hang_up(r, v);
}

/* Part of it has come behind the request before. */
static void test_next_head_behind(void **state)
{
	struct rig *r = *state;
	struct fake *c = connection(r), *v = come(r, GET "GET /2 HTTP"), *d = connection(r);

	hear(c, GOT);
	say(r, c, OK5);
	hear(v, OK5);
	hear_end(c, STREAM_EOF);
	say(r, v, "/1.1\r\n" HOST);
	hear(d, GOT2);
	hang_up(r, v);
	hang_up(r, c);
	hang_up(r, d);
}

static void test_rests_and_goes_elsewhere(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r), *c = connection(r), *d = connection_of(r, &r->other);

	say(r, v, ELSEWHERE);
	hear(d, URL_B ELSEWHERE);
	say(r, d, OK5);
	hear(v, OK5);
	say(r, v, GET);
	hear(c, GOT);
	say(r, c, OK0);
	hear(v, OK0);
	say(r, v, NOWHERE);
	hear_status(v, 404);
	hang_up(r, c);
	hang_up(r, d);
	hang_up(r, v);
}

/* A request with a fault is refused like a first one. */
static void test_next_is_bad(void **state)
{
	struct rig *r = *state;
	struct fake *v = a_resting(r);

	say(r, v, BAD);
	hear_page(v, 400, false);
	hang_up(r, v);
}

#define SINGLE(name) cmocka_unit_test_setup_teardown(name, set_up_single, tear_down)

int main(void)
{
	rig_scale();
	const struct CMUnitTest tests[] = {
		SINGLE(test_next_request_over_another_stream),
		SINGLE(test_one_by_one),
		SINGLE(test_one_by_one_half_closed),
		SINGLE(test_waits_again_too_long),
		SINGLE(test_waits_again_with_another_method),
		SINGLE(test_waits_again_and_tunnel_closes),
		SINGLE(test_requests),
		SINGLE(test_behind_a_proxy),
		SINGLE(test_expects),
		SINGLE(test_answers),
		SINGLE(test_events),
		SINGLE(test_upgrade),
		SINGLE(test_upgrade_half_closed),
		SINGLE(test_slow_visitor),
		SINGLE(test_early_answer),
		SINGLE(test_early_answer_unread),
		SINGLE(test_bad_behind),
		SINGLE(test_bad_behind_the_last),
		SINGLE(test_no_answer),
		SINGLE(test_half_an_answer),
		SINGLE(test_client_lost),
		SINGLE(test_gone),
		SINGLE(test_gone_in_order),
		SINGLE(test_half_closed),
		SINGLE(test_broken_request),
		SINGLE(test_rests_too_long),
		SINGLE(test_rests_and_goes),
		SINGLE(test_rests_and_tunnel_closes),
		SINGLE(test_next_head_in_pieces),
		SINGLE(test_next_head_behind),
		SINGLE(test_rests_and_goes_elsewhere),
		SINGLE(test_next_is_bad),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
