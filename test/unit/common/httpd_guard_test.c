/* The guard of httpd: which hosts, origins and tokens it lets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/httpd/conn.h"
#include "test/unit/common/httpd_far.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HOST "Host: localhost\r\n"

static struct server server;

static void on_any(void *arg, struct httpd_req *r)
{
	httpd_text(r, 200, "any");
}

static const struct httpd_route routes[] = {
	{"GET", "/*", on_any},
	{"POST", "/*", on_any},
	{"DELETE", "/*", on_any},
	{NULL, NULL, NULL},
};

static const struct httpd_config open_to_all = {.name = "web", .routes = routes};

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
		{"GET", "Host: 127.0.0.1.", 200},
		{"GET", "Host: [::ffff:127.0.0.1]:80", 200},
		{"GET", "Host: evil.example", 403},
		{"GET", "Host: 127.1", 403},
		{"GET", "Host: 2130706433", 403},
		{"GET", "Host: 0x7f.0.0.1", 403},
		{"GET", "Host: localhost:99999", 403},
		{"GET", "Host: [::2]", 403},
		{"GET", "Host: localhost\\x00.evil.example", 400},
		{"GET", "Host: user@localhost", 400},
		{"GET", "Host: localhost/x", 400},
		{"GET", "Host: localhost, evil.example", 400},
		{"GET", "Host: localhost\r\nHost: localhost", 400},
		{"GET", "X: no host", 400},
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

	server_start(&server, &open_to_all);
	httpd_allow_host(server.h, "Listed.example", false);
	httpd_allow_host(server.h, "removed.example", false);
	httpd_allow_host(server.h, "tokenless.example", true);
	httpd_disallow_host(server.h, "Removed.Example");
	httpd_disallow_host(server.h, "never.example");
	server_run(&server);
	for (size_t i = 0; i < COUNT(rows); i++) {
		char request[512];
		struct answer a;

		snprintf(request, sizeof(request), "%s /any/x HTTP/1.1\r\n%s\r\n\r\n",
			 rows[i].method, rows[i].lines);
		a = ask(server.port, request);
		if (a.status != rows[i].status)
			fail_msg("%s -> %d", request, a.status);
	}
	/* An absolute target and a Host that disagree are refused before anything counts. */
	assert_int_equal(
		ask(server.port, "GET http://evil.example/any/x HTTP/1.1\r\n" HOST "\r\n").status,
		400);
	assert_int_equal(ask(server.port, "DELETE http://localhost:1/any/x HTTP/1.1\r\n" HOST
					  "Origin: http://localhost:2\r\n\r\n")
				 .status,
			 400);
	/* HTTP/1.0 needs no Host, but the guard does. */
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.0\r\n\r\n").status, 403);
	/* Refused before its body is waited for. */
	assert_int_equal(ask(server.port, "POST /echo HTTP/1.1\r\nHost: evil.example\r\n"
					  "Content-Length: 10\r\n\r\n")
				 .status,
			 403);
	server_stop(&server);
}

/* The redirection that hides the token leads to no other host: browsers take \ for /. */
static void assert_stays_here(const char *path)
{
	char request[200];
	struct answer a;

	snprintf(request, sizeof(request), "GET %s?token=a-long-token HTTP/1.1\r\n" HOST "\r\n",
		 path);
	a = ask(server.port, request);
	if (*path == '\\')
		assert_int_equal(a.status, 400);
	else
		assert_non_null(strstr(a.head, "\r\nLocation: /evil.example/\r\n"));
}

static void test_token(void **state)
{
	static const char secret[] = "a-long-token";
	struct httpd_config conf = {
		.name = "web", .routes = routes, .token = secret, .token_local = true};
	static const char *const cookies_no[] = {
		"pgrok_1=x",
		"",
		"token=a-long-token",
		"x=1; y=2",
	};
	struct answer a;
	char request[512], cookie[128], *end;
	const char *at;

	server_start(&server, &conf);
	server_run(&server);
	a = ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a.status, 401);
	assert_non_null(strstr(a.head, "WWW-Authenticate: Bearer"));
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST
					  "Authorization: Bearer a-long-token\r\n\r\n")
				 .status,
			 200);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST
					  "Authorization: Bearer a-long-tokeX\r\n\r\n")
				 .status,
			 401);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST
					  "Authorization: Basic a-long-token\r\n\r\n")
				 .status,
			 401);
	assert_int_equal(ask(server.port, "GET /hello?token=wrong HTTP/1.1\r\n" HOST "\r\n").status,
			 401);
	/* Shown once, it leaves the address, and a cookie takes its place. */
	a = ask(server.port, "GET //any/%41?q=1&token=a-long-token&r=%26 HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a.status, 303);
	assert_non_null(strstr(a.head, "\r\nLocation: /any/%41?q=1&r=%26\r\n"));
	assert_null(strstr(a.head, secret));
	assert_stays_here("/\\evil.example/");
	assert_stays_here("//evil.example/");
	assert_stays_here("/\\/\\evil.example/");
	assert_stays_here("\\\\evil.example/");
	at = strstr(a.head, "\r\nSet-Cookie: pgrok_");
	assert_non_null(at);
	assert_non_null(strstr(at, "; Path=/; HttpOnly; SameSite=Lax\r\n"));
	snprintf(cookie, sizeof(cookie), "%s", at + 14);
	end = strchr(cookie, ';');
	*end = '\0';
	snprintf(request, sizeof(request),
		 "DELETE /any/x HTTP/1.1\r\n" HOST "Cookie: a=b; %s; c=d\r\n\r\n", cookie);
	assert_int_equal(ask(server.port, request).status, 200);
	/* The session does not excuse another site. */
	snprintf(request, sizeof(request),
		 "DELETE /any/x HTTP/1.1\r\n" HOST
		 "Cookie: %s\r\nOrigin: http://evil.example\r\n\r\n",
		 cookie);
	assert_int_equal(ask(server.port, request).status, 403);
	end[-1] ^= 1;
	snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n",
		 cookie);
	assert_int_equal(ask(server.port, request).status, 401);
	for (size_t i = 0; i < COUNT(cookies_no); i++) {
		snprintf(request, sizeof(request),
			 "GET /hello HTTP/1.1\r\n" HOST "Cookie: %s\r\n\r\n", cookies_no[i]);
		assert_int_equal(ask(server.port, request).status, 401);
	}
	/* With a body there is no redirect. */
	a = ask(server.port,
		"POST /echo?token=a-long-token HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
	assert_int_equal(a.status, 200);
	server_stop(&server);
}

/* Open on this machine, but not through a name that leads here from outside. */
static void test_token_for_listed(void **state)
{
	struct httpd_config conf = {.name = "web", .routes = routes, .token = "t0"};

	server_start(&server, &conf);
	httpd_allow_host(server.h, "me.example", true);
	server_run(&server);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n").status, 200);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\nHost: me.example\r\n\r\n").status,
			 401);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\nHost: me.example\r\n"
					  "Authorization: bearer t0\r\n\r\n")
				 .status,
			 200);
	server_stop(&server);
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
	memset(longest, 'a', sizeof(longest));
	assert_true(host_name(longest, HOST_TEXT - 1, name, &port));
	assert_false(host_name(longest, HOST_TEXT, name, &port));
}

static void on_refuse(void *arg, struct httpd_req *r, int status, const char *text)
{
	httpd_text(r, status, "{\"msg\":\"%s\"}", text);
}

/* How a refusal looks is the tool's choice. */
static void test_refuse(void **state)
{
	struct httpd_config conf = {.name = "web", .routes = routes, .refuse = on_refuse};
	struct answer a;

	server_start(&server, &conf);
	server_run(&server);
	a = ask(server.port, "PUT /x HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(a.status, 405);
	assert_string_equal(a.body, "{\"msg\":\"Method Not Allowed\"}");
	assert_non_null(strstr(a.head, "\r\nAllow: GET, HEAD, POST, DELETE\r\n"));
	a = ask(server.port, "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	assert_int_equal(a.status, 403);
	assert_string_equal(a.body, "{\"msg\":\"This host name is not served here.\"}");
	server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_name), cmocka_unit_test(test_guard),
		cmocka_unit_test(test_token),     cmocka_unit_test(test_token_for_listed),
		cmocka_unit_test(test_refuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
