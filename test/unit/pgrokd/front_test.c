/*
 * The lobby on plain sockets: which protocol a connection speaks by its first bytes, what it is
 * given time for, how many are let in.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "msg/pgrok/frame.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/front/http.h"
#include "pgrokd/proto/pgrok.h"
#include "test/unit/pgrokd/server_rig.h"

#define SCALE 0.02
#define PER_IP 5
#define GET "GET / HTTP/1.1\r\nHost: nope.test\r\n\r\n"

static const struct proto_ops *const both[] = {&pgrok_proto, &http_proto, NULL};
static const struct proto_ops *const only_http[] = {&http_proto, NULL};
static const struct proto_ops *const only_pgrok[] = {&pgrok_proto, NULL};

static int set_up(void **state)
{
	struct rig *r = server_new(PER_IP);

	r->core.spoken[PORT_HTTP] = only_http;
	r->core.spoken[PORT_TUNNEL] = both;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	server_free(*state);
	return 0;
}

static void say_text(struct rig *r, int fd, const char *text)
{
	say(r, fd, text, strlen(text));
}

/* What has come; NULL: the end (a reset, where bytes were left unread); "": nothing yet. */
static const char *hear(int fd)
{
	static char text[4096];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	/* The heads of messages have NULs. */
	for (ssize_t i = 0; i < n; i++)
		text[i] = text[i] ? text[i] : '.';
	return n == 0 || (n < 0 && errno == ECONNRESET) ? NULL : text;
}

static void expect(int fd, const char *text)
{
	const char *got = hear(fd);

	assert_non_null(got);
	if (*text ? !strstr(got, text) : *got)
		fail_msg("\"%s\" instead of \"%s\"", got, text);
}

static char *frame_of(const struct msg *m, size_t *len)
{
	struct err err;
	char *frame = frame_make(m, FRAME_GO_MAX, len, &err);

	assert_non_null(frame);
	return frame;
}

static char *auth(size_t *len)
{
	struct msg m = msg_new(MSG_AUTH);

	m.auth.version = MSG_PROTO_VERSION;
	m.auth.client_id = "abc";
	return frame_of(&m, len);
}

static char *ping(size_t *len)
{
	struct msg m = msg_new(MSG_PING);

	return frame_of(&m, len);
}

/* ---- what it is ---- */

static void test_one_protocol(void **state)
{
	struct rig *r = *state;
	int v = come(r, PORT_HTTP);

	say_text(r, v, GET);
	expect(v, "HTTP/1.1 404");
	close(v);
	r->core.spoken[PORT_TUNNEL] = only_pgrok;
	v = come(r, PORT_TUNNEL);
	say_text(r, v, GET);
	assert_null(hear(v));
	close(v);
}

static void test_http_where_two_are_spoken(void **state)
{
	struct rig *r = *state;
	int v = come(r, PORT_TUNNEL);

	say_text(r, v, GET);
	expect(v, "HTTP/1.1 404");
	close(v);
}

/* Each byte alone: a first one that both might begin with, and so on. */
static void test_byte_by_byte(void **state)
{
	struct rig *r = *state;
	int v = come(r, PORT_TUNNEL), c = come(r, PORT_TUNNEL);
	size_t len;
	char *frame = auth(&len);

	for (const char *p = GET; *p; p++) {
		expect(v, "");
		say(r, v, p, 1);
	}
	expect(v, "HTTP/1.1 404");
	for (size_t i = 0; i < len; i++) {
		expect(c, "");
		say(r, c, frame + i, 1);
	}
	expect(c, "AuthResp");
	free(frame);
	close(v);
	close(c);
}

/* What comes with the first message is for its reader, not for the lobby. */
static void test_bytes_behind_the_first_message(void **state)
{
	struct rig *r = *state;
	size_t a, p;
	char *first = auth(&a), *then = ping(&p), all[1024];

	memcpy(all, first, a);
	memcpy(all + a, then, p);
	for (int i = 0; i < 2; i++) {
		int c = come(r, PORT_TUNNEL);

		say(r, c, all, a + p);
		const char *got = hear(c);

		assert_non_null(got);
		assert_non_null(strstr(got, "AuthResp"));
		assert_non_null(strstr(got, "Pong"));
		close(c);
		pass(r);
		r->core.spoken[PORT_TUNNEL] = only_pgrok;
	}
	free(first);
	free(then);
}

static void test_no_protocol(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"\x16\x03\x01", 3},         /* TLS: a length beyond any */
		{"\0\0\0\0\0\0\0\0", 8},     /* no length at all */
		{"\x05\0\0\0\0\0\0\x80", 8}, /* a negative one */
		{"\x01\0\x01", 3},           /* 65,537 */
		{"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int v = come(r, PORT_TUNNEL);

		say(r, v, bad[i].bytes, bad[i].len);
		assert_null(hear(v));
		close(v);
	}
	int v = come(r, PORT_TUNNEL);

	say(r, v, "\0\0\x01\0\0\0\0", 7); /* 65,536, as far as can be seen */
	expect(v, "");
	close(v);
	pass(r);
	assert_int_equal(r->worker.n_guests, 0);
}

static void test_looks(void **state)
{
	(void)state;
	assert_int_equal(pgrok_proto.looks_like(NULL, 0), LOOKS_MORE);
	assert_int_equal(http_proto.looks_like(NULL, 0), LOOKS_MORE);
	assert_int_equal(pgrok_proto.looks_like("G", 1), LOOKS_MORE);
	assert_int_equal(pgrok_proto.looks_like("GE", 2), LOOKS_MORE);
	assert_int_equal(pgrok_proto.looks_like("GET", 3), LOOKS_NO);
	assert_int_equal(pgrok_proto.looks_like("\x47\x45\0\0\0\0\0\0", 8), LOOKS_YES);
	assert_int_equal(http_proto.looks_like("g", 1), LOOKS_YES);
	assert_int_equal(http_proto.looks_like("\r\nGET", 5), LOOKS_YES);
	assert_int_equal(http_proto.looks_like("\0", 1), LOOKS_NO);
}

/* ---- time ---- */

static void wait_ms(struct rig *r, double limit)
{
	turns_for(r->worker.loop, (int)(limit * SCALE) + 20);
	pass(r);
}

static void test_says_nothing(void **state)
{
	struct rig *r = *state;
	int v[3] = {come(r, PORT_HTTP), come(r, PORT_TUNNEL), come(r, PORT_TUNNEL)};

	say(r, v[1], "G", 1);
	say(r, v[2], "\x20\0\0\0\0\0\0\0{", 9);
	wait_ms(r, LIMIT_FIRST_MS);
	for (int i = 0; i < 3; i++) {
		assert_null(hear(v[i]));
		close(v[i]);
	}
	assert_int_equal(r->worker.n_guests, 0);
}

/* A head that began late has its own time, and no more. */
static void test_head_has_its_own_time(void **state)
{
	struct rig *r = *state;
	int v = come(r, PORT_HTTP), w = come(r, PORT_HTTP), x = come(r, PORT_TUNNEL);

	wait_ms(r, LIMIT_FIRST_MS * 0.6);
	say_text(r, x, "GET");
	say_text(r, v, "GET / HTTP/1.1\r\n");
	say_text(r, w, "GET / HTTP/1.1\r\n");
	wait_ms(r, LIMIT_HEAD_MS * 0.6);
	say_text(r, v, "Host: nope.test\r\n\r\n");
	expect(v, "HTTP/1.1 404");
	expect(w, "");
	say_text(r, x, " / HTTP/1.1\r\nHost: nope.test\r\n\r\n");
	expect(x, "HTTP/1.1 404");
	say_text(r, w, "Host: ");
	wait_ms(r, LIMIT_HEAD_MS * 0.5);
	assert_null(hear(w));
	close(v);
	close(w);
	close(x);
}

/* ---- how many ---- */

static void test_per_address(void **state)
{
	struct rig *r = *state;
	int v[PER_IP + 1];

	for (int i = 0; i < PER_IP; i++) {
		v[i] = come_from(r, PORT_HTTP, "192.0.2.1");
		expect(v[i], "");
	}
	v[PER_IP] = come_from(r, PORT_HTTP, "192.0.2.1");
	assert_null(hear(v[PER_IP]));
	close(v[PER_IP]);
	assert_int_equal(r->worker.count.shed[SHED_ADDRESS], 1);
	int other = come_from(r, PORT_HTTP, "192.0.2.2");

	expect(other, "");
	close(other);
	/* One that stays after its page still counts, one that has left no more. */
	say_text(r, v[0], GET);
	expect(v[0], "HTTP/1.1 404");
	v[PER_IP] = come_from(r, PORT_HTTP, "192.0.2.1");
	assert_null(hear(v[PER_IP]));
	close(v[PER_IP]);
	say_text(r, v[0], "GET / HTTP/1.1\r\nConnection: close\r\nHost: nope.test\r\n\r\n");
	expect(v[0], "HTTP/1.1 404");
	v[PER_IP] = come_from(r, PORT_HTTP, "192.0.2.1");
	expect(v[PER_IP], "");
	for (int i = 0; i <= PER_IP; i++)
		close(v[i]);
	pass(r);
}

static void test_oldest_goes(void **state)
{
	struct rig *r = *state;
	int v[LIMIT_HALF_OPEN / LIMIT_WORKERS + 1];
	int n = LIMIT_HALF_OPEN / LIMIT_WORKERS;

	r->core.n_workers = LIMIT_WORKERS; /* only for its share */
	for (int i = 0; i < n; i++)
		v[i] = come(r, PORT_HTTP);
	expect(v[0], "");
	v[n] = come(r, PORT_HTTP);
	assert_null(hear(v[0]));
	expect(v[1], "");
	expect(v[n], "");
	assert_int_equal(r->worker.n_guests, n);
	for (int i = 0; i <= n; i++)
		close(v[i]);
	pass(r);
	r->core.n_workers = 1;
}

/* One that has said something is rather somebody than one that has not. */
static void test_silent_ones_go_first(void **state)
{
	struct rig *r = *state;
	int v[LIMIT_HALF_OPEN / LIMIT_WORKERS + 4];
	int n = LIMIT_HALF_OPEN / LIMIT_WORKERS;

	r->core.n_workers = LIMIT_WORKERS;
	for (int i = 0; i < n; i++) {
		v[i] = come(r, PORT_HTTP);
		if (i != 1 && i != n - 1)
			say_text(r, v[i], "GET /");
	}
	turns_for(r->worker.loop, (int)(LIMIT_SILENT_MS * SCALE) + 10);
	for (int i = 0; i < 3; i++) {
		v[n + i] = come(r, PORT_HTTP);
		say_text(r, v[n + i], "GET /");
	}
	assert_null(hear(v[1]));
	assert_null(hear(v[n - 1]));
	assert_null(hear(v[0])); /* none was silent any more */
	expect(v[2], "");
	expect(v[n + 2], "");
	assert_int_equal(r->worker.n_guests, n);
	for (int i = 0; i < n + 3; i++)
		close(v[i]);
	pass(r);
	r->core.n_workers = 1;
}

/* ---- what a proxy says first ---- */

#define LINE "PROXY TCP4 203.0.113.9 192.0.2.80 40112 80\r\n"
#define V2_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
#define PROXY_IP "192.0.2.1"

static struct nets *trusted;

static int set_up_behind(void **state)
{
	struct err err;

	(void)set_up(state);
	struct rig *r = *state;

	r->core.trusted = trusted = nets_read("192.0.2.0/24, 10.0.0.1", &err);
	assert_non_null(trusted);
	r->core.proxy_heads[PORT_HTTP] = r->core.proxy_heads[PORT_TUNNEL] = true;
	door_trust(r->core.door, r->core.trusted);
	return 0;
}

static int tear_down_behind(void **state)
{
	(void)tear_down(state);
	nets_free(trusted);
	return 0;
}

/* As whom the server knows the only one whose first words are not complete. */
static void expect_peer(struct rig *r, const char *peer)
{
	char text[ADDR_TEXT];

	assert_int_equal(r->worker.n_guests, 1);
	assert_string_equal(addr_text(&TAILQ_FIRST(&r->worker.guests)->peer, text), peer);
}

static void test_proxied(void **state)
{
	struct rig *r = *state;
	int v = come_from(r, PORT_HTTP, PROXY_IP);

	for (const char *p = LINE; *p; p++) {
		expect_peer(r, "192.0.2.1:1234");
		say(r, v, p, 1);
	}
	expect_peer(r, "203.0.113.9:40112");
	say_text(r, v, GET);
	expect(v, "HTTP/1.1 404");
	expect_peer(r, "203.0.113.9:40112");
	close(v);
	pass(r);
	/* All at once, and to the port of clients. */
	v = come_from(r, PORT_TUNNEL, PROXY_IP);
	say_text(r, v, LINE GET);
	expect(v, "HTTP/1.1 404");
	close(v);
	pass(r);
	v = come_from(r, PORT_HTTP, PROXY_IP);
	say(r, v, V2_LOCAL, sizeof(V2_LOCAL) - 1);
	expect_peer(r, "192.0.2.1:1234");
	say_text(r, v, GET);
	expect(v, "HTTP/1.1 404");
	close(v);
}

/* From others it is nothing that a request could begin with. */
static void test_proxied_by_a_stranger(void **state)
{
	struct rig *r = *state;
	int v = come_from(r, PORT_HTTP, "198.51.100.1");

	say_text(r, v, LINE GET);
	expect(v, "HTTP/1.1 400");
	close(v);
	pass(r);
	v = come_from(r, PORT_HTTP, "198.51.100.1");
	say_text(r, v, GET);
	expect(v, "HTTP/1.1 404");
	close(v);
	pass(r);
	v = come_from(r, PORT_TUNNEL, "198.51.100.1");
	say_text(r, v, LINE);
	assert_null(strstr(hear(v), "404"));
	close(v);
}

/* The second is the visitor's own. */
static void test_proxied_twice(void **state)
{
	struct rig *r = *state;
	int v = come_from(r, PORT_HTTP, PROXY_IP);

	say_text(r, v, LINE "PROXY TCP4 127.0.0.1 192.0.2.80 1 80\r\n" GET);
	expect(v, "HTTP/1.1 400");
	close(v);
	v = come_from(r, PORT_HTTP, PROXY_IP);
	say(r, v, V2_LOCAL V2_LOCAL, 2 * sizeof(V2_LOCAL) - 1);
	say_text(r, v, GET);
	expect(v, "HTTP/1.1 400");
	close(v);
}

static void test_not_proxied(void **state)
{
	static const char *const bad[] = {GET, "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", "\x16\x03\x01",
					  "PROXY TCP9 1.1.1.1 2.2.2.2 1 2\r\n" GET};
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int v = come_from(r, PORT_HTTP, PROXY_IP);

		say_text(r, v, bad[i]);
		assert_null(hear(v));
		close(v);
	}
	int v = come_from(r, PORT_HTTP, PROXY_IP);

	say_text(r, v, "PROXY TCP4 203.");
	shutdown(v, SHUT_WR);
	pass(r);
	assert_null(hear(v));
	close(v);
	assert_int_equal(r->worker.n_guests, 0);
}

static void test_proxied_in_time(void **state)
{
	struct rig *r = *state;
	int v = come_from(r, PORT_HTTP, PROXY_IP);

	say_text(r, v, "PROXY TCP4 203.");
	wait_ms(r, LIMIT_FIRST_MS);
	assert_null(hear(v));
	close(v);
}

/* The proxy has as many as it likes, each of its visitors no more than others. */
static void test_proxied_per_address(void **state)
{
	struct rig *r = *state;
	int v[PER_IP + 1];

	for (int i = 0; i <= PER_IP; i++) {
		v[i] = come_from(r, PORT_HTTP, PROXY_IP);
		expect(v[i], "");
	}
	for (int i = 0; i <= PER_IP; i++) {
		say_text(r, v[i], LINE "GET / HTTP/1.1\r\n");
		if (i < PER_IP)
			expect(v[i], "");
	}
	assert_null(hear(v[PER_IP]));
	assert_int_equal(r->worker.count.shed[SHED_ADDRESS], 1);
	int other = come_from(r, PORT_HTTP, PROXY_IP);

	say_text(r, other, "PROXY TCP4 203.0.113.10 192.0.2.80 1 80\r\nGET / HTTP/1.1\r\n");
	expect(other, "");
	/* Who has left counts no more. */
	close(v[0]);
	pass(r);
	close(v[PER_IP]);
	v[PER_IP] = come_from(r, PORT_HTTP, PROXY_IP);
	say_text(r, v[PER_IP], LINE "GET / HTTP/1.1\r\n");
	expect(v[PER_IP], "");
	for (int i = 1; i <= PER_IP; i++)
		close(v[i]);
	close(other);
	pass(r);
}

int main(void)
{
	char scale[16];

	snprintf(scale, sizeof(scale), "%g", SCALE);
	setenv("PGROK_TIME_SCALE", scale, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define BEHIND(name) cmocka_unit_test_setup_teardown(name, set_up_behind, tear_down_behind)
	const struct CMUnitTest tests[] = {
		TEST(test_silent_ones_go_first),
		TEST(test_one_protocol),
		TEST(test_http_where_two_are_spoken),
		TEST(test_byte_by_byte),
		TEST(test_bytes_behind_the_first_message),
		TEST(test_no_protocol),
		TEST(test_looks),
		TEST(test_says_nothing),
		TEST(test_head_has_its_own_time),
		TEST(test_per_address),
		TEST(test_oldest_goes),
		BEHIND(test_proxied),
		BEHIND(test_proxied_by_a_stranger),
		BEHIND(test_proxied_twice),
		BEHIND(test_not_proxied),
		BEHIND(test_proxied_in_time),
		BEHIND(test_proxied_per_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
