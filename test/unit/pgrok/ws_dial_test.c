/* Unit tests of pgrok/uplink/ws_dial: what it asks, and servers that answer well, badly or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/http/upgrade.h"
#include "pgrok/uplink/ws_dial.h"
#include "test/unit/common/mux_pipe.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct rig {
	struct loop *loop;
	struct ws_dial *dial;
	int far;
	struct stream *s; /* what came of it */
	struct err error;
	int calls;
	char request[4096];
	char accept[UPGRADE_ACCEPT]; /* that would be right */
};

static void on_dialled(void *arg, struct stream *s, const char *error)
{
	struct rig *r = arg;

	assert_true(!s != !error);
	r->s = s;
	r->calls++;
	if (error)
		err_set(&r->error, "%s", error);
}

/* Until its request is there. */
static void rig_begin(struct rig *r)
{
	struct http_head h = {0};
	struct http_span key;
	ssize_t n;
	int fd[2];

	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	r->far = fd[1];
	r->dial = ws_dial_start(stream_new(r->loop, fd[0], NULL), "example.com:443", "/_drip/ws",
				"Authorization: Bearer t\r\n", on_dialled, r);
	assert_int_equal(r->calls, 0);
	turns(r->loop, 2);
	n = recv(r->far, r->request, sizeof(r->request) - 1, 0);
	assert_true(n > 0);
	assert_int_equal(http_request_scan(&h, r->request, (size_t)n), HTTP_OK);
	assert_int_equal(h.head_len, n);
	assert_true(http_span_is(r->request, h.target, "/_drip/ws"));
	assert_true(http_span_is(r->request, h.authority, "example.com:443"));
	assert_true(http_span_is(r->request, h.authorization, "Bearer t"));
	assert_true(http_field(r->request, &h, "Sec-WebSocket-Key", &key));
	assert_true(upgrade_accept(r->request + key.off, key.len, r->accept));
}

static void rig_end(struct rig *r)
{
	if (r->s)
		stream_close(r->s, false);
	close(r->far);
	turns(r->loop, 2);
	loop_free(r->loop);
}

static void say(struct rig *r, const char *bytes, size_t len)
{
	assert_int_equal(send(r->far, bytes, len, MSG_NOSIGNAL), len);
	turns(r->loop, 2);
}

static size_t good_answer(const struct rig *r, char *out, size_t cap)
{
	return (size_t)snprintf(out, cap,
				"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				r->accept);
}

/* In pieces of any size; what stands behind the head is the stream's. */
static void test_good(void **state)
{
	for (size_t step = 1; step < 1000; step += step * 9) {
		char answer[512], got[8];
		struct rig r;
		size_t n;

		rig_begin(&r);
		n = good_answer(&r, answer, sizeof(answer));
		memcpy(answer + n,
		       "\x82\x03"
		       "abc",
		       5);
		n += 5;
		for (size_t at = 0; at < n; at += step)
			say(&r, answer + at, n - at < step ? n - at : step);
		assert_int_equal(r.calls, 1);
		assert_non_null(r.s);
		assert_int_equal(stream_read(r.s, got, sizeof(got), &n), STREAM_OK);
		while (n < 3) {
			size_t more;

			assert_int_equal(stream_read(r.s, got + n, sizeof(got) - n, &more),
					 STREAM_OK);
			n += more;
		}
		assert_memory_equal(got, "abc", 3);
		rig_end(&r);
	}
}

static const struct {
	const char *answer, *error;
} bad[] = {
	{"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "(status 403)"},
	{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	 "does not answer ours"},
	{"SSH-2.0-OpenSSH\r\n", "not HTTP"},
	{"HTTP/1.1 200 OK\r\nX: 1", "without an answer"}, /* and its end */
	{"", "without an answer"},
};

static void test_bad(void **state)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct rig r;

		rig_begin(&r);
		say(&r, bad[i].answer, strlen(bad[i].answer));
		if (!r.calls)
			shutdown(r.far, SHUT_WR);
		turns(r.loop, 2);
		assert_int_equal(r.calls, 1);
		assert_null(r.s);
		if (!strstr(r.error.text, bad[i].error))
			fail_msg("%s: %s", bad[i].answer, r.error.text);
		rig_end(&r);
	}
}

static void test_a_long_answer(void **state)
{
	static char line[] = "X-Filler: 0123456789012345678901234567890123456789\r\n";
	struct rig r;

	rig_begin(&r);
	say(&r, "HTTP/1.1 200 OK\r\n", 17);
	for (int i = 0; i < 1000 && !r.calls; i++)
		say(&r, line, sizeof(line) - 1);
	assert_int_equal(r.calls, 1);
	assert_string_equal(r.error.text, "the server's answer is too long");
	rig_end(&r);
}

static void test_cancel(void **state)
{
	struct rig r;
	char c;

	rig_begin(&r);
	ws_dial_cancel(r.dial);
	turns(r.loop, 2);
	assert_int_equal(recv(r.far, &c, 1, 0), 0);
	assert_int_equal(r.calls, 0);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_a_long_answer),
		cmocka_unit_test(test_cancel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
