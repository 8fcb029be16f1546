/*
 * WebSockets of httpd over real loopback sockets: the handshake, messages, and peers that break
 * rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>

#include "test/unit/common/httpd_far.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KEY "dGhlIHNhbXBsZSBub25jZQ==" /* of RFC 6455 section 1.3, with the answer below */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define HEAD_BEGIN "GET /ws HTTP/1.1\r\nHost: localhost\r\n"
#define HANDSHAKE                                                              \
	HEAD_BEGIN "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
		   "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n"

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80 };

static struct server server;
static struct httpd_ws *ws_now;
static atomic_int closed, sent, refused, late;
static char why_closed[64]; /* written before `closed` counts */

/* ---- what is served ---- */

static void on_message(void *arg, struct httpd_ws *ws, const char *msg, size_t len, bool binary)
{
	static char flood[100000];

	if (len == 3 && memcmp(msg, "bye", 3) == 0) {
		httpd_ws_close(ws, 1000, "as you wish");
		assert_false(httpd_ws_send(ws, "x", 1, false));
	} else if (len == 5 && memcmp(msg, "flood", 5) == 0) {
		while (httpd_ws_send(ws, flood, sizeof(flood), true))
			sent++;
		refused++;
		assert_false(httpd_ws_send(ws, "x", 1, true));
	} else if (len == 3 && memcmp(msg, "big", 3) == 0) {
		char *text = xmalloc(5u << 20);

		memset(text, 'B', 5u << 20);
		assert_true(httpd_ws_send(ws, text, 5u << 20, false));
		free(text);
	} else if (len == 3 && memcmp(msg, "end", 3) == 0) {
		httpd_close(server.h);
		server.h = NULL;
	} else {
		assert_true(httpd_ws_send(ws, msg, len, binary));
	}
}

static void on_closed(void *arg, struct httpd_ws *ws, const char *why)
{
	assert_ptr_equal(ws, ws_now);
	ws_now = NULL;
	snprintf(why_closed, sizeof(why_closed), "%s", why);
	closed++;
}

static const struct httpd_ws_hooks hooks = {
	.message = on_message,
	.closed = on_closed,
	.queue_max = 4u << 20,
};

static void on_ws(void *arg, struct httpd_req *r)
{
	struct httpd_ws *ws = httpd_upgrade(r, &hooks, NULL);

	if (!ws)
		return;
	ws_now = ws;
	if (arg)
		assert_true(httpd_ws_send(ws, "hello", 5, false));
}

/* Never answers. */
static void on_late(void *arg, struct httpd_req *r)
{
	late++;
}

static const struct httpd_route routes[] = {
	{"GET", "/ws", on_ws},
	{"POST", "/ws", on_ws},
	{"GET", "/late", on_late},
	{NULL, NULL, NULL},
};

static void start(void *arg)
{
	struct httpd_config conf = {.name = "web", .routes = routes, .arg = arg};

	closed = sent = refused = late = 0;
	*why_closed = '\0';
	server_start(&server, &conf);
	server_run(&server);
}

static int setup(void **state)
{
	start(NULL);
	return 0;
}

static int teardown(void **state)
{
	server_stop(&server);
	return 0;
}

static void await_closed(const char *why)
{
	for (int i = 0; i < 2000 && !closed; i++)
		usleep(5000);
	assert_int_equal(closed, 1);
	assert_string_equal(why_closed, why);
}

/* ---- the client's end ---- */

static int join(void)
{
	int fd = far_dial(server.port);
	char head[1024];

	far_say(fd, HANDSHAKE);
	far_head(fd, head, sizeof(head));
	assert_int_equal(far_status(head), 101);
	assert_non_null(strstr(head, "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"));
	return fd;
}

/* A frame as a client makes it, into out (len + 14 bytes). */
static size_t make_frame(unsigned char *out, int first, const void *payload, size_t len, bool mask)
{
	static const unsigned char key[4] = {0x12, 0x34, 0x56, 0x78};
	size_t n = 0;

	out[n++] = (unsigned char)first;
	if (len < 126) {
		out[n++] = (unsigned char)len;
	} else {
		int bytes = len < 65536 ? 2 : 8;

		out[n++] = bytes == 2 ? 126 : 127;
		while (bytes--)
			out[n++] = (unsigned char)((uint64_t)len >> 8 * bytes);
	}
	out[1] |= mask ? 0x80 : 0;
	if (mask)
		memcpy(out + n, key, 4);
	n += mask ? 4 : 0;
	for (size_t i = 0; i < len; i++)
		out[n++] = ((const unsigned char *)payload)[i] ^ (mask ? key[i % 4] : 0);
	return n;
}

static void say_frame(int fd, int first, const void *payload, size_t len)
{
	unsigned char *frame = xmalloc(len + 14);
	size_t n = make_frame(frame, first, payload, len, true);

	assert_true(far_send(fd, frame, n));
	free(frame);
}

/* The next frame's payload, to be freed. */
static char *get_frame(int fd, int *first, size_t *len)
{
	unsigned char head[10];
	char *payload;

	assert_true(far_get(fd, head, 2));
	*first = head[0];
	assert_false(head[1] & 0x80); /* a server masks nothing */
	*len = head[1];
	if (*len >= 126) {
		int bytes = *len == 126 ? 2 : 8;

		assert_true(far_get(fd, head, (size_t)bytes));
		*len = 0;
		for (int i = 0; i < bytes; i++)
			*len = *len << 8 | head[i];
	}
	payload = xmalloc(*len + 1);
	assert_true(far_get(fd, payload, *len));
	payload[*len] = '\0';
	return payload;
}

static void expect_frame(int fd, int first, const void *payload, size_t len)
{
	int got_first;
	size_t got_len;
	char *got = get_frame(fd, &got_first, &got_len);

	assert_int_equal(got_first, first);
	assert_int_equal(got_len, len);
	assert_memory_equal(got, payload, len);
	free(got);
}

/* A close frame with this code (0: none), then the end. */
static void expect_close(int fd, int code)
{
	int first;
	size_t len;
	char *got = get_frame(fd, &first, &len), c;

	assert_int_equal(first, FIN | CLOSE);
	assert_int_equal(len >= 2, code != 0);
	if (code)
		assert_int_equal((unsigned char)got[0] << 8 | (unsigned char)got[1], code);
	free(got);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

/* ---- handshake ---- */

static void test_bad_handshakes(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *in_head;
	} rows[] = {
		{HEAD_BEGIN "\r\n", 426, "\r\nUpgrade: websocket\r\n"},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 8\r\n\r\n",
		 426, "\r\nSec-WebSocket-Version: 13\r\n"},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Key: " KEY "\r\n\r\n",
		 426, "\r\nSec-WebSocket-Version: 13\r\n"},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Version: 13\r\n\r\n",
		 400, ""},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 400, ""},
		{HEAD_BEGIN "Upgrade: websockets\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 426, ""},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: keep-alive\r\n"
			    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 426, ""},
		{"POST /ws HTTP/1.1\r\nHost: localhost\r\n"
		 "Upgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 426, ""},
		{HEAD_BEGIN "Upgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Origin: http://evil.example\r\n"
			    "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
		 403, ""},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd = far_dial(server.port);
		char head[4096];

		far_say(fd, rows[i].request);
		far_head(fd, head, sizeof(head));
		if (far_status(head) != rows[i].status || !strstr(head, rows[i].in_head))
			fail_msg("%s -> %s", rows[i].request, head);
		close(fd);
	}
}

/* ---- messages ---- */

static void test_echo(void **state)
{
	static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
	char *data = xmalloc(65536);
	int fd = join();

	memset(data, 'x', 65536);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		say_frame(fd, FIN | TEXT, data, sizes[i]);
		expect_frame(fd, FIN | TEXT, data, sizes[i]);
	}
	say_frame(fd, FIN | BINARY, "\0\xff\x80", 3);
	expect_frame(fd, FIN | BINARY, "\0\xff\x80", 3);
	/* In pieces, with a ping between. */
	say_frame(fd, TEXT, "one ", 4);
	say_frame(fd, FIN | PING, "p", 1);
	say_frame(fd, FIN | 0, "two", 3);
	expect_frame(fd, FIN | PONG, "p", 1);
	expect_frame(fd, FIN | TEXT, "one two", 7);
	free(data);
	close(fd);
	await_closed("connection lost");
}

/* What comes right behind the handshake's head, in one segment; and what is sent at once. */
static void test_ahead(void **state)
{
	unsigned char all[1024];
	char head[1024];
	int fd;
	size_t n = strlen(HANDSHAKE);

	server_stop(&server);
	start(&server);
	fd = far_dial(server.port);
	memcpy(all, HANDSHAKE, n);
	n += make_frame(all + n, FIN | TEXT, "early", 5, true);
	assert_true(far_send(fd, all, n));
	far_head(fd, head, sizeof(head));
	assert_int_equal(far_status(head), 101);
	expect_frame(fd, FIN | TEXT, "hello", 5);
	expect_frame(fd, FIN | TEXT, "early", 5);
	close(fd);
	await_closed("connection lost");
}

static void test_byte_by_byte(void **state)
{
	unsigned char frame[64];
	int fd = join();
	size_t n = make_frame(frame, FIN | TEXT, "slowly", 6, true);

	for (size_t i = 0; i < n; i++)
		assert_true(far_send(fd, frame + i, 1));
	expect_frame(fd, FIN | TEXT, "slowly", 6);
	close(fd);
}

static void test_big_message(void **state)
{
	int fd = join(), first;
	size_t len;
	char *got;

	/* More than the queue's bound, but it finds the queue empty. */
	say_frame(fd, FIN | TEXT, "big", 3);
	got = get_frame(fd, &first, &len);
	assert_int_equal(len, 5u << 20);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(got[i], 'B');
	free(got);
	say_frame(fd, FIN | TEXT, "still there", 11);
	expect_frame(fd, FIN | TEXT, "still there", 11);
	close(fd);
}

/* ---- ends ---- */

static void test_closed_by_peer(void **state)
{
	int fd = join();

	say_frame(fd, FIN | CLOSE,
		  "\x03\xe8"
		  "bye",
		  5);
	expect_close(fd, 1000);
	await_closed("closed by the peer");
}

static void test_closed_by_us(void **state)
{
	int fd = join(), first;
	size_t len;
	char *got, c;

	say_frame(fd, FIN | TEXT, "first", 5);
	say_frame(fd, FIN | TEXT, "bye", 3);
	expect_frame(fd, FIN | TEXT, "first", 5);
	got = get_frame(fd, &first, &len);
	assert_int_equal(first, FIN | CLOSE);
	assert_int_equal(len, 13);
	assert_memory_equal(got,
			    "\x03\xe8"
			    "as you wish",
			    13);
	free(got);
	say_frame(fd, FIN | CLOSE, "\x03\xe8", 2);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
	await_closed("closed");
}

static void test_close_unanswered(void **state)
{
	int fd = join();

	say_frame(fd, FIN | TEXT, "bye", 3);
	expect_close(fd, 1000);
	await_closed("closed");
}

static void test_rule_breakers(void **state)
{
	static const struct {
		int first;
		const char *payload;
		size_t len;
		bool mask;
		int code;
		const char *why;
	} rows[] = {
		{FIN | TEXT, "open", 4, false, 1002, "protocol error"},
		{FIN | 0x40 | TEXT, "rsv", 3, true, 1002, "protocol error"},
		{FIN | 3, "opcode", 6, true, 1002, "protocol error"},
		{FIN | 0, "continues nothing", 17, true, 1002, "protocol error"},
		{PING, "in pieces", 9, true, 0, "protocol error"},
		{FIN | TEXT, "\xff\xfe", 2, true, 1007, "text that is not UTF-8"},
		{FIN | TEXT, "\xed\xa0\x80", 3, true, 1007, "text that is not UTF-8"},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char frame[64];
		int fd = join();
		size_t n = make_frame(frame, rows[i].first, rows[i].payload, rows[i].len,
				      rows[i].mask);

		closed = 0;
		assert_true(far_send(fd, frame, n));
		expect_close(fd, rows[i].code);
		await_closed(rows[i].why);
	}
}

static void test_too_big(void **state)
{
	char *data = xmalloc(WS_RECV_MAX + 1);
	int fd = join();

	memset(data, 'x', WS_RECV_MAX + 1);
	say_frame(fd, FIN | TEXT, data, WS_RECV_MAX + 1);
	expect_close(fd, 1009);
	await_closed("message too big");
	/* In pieces, each of them small enough. */
	closed = 0;
	fd = join();
	say_frame(fd, TEXT, data, WS_RECV_MAX / 2);
	say_frame(fd, 0, data, WS_RECV_MAX / 2);
	say_frame(fd, FIN | 0, data, 1);
	expect_close(fd, 1009);
	await_closed("message too big");
	free(data);
}

static void test_slow_reader(void **state)
{
	int fd = join(), after;

	say_frame(fd, FIN | TEXT, "flood", 5);
	await_closed("slow reader");
	assert_int_equal(refused, 1);
	assert_int_equal(sent, (4u << 20) / 100000);
	/* It blocked nobody, and its place is free. */
	closed = 0;
	after = join();
	say_frame(after, FIN | TEXT, "hi", 2);
	expect_frame(after, FIN | TEXT, "hi", 2);
	close(fd);
	close(after);
}

/* Pings whose pongs nobody reads: they are not collected without bound. */
static void test_ping_flood(void **state)
{
	unsigned char frame[256];
	struct timeval soon = {.tv_usec = 300000};
	int fd = join(), small = 4096;
	size_t n = make_frame(frame, FIN | PING, frame, 125, true), taken = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
	while (taken < 64u << 20 && far_send(fd, frame, n))
		taken += n;
	assert_true(taken < 64u << 20); /* it stopped reading */
	close(fd);
}

static void test_silent_peer(void **state)
{
	int fd = join();

	expect_frame(fd, FIN | PING, "", 0);
	say_frame(fd, FIN | PONG, "", 0);
	expect_frame(fd, FIN | PING, "", 0);
	await_closed("no answer to a ping");
	close(fd);
}

static void test_shutdown(void **state)
{
	int fd = join();

	say_frame(fd, FIN | TEXT, "end", 3); /* from inside a hook */
	expect_close(fd, 1001);
	await_closed("shutting down");
}

/* One of the connections there may be, until it ends. */
static void test_counted(void **state)
{
	static const char busy[] = "GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const char none[] = "GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = join(), others[HTTPD_CONNECTIONS - 1];

	for (int i = 0; i < HTTPD_CONNECTIONS - 1; i++) {
		others[i] = far_dial(server.port);
		far_say(others[i], busy);
	}
	await(&late, HTTPD_CONNECTIONS - 1);
	assert_int_equal(ask(server.port, none).status, 503);
	close(fd);
	await_closed("connection lost");
	assert_int_equal(ask(server.port, none).status, 404);
	for (int i = 0; i < HTTPD_CONNECTIONS - 1; i++)
		close(others[i]);
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int all_with(enum stream_engine engine)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_bad_handshakes), SERVED(test_echo),
		SERVED(test_ahead),          SERVED(test_byte_by_byte),
		SERVED(test_big_message),    SERVED(test_closed_by_peer),
		SERVED(test_closed_by_us),   SERVED(test_close_unanswered),
		SERVED(test_rule_breakers),  SERVED(test_too_big),
		SERVED(test_slow_reader),    SERVED(test_ping_flood),
		SERVED(test_silent_peer),    SERVED(test_shutdown),
		SERVED(test_counted),
	};

	stream_set_engine(engine);
	return cmocka_run_group_tests_name(engine == ENGINE_DIRECT ? "direct" : "bufferevent",
					   tests, NULL, NULL);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", "0.03", 0);
	return all_with(ENGINE_DIRECT) + all_with(ENGINE_BUFFEREVENT);
}
