/* httpd over real loopback sockets: requests, answers, the guard, and clients that behave badly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>

#include "assets/assets.h"
#include "common/httpd_conn.h"
#include "httpd_far.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HOST "Host: localhost\r\n"
#define BIG_PIECE 10000
#define BIG_PIECES 3000

static struct server server;
static uint64_t late_id;
static struct httpd_req *ticking;
static atomic_int gone, produced, done_ok, done_cut;
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

static void on_gone(void *arg)
{
	gone++;
}

static void on_late(void *arg, struct httpd_req *r)
{
	late_id = httpd_id(r);
	httpd_on_gone(r, on_gone, NULL);
}

static void on_release(void *arg, struct httpd_req *r)
{
	struct httpd_req *late = httpd_find(server.h, late_id);

	if (late)
		httpd_text(late, 200, "late");
	httpd_text(r, 200, late ? "released" : "nobody waits");
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

	memset(piece, 'a' + big_at % 26, sizeof piece);
	httpd_write(r, piece, sizeof piece);
	produced++;
	return ++big_at < BIG_PIECES ? HTTPD_MORE : HTTPD_END;
}

static enum httpd_more produce_tick(void *arg, struct httpd_req *r)
{
	char text[32];

	if (!ticks)
		return HTTPD_WAIT;
	snprintf(text, sizeof text, "data: %d\n\n", ticks);
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

	httpd_text(r, 200, "%s|%s|%s|%s", httpd_method(r), httpd_path(r), httpd_rest(r),
		   q ? q : "-");
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
	const struct asset *a = asset_find("inspect/index.html");

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
	{"GET", "/hello", on_hello},     {"POST", "/echo", on_echo},
	{"GET", "/late", on_late},       {"POST", "/late", on_late},
	{"GET", "/release", on_release}, {"GET", "/big", on_big},
	{"GET", "/ticks", on_ticks},     {"GET", "/poke", on_poke},
	{"GET", "/half", on_half},       {"GET", "/any/*", on_any},
	{"DELETE", "/any/*", on_any},    {"GET", "/any/exact", on_hello},
	{"POST", "/form", on_form},      {"GET", "/cached", on_cached},
	{"GET", "/away", on_away},       {"GET", "/split", on_split},
	{"GET", "/close", on_close},     {NULL, NULL, NULL},
};

static bool guard_hook(void *arg, struct httpd_req *r)
{
	if (strcmp(httpd_path(r), "/any/forbidden") != 0)
		return true;
	httpd_text(r, 403, "hook");
	return false;
}

static void start_with(const char *token, bool local)
{
	struct httpd_config conf = {
		.name = "web",
		.routes = routes,
		.guard = guard_hook,
		.token = token,
		.token_local = local,
	};

	gone = produced = done_ok = done_cut = 0;
	server_start(&server, &conf);
	server_run(&server);
}

static int setup(void **state)
{
	start_with(NULL, false);
	return 0;
}

static int teardown(void **state)
{
	server_stop(&server);
	return 0;
}

/* ---- asking ---- */

struct answer {
	int status;
	char head[4096];
	char body[4096];
};

/* An answer with a length; only its head if `head_only`. */
static struct answer get_answer(int fd, bool head_only)
{
	struct answer a = {0};
	const char *at;
	size_t len = 0;

	far_head(fd, a.head, sizeof a.head);
	a.status = far_status(a.head);
	if ((at = strstr(a.head, "Content-Length: ")))
		len = strtoul(at + 16, NULL, 10);
	assert_true(len < sizeof a.body);
	if (!head_only)
		assert_true(far_get(fd, a.body, len));
	return a;
}

/* One request on a connection of its own. */
static struct answer ask(const char *request)
{
	int fd = far_dial(server.port);
	struct answer a;

	far_say(fd, request);
	a = get_answer(fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return a;
}

static void assert_ended(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

/* What another thread counts reaches n in time. */
static void await(atomic_int *counter, int n)
{
	for (int i = 0; i < 2000 && *counter < n; i++)
		usleep(5000);
	assert_int_equal(*counter, n);
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
		{"GET /any/a%20b/c?q=%41+b HTTP/1.1\r\n" HOST "\r\n", 200,
		 "GET|/any/a b/c|a b/c|A b", ""},
		{"DELETE /any/ HTTP/1.1\r\n" HOST "\r\n", 200, "DELETE|/any/||-", ""},
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
		struct answer a = ask(rows[i].request);

		if (a.status != rows[i].status || strcmp(a.body, rows[i].body) != 0 ||
		    !strstr(a.head, rows[i].in_head))
			fail_msg("%s\n-> %s%s", rows[i].request, a.head, a.body);
	}
}

static void test_standard_lines(void **state)
{
	static const char *const requests[] = {
		"GET /hello HTTP/1.1\r\n" HOST "\r\n",
		"GET /none HTTP/1.1\r\n" HOST "\r\n",
		"GET /big HTTP/1.1\r\n" HOST "\r\n",
		"GET /hello HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"nonsense\r\n\r\n",
	};
	static const char *const lines[] = {
		"\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; "
		"style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
		"\r\nX-Content-Type-Options: nosniff\r\n",
		"\r\nReferrer-Policy: no-referrer\r\n",
		"\r\nCache-Control: no-store\r\n",
		"\r\nDate: ",
	};

	for (size_t i = 0; i < COUNT(requests); i++) {
		struct answer a = ask(requests[i]);

		for (size_t k = 0; k < COUNT(lines); k++)
			if (!strstr(a.head, lines[k]))
				fail_msg("%s not in %s", lines[k], a.head);
	}
}

static void test_cached(void **state)
{
	const struct asset *a = asset_find("inspect/index.html");
	char request[256];
	char head[4096], *body;
	int fd = far_dial(server.port);
	struct answer second;

	far_say(fd, "GET /cached HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof head);
	assert_int_equal(far_status(head), 200);
	assert_non_null(strstr(head, "\r\nCache-Control: no-cache\r\n"));
	assert_non_null(strstr(head, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
	body = xmalloc(a->len);
	assert_true(far_get(fd, body, a->len));
	assert_memory_equal(body, a->bytes, a->len);
	free(body);
	snprintf(request, sizeof request,
		 "GET /cached HTTP/1.1\r\n" HOST "If-None-Match: \"x\", %s\r\n\r\n", a->etag);
	far_say(fd, request);
	second = get_answer(fd, false);
	assert_int_equal(second.status, 304);
	assert_null(strstr(second.head, "Content-Length"));
	assert_non_null(strstr(second.head, a->etag));
	far_say(fd, "GET /cached HTTP/1.1\r\n" HOST "If-None-Match: \"other\"\r\n\r\n");
	far_head(fd, head, sizeof head);
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
				snprintf(head, sizeof head,
					 "POST /echo HTTP/1.1\r\n" HOST
					 "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
					 sizes[i]);
			else
				snprintf(head, sizeof head,
					 "POST /echo HTTP/1.1\r\n" HOST
					 "Content-Length: %zu\r\n\r\n",
					 sizes[i]);
			far_say(fd, head);
			/* The refusal has to reach even who sends all of it first. */
			assert_true(far_send(fd, body, sizes[i]));
			if (chunked)
				far_say(fd, "\r\n0\r\n\r\n");
			far_head(fd, head, sizeof head);
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

static void test_expect(void **state)
{
	int fd = far_dial(server.port);
	char head[4096];

	far_say(fd,
		"POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	far_head(fd, head, sizeof head);
	assert_string_equal(head, "HTTP/1.1 100 Continue\r\n\r\n");
	far_say(fd, "ok");
	assert_string_equal(get_answer(fd, false).body, "ok");
	/* Not asked for a body that will not be read. */
	far_say(fd,
		"POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	assert_int_equal(get_answer(fd, false).status, 404);
	assert_ended(fd);
}

static void test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"\r\n\r\n",
		"GET /hello\r\n\r\n",
		"GET /hello HTTP/2.0\r\n" HOST "\r\n",
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
		if (a.status != 400 || !strstr(a.head, "Connection: close"))
			fail_msg("%s -> %s", bad[i], a.head);
		assert_ended(fd);
	}
}

static void test_huge_head(void **state)
{
	int fd = far_dial(server.port);
	char line[1024];

	memset(line, 'x', sizeof line);
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	far_say(fd, "GET /hello HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 70; i++)
		assert_true(far_send(fd, line, sizeof line));
	assert_int_equal(get_answer(fd, false).status, 400);
	assert_ended(fd);
}

/* ---- the guard ---- */

static void test_guard(void **state)
{
	static const struct {
		const char *method, *lines;
		int status;
	} rows[] = {
		{"GET", "Host: localhost:4040", 200},
		{"GET", "Host: LocalHost.", 200},
		{"GET", "Host: a.localhost", 200},
		{"GET", "Host: 127.0.0.1", 200},
		{"GET", "Host: 127.9.9.9:1", 200},
		{"GET", "Host: [::1]:4040", 200},
		{"GET", "Host: listed.example:8", 200},
		{"GET", "Host: LISTED.example", 200},
		{"GET", "Host: evil.example", 403},
		{"GET", "Host: evil.example:4040", 403},
		{"GET", "Host: localhost.evil.example", 403},
		{"GET", "Host: 127.0.0.1.evil.example", 403},
		{"GET", "Host: notlocalhost", 403},
		{"GET", "Host: .localhost", 403},
		{"GET", "Host: 0.0.0.0", 403},
		{"GET", "Host: 192.0.2.1", 403},
		{"GET", "Host: sub.listed.example", 403},
		{"GET", "Host: removed.example", 403},
		{"GET", "Host: tokenless.example", 401}, /* wants a token, there is none */
		/* GET from anywhere: the answer stays with the browser. */
		{"GET", "Host: localhost\r\nOrigin: http://evil.example", 200},
		{"GET", "Host: localhost\r\nSec-Fetch-Site: cross-site", 200},
		{"DELETE", "Host: localhost", 200},
		{"DELETE", "Host: localhost:4040\r\nOrigin: http://localhost:4040", 200},
		{"DELETE", "Host: localhost\r\nOrigin: http://LOCALHOST", 200},
		{"DELETE", "Host: localhost:80\r\nOrigin: http://localhost", 200},
		{"DELETE", "Host: [::1]:4040\r\nOrigin: http://[::1]:4040", 200},
		{"DELETE", "Host: listed.example\r\nOrigin: https://listed.example", 200},
		{"DELETE", "Host: localhost\r\nSec-Fetch-Site: same-origin", 200},
		{"DELETE", "Host: localhost\r\nOrigin: http://evil.example", 403},
		{"DELETE", "Host: localhost\r\nOrigin: null", 403},
		{"DELETE", "Host: localhost\r\nOrigin: ", 403},
		{"DELETE", "Host: localhost\r\nOrigin: localhost", 403},
		{"DELETE", "Host: localhost\r\nOrigin: file://localhost", 403},
		{"DELETE", "Host: localhost:4040\r\nOrigin: http://localhost:3000", 403},
		{"DELETE", "Host: localhost\r\nOrigin: https://localhost:80.evil.example", 403},
		{"DELETE", "Host: localhost\r\nOrigin: http://127.0.0.1", 403},
		{"DELETE", "Host: localhost\r\nOrigin: http://localhost@evil.example", 403},
		{"DELETE", "Host: localhost\r\nSec-Fetch-Site: cross-site", 403},
		{"DELETE", "Host: evil.example\r\nOrigin: http://evil.example", 403},
		{"GET", "Host: localhost\r\nUpgrade: websocket\r\nOrigin: http://evil.example",
		 403},
		{"GET", "Host: localhost\r\nUpgrade: websocket\r\nSec-Fetch-Site: cross-site", 403},
		{"GET", "Host: localhost\r\nUpgrade: websocket\r\nOrigin: http://localhost", 200},
	};

	server_stop(&server);
	server_start(&server, &(struct httpd_config){.name = "web", .routes = routes});
	httpd_allow_host(server.h, "Listed.example", false);
	httpd_allow_host(server.h, "removed.example", false);
	httpd_allow_host(server.h, "tokenless.example", true);
	httpd_disallow_host(server.h, "Removed.Example");
	httpd_disallow_host(server.h, "never.example");
	server_run(&server);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char request[512];
		struct answer a;

		snprintf(request, sizeof request, "%s /any/x HTTP/1.1\r\n%s\r\n\r\n",
			 rows[i].method, rows[i].lines);
		a = ask(request);
		if (a.status != rows[i].status)
			fail_msg("%s -> %d", request, a.status);
	}
	/* HTTP/1.0 needs no Host, but the guard does. */
	assert_int_equal(ask("GET /hello HTTP/1.0\r\n\r\n").status, 403);
	/* Refused before its body is waited for. */
	assert_int_equal(ask("POST /echo HTTP/1.1\r\nHost: evil.example\r\n"
			     "Content-Length: 10\r\n\r\n")
				 .status,
			 403);
}

static void test_token(void **state)
{
	static const char secret[] = "a-long-token";
	static const char *const cookies_no[] = {
		"pgrok_1=x",
		"",
		"token=a-long-token",
		"x=1; y=2",
	};
	struct answer a;
	char request[512], cookie[128], *end;
	const char *at;

	server_stop(&server);
	start_with(secret, true);
	a = ask("GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a.status, 401);
	assert_non_null(strstr(a.head, "WWW-Authenticate: Bearer"));
	assert_int_equal(ask("GET /hello HTTP/1.1\r\n" HOST
			     "Authorization: Bearer a-long-token\r\n\r\n")
				 .status,
			 200);
	assert_int_equal(ask("GET /hello HTTP/1.1\r\n" HOST
			     "Authorization: Bearer a-long-tokeX\r\n\r\n")
				 .status,
			 401);
	assert_int_equal(ask("GET /hello HTTP/1.1\r\n" HOST
			     "Authorization: Basic a-long-token\r\n\r\n")
				 .status,
			 401);
	assert_int_equal(ask("GET /hello?token=wrong HTTP/1.1\r\n" HOST "\r\n").status, 401);
	/* Shown once, it leaves the address, and a cookie takes its place. */
	a = ask("GET //any/%41?q=1&token=a-long-token&r=%26 HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a.status, 303);
	assert_non_null(strstr(a.head, "\r\nLocation: /any/%41?q=1&r=%26\r\n"));
	assert_null(strstr(a.head, secret));
	at = strstr(a.head, "\r\nSet-Cookie: pgrok_");
	assert_non_null(at);
	assert_non_null(strstr(at, "; Path=/; HttpOnly; SameSite=Strict\r\n"));
	snprintf(cookie, sizeof cookie, "%s", at + 14);
	end = strchr(cookie, ';');
	*end = '\0';
	snprintf(request, sizeof request,
		 "DELETE /any/x HTTP/1.1\r\n" HOST "Cookie: a=b; %s; c=d\r\n\r\n", cookie);
	assert_int_equal(ask(request).status, 200);
	/* The session does not excuse another site. */
	snprintf(request, sizeof request,
		 "DELETE /any/x HTTP/1.1\r\n" HOST
		 "Cookie: %s\r\nOrigin: http://evil.example\r\n\r\n",
		 cookie);
	assert_int_equal(ask(request).status, 403);
	end[-1] ^= 1;
	snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n",
		 cookie);
	assert_int_equal(ask(request).status, 401);
	for (size_t i = 0; i < COUNT(cookies_no); i++) {
		snprintf(request, sizeof request,
			 "GET /hello HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n", cookies_no[i]);
		assert_int_equal(ask(request).status, 401);
	}
	/* With a body there is no redirect. */
	a = ask("POST /echo?token=a-long-token HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
	assert_int_equal(a.status, 200);
}

/* Open on this machine, but not through a name that leads here from outside. */
static void test_token_for_listed(void **state)
{
	struct httpd_config conf = {.name = "web", .routes = routes, .token = "t0"};

	server_stop(&server);
	server_start(&server, &conf);
	httpd_allow_host(server.h, "me.example", true);
	server_run(&server);
	assert_int_equal(ask("GET /hello HTTP/1.1\r\n" HOST "\r\n").status, 200);
	assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: me.example\r\n\r\n").status, 401);
	assert_int_equal(ask("GET /hello HTTP/1.1\r\nHost: me.example\r\n"
			     "Authorization: bearer t0\r\n\r\n")
				 .status,
			 200);
}

/* ---- late answers ---- */

static void test_late(void **state)
{
	int fd = far_dial(server.port);

	/* One request waits, the one behind it waits with it, others do not. */
	far_say(fd, "POST /late HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	do {
		usleep(1000);
	} while (strcmp(ask("GET /release HTTP/1.1\r\n" HOST "\r\n").body, "released") != 0);
	assert_string_equal(get_answer(fd, false).body, "late");
	assert_string_equal(get_answer(fd, false).body, "hello");
	assert_string_equal(ask("GET /release HTTP/1.1\r\n" HOST "\r\n").body, "nobody waits");
	assert_int_equal(gone, 0);
	close(fd);
}

static void test_gone_before_answer(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		struct linger now = {.l_onoff = reset};
		int fd = far_dial(server.port);

		far_say(fd, "GET /late HTTP/1.1\r\n" HOST "\r\n");
		/* Its request is there before the client goes. */
		far_say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
		usleep(20000);
		close(fd);
		await(&gone, reset + 1);
		assert_string_equal(ask("GET /release HTTP/1.1\r\n" HOST "\r\n").body,
				    "nobody waits");
	}
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
	far_head(fd, head, sizeof head);
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
	far_head(fd, head, sizeof head);
	assert_null(strstr(head, "Transfer-Encoding"));
	assert_non_null(strstr(head, "Connection: close"));
	assert_true(read_big(fd, false));
	assert_ended(fd);
	assert_int_equal(produced, BIG_PIECES);

	fd = far_dial(server.port);
	far_say(fd, "HEAD /big HTTP/1.1\r\n" HOST "\r\n"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof head);
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

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	far_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
	while (before != produced) {
		before = produced;
		usleep(100000);
	}
	assert_true(produced > 0 && produced < BIG_PIECES / 2);
	assert_string_equal(ask("GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
	far_head(fd, head, sizeof head);
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
	far_head(fd, head, sizeof head);
	for (int i = 1; i <= 3; i++) {
		char want[32];

		snprintf(want, sizeof want, "9\r\ndata: %d\n\n\r\n", i);
		assert_string_equal(ask("GET /poke HTTP/1.1\r\n" HOST "\r\n").body, "poked");
		assert_true(far_get(fd, piece, strlen(want)));
		assert_memory_equal(piece, want, strlen(want));
	}
	assert_true(far_get(fd, piece, 5));
	assert_memory_equal(piece, "0\r\n\r\n", 5);
	await(&done_ok, 1);
	/* And a listener that goes. */
	far_say(fd, "GET /ticks HTTP/1.1\r\n" HOST "\r\n");
	far_head(fd, head, sizeof head);
	close(fd);
	await(&done_cut, 1);
	assert_string_equal(ask("GET /poke HTTP/1.1\r\n" HOST "\r\n").body, "nobody listens");
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

/* ---- time and number ---- */

static void test_slow_head(void **state)
{
	int fd = far_dial(server.port), idle = far_dial(server.port);

	far_say(fd, "GET /hello HTTP/1.1\r\nHo");
	assert_int_equal(get_answer(fd, false).status, 408);
	assert_ended(fd);
	/* Who has said nothing is given longer, but not for ever. */
	far_say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_string_equal(get_answer(idle, false).body, "hello");
	assert_ended(idle);
}

static void test_slow_body(void **state)
{
	int fd = far_dial(server.port);
	size_t len;
	ssize_t end;

	far_say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab");
	free(far_rest(fd, &len, &end));
	assert_int_equal(len, 0);
	assert_int_equal(end, 0);
	close(fd);
}

static void test_too_many(void **state)
{
	int fd[HTTPD_CONNECTIONS], one;
	struct answer a;

	for (int i = 0; i < HTTPD_CONNECTIONS; i++) {
		fd[i] = far_dial(server.port);
		far_say(fd[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		assert_string_equal(get_answer(fd[i], false).body, "hello");
	}
	/* The one that has been idle for longest goes. */
	assert_string_equal(ask("GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
	assert_ended(fd[0]);
	fd[0] = far_dial(server.port);
	for (int i = 0; i < HTTPD_CONNECTIONS; i++)
		far_say(fd[i], "GET /late HTTP/1.1\r\n" HOST "\r\n");
	do { /* until none is idle any more */
		one = far_dial(server.port);
		far_say(one, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		a = get_answer(one, false);
		close(one);
	} while (a.status == 200);
	assert_int_equal(a.status, 503);
	for (int i = 0; i < HTTPD_CONNECTIONS; i++)
		close(fd[i]);
	/* Those that were idle during the attempts above made room, the others waited. */
	for (int i = 0; i < 1000 && !gone; i++)
		usleep(5000);
	assert_true(gone > 0);
	assert_string_equal(ask("GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
}

/* ---- the end ---- */

static void test_close(void **state)
{
	int late = far_dial(server.port), sse = far_dial(server.port), idle = far_dial(server.port);
	int fd = far_dial(server.port);
	char head[4096];

	far_say(late, "GET /late HTTP/1.1\r\n" HOST "\r\n");
	far_say(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	get_answer(idle, false);
	far_say(sse, "GET /ticks HTTP/1.1\r\n" HOST "\r\n");
	far_head(sse, head, sizeof head);
	far_say(fd, "GET /close HTTP/1.1\r\n" HOST "\r\n"); /* from inside a handler */
	await(&gone, 1);
	await(&done_cut, 1);
	assert_ended(idle);
	assert_ended(late);
	assert_ended(fd);
	close(sse);
}

/* ---- pure parts ---- */

static void test_query(void **state)
{
	static const struct {
		const char *text, *want; /* name=value pairs, each with a ';' */
	} good[] = {
		{"", ""},
		{"a=1", "a=1;"},
		{"a=1&b=2&a=3", "a=1;b=2;a=3;"},
		{"a", "a=;"},
		{"a=", "a=;"},
		{"=v", "=v;"},
		{"&&a=1&", "a=1;"},
		{"a=b=c", "a=b=c;"},
		{"a+b=c+d", "a b=c d;"},
		{"%61%3d=%26%3D", "a==&=;"},
		{"a=%2B%e2%82%AC", "a=+\xe2\x82\xac;"},
		{"a=%&b=%4&c=%zz&d=%", "a=%;b=%4;c=%zz;d=%;"},
		{"a;b=1", "a;b=1;"},
	};
	static const char *const bad[] = {"a=%00", "%00", "a=1&b=x%00y"};
	struct query q;
	char got[256], many[4 * QUERY_PAIRS_MAX];
	long n;

	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(query_parse(&q, good[i].text, strlen(good[i].text)));
		*got = '\0';
		for (size_t k = 0; k < q.n; k++)
			snprintf(got + strlen(got), sizeof got - strlen(got), "%s=%s;",
				 q.pairs[k].name, q.pairs[k].value);
		assert_string_equal(got, good[i].want);
		query_free(&q);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(query_parse(&q, bad[i], strlen(bad[i])));
		assert_int_equal(q.n, 0);
	}
	assert_false(query_parse(&q, "a=\0", 3));
	for (size_t i = 0; i < sizeof many; i++)
		many[i] = i % 2 ? '&' : 'a';
	assert_true(query_parse(&q, many, 2 * QUERY_PAIRS_MAX));
	assert_int_equal(q.n, QUERY_PAIRS_MAX);
	query_free(&q);
	assert_false(query_parse(&q, many, 2 * QUERY_PAIRS_MAX + 1));

	assert_true(query_parse(&q, "limit=50&zero=0&bad=5x&big=99999999999&empty=", 45));
	assert_string_equal(query_get(&q, "limit"), "50");
	assert_null(query_get(&q, "none"));
	assert_true(query_number(&q, "limit", 1, 50, 7, &n) && n == 50);
	assert_true(query_number(&q, "none", 1, 50, 7, &n) && n == 7);
	assert_false(query_number(&q, "zero", 1, 50, 7, &n));
	assert_false(query_number(&q, "limit", 1, 49, 7, &n));
	assert_false(query_number(&q, "bad", 1, 50, 7, &n));
	assert_false(query_number(&q, "big", 1, 50, 7, &n));
	assert_false(query_number(&q, "empty", 0, 50, 7, &n));
	query_free(&q);
}

static void test_percent_decode(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
	} rows[] = {
		{"", ""},     {"/a+b", "/a+b"}, {"%41%7a%C3%a9", "Az\xc3\xa9"},
		{"%25", "%"}, {"%2f..", "/.."}, {"%", NULL},
		{"%4", NULL}, {"%4g", NULL},    {"%00", NULL},
		{"a%", NULL}, {"%%41", NULL},
	};
	char out[32];

	for (size_t i = 0; i < COUNT(rows); i++) {
		bool ok = percent_decode(rows[i].text, strlen(rows[i].text), out);

		assert_int_equal(ok, rows[i].want != NULL);
		if (ok)
			assert_string_equal(out, rows[i].want);
	}
}

static void test_host_name(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: refused */
		int port;
	} rows[] = {
		{"localhost", "localhost", -1},
		{"LocalHost:80", "localhost", 80},
		{"a.b.", "a.b", -1},
		{"a.b.:1", "a.b", 1},
		{"127.0.0.1:65535", "127.0.0.1", 65535},
		{"[::1]", "::1", -1},
		{"[FE80::1%eth0]:80", "fe80::1%eth0", 80},
		{"a:", "a", -1},
		{"", NULL, 0},
		{":80", NULL, 0},
		{"a:65536", NULL, 0},
		{"a:x", NULL, 0},
		{"a:80:80", NULL, 0},
		{"::1", NULL, 0},
		{"[::1", NULL, 0},
		{"[::1]x", NULL, 0},
		{"[]", NULL, 0},
		{"a b", NULL, 0},
		{"a/b", NULL, 0},
		{"a@b", NULL, 0},
		{"a\x80", NULL, 0},
	};
	char name[HOST_TEXT], longest[300];
	int port;

	for (size_t i = 0; i < COUNT(rows); i++) {
		bool ok = host_name(rows[i].text, strlen(rows[i].text), name, &port);

		if (ok != (rows[i].want != NULL))
			fail_msg("%s", rows[i].text);
		if (ok) {
			assert_string_equal(name, rows[i].want);
			assert_int_equal(port, rows[i].port);
		}
	}
	memset(longest, 'a', sizeof longest);
	assert_true(host_name(longest, HOST_TEXT - 1, name, &port));
	assert_false(host_name(longest, HOST_TEXT, name, &port));
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int all_with(enum stream_engine engine)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_routes),
		SERVED(test_standard_lines),
		SERVED(test_cached),
		SERVED(test_keep_alive_and_pipeline),
		SERVED(test_many_pipelined),
		SERVED(test_byte_by_byte),
		SERVED(test_body_limits),
		SERVED(test_expect),
		SERVED(test_bad_requests),
		SERVED(test_huge_head),
		SERVED(test_guard),
		SERVED(test_token),
		SERVED(test_token_for_listed),
		SERVED(test_late),
		SERVED(test_gone_before_answer),
		SERVED(test_big),
		SERVED(test_big_for_http10_and_head),
		SERVED(test_back_pressure),
		SERVED(test_never_reads),
		SERVED(test_events),
		SERVED(test_cut),
		SERVED(test_slow_head),
		SERVED(test_slow_body),
		SERVED(test_too_many),
		SERVED(test_close),
	};

	stream_set_engine(engine);
	return cmocka_run_group_tests_name(engine == ENGINE_DIRECT ? "direct" : "bufferevent",
					   tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest pure[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_percent_decode),
		cmocka_unit_test(test_host_name),
	};

	setenv("PGROK_TIME_SCALE", "0.03", 0);
	return cmocka_run_group_tests(pure, NULL, NULL) + all_with(ENGINE_DIRECT) +
	       all_with(ENGINE_BUFFEREVENT);
}
