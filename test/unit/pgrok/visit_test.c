/* A visitor's stream has come: which tunnel it is for, what it is joined with, how it ends. */
#include "test/unit/pgrok/visit_rig.h"

static void come(struct play *p, const struct model_tunnel *t, const char *url)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	p->near = stream_new(p->loop, fds[0], NULL);
	visit_accept(p->visits, stream_new(p->loop, fds[1], NULL),
		     &(struct visit_info){.tunnel = t, .url = url, .peer = PEER});
}

static void talk(struct play *p)
{
	while (!p->local)
		loop_run(p->loop);
	say(p->near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_string_equal(hear(p, p->local, 27), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	say(p->local, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	assert_string_equal(hear(p, p->near, 40), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
}

/* By its URL; what it says counts as in, what it hears as out. */
static void is_joined(void **state)
{
	struct play *p = *state;
	uint64_t in, out;

	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL);
	assert_true(visits_serve(p->visits, p->tunnel));
	talk(p);
	assert_int_equal(p->model->counters.open, 1);
	visits_bytes(p->visits, &in, &out);
	assert_int_equal(in, 27);
	assert_int_equal(out, 40);

	const struct capture_txn *t = capture_newest(p->capture);
	assert_non_null(t);
	assert_int_equal(t->status, 200);
	assert_int_equal(t->resp.size, 2);
	assert_string_equal(t->visitor, PEER);
	assert_string_equal(t->tunnel->name, "web (http)");

	/* The end of one is the end of the other. */
	stream_close(p->near, false);
	p->near = NULL;
	hear(p, p->local, SIZE_MAX);
	assert_int_equal(p->rc, STREAM_EOF);
	stream_close(p->local, false);
	p->local = NULL;
	p->watch = (struct model_watch){.fn = on_model, .arg = p};
	model_watch(p->model, &p->watch);
	while (p->model->counters.open)
		loop_run(p->loop);
	assert_int_equal(p->model->counters.bytes_in, 27);
	assert_int_equal(p->model->counters.bytes_out, 40);
	assert_false(visits_serve(p->visits, p->tunnel));
}

/* As a session calls that knows the tunnel of each stream. */
static void comes_for_a_known_tunnel(void **state)
{
	struct play *p = *state;

	tunnel_up(p, PROTO_HTTP);
	come(p, &p->model->tunnels[0], NULL);
	talk(p);
}

static void is_for_no_tunnel(void **state)
{
	struct play *p = *state;

	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL "/");
	hear(p, p->near, SIZE_MAX);
	assert_true(p->rc == STREAM_EOF || p->rc == STREAM_ABORT);
	assert_int_equal(p->model->counters.connections, 0);
}

/* The StartProxy was faster than the NewTunnel. */
static void overtakes_its_tunnel(void **state)
{
	struct play *p = *state;

	p->model->tunnels_owed = 2;
	come(p, NULL, URL);
	/* Another one comes up first. */
	tunnel_up(p, PROTO_TCP);
	assert_false(visits_serve(p->visits, p->tunnel));
	tunnel_up(p, PROTO_HTTP);
	assert_true(visits_serve(p->visits, p->tunnel));
	talk(p);
}

static void waits_in_vain(void **state)
{
	struct play *p = *state;
	bool late;

	/* Until it is too late, or until there is no hope. */
	for (int i = 0; i < 2; i++) {
		late = i == 0;
		p->model->tunnels_owed = 1;
		come(p, NULL, URL);
		if (!late)
			visits_drop_parked(p->visits, "the control connection is gone");
		hear(p, p->near, SIZE_MAX);
		assert_true(p->rc == STREAM_EOF || p->rc == STREAM_ABORT);
		stream_close(p->near, true);
		p->near = NULL;
		/* It is forgotten, too. */
		tunnel_up(p, PROTO_HTTP);
		assert_false(visits_serve(p->visits, p->tunnel));
		model_drop_tunnels(p->model, p->tunnel);
	}
}

/* A HEAD gets only the page's head, however it comes in. */
static void gets_a_page(void **state)
{
	static const struct {
		const char *first, *second; /* NULL: the visitor ends; "": it says nothing more */
		bool whole;
	} asked[] = {
		{"POST / HTTP/1.1\r\nHost: x\r\n\r\n", "", true},
		{"\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "", false},
		{"HE", "AD / HTTP/1.1\r\n", false},
		{"HE", "ADER / HTTP/1.1\r\n", true},
		{"\x16\x03\x01", "", true},
		{"HEAD", NULL, true},
		{"HEAD", "", true},
	};
	struct play *p = *state;
	struct text page = {0};

	p->watch = (struct model_watch){.fn = on_model, .arg = p};
	model_watch(p->model, &p->watch);
	no_service(p);
	tunnel_up(p, PROTO_HTTP);
	page_unavailable(&page, URL, p->tunnel->local[PROTO_HTTP].text);
	size_t head = (size_t)(strstr(page.p, "\r\n\r\n") - page.p) + 4;

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		come(p, NULL, URL);
		say(p->near, asked[i].first);
		p->model->counters.refused = 0;
		while (!p->model->counters.refused)
			loop_run(p->loop);
		one_turn(p);
		one_turn(p);
		if (!asked[i].second)
			assert_int_equal(stream_finish(p->near), STREAM_OK);
		else if (*asked[i].second)
			say(p->near, asked[i].second);
		hear(p, p->near, SIZE_MAX);
		assert_int_equal(p->rc, STREAM_EOF);
		assert_int_equal(p->len, asked[i].whole ? page.len : head);
		assert_memory_equal(p->said, page.p, p->len);
		stream_close(p->near, false);
		p->near = NULL;
		assert_int_equal(p->model->counters.connections, 0);
	}
	text_free(&page);
}

/* There is nothing to say to a visitor of a tcp tunnel. */
static void is_cut(void **state)
{
	struct play *p = *state;

	no_service(p);
	tunnel_up(p, PROTO_TCP);
	come(p, NULL, "tcp://x.me:1");
	hear(p, p->near, SIZE_MAX);
	assert_int_equal(p->len, 0);
	assert_true(p->rc == STREAM_EOF || p->rc == STREAM_ABORT);
	assert_int_equal(p->model->counters.refused, 1);
}

static void is_not_captured(void **state)
{
	struct play *p = *state;

	p->tunnel->inspect = false;
	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL);
	talk(p);
	assert_null(capture_newest(p->capture));
}

/* The tunnel leads to host, at the inspector's port. */
static void tunnel_to_inspector(struct play *p, const char *host)
{
	struct listener_fds fds;
	char text[ADDR_TEXT];
	struct addr at;
	struct err err;

	listener_close(p->listener);
	visits_close(p->visits, "the test has others");
	snprintf(text, sizeof(text), "%s:0", host);
	assert_true(listener_bind(text, &fds, &err));
	at = listener_addr(&fds);
	p->listener = listener_start(p->loop, &fds, on_local, p);
	p->tunnel = config_add_tunnel(p->config, "inspector");
	assert_true(config_set_protos(p->tunnel, "http", addr_text(&at, text), "inspector", &err));
	p->visits = visits_new(p->loop, &(struct visits_conf){.model = p->model,
							      .capture = p->capture,
							      .inspect_port = addr_get_port(&at)});
	tunnel_up(p, PROTO_HTTP);
}

/* What it shows is not captured, and it can ask whether a visitor has come by a tunnel. */
static void leads_to_the_inspector(void **state)
{
	struct play *p = *state;
	struct addr other;

	tunnel_to_inspector(p, "127.0.0.1");
	come(p, NULL, URL);
	talk(p);
	assert_null(capture_newest(p->capture));
	assert_true(visits_at_inspector(p->visits, &p->peer));
	assert_true(addr_numeric("127.0.0.1", (uint16_t)(addr_get_port(&p->peer) ^ 1), &other));
	assert_false(visits_at_inspector(p->visits, &other));

	/* As long as it is there. */
	stream_close(p->near, false);
	stream_close(p->local, false);
	p->near = p->local = NULL;
	p->watch = (struct model_watch){.fn = on_model, .arg = p};
	model_watch(p->model, &p->watch);
	while (p->model->counters.open)
		loop_run(p->loop);
	assert_false(visits_at_inspector(p->visits, &p->peer));
}

/* Another machine's service at a port of that number is a service like others. */
static void leads_to_another_machine(void **state)
{
	struct play *p = *state;

	tunnel_to_inspector(p, "127.0.0.2"); /* where 127.0.0.1 comes from elsewhere */
	come(p, NULL, URL);
	talk(p);
	assert_non_null(capture_newest(p->capture));
	assert_false(visits_at_inspector(p->visits, &p->peer));
}

/* Heads are changed one by one, and nothing else, however the bytes come in. */
static void is_edited(void **state)
{
	static const char asked[] =
		"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nHost:\r\n0\r\n\r\n"
		"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nHost: x\r\n"
		"GET /c HTTP/1.1\r\nHost: x\r\nUpgrade: q\r\n\r\n";
	static const char behind[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
#define WHO "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\n\r\n"
	static const char got[] =
		"POST /a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n" WHO
		"5\r\nHost:\r\n0\r\n\r\n"
		"POST /b HTTP/1.1\r\nHost: svc\r\nContent-Length: 9\r\n" WHO "Host: x\r\n"
		"GET /c HTTP/1.1\r\nHost: svc\r\nUpgrade: q\r\n" WHO;
	struct play *p = *state;

	p->tunnel->host_header = strdup("svc");
	p->tunnel->x_forwarded = true;
	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL);
	while (!p->local)
		loop_run(p->loop);
	for (size_t i = 0; asked[i]; i++) {
		say(p->near, (char[]){asked[i], '\0'});
		one_turn(p);
	}
	say(p->near, behind);
	assert_string_equal(hear(p, p->local, sizeof(got) - 1), got);
	/* What is behind an upgrade waits, and passes as it is. */
	say(p->local, "HTTP/1.1 204 N\r\n\r\nHTTP/1.1 204 N\r\n\r\nHTTP/1.1 101 S\r\n\r\n");
	assert_string_equal(hear(p, p->local, sizeof(behind) - 1), behind);
	say(p->near, "Host: x\r\n");
	assert_string_equal(hear(p, p->local, 9), "Host: x\r\n");
	/* What is captured is what the visitor said. */
	const struct capture_txn *t = capture_newest(p->capture);

	assert_non_null(t);
	assert_null(strstr(t->req_head.text, "svc"));
}

/* All at once, with what is no request behind it: it ends there. */
static void is_edited_up_to_a_fault(void **state)
{
	struct play *p = *state;

	p->tunnel->inspect = false;
	p->tunnel->host_header = strdup("rewrite");
	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL);
	while (!p->local)
		loop_run(p->loop);
	say(p->near,
	    "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
	const char *got = hear(p, p->local, 20);

	assert_non_null(strstr(got, p->tunnel->local[PROTO_HTTP].text));
	assert_null(strstr(got, "/b"));
	say(p->local, "HTTP/1.1 204 N\r\n\r\n");
	assert_string_equal(hear(p, p->near, SIZE_MAX), "HTTP/1.1 204 N\r\n\r\n");
	assert_int_equal(p->rc, STREAM_EOF);
}

/* Answers: interim ones as they came, final ones changed, what follows a 101 raw. */
static void has_its_answers_edited(void **state)
{
#define FAKE "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
#define HINTS "HTTP/1.1 103 Early Hints\r\nServer: x\r\n\r\n"
#define SWITCH "HTTP/1.1 101 S\r\nServer: x\r\n\r\n"
	static const char asked[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
				    "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
				    "HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n"
				    "GET /d HTTP/1.1\r\nHost: x\r\nUpgrade: q\r\n\r\n";
	static const char said[] =
		"HTTP/1.1 100 Continue\r\n\r\n"
		"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n"
		"\r\n1e\r\n" FAKE "\r\n0\r\n\r\n" HINTS
		"HTTP/1.1 404 Not\nserver: x\n y\nContent-Length: 30\n\n" FAKE
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-ENV: q\r\n\r\n" SWITCH FAKE;
	static const char got[] =
		"HTTP/1.1 100 Continue\r\n\r\n"
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Env: dev\r\n"
		"\r\n1e\r\n" FAKE "\r\n0\r\n\r\n" HINTS
		"HTTP/1.1 404 Not\nContent-Length: 30\nX-Env: dev\r\n\r\n" FAKE
		"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Env: dev\r\n\r\n" SWITCH FAKE;
	struct play *p = *state;
	struct err err;

	assert_true(http_fields_set(&p->tunnel->response_headers, "X-Env", "dev", false, &err));
	assert_true(http_fields_set(&p->tunnel->response_headers, "Server", NULL, false, &err));
	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL);
	while (!p->local)
		loop_run(p->loop);
	say(p->near, asked);
	/* Requests are not changed. */
	assert_string_equal(hear(p, p->local, sizeof(asked) - 1), asked);
	for (size_t i = 0; said[i]; i++) {
		say(p->local, (char[]){said[i], '\0'});
		one_turn(p);
	}
	assert_string_equal(hear(p, p->near, sizeof(got) - 1), got);
	/* What is captured is what the service said. */
	const struct capture_txn *t = capture_newest(p->capture);

	assert_non_null(t);
	assert_null(strstr(t->resp_head.text, "X-Env"));
}

static void is_told_first(void **state)
{
	struct play *p = *state;
	char line[128];

	p->tunnel->local[PROTO_TCP].proxy_proto = 1;
	tunnel_up(p, PROTO_TCP);
	come(p, NULL, "tcp://x.me:1");
	while (!p->local)
		loop_run(p->loop);
	struct addr at = addr_of_local(stream_fd(p->local));

	snprintf(line, sizeof(line), "PROXY TCP4 203.0.113.9 127.0.0.1 40112 %u\r\nhello",
		 addr_get_port(&at));
	say(p->near, "hello");
	assert_string_equal(hear(p, p->local, strlen(line)), line);
}

/* All of them end with the client, in whatever state. */
static void ends_with_the_client(void **state)
{
	struct play *p = *state;
	struct stream *near[3];

	p->model->tunnels_owed = 1;
	come(p, NULL, URL "x"); /* parked */
	near[0] = p->near;
	tunnel_up(p, PROTO_HTTP);
	come(p, NULL, URL); /* joined */
	near[1] = p->near;
	while (!p->local)
		loop_run(p->loop);
	come(p, NULL, URL); /* dialling */
	near[2] = p->near;
	visits_close(p->visits, "the client ends");
	p->visits = NULL;
	for (int i = 0; i < 3; i++) {
		hear(p, near[i], SIZE_MAX);
		assert_true(p->rc == STREAM_EOF || p->rc == STREAM_ABORT);
		stream_close(near[i], true);
	}
	p->near = NULL;
	assert_int_equal(p->model->counters.open, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_joined, begin, end),
		cmocka_unit_test_setup_teardown(comes_for_a_known_tunnel, begin, end),
		cmocka_unit_test_setup_teardown(is_for_no_tunnel, begin, end),
		cmocka_unit_test_setup_teardown(overtakes_its_tunnel, begin, end),
		cmocka_unit_test_setup_teardown(waits_in_vain, begin, end),
		cmocka_unit_test_setup_teardown(gets_a_page, begin, end),
		cmocka_unit_test_setup_teardown(is_cut, begin, end),
		cmocka_unit_test_setup_teardown(is_not_captured, begin, end),
		cmocka_unit_test_setup_teardown(leads_to_the_inspector, begin, end),
		cmocka_unit_test_setup_teardown(leads_to_another_machine, begin, end),
		cmocka_unit_test_setup_teardown(is_edited, begin, end),
		cmocka_unit_test_setup_teardown(is_edited_up_to_a_fault, begin, end),
		cmocka_unit_test_setup_teardown(has_its_answers_edited, begin, end),
		cmocka_unit_test_setup_teardown(is_told_first, begin, end),
		cmocka_unit_test_setup_teardown(ends_with_the_client, begin, end),
	};

	setenv("PGROK_TIME_SCALE", "0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
