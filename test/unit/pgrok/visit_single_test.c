/* Visits whose stream carries one request, and ends with its answer: how a Drip server wants it. */
#include "test/unit/pgrok/visit_rig.h"

#include "pgrok/config/limits.h"
#include "test/unit/common/mux_pipe.h"

#define GET "GET / HTTP/1.1\r\nHost: pub.x.me\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: pub.x.me\r\n\r\n"
#define POST9 "POST / HTTP/1.1\r\nHost: pub.x.me\r\nContent-Length: 9\r\n\r\n"
#define UPGRADE \
	"GET / HTTP/1.1\r\nHost: pub.x.me\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define PLAIN "HTTP/1.1 200 OK\r\n\r\n"

static unsigned fakes;

static int begin_single(void **state)
{
	begin(state);
	((struct play *)*state)->tunnel->one_request = true;
	tunnel_up(*state, PROTO_HTTP);
	return 0;
}

/* A stream of the server has come; its far end. */
static struct fake *come(struct play *p)
{
	struct fake *end[2];

	fake_pair(p->loop, NULL, &fakes, end);
	visit_accept(p->visits, &end[0]->s,
		     &(struct visit_info){.tunnel = &p->model->tunnels[0], .peer = "unknown"});
	return end[1];
}

/* With a request; the service has the connection. */
static struct fake *ask(struct play *p, const char *request)
{
	struct fake *c = come(p);

	say(&c->s, request);
	while (!p->local)
		loop_run(p->loop);
	return c;
}

static void leave(struct play *p, struct fake *c)
{
	stream_close(&c->s, false);
	if (p->local)
		stream_close(p->local, true);
	p->local = NULL;
	one_turn(p);
	one_turn(p);
}

/* What the service hears, of lines that are said in between its Host and what is added. */
static void heard_by_service(struct play *p, const char *line, const char *host, const char *rest,
			     const char *body)
{
	char want[1024];

	snprintf(want, sizeof(want),
		 "%s HTTP/1.1\r\nHost: %s\r\n%sX-Forwarded-Proto: http\r\n"
		 "X-Forwarded-Host: pub.x.me\r\n\r\n%s",
		 line, host, rest, body);
	assert_string_equal(hear(p, p->local, strlen(want)), want);
}

static const char *local_host(const struct play *p)
{
	return p->tunnel->local[PROTO_HTTP].text;
}

/* ---- requests ---- */

static void test_request(void **state)
{
	struct play *p = *state;
	struct fake *c = ask(p, "POST /p?q HTTP/1.1\r\nHost: pub.x.me\r\nConnection: keep-alive\r\n"
				"X-Forwarded-Host: evil\r\nX-Forwarded-For: 9.9.9.9\r\n"
				"Accept-Encoding: br\r\nContent-Length: 2\r\n\r\nhi");

	heard_by_service(p, "POST /p?q", local_host(p),
			 "Connection: keep-alive\r\nX-Forwarded-For: 9.9.9.9\r\n"
			 "Accept-Encoding: br\r\nContent-Length: 2\r\n",
			 "hi");
	leave(p, c);
}

static void test_host(void **state)
{
	static const struct {
		const char *conf, *said;
	} all[] = {{"keep", "pub.x.me"}, {"svc:80", "svc:80"}, {"", NULL}, {"rewrite", NULL}};
	struct play *p = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		free(p->tunnel->host_header);
		p->tunnel->host_header = strdup(all[i].conf);
		p->tunnel->x_forwarded = true; /* who it is only the server knows */
		struct fake *c = ask(p, GET);

		heard_by_service(p, "GET /", all[i].said ? all[i].said : local_host(p), "", "");
		leave(p, c);
	}
}

/* ---- answers ---- */

static void test_answers(void **state)
{
	static const struct {
		const char *asked, *said, *heard;
		bool ends; /* so does the service */
	} all[] = {
		{GET, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
		 OK5, false},
		{GET, CHUNKED "5\r\nhello\r\n0\r\nT: u\r\n\r\n", PLAIN "hello", false},
		{GET, "HTTP/1.0 200 OK\r\n\r\nhello", PLAIN "hello", true},
		{GET, OK5 "junk", OK5, false},
		{GET, "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\n\r\n" OK5, OK5, false},
		{HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
		 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false},
		{GET, "HTTP/1.1 304 N\r\n\r\n", "HTTP/1.1 304 N\r\n\r\n", false},
		{GET, "HTTP/1.1 302 F\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
		 "HTTP/1.1 302 F\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
		 false},
		/* Early ones: the rest of the request is read, and goes nowhere. */
		{POST9 "abc", OK5, OK5, false},
		{UPGRADE, OK5, OK5, false},
	};
	struct play *p = *state;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct fake *c = ask(p, all[i].asked);

		(void)hear(p, p->local, strlen(all[i].asked));
		say(p->local, all[i].said);
		if (all[i].ends)
			assert_int_equal(stream_finish(p->local), STREAM_OK);
		assert_string_equal(hear(p, &c->s, SIZE_MAX), all[i].heard);
		assert_int_equal(p->rc, STREAM_EOF);
		/* The stream is not reset as long as the server may have to read. */
		say(&c->s, "behind");
		one_turn(p);
		one_turn(p);
		assert_false(c->dead);
		assert_int_equal(p->model->counters.open, 0);
		leave(p, c);
	}
}

/* As it is made. */
static void test_events(void **state)
{
	struct play *p = *state;
	struct fake *c = ask(p, GET);

	say(p->local, CHUNKED);
	assert_string_equal(hear(p, &c->s, strlen(PLAIN)), PLAIN);
	for (int i = 0; i < 3; i++) {
		say(p->local, "9\r\ndata: x\n\n\r\n");
		assert_string_equal(hear(p, &c->s, 9), "data: x\n\n");
	}
	say(p->local, "0\r\n\r\n");
	assert_string_equal(hear(p, &c->s, SIZE_MAX), "");
	assert_int_equal(p->rc, STREAM_EOF);
	leave(p, c);
}

static void test_fields(void **state)
{
	struct play *p = *state;
	struct err err;

	assert_true(http_fields_set(&p->tunnel->response_headers, "X-Env", "dev", false, &err));
	assert_true(http_fields_set(&p->tunnel->request_headers, "X-Req", "r", true, &err));
	struct fake *c = ask(p, GET);
	char want[512];

	snprintf(want, sizeof(want),
		 "GET / HTTP/1.1\r\nHost: %s\r\nX-Forwarded-Proto: http\r\n"
		 "X-Forwarded-Host: pub.x.me\r\nX-Req: r\r\n\r\n",
		 local_host(p));
	assert_string_equal(hear(p, p->local, strlen(want)), want);
	say(p->local, "HTTP/1.1 200 OK\r\nX-Env: prod\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(hear(p, &c->s, SIZE_MAX),
			    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Env: dev\r\n\r\n");
	leave(p, c);
}

/* What is captured is what both ends said. */
static void test_capture(void **state)
{
	struct play *p = *state;
	struct fake *c = ask(p, GET);

	say(p->local, CHUNKED "5\r\nhello\r\n0\r\n\r\n");
	(void)hear(p, &c->s, SIZE_MAX);
	const struct capture_txn *t = capture_newest(p->capture);

	assert_non_null(t);
	assert_int_equal(t->state, CAPTURE_DONE);
	assert_int_equal(t->resp.size, 5);
	assert_non_null(strstr(t->req_head.text, "pub.x.me"));
	assert_non_null(strstr(t->resp_head.text, "chunked"));
	leave(p, c);
}

#define R101 "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

static void test_websocket(void **state)
{
	struct play *p = *state;
	struct fake *c = ask(p, UPGRADE "early");

	heard_by_service(p, "GET /", local_host(p), "Connection: Upgrade\r\nUpgrade: websocket\r\n",
			 "");
	say(p->local, R101 "raw");
	assert_string_equal(hear(p, &c->s, strlen(R101) + 3), R101 "raw");
	assert_string_equal(hear(p, p->local, 5), "early");
	assert_int_equal(stream_finish(&c->s), STREAM_OK);
	assert_string_equal(hear(p, p->local, SIZE_MAX), "");
	assert_int_equal(p->rc, STREAM_EOF);
	assert_int_equal(stream_finish(p->local), STREAM_OK);
	assert_string_equal(hear(p, &c->s, SIZE_MAX), "");
	assert_int_equal(p->rc, STREAM_EOF);
	leave(p, c);
}

/* ---- no answer, and half of one ---- */

static void hears_page(struct play *p, struct fake *c, bool whole)
{
	const char *got = hear(p, &c->s, SIZE_MAX);
	const char *body = strstr(got, "\r\n\r\n");

	assert_int_equal(p->rc, STREAM_EOF);
	assert_memory_equal(got, "HTTP/1.1 502 ", 13);
	assert_int_equal(strlen(body) > 4, whole);
}

static void test_no_answer(void **state)
{
	static const char *const said[] = {"", "HTTP/1.1 200 OK\r\nConte", "HTTP/1.1 100 C\r\n\r\n",
					   "SSH-2.0\r\n", "HTTP/1.1 101 S\r\n\r\n"};
	struct play *p = *state;

	for (int i = 0; i < 5; i++) {
		for (int how = 0; how < 2; how++) {
			struct fake *c = ask(p, how ? HEAD : GET);

			(void)hear(p, p->local, strlen(GET));
			if (*said[i])
				say(p->local, said[i]);
			if (i < 3)
				stream_close(p->local, how);
			if (i < 3)
				p->local = NULL;
			hears_page(p, c, !how);
			leave(p, c);
		}
	}
}

/* It speaks before it was asked, or ends. */
static void test_answers_too_early(void **state)
{
	struct play *p = *state;

	for (int i = 0; i < 2; i++) {
		struct fake *c = come(p);

		while (!p->local)
			loop_run(p->loop);
		if (i)
			say(p->local, "SSH-2.0\r\n");
		else
			assert_int_equal(stream_finish(p->local), STREAM_OK);
		for (int turn = 0; turn < 5; turn++)
			one_turn(p);
		say(&c->s, GET);
		hears_page(p, c, true);
		leave(p, c);
	}
}

static void test_no_service(void **state)
{
	struct play *p = *state;

	no_service(p);
	for (int head = 0; head < 2; head++) {
		struct fake *c = come(p);

		say(&c->s, head ? HEAD : POST9);
		hears_page(p, c, !head);
		assert_false(c->dead);
		leave(p, c);
	}
}

/* It breaks off as one that must not look whole. */
static void test_half_an_answer(void **state)
{
	static const char *const said[][2] = {
		{CHUNKED "5\r\nhel", PLAIN "hel"},
		{CHUNKED "5\r\nhelloX", PLAIN "hello"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
		 "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"},
	};
	struct play *p = *state;

	for (int i = 0; i < 3; i++) {
		struct fake *c = ask(p, GET);

		(void)hear(p, p->local, strlen(GET));
		say(p->local, said[i][0]);
		if (i != 1)
			assert_string_equal(hear(p, &c->s, strlen(said[i][1])), said[i][1]);
		assert_int_equal(stream_finish(p->local), STREAM_OK);
		(void)hear(p, &c->s, SIZE_MAX);
		assert_int_equal(p->rc, STREAM_ABORT);
		leave(p, c);
	}
}

/* ---- no request ---- */

/* The stream ends without an answer, as Go's client ends it. */
static void test_no_request(void **state)
{
	static const char *const said[] = {"", "\r\n\r\n", "GET / HTTP/1.1\r\nHo"};
	struct play *p = *state;

	for (int i = 0; i < 3; i++) {
		struct fake *c = come(p);

		if (*said[i])
			say(&c->s, said[i]);
		while (!p->local)
			loop_run(p->loop);
		assert_string_equal(hear(p, &c->s, SIZE_MAX), "");
		assert_int_equal(p->rc, STREAM_EOF);
		leave(p, c);
	}
	/* Whose request is there may wait for its answer, however long. */
	struct fake *c = ask(p, GET);
	struct loop_timer timer = {0};

	loop_timer_init(&timer, p->loop, stop, p->loop);
	loop_after(&timer, LIMIT_ASKED_MS + 1000);
	loop_run(p->loop);
	say(p->local, OK5);
	assert_string_equal(hear(p, &c->s, SIZE_MAX), OK5);
	leave(p, c);
}

/* ---- the visitor goes ---- */

static void test_gone(void **state)
{
	struct play *p = *state;

	for (int how = 0; how < 4; how++) {
		struct fake *c = ask(p, how == 3 ? POST9 "abc" : GET);

		(void)hear(p, p->local, strlen(GET));
		if (how == 2) {
			say(p->local, CHUNKED "3\r\nabc\r\n");
			(void)hear(p, &c->s, strlen(PLAIN) + 3);
		}
		if (how == 1)
			fake_kill(c);
		else
			assert_int_equal(stream_finish(&c->s), STREAM_OK);
		(void)hear(p, p->local, SIZE_MAX);
		assert_int_equal(p->rc, STREAM_ABORT);
		assert_int_equal(p->model->counters.open, 0);
		leave(p, c);
	}
}

/* One request a stream: no other is looked at. */
static void test_second_request(void **state)
{
	struct play *p = *state;
	struct fake *c = ask(p, GET GET);

	heard_by_service(p, "GET /", local_host(p), "", "");
	say(p->local, OK5);
	assert_string_equal(hear(p, &c->s, SIZE_MAX), OK5);
	assert_string_equal(hear(p, p->local, SIZE_MAX), "");
	leave(p, c);
}

/* What follows an offer that was not taken is none either, whatever it is. */
static void test_junk_behind(void **state)
{
	struct play *p = *state;

	for (int i = 0; i < 2; i++) {
		struct fake *c = ask(p, i ? UPGRADE "\x81\x01x" : GET "junk\r\n");

		(void)hear(p, p->local, strlen(GET));
		say(p->local, "HTTP/1.1 403 F\r\nContent-Length: 2\r\n\r\nn");
		(void)hear(p, &c->s, 38);
		say(p->local, "o");
		assert_string_equal(hear(p, &c->s, SIZE_MAX), "o");
		assert_int_equal(p->rc, STREAM_EOF);
		leave(p, c);
	}
}

#define SINGLE(name) cmocka_unit_test_setup_teardown(name, begin_single, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SINGLE(test_request),
		SINGLE(test_host),
		SINGLE(test_answers),
		SINGLE(test_events),
		SINGLE(test_fields),
		SINGLE(test_capture),
		SINGLE(test_websocket),
		SINGLE(test_no_answer),
		SINGLE(test_answers_too_early),
		SINGLE(test_no_service),
		SINGLE(test_half_an_answer),
		SINGLE(test_no_request),
		SINGLE(test_gone),
		SINGLE(test_second_request),
		SINGLE(test_junk_behind),
	};

	setenv("PGROK_TIME_SCALE", "0.02", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
