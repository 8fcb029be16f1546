/* Unit tests of common/http/upgrade: requests and answers of WebSockets, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/http/upgrade.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455 section 1.3, with the answer below */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void test_accept(void **state)
{
	static const char *const bad[] = {
		"",
		"dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25jZQAA",
		"dGhlIHNhbXBsZSBub25jZ===",
		"dGhlIHNhbXBsZSBub25j!Q==",
		"dGhlIHNhbXBsZSBub25j Q==",
	};
	char out[UPGRADE_ACCEPT];

	assert_true(upgrade_accept(KEY, strlen(KEY), out));
	assert_string_equal(out, ACCEPT);
	for (size_t i = 0; i < COUNT(bad); i++)
		if (upgrade_accept(bad[i], strlen(bad[i]), out))
			fail_msg("%s", bad[i]);
}

static void test_keys(void **state)
{
	char a[UPGRADE_KEY], b[UPGRADE_KEY], out[UPGRADE_ACCEPT];

	upgrade_key(a);
	upgrade_key(b);
	assert_string_not_equal(a, b);
	assert_true(upgrade_accept(a, strlen(a), out));
}

/* ---- the server's end ---- */

#define GET "GET /_drip/ws HTTP/1.1\r\nHost: h:1\r\n"
#define SHAKE                                                                  \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY \
	"\r\nSec-WebSocket-Version: 13\r\n"

static const char *const good_requests[] = {
	GET SHAKE "\r\n",
	/* as Drip's client writes it */
	GET "User-Agent: Go-http-client/1.1\r\nAuthorization: Bearer tok\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n",
	GET "Upgrade: h2c, WebSocket\r\nConnection: keep-alive\r\nConnection: , upgrade\t\r\n"
	    "Sec-Websocket-Key: " KEY "\r\nsec-websocket-version: 13\r\nContent-Length: 0\r\n\r\n",
};

static const char *const bad_requests[] = {
	GET "\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\n" SHAKE "Content-Length: 0\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: h\r\n" SHAKE "\r\n",
	GET SHAKE "Content-Length: 3\r\n\r\n",
	GET SHAKE "Transfer-Encoding: chunked\r\n\r\n",
	/* nginx as its guide says: Connection alone */
	GET "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY
	    "\r\nSec-WebSocket-Version: 13\r\n\r\n",
	GET "Upgrade: websocket\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
	GET "Upgrade: websockets\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY
	    "\r\nSec-WebSocket-Version: 13\r\n\r\n",
	GET "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY
	    "\r\nSec-WebSocket-Version: 8\r\n\r\n",
	GET "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n\r\n",
	GET "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
	    "Sec-WebSocket-Version: 13\r\n\r\n",
	GET "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
};

static bool granted(const char *request, struct text *out)
{
	struct http_head h = {0};

	if (http_request_scan(&h, request, strlen(request)) != HTTP_OK)
		fail_msg("%s", request);
	return upgrade_grant(out, request, &h);
}

static void test_grant(void **state)
{
	struct text out = {0};

	for (size_t i = 0; i < COUNT(good_requests); i++) {
		if (!granted(good_requests[i], &out))
			fail_msg("%s", good_requests[i]);
		assert_string_equal(out.p, "HTTP/1.1 101 Switching Protocols\r\n"
					   "Upgrade: websocket\r\nConnection: Upgrade\r\n"
					   "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n");
		text_free(&out);
	}
	for (size_t i = 0; i < COUNT(bad_requests); i++)
		if (granted(bad_requests[i], &out) || out.len)
			fail_msg("%s", bad_requests[i]);
}

/* ---- the client's end ---- */

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"

static const struct {
	const char *answer, *why; /* NULL: it is good */
} answers[] = {
	{SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
		   "\r\n\r\n",
	 NULL},
	{SWITCHING "connection: keep-alive, upgrade\r\nUPGRADE: WebSocket\r\n"
		   "sec-websocket-accept:" ACCEPT "\r\nX: y\r\n\r\n",
	 NULL},
	{"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	 "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
	 "does not upgrade"},
	{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "does not upgrade"},
	{SWITCHING "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
		   "\r\n\r\n",
	 "something else"},
	{SWITCHING "Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n",
	 "something else"},
	{SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Sec-WebSocket-Accept"},
	{SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	 "Sec-WebSocket-Accept"},
	{SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
		   "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
	 "extension"},
	{SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT
		   "\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
	 "extension"},
};

static void test_answers(void **state)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct http_head h = {0};
		const char *a = answers[i].answer, *why;

		assert_int_equal(http_response_scan(&h, a, strlen(a)), HTTP_OK);
		why = upgrade_refused(a, &h, KEY);
		if (!why != !answers[i].why || (why && !strstr(why, answers[i].why)))
			fail_msg("%s: %s", a, why);
	}
}

/* The client's request is one that the server grants. */
static void test_both_ends(void **state)
{
	struct text request = {0}, answer = {0};
	struct http_head h = {0}, a = {0};
	char key[UPGRADE_KEY];

	upgrade_key(key);
	upgrade_request(&request, "127.0.0.1:443", "/_drip/ws", key, "Authorization: Bearer x\r\n");
	assert_int_equal(http_request_scan(&h, request.p, request.len), HTTP_OK);
	assert_int_equal(h.head_len, request.len);
	assert_true(http_span_is(request.p, h.target, "/_drip/ws"));
	assert_true(http_span_is(request.p, h.authorization, "Bearer x"));
	assert_true(upgrade_grant(&answer, request.p, &h));
	assert_int_equal(http_response_scan(&a, answer.p, answer.len), HTTP_OK);
	assert_null(upgrade_refused(answer.p, &a, key));
	text_free(&request);
	text_free(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),    cmocka_unit_test(test_keys),
		cmocka_unit_test(test_grant),     cmocka_unit_test(test_answers),
		cmocka_unit_test(test_both_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
