/* Control connections over socket pairs, whose far end reads or does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "msg/pgrok/frame.h"
#include "pgrokd/client/takeover.h"
#include "pgrokd/proto/pgrok.h"
#include "pgrokd/proto/pgrok_in.h"
#include "test/unit/pgrokd/server_rig.h"

#define SCALE 0.05
#define PING "\x1c\0\0\0\0\0\0\0{\"Type\":\"Ping\",\"Payload\":{}}"
#define FRAME 36

/* The server's end, which it owns; the client's. */
static int near, far;

static int set_up(void **state)
{
	*state = server_new(100);
	return 0;
}

static int tear_down(void **state)
{
	server_free(*state);
	close(far);
	return 0;
}

/* The far end says what it likes, and never waits for us. */
static void client_comes(struct rig *r, const char *features)
{
	struct parcel p = {.client_id = "abc", .first = msg_new(MSG_AUTH)};
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	near = fd[0];
	far = fd[1];
	p.first.auth.features = features;
	assert_true(addr_numeric("127.0.0.1", 1234, &p.peer));
	registry_enter(r->core.registry, p.client_id);
	pgrok_control_adopt(&r->worker, stream_new_direct(r->worker.loop, near, NULL), &p);
	assert_non_null(client_find(&r->worker, "abc"));
}

static bool there(struct rig *r)
{
	return client_find(&r->worker, "abc") != NULL;
}

static bool ping(struct rig *r)
{
	bool sent = there(r) && write(far, PING, FRAME) == FRAME;

	turns(r->worker.loop, 2);
	return sent;
}

/* A socket counts as full when a quarter of it is. */
static void fill(struct rig *r)
{
	struct pollfd p = {.fd = near, .events = POLLOUT};
	int n = 0;

	for (; poll(&p, 1, 0) == 1; n++)
		assert_true(ping(r));
	for (n *= 4; n > 0; n--)
		assert_true(ping(r));
	assert_true(there(r));
}

static size_t read_all(struct rig *r)
{
	static char buf[1 << 16];
	size_t all = 0;
	ssize_t n;

	while ((n = read(far, buf, sizeof(buf))) > 0)
		all += (size_t)n;
	return all;
}

/* What waits for it is bounded, in our memory and in its socket. */
static void test_never_reads_all_at_once(void **state)
{
	struct rig *r = *state;
	size_t pings = 0;

	client_comes(r, "");
	while (ping(r))
		pings++;
	assert_false(there(r));
	assert_in_range(pings, LIMIT_CONTROL_QUEUE / FRAME / 3,
			(LIMIT_CONTROL_QUEUE + 2 * LIMIT_CONTROL_SOCKET) / FRAME);
}

/* Its Pings are no life while it reads nothing: it goes after LIMIT_CONTROL_WRITE_MS. */
static void test_never_reads(void **state)
{
	struct rig *r = *state;
	uint64_t since, took;

	client_comes(r, "ping");
	fill(r);
	since = clock_us();
	for (int i = 0; there(r) && i < 400; i++) {
		(void)ping(r);
		turns_for(r->worker.loop, 5);
	}
	took = (clock_us() - since) / 1000;
	assert_false(there(r));
	/* Later than that a silent one is closed anyway. */
	assert_in_range(took, LIMIT_CONTROL_WRITE_MS * SCALE / 2, LIMIT_PING_MS * SCALE - 100);
}

/* Many Pings do no harm to one that reads their Pongs, even if it sometimes is late. */
static void test_reads_late(void **state)
{
	struct rig *r = *state;
	size_t got = 0;

	client_comes(r, "");
	for (int i = 0; i < 20; i++) {
		fill(r);
		turns_for(r->worker.loop, 50);
		got += read_all(r);
		turns(r->worker.loop, 2);
		assert_true(there(r));
	}
	assert_in_range(got, 20 * 100 * FRAME, 20 * 1000 * FRAME);
}

static void send_message(struct rig *r, const struct msg *m)
{
	struct err err;
	size_t len;
	char *frame = frame_make(m, FRAME_GO_MAX, &len, &err);

	assert_non_null(frame);
	assert_int_equal(write(far, frame, len), (ssize_t)len);
	free(frame);
}

static void want(struct rig *r, const char *protocol)
{
	struct msg m = msg_new(MSG_REQ_TUNNEL);

	m.req_tunnel.req_id = "1";
	m.req_tunnel.protocol = protocol;
	m.req_tunnel.subdomain = "x";
	send_message(r, &m);
	turns(r->worker.loop, 4);
}

static void on_taken(void *arg, bool is_free)
{
	*(const char **)arg = is_free ? "free" : "taken";
}

/*
 * Another client wants its name, and it pings. While it reads none of the Pongs that is no sign of
 * life: its name is free when the time for one is over. Before that it was.
 */
static void test_pings_unread_are_no_life(void **state)
{
	struct rig *r = *state;
	const char *outcome[2] = {NULL, NULL};

	r->core.on[PORT_HTTP] = true;
	r->settings.reserved = reserved_new("", "t.test", NULL);
	client_comes(r, "ping");
	want(r, "http");
	struct route *route = registry_find(r->core.registry, "http://x.t.test");

	assert_non_null(route);
	for (int i = 0; i < 2; i++) {
		struct takeover_ticket ticket = {.done = on_taken, .arg = &outcome[i]};

		if (i == 1)
			fill(r);
		takeover_ask(&r->worker, route, &ticket);
		turns(r->worker.loop, 2);
		for (int k = 0; !outcome[i] && k < 2000; k++) {
			(void)ping(r);
			turns_for(r->worker.loop, i);
		}
		assert_non_null(outcome[i]);
	}
	assert_string_equal(outcome[0], "taken");
	assert_string_equal(outcome[1], "free");
	route_unref(route);
	turns(r->worker.loop, 4);
	reserved_free(r->settings.reserved);
}

/* As with the Go server a refusal ends a client that has no tunnel, and no other. */
static void test_first_refusal_ends_it(void **state)
{
	struct rig *r = *state;
	static const char *const first[] = {"http", "udp"};

	r->core.on[PORT_HTTP] = true;
	r->settings.reserved = reserved_new("", "t.test", NULL);
	for (int i = 0; i < 2; i++) {
		client_comes(r, "");
		want(r, first[i]);
		assert_int_equal(there(r), i == 0);
		if (there(r))
			want(r, "udp");
		assert_int_equal(there(r), i == 0);
		if (there(r))
			client_close(client_find(&r->worker, "abc"), "the test closes it");
		turns(r->worker.loop, 4);
		assert_true(read_all(r) > 100); /* it is told why */
		if (i == 0)
			close(far);
	}
	reserved_free(r->settings.reserved);
}

/* Who is refused again and again has to go, tunnels or not. */
static void test_so_many_refusals(void **state)
{
	struct rig *r = *state;

	r->core.on[PORT_HTTP] = true;
	r->settings.reserved = reserved_new("", "t.test", NULL);
	client_comes(r, "");
	want(r, "http");
	for (int i = 1; i < LIMIT_REFUSALS; i++) {
		struct msg m = msg_new(MSG_REQ_TUNNEL);

		m.req_tunnel.protocol = "udp";
		send_message(r, &m);
	}
	turns(r->worker.loop, 8);
	assert_true(there(r));
	want(r, "udp");
	assert_false(there(r));
	client_close_all(&r->worker, "the test is over");
	reserved_free(r->settings.reserved);
}

/* So many messages a turn, whatever came: others have their turn. */
static void test_takes_turns(void **state)
{
	struct rig *r = *state;
	size_t got = 0, now;

	client_comes(r, "ping"); /* whose Pongs are not delayed */
	turns(r->worker.loop, 2);
	(void)read_all(r);
	for (int i = 0; i < 3 * LIMIT_MESSAGES; i++)
		assert_int_equal(write(far, PING, FRAME), FRAME);
	for (int i = 0; i < 20; i++) {
		turns(r->worker.loop, 1);
		now = read_all(r);
		assert_in_range(now, 0, 2 * LIMIT_MESSAGES * FRAME); /* its event, its tick */
		got += now;
	}
	assert_int_equal(got, 3 * LIMIT_MESSAGES * FRAME);
}

/* It pings, or it is gone. */
static void test_lost_heartbeat(void **state)
{
	struct rig *r = *state;
	const int limit = (int)((LIMIT_PING_MS + LIMIT_REAP_MS) * SCALE);

	client_comes(r, "");
	for (int i = 0; i < 5; i++) {
		turns_for(r->worker.loop, limit / 4);
		assert_true(ping(r));
		(void)read_all(r);
	}
	for (int i = 0; i < 40 && there(r); i++)
		turns_for(r->worker.loop, limit / 4);
	assert_false(there(r));
}

/*
 * An owner that can't answer a Ping lives as long as what is said to it arrives. On a socket pair
 * that is what was read.
 */
static void test_seems_alive(void **state)
{
	struct rig *r = *state;
	void *k;

	client_comes(r, "");
	k = client_session(client_find(&r->worker, "abc"), &pgrok_proto);
	assert_true(read_all(r) > 0);
	assert_true(pgrok_control_seems_alive(k));
	pgrok_control_ask_alive(k);
	turns(r->worker.loop, 2);
	assert_false(pgrok_control_seems_alive(k));
	assert_true(read_all(r) > 0);
	assert_true(pgrok_control_seems_alive(k));
}

/* Of one that can only its answer counts. */
static void test_has_to_answer(void **state)
{
	struct rig *r = *state;
	void *k;

	client_comes(r, "ping");
	k = client_session(client_find(&r->worker, "abc"), &pgrok_proto);
	pgrok_control_ask_alive(k);
	turns(r->worker.loop, 2);
	assert_true(read_all(r) > 0);
	assert_false(pgrok_control_seems_alive(k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_never_reads_all_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_never_reads, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reads_late, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pings_unread_are_no_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_first_refusal_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_so_many_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_takes_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lost_heartbeat, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_seems_alive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_has_to_answer, set_up, tear_down),
	};

	setenv("PGROK_TIME_SCALE", "0.05", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
