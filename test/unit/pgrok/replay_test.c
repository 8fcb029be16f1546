/* Requests sent again, to a service that the test plays: how long, how many at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "pgrok/replay/replay.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE "0.02" /* REPLAY_MS are 1.2 s */
#define REQUEST "GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct rig {
	struct loop *loop;
	struct capture *store;
	struct replays *all;
	struct config_tunnel conf;
	int listens;
};

static int set_up(void **state)
{
	static const struct capture_limits limits = {1u << 20, 4u << 20};
	struct rig *r = xcalloc(1, sizeof(*r));
	struct addr a;
	struct err err;
	char text[ADDR_TEXT];

	r->loop = loop_new();
	r->store = capture_new(&limits);
	r->all = replays_new(r->loop, r->store);
	r->listens = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(addr_numeric("127.0.0.1", 0, &a));
	assert_int_equal(bind(r->listens, &a.sa.any, a.len), 0);
	assert_int_equal(listen(r->listens, 64), 0);
	a.len = sizeof(a.sa);
	assert_int_equal(getsockname(r->listens, &a.sa.any, &a.len), 0);
	assert_true(endpoint_parse(&r->conf.local[PROTO_HTTP], addr_text(&a, text), &err));
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	replays_close(r->all);
	turns(r->loop, 3);
	capture_free(r->store);
	loop_free(r->loop);
	endpoint_free(&r->conf.local[PROTO_HTTP]);
	close(r->listens);
	free(r);
	return 0;
}

static bool start(struct rig *r, unsigned times, char (*ids)[CAPTURE_ID])
{
	struct replay_target to = {"web", "http://web.test", &r->conf, PROTO_HTTP, NULL};
	struct replay_job job = {.request = REQUEST, .len = strlen(REQUEST), .times = times};

	return replay_start(r->all, &to, &job, ids);
}

/* The service's end of the next connection, with the request read. */
static int served(struct rig *r)
{
	char got[200];
	size_t n = 0;
	int fd = -1;

	for (int i = 0; i < 10000 && fd < 0; i++) {
		turns(r->loop, 1);
		fd = accept4(r->listens, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			turns_for(r->loop, 1);
	}
	assert_true(fd >= 0);
	for (int i = 0; i < 10000 && n < strlen(REQUEST); i++) {
		ssize_t some = recv(fd, got + n, sizeof(got) - n, 0);

		if (some > 0)
			n += (size_t)some;
		else
			turns_for(r->loop, 1);
	}
	assert_int_equal(n, strlen(REQUEST));
	assert_memory_equal(got, REQUEST, n);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Until the transaction is no longer open. */
static const struct capture_txn *ended(struct rig *r, const char *id)
{
	const struct capture_txn *t = NULL;

	for (int i = 0; i < 10000; i++) {
		t = capture_find(r->store, id);
		if (t && t->state != CAPTURE_OPEN)
			return t;
		turns_for(r->loop, 1);
	}
	fail_msg("%s", t ? "it is open for ever" : "it never began");
	return NULL;
}

static void one_after_the_other(void **state)
{
	struct rig *r = *state;
	char ids[2][CAPTURE_ID];

	assert_true(start(r, 2, ids));
	for (int i = 0; i < 2; i++) {
		int fd = served(r);
		const struct capture_txn *t;

		say(fd, OK2);
		t = ended(r, ids[i]);
		assert_int_equal(t->state, CAPTURE_DONE);
		assert_int_equal(t->status, 200);
		close(fd);
	}
}

/* A service that never answers, or stops in the middle, does not keep it. */
static void is_not_answered(void **state)
{
	struct rig *r = *state;
	static const char *const said[] = {"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"};

	for (int i = 0; i < 2; i++) {
		char ids[1][CAPTURE_ID];
		const struct capture_txn *t;
		int fd;
		char c;

		assert_true(start(r, 1, ids));
		fd = served(r);
		say(fd, said[i]);
		turns_for(r->loop, (int)loop_scaled(REPLAY_MS) / 3);
		t = capture_find(r->store, ids[0]);
		assert_int_equal(t->state, CAPTURE_OPEN);
		t = ended(r, ids[0]);
		assert_int_equal(t->state, CAPTURE_FAILED);
		assert_string_equal(t->error, "no complete answer in time");
		turns(r->loop, 2);
		assert_true(recv(fd, &c, 1, 0) == 0 || errno == ECONNRESET);
		close(fd);
	}
}

static void so_many_at_once(void **state)
{
	struct rig *r = *state;
	char ids[REPLAY_JOBS + 1][1][CAPTURE_ID];
	int fd[REPLAY_JOBS];

	for (int i = 0; i < REPLAY_JOBS; i++)
		assert_true(start(r, 1, ids[i]));
	assert_false(start(r, 1, ids[REPLAY_JOBS]));
	for (int i = 0; i < REPLAY_JOBS; i++)
		fd[i] = served(r);
	for (int i = 0; i < REPLAY_JOBS; i++)
		say(fd[i], OK2);
	for (int i = 0; i < REPLAY_JOBS; i++)
		(void)ended(r, ids[i][0]);
	/* One that is over makes room. */
	assert_true(start(r, 1, ids[REPLAY_JOBS]));
	for (int i = 0; i < REPLAY_JOBS; i++)
		close(fd[i]);
}

static void has_no_service(void **state)
{
	struct rig *r = *state;
	char ids[1][CAPTURE_ID];
	const struct capture_txn *t;

	close(r->listens);
	r->listens = -1;
	assert_true(start(r, 1, ids));
	t = ended(r, ids[0]);
	assert_string_equal(t->error, "the local service is not there");
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_after_the_other),
		TEST(is_not_answered),
		TEST(so_many_at_once),
		TEST(has_no_service),
	};

	return cmocka_run_group_tests_name("pgrok_replay", tests, NULL, NULL);
}
