/* httpd over real loopback sockets: requests, answers, and clients that behave badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>

#include "assets/assets.h"
#include "test/unit/common/httpd_far.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HOST "Host: localhost\r\n"
#define BIG_PIECE 10000
#define BIG_PIECES 3000

static struct server server;
static struct httpd_req *ticking;
static atomic_int produced, done_ok, done_cut;
static int ticks, big_at;

/* ---- what is served ---- */

static void on_hello(void *arg, struct httpd_req *r)
{
	httpd_text(r, 200, "hello");
}

static void on_echo(void *arg, struct httpd_req *r)
{
	size_t len;
	const char *body = httpd_body(r, &len);

	httpd_answer(r, 200, "application/octet-stream", body, len);
}

/* Never answers. */
static void on_late(void *arg, struct httpd_req *r)
{
}

static void on_done(void *arg, bool complete)
{
	ticking = NULL;
	if (complete)
		done_ok++;
	else
		done_cut++;
}

static enum httpd_more produce_big(void *arg, struct httpd_req *r)
{
	static char piece[BIG_PIECE];

	memset(piece, 'a' + big_at % 26, sizeof(piece));
	httpd_write(r, piece, sizeof(piece));
	produced++;
	return ++big_at < BIG_PIECES ? HTTPD_MORE : HTTPD_END;
}

static enum httpd_more produce_tick(void *arg, struct httpd_req *r)
{
	char text[32];

	if (!ticks)
		return HTTPD_WAIT;
	snprintf(text, sizeof(text), "data: %d\n\n", ticks);
	httpd_write(r, text, strlen(text));
	return ticks == 3 ? HTTPD_END : HTTPD_WAIT;
}

static enum httpd_more produce_half(void *arg, struct httpd_req *r)
{
	if (produced++)
		return HTTPD_FAIL;
	httpd_write(r, "half", 4);
	return HTTPD_MORE;
}

static const struct httpd_producer big = {produce_big, on_done};
static const struct httpd_producer tick = {produce_tick, on_done};
static const struct httpd_producer half = {produce_half, on_done};

static void on_big(void *arg, struct httpd_req *r)
{
	big_at = 0;
	httpd_stream(r, 200, "text/plain", &big, NULL);
}

static void on_ticks(void *arg, struct httpd_req *r)
{
	ticks = 0;
	ticking = r;
	httpd_stream(r, 200, "text/event-stream", &tick, NULL);
}

static void on_poke(void *arg, struct httpd_req *r)
{
	ticks++;
	if (ticking)
		httpd_resume(ticking);
	httpd_text(r, 200, ticking ? "poked" : "nobody listens");
}

static void on_half(void *arg, struct httpd_req *r)
{
	httpd_stream(r, 200, "text/plain", &half, NULL);
}

static void on_any(void *arg, struct httpd_req *r)
{
	const char *q = query_get(httpd_query(r), "q");

	httpd_text(r, 200, "%s|%s|%s", httpd_path(r), httpd_rest(r), q ? q : "-");
}

static void on_form(void *arg, struct httpd_req *r)
{
	struct query q;
	bool ok = httpd_form(r, &q);

	httpd_text(r, ok ? 200 : 400, "%s", ok && q.n ? query_get(&q, "txnid") : "none");
	query_free(&q);
}

static void on_cached(void *arg, struct httpd_req *r)
{
	const struct asset *a = asset_find(&inspect_assets, "inspect/index.html");

	httpd_cached(r, a->mime, a->etag, a->bytes, a->len);
}

static void on_away(void *arg, struct httpd_req *r)
{
	httpd_redirect(r, "/http/in?a=1&b='2'");
}

static void on_split(void *arg, struct httpd_req *r)
{
	httpd_header(r, "X-Evil", "a\r\nSet-Cookie: b");
	httpd_answer(r, 204, NULL, "x", 1);
}

static void on_close(void *arg, struct httpd_req *r)
{
	httpd_close(server.h);
	server.h = NULL;
}

static const struct httpd_route routes[] = {
	{"GET", "/hello", on_hello},
	{"POST", "/echo", on_echo},
	{"GET", "/late", on_late},
	{"POST", "/late", on_late},
	{"GET", "/big", on_big},
	{"GET", "/ticks", on_ticks},
	{"GET", "/poke", on_poke},
	{"GET", "/half", on_half},
	{"GET", "/any/*", on_any},
	{"DELETE", "/any/*", on_any},
	{"GET", "/any/exact", on_hello},
	{"POST", "/form", on_form},
	{"GET", "/cached", on_cached},
	{"GET", "/away", on_away},
	{"GET", "/split", on_split},
	{"GET", "/close", on_close},
	{NULL, NULL, NULL},
};

static bool guard_hook(void *arg, struct httpd_req *r)
{
	if (strcmp(httpd_path(r), "/any/forbidden") != 0)
		return true;
	httpd_text(r, 403, "hook");
	return false;
}

static int setup(void **state)
{
	struct httpd_config conf = {.name = "web", .routes = routes, .guard = guard_hook};

	produced = done_ok = done_cut = 0;
	server_start(&server, &conf);
	server_run(&server);
	return 0;
}

static int teardown(void **state)
{
	server_stop(&server);
	return 0;
}

/* ---- requests and routes ---- */

static void test_routes(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *body, *in_head;
	} rows[] = {
		{"GET /hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello", "Content-Length: 5\r\n"},
		{"GET /hello?x=1 HTTP/1.1\r\n" HOST "\r\n", 200, "hello",
		 "Content-Type: text/plain"},
		{"GET http://localhost/hello HTTP/1.1\r\n" HOST "\r\n", 200, "hello", ""},
		{"HEAD /hello HTTP/1.1\r\n" HOST "\r\n", 200, "", "Content-Length: 5\r\n"},
		{"\r\nGET /hello HTTP/1.2\r\n" HOST "\r\n", 200, "hello", ""},
		{"GET /hell%6F HTTP/1.1\r\n" HOST "\r\n", 200, "hello", ""},
		{"GET /hell%6 HTTP/1.1\r\n" HOST "\r\n", 400, "bad target.\n", "Connection: close"},
		{"GET /hello%00 HTTP/1.1\r\n" HOST "\r\n", 400, "bad target.\n", ""},
		{"GET /hello?a=%00 HTTP/1.1\r\n" HOST "\r\n", 400, "bad target.\n", ""},
		{"GET /none HTTP/1.1\r\n" HOST "\r\n", 404, "404 page not found\n", ""},
		{"GET / HTTP/1.1\r\n" HOST "\r\n", 404, "404 page not found\n", ""},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 404, "404 page not found\n", ""},
		{"POST /hello HTTP/1.1\r\n" HOST "\r\n", 405, "Method Not Allowed\n",
		 "Allow: GET, HEAD\r\n"},
		{"PUT /late HTTP/1.1\r\n" HOST "\r\n", 405, "Method Not Allowed\n",
		 "Allow: GET, HEAD, POST\r\n"},
		{"GET /any/a%20b/c?q=%41+b HTTP/1.1\r\n" HOST "\r\n", 200, "/any/a b/c|a b/c|A b",
		 ""},
		{"DELETE /any/ HTTP/1.1\r\n" HOST "\r\n", 200, "/any/||-", ""},
		{"PATCH /any/x HTTP/1.1\r\n" HOST "\r\n", 405, "Method Not Allowed\n",
		 "Allow: GET, HEAD, DELETE\r\n"},
		{"GET /any/exact HTTP/1.1\r\n" HOST "\r\n", 200, "hello", ""},
		{"DELETE /any/exact HTTP/1.1\r\n" HOST "\r\n", 405, "Method Not Allowed\n", ""},
		{"GET /any/forbidden HTTP/1.1\r\n" HOST "\r\n", 403, "hook", ""},
		{"GET /away HTTP/1.1\r\n" HOST "\r\n", 302,
		 "<a href=\"/http/in?a=1&#38;b=&#39;2&#39;\">Found</a>.\n\n",
		 "Location: /http/in?a=1&b='2'\r\n"},
		{"GET /split HTTP/1.1\r\n" HOST "\r\n", 204, "", "X-Evil: a  Set-Cookie: b\r\n"},
		{"POST /form HTTP/1.1\r\n" HOST
		 "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"
		 "Content-Length: 12\r\n\r\na=1&txnid=%3",
		 200, "%3", ""},
		{"POST /form HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
		 "Content-Length: 12\r\n\r\na=1&txnid=%3",
		 400, "none", ""},
		{"GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 200, "hello",
		 "Connection: close\r\n"},
		{"GET /hello HTTP/1.0\r\n" HOST "\r\n", 200, "hello", "Connection: close\r\n"},
		{"GET /hello HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n", 200, "hello",
		 "Connection: keep-alive\r\n"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct answer a = ask(server.port, rows[i].request);

		if (a.status != rows[i].status || strcmp(a.body, rows[i].body) != 0 ||
		    !strstr(a.head, rows[i].in_head))
			fail_msg("%s\n-> %s%s", rows[i].request, a.head, a.body);
	}
}

/* All answers have the head of an app (answer_head_test). */
static void test_standard_lines(void **state)
{
	static const char *const requests[] = {
		"GET /hello HTTP/1.1\r\n" HOST "\r\n",
		"GET /none HTTP/1.1\r\n" HOST "\r\n",
		"GET /big HTTP/1.1\r\n" HOST "\r\n",
		"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"nonsense\r\n\r\n",
	};

	for (size_t i = 0; i < COUNT(requests); i++) {
		struct answer a = ask(server.port, requests[i]);

		if (!strstr(a.head, "\r\nContent-Security-Policy: default-src 'none'; ") ||
		    !strstr(a.head, "; script-src 'self'; ") ||
		    !strstr(a.head, "\r\nCache-Control: no-store\r\n"))
			fail_msg("%s", a.head);
	}
}

static void test_cached(void **state)
{
	const struct asset *a = asset_find(&inspect_assets, "inspect/index.html");
	char request[256];
	char head[4096], *body;
	int fd = far_dial(server.port);
	struct answer second;

	far_say(fd, "GET /cached HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof(head));
	assert_int_equal(far_status(head), 200);
	assert_non_null(strstr(head, "\r\nCache-Control: no-cache\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
	body = xmalloc(a->len);
	assert_true(far_get(fd, body, a->len));
	assert_memory_equal(body, a->bytes, a->len);
	free(body);
	snprintf(request, sizeof(request),
		 "GET /cached HTTP/1.1\r\n" HOST "If-None-Match: \"x\", %s\r\n\r\n", a->etag);
	far_say(fd, request);
	second = get_answer(fd, false);
	assert_int_equal(second.status, 304);
	assert_null(strstr(second.head, "Content-Length"));
	assert_non_null(strstr(second.head, a->etag));
	far_say(fd, "GET /cached HTTP/1.1\r\n" HOST "If-None-Match: \"other\"\r\n\r\n");
	far_head(fd, head, sizeof(head));
	assert_int_equal(far_status(head), 200);
	close(fd);
}

static void test_keep_alive_and_pipeline(void **state)
{
	int fd = far_dial(server.port);
	size_t len;
	ssize_t end;
	char *all;

	for (int i = 0; i < 100; i++) {
		far_say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		assert_string_equal(get_answer(fd, false).body, "hello");
	}
	/* One segment: bodies of both kinds in between, and the last ends it. */
	far_say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n"
		    "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		    "2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: 1\r\n\r\n"
		    "HEAD /hello HTTP/1.1\r\n" HOST "\r\n"
		    "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(get_answer(fd, false).body, "abc");
	assert_string_equal(get_answer(fd, false).body, "hello");
	assert_string_equal(get_answer(fd, false).body, "def");
	assert_int_equal(get_answer(fd, true).status, 200);
	assert_string_equal(get_answer(fd, false).body, "hello");
	all = far_rest(fd, &len, &end);
	assert_int_equal(len, 0);
	assert_int_equal(end, 0);
	free(all);
	close(fd);
}

/* More at once than one turn of the loop takes. */
static void test_many_pipelined(void **state)
{
	static const char one[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
	int fd = far_dial(server.port);

	for (int i = 0; i < 500; i++)
		far_say(fd, one);
	for (int i = 0; i < 500; i++)
		assert_string_equal(get_answer(fd, false).body, "hello");
	close(fd);
}

static void test_byte_by_byte(void **state)
{
	static const char request[] = "POST /echo HTTP/1.1\r\n" HOST
				      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
	int fd = far_dial(server.port);

	for (const char *p = request; *p; p++)
		assert_true(far_send(fd, p, 1));
	assert_string_equal(get_answer(fd, false).body, "abc");
	close(fd);
}

static void test_body_limits(void **state)
{
	size_t sizes[] = {HTTPD_BODY_MAX, HTTPD_BODY_MAX + 1, 3 * HTTPD_BODY_MAX};
	char *body = xmalloc(3 * HTTPD_BODY_MAX), head[4096];

	memset(body, 'x', 3 * HTTPD_BODY_MAX);
	for (int chunked = 0; chunked < 2; chunked++)
		for (size_t i = 0; i < COUNT(sizes); i++) {
			int fd = far_dial(server.port), status;
			char *back = xmalloc(sizes[i]);

			if (chunked)
				snprintf(head, sizeof(head),
					 "POST /echo HTTP/1.1\r\n" HOST
					 "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
					 sizes[i]);
			else
				snprintf(head, sizeof(head),
					 "POST /echo HTTP/1.1\r\n" HOST
					 "Content-Length: %zu\r\n\r\n",
					 sizes[i]);
			far_say(fd, head);
			/* The refusal has to reach even who sends all of it first. */
			assert_true(far_send(fd, body, sizes[i]));
			if (chunked)
				far_say(fd, "\r\n0\r\n\r\n");
			far_head(fd, head, sizeof(head));
			status = far_status(head);
			assert_int_equal(status, sizes[i] > HTTPD_BODY_MAX ? 413 : 200);
			if (status == 200) {
				assert_true(far_get(fd, back, sizes[i]));
				assert_memory_equal(back, body, sizes[i]);
			} else {
				assert_non_null(strstr(head, "Connection: close"));
			}
			free(back);
			close(fd);
		}
	free(body);
}

/* A body in chunks whose lines are longer than what they hold: twice the limit, all in all. */
static void test_framing_limit(void **state)
{
	char chunk[8 << 10];
	size_t room = 2 * HTTPD_BODY_MAX / sizeof(chunk);

	memset(chunk, 'a', sizeof(chunk));
	memcpy(chunk, "1;", 2);
	memcpy(chunk + sizeof(chunk) - 5, "\r\nx\r\n", 5);
	for (int many = 0; many < 2; many++) {
		size_t n = many ? room + 2 : room - 2;
		int fd = far_dial(server.port);

		far_say(fd, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
		for (size_t i = 0; i < n; i++)
			assert_true(far_send(fd, chunk, sizeof(chunk)));
		far_say(fd, "0\r\n\r\n");
		assert_int_equal(get_answer(fd, false).status, many ? 413 : 200);
		close(fd);
	}
}

static void test_expect(void **state)
{
	int fd = far_dial(server.port);
	char head[4096];

	far_say(fd,
		"POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	far_head(fd, head, sizeof(head));
	assert_string_equal(head, "HTTP/1.1 100 Continue\r\n\r\n");
	far_say(fd, "ok");
	assert_string_equal(get_answer(fd, false).body, "ok");
	/* Not asked for a body that will not be read. */
	far_say(fd,
		"POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(get_answer(fd, false).status, 404);
	assert_ended(fd);
	fd = far_dial(server.port);
	snprintf(head, sizeof(head),
		 "POST /echo HTTP/1.1\r\n" HOST
		 "Expect: 100-continue\r\nContent-Length: %u\r\n\r\n",
		 HTTPD_BODY_MAX + 1);
	far_say(fd, head);
	assert_int_equal(get_answer(fd, false).status, 413);
	assert_ended(fd);
}

static void test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"\n",
		"GET /hello\r\n\r\n",
		"GET /hello HTTP/2.0\r\n",
		"GET /hello HTTP/1.1\r\n\r\n",
		"GET /hello HTTP/1.1\r\n" HOST HOST "\r\n",
		"GET /hello HTTP/1.1\r\n" HOST " folded\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" HOST
		"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n",
		"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\nx",
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		int fd = far_dial(server.port);
		struct answer a;

		far_say(fd, bad[i]);
		a = get_answer(fd, false);
		if (a.status != (strstr(bad[i], "HTTP/2") ? 505 : 400) ||
		    !strstr(a.head, "Connection: close"))
			fail_msg("%s -> %s", bad[i], a.head);
		assert_ended(fd);
	}
}

static void test_huge_head(void **state)
{
	int fd = far_dial(server.port);
	char line[1024];

	memset(line, 'x', sizeof(line));
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	far_say(fd, "GET /hello HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 70; i++)
		assert_true(far_send(fd, line, sizeof(line)));
	assert_int_equal(get_answer(fd, false).status, 431);
	assert_ended(fd);
}

/* ---- piece by piece ---- */

/* Takes the chunks of a /big answer; false: it ended too early. */
static bool read_big(int fd, bool chunked)
{
	char line[16], *piece = xmalloc(BIG_PIECE + 2);
	bool ok = true;

	for (int i = 0; ok && i < BIG_PIECES; i++) {
		if (chunked)
			ok = far_get(fd, line, 6) && memcmp(line, "2710\r\n", 6) == 0;
		ok = ok && far_get(fd, piece, BIG_PIECE + (chunked ? 2 : 0));
		for (int k = 0; ok && k < BIG_PIECE; k++)
			ok = piece[k] == 'a' + i % 26;
	}
	if (ok && chunked)
		ok = far_get(fd, line, 5) && memcmp(line, "0\r\n\r\n", 5) == 0;
	free(piece);
	return ok;
}

static void test_big(void **state)
{
	int fd = far_dial(server.port);
	char head[4096];

	far_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	assert_null(strstr(head, "Content-Length"));
	assert_true(read_big(fd, true));
	assert_string_equal(get_answer(fd, false).body, "hello");
	assert_int_equal(done_ok, 1);
	assert_int_equal(done_cut, 0);
	close(fd);
}

static void test_big_for_http10_and_head(void **state)
{
	int fd = far_dial(server.port);
	char head[4096];

	far_say(fd, "GET /big HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n");
	far_head(fd, head, sizeof(head));
	assert_null(strstr(head, "Transfer-Encoding"));
	assert_non_null(strstr(head, "Connection: close"));
	assert_true(read_big(fd, false));
	assert_ended(fd);
	assert_int_equal(produced, BIG_PIECES);

	fd = far_dial(server.port);
	far_say(fd, "HEAD /big HTTP/1.1\r\n" HOST "\r\n"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	assert_string_equal(get_answer(fd, false).body, "hello");
	assert_int_equal(produced, BIG_PIECES);
	assert_int_equal(done_ok, 2);
	close(fd);
}

/* A client that does not read: the producer is not asked for more, nobody else waits. */
static void test_back_pressure(void **state)
{
	int fd = far_dial(server.port), small = 1 << 16, before = -1;
	char head[4096];

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	far_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	while (before != produced) {
		before = produced;
		usleep(100000);
	}
	assert_true(produced > 0 && produced < BIG_PIECES / 2);
	assert_string_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
	far_head(fd, head, sizeof(head));
	assert_true(read_big(fd, true));
	await(&done_ok, 1);
	close(fd);
}

static void test_never_reads(void **state)
{
	int fd = far_dial(server.port);

	far_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	await(&done_cut, 1); /* after HTTPD_IDLE_MS */
	assert_int_equal(done_ok, 0);
	assert_true(produced < BIG_PIECES);
	close(fd);
}

static void test_events(void **state)
{
	int fd = far_dial(server.port);
	char head[4096], piece[32];

	far_say(fd, "GET /ticks HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof(head));
	for (int i = 1; i <= 3; i++) {
		char want[32];

		snprintf(want, sizeof(want), "9\r\ndata: %d\n\n\r\n", i);
		assert_string_equal(ask(server.port, "GET /poke HTTP/1.1\r\n" HOST "\r\n").body,
				    "poked");
		assert_true(far_get(fd, piece, strlen(want)));
		assert_memory_equal(piece, want, strlen(want));
	}
	assert_true(far_get(fd, piece, 5));
	assert_memory_equal(piece, "0\r\n\r\n", 5);
	await(&done_ok, 1);
	/* And a listener that goes. */
	far_say(fd, "GET /ticks HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof(head));
	close(fd);
	await(&done_cut, 1);
	assert_string_equal(ask(server.port, "GET /poke HTTP/1.1\r\n" HOST "\r\n").body,
			    "nobody listens");
}

static void test_cut(void **state)
{
	int fd = far_dial(server.port);
	size_t len;
	ssize_t end;
	char *all;

	far_say(fd, "GET /half HTTP/1.1\r\n" HOST "\r\n");
	all = far_rest(fd, &len, &end);
	assert_null(strstr(all, "0\r\n\r\n"));
	free(all);
	await(&done_cut, 1);
	close(fd);
}

/* ---- the end ---- */

static void test_close(void **state)
{
	int waits = far_dial(server.port), sse = far_dial(server.port),
	    idle = far_dial(server.port);
	int fd = far_dial(server.port);
	char head[4096];

	far_say(waits, "GET /late HTTP/1.1\r\n" HOST "\r\n");
	far_say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	get_answer(idle, false);
	far_say(sse, "GET /ticks HTTP/1.1\r\n" HOST "\r\n");
	far_head(sse, head, sizeof(head));
	far_say(fd, "GET /close HTTP/1.1\r\n" HOST "\r\n"); /* from inside a handler */
	await(&done_cut, 1);
	assert_ended(idle);
	assert_ended(waits);
	assert_ended(fd);
	close(sse);
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int all_with(enum stream_engine engine)
{
	const struct CMUnitTest tests[] = {SERVED(test_routes),
					   SERVED(test_standard_lines),
					   SERVED(test_cached),
					   SERVED(test_keep_alive_and_pipeline),
					   SERVED(test_many_pipelined),
					   SERVED(test_byte_by_byte),
					   SERVED(test_body_limits),
					   SERVED(test_framing_limit),
					   SERVED(test_expect),
					   SERVED(test_bad_requests),
					   SERVED(test_huge_head),
					   SERVED(test_big),
					   SERVED(test_big_for_http10_and_head),
					   SERVED(test_back_pressure),
					   SERVED(test_never_reads),
					   SERVED(test_events),
					   SERVED(test_cut),
					   SERVED(test_close)};

	stream_set_engine(engine);
	return cmocka_run_group_tests_name(engine == ENGINE_DIRECT ? "direct" : "bufferevent",
					   tests, NULL, NULL);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", "0.03", 0);
	return all_with(ENGINE_DIRECT) + all_with(ENGINE_BUFFEREVENT);
}
