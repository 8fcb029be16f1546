/* Ways to the server that lead nowhere: each has a reason, in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/net/listener.h"
#include "pgrok/config/endpoint.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/connect.h"

/* Something that accepts and says always the same. */
struct play {
	struct loop *loop;
	struct listener *listener;
	struct stream *guest;
	const char *answer; /* to the first bytes; NULL: silence */
	struct connector *connector;
	struct endpoint at;
	char text[ADDR_TEXT], host[16], error[320], asked[512];
	bool done;
};

static void on_guest(void *arg, int dirs)
{
	struct play *p = arg;
	size_t n;

	if (stream_read(p->guest, p->asked, sizeof(p->asked) - 1, &n) != STREAM_OK || !p->answer)
		return;
	assert_int_equal(stream_write(p->guest, p->answer, strlen(p->answer), &n), STREAM_OK);
}

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct play *p = arg;

	p->guest = stream_new(p->loop, fd, NULL);
	stream_on_ready(p->guest, on_guest, p);
	stream_want(p->guest, STREAM_READ);
}

static void on_end(void *arg, struct stream *s, const char *error)
{
	struct play *p = arg;

	assert_null(s);
	snprintf(p->error, sizeof(p->error), "%s", error);
	p->done = true;
	loop_stop(p->loop);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	struct listener_fds fds;
	struct err err;

	p->loop = loop_new();
	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	struct addr at = listener_addr(&fds);
	addr_text(&at, p->text);
	strcpy(p->host, "127.0.0.1");
	p->at = (struct endpoint){.text = p->text, .host = p->host, .port = addr_get_port(&at)};
	p->listener = listener_start(p->loop, &fds, on_accept, p);
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct play *p = *state;

	connector_close(p->connector, "the test ends");
	if (p->guest)
		stream_close(p->guest, true);
	listener_close(p->listener);
	loop_free(p->loop);
	free(p);
	return 0;
}

static const char *connect_to(struct play *p, const struct http_proxy *proxy)
{
	struct err err;

	p->connector =
		connector_new(p->loop, &(struct connector_conf){.server = &p->at, .proxy = proxy},
			      &err);
	assert_non_null(p->connector);
	assert_non_null(connect_start(p->connector, on_end, p));
	loop_run(p->loop);
	assert_true(p->done);
	return p->error;
}

static const char *by_proxy(struct play *p, const char *answer)
{
	struct http_proxy proxy = {.host = p->host, .port = p->at.port};

	p->answer = answer;
	return connect_to(p, &proxy);
}

static void is_silent(void **state)
{
	struct play *p = *state;
	char expect[320];

	connect_to(p, NULL);
	snprintf(expect, sizeof(expect), "connect to %s: no answer within 10 s (TLS handshake)",
		 p->text);
	assert_string_equal(p->error, expect);
	assert_int_equal(p->asked[0], 22); /* a ClientHello did come */
}

static void is_a_silent_proxy(void **state)
{
	struct play *p = *state;
	char expect[320];

	by_proxy(p, NULL);
	snprintf(expect, sizeof(expect),
		 "connect to %s: no answer within 10 s (waiting for the proxy's answer)", p->text);
	assert_string_equal(p->error, expect);
	assert_memory_equal(p->asked, "CONNECT ", 8);
}

/* A proxy's consent in all its forms: it is the server's turn, which here knows no TLS. */
static void consents(void **state, const char *answer)
{
	const char *error = by_proxy(*state, answer);

	if (!strstr(error, "TLS handshake with"))
		fail_msg("%s: %s", answer, error);
}

static void says_yes_with_a_coding(void **state)
{
	consents(state, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void says_yes_in_1_0_with_a_coding(void **state)
{
	consents(state, "HTTP/1.0 200 Connection established\r\nTransfer-Encoding: gzip\r\n\r\n");
}

static void says_yes_with_lengths(void **state)
{
	consents(state, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n");
}

static void says_wait_and_yes(void **state)
{
	consents(state, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n"
			"HTTP/1.1 204 No Content\r\n\r\n");
}

static void says_wait_and_no(void **state)
{
	assert_string_equal(by_proxy(*state,
				     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 403 No\r\n\r\n"),
			    "Non-200 response from proxy server: 403 No");
}

static void switches(void **state)
{
	assert_string_equal(by_proxy(*state, "HTTP/1.1 101 Switching\r\n\r\n"),
			    "Non-200 response from proxy server: 101 Switching");
}

/* The server speaks when it is spoken to: these bytes are somebody else's. */
static void says_too_much(void **state)
{
	assert_string_equal(by_proxy(*state, "HTTP/1.1 200 OK\r\n\r\nX"),
			    "the proxy sent more than its answer to CONNECT");
}

static void says_no(void **state)
{
	assert_string_equal(by_proxy(*state, "HTTP/1.1 407 Not You\r\n\r\n"),
			    "Non-200 response from proxy server: 407 Not You");
}

static void is_no_proxy(void **state)
{
	assert_string_equal(by_proxy(*state, "SSH-2.0-x\r\n\r\n"),
			    "the proxy's answer to CONNECT is not HTTP");
}

/* A head of so many bytes that ends, or does not. */
static const char *long_answer(char *buf, size_t len, bool ends)
{
	static const char line[] = "HTTP/1.1 200 OK\r\nX: ";

	memset(buf, 'x', len);
	memcpy(buf, line, sizeof(line) - 1);
	if (ends)
		memcpy(buf + len - 4, "\r\n\r\n", 4);
	buf[len] = '\0';
	return buf;
}

static void says_yes_at_length(void **state)
{
	char buf[LIMIT_CONNECT_REPLY + 1];

	consents(state, long_answer(buf, LIMIT_CONNECT_REPLY, true));
}

/* It is refused where it could not be kept any more, not when the time is over. */
static void comes_to_no_end(void **state)
{
	char buf[LIMIT_CONNECT_REPLY + 1];

	assert_string_equal(by_proxy(*state, long_answer(buf, LIMIT_CONNECT_REPLY, false)),
			    "the proxy's answer to CONNECT is not HTTP");
}

static void is_no_tls(void **state)
{
	struct play *p = *state;

	p->answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
	assert_non_null(strstr(connect_to(p, NULL), "(no TLS there; is it the right port?)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_silent, begin, end),
		cmocka_unit_test_setup_teardown(is_a_silent_proxy, begin, end),
		cmocka_unit_test_setup_teardown(says_yes_with_a_coding, begin, end),
		cmocka_unit_test_setup_teardown(says_yes_in_1_0_with_a_coding, begin, end),
		cmocka_unit_test_setup_teardown(says_yes_with_lengths, begin, end),
		cmocka_unit_test_setup_teardown(says_wait_and_yes, begin, end),
		cmocka_unit_test_setup_teardown(says_wait_and_no, begin, end),
		cmocka_unit_test_setup_teardown(switches, begin, end),
		cmocka_unit_test_setup_teardown(says_too_much, begin, end),
		cmocka_unit_test_setup_teardown(says_no, begin, end),
		cmocka_unit_test_setup_teardown(is_no_proxy, begin, end),
		cmocka_unit_test_setup_teardown(says_yes_at_length, begin, end),
		cmocka_unit_test_setup_teardown(comes_to_no_end, begin, end),
		cmocka_unit_test_setup_teardown(is_no_tls, begin, end),
	};

	setenv("PGROK_TIME_SCALE", "0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
