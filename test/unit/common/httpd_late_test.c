/*
 * httpd and time: answers that come later, clients that leave before or are slow, and more
 * connections than there may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>

#include "test/unit/common/httpd_far.h"

#define HOST "Host: localhost\r\n"

static struct server server;
static uint64_t late_id[HTTPD_CONNECTIONS]; /* of those that on_late() does not answer */
static atomic_int late;

/* ---- what is served ---- */

static int counted;

static void on_counted(void *arg, struct httpd_req *r)
{
	counted++;
	httpd_text(r, 200, "x");
}

static void on_hello(void *arg, struct httpd_req *r)
{
	httpd_text(r, 200, "hello");
}

static void on_late(void *arg, struct httpd_req *r)
{
	late_id[late] = httpd_id(r);
	late++;
}

/* How many of them are still there? */
static void on_waiting(void *arg, struct httpd_req *r)
{
	int n = 0;

	for (int i = 0; i < late; i++)
		n += httpd_find(server.h, late_id[i]) != NULL;
	httpd_text(r, 200, "%d", n);
}

static void on_release(void *arg, struct httpd_req *r)
{
	struct httpd_req *waits = httpd_find(server.h, late_id[late - 1]);

	if (waits)
		httpd_text(waits, 200, "late");
	httpd_text(r, 200, waits ? "released" : "nobody waits");
}

static const struct httpd_route routes[] = {
	{"GET", "/hello", on_hello},     {"POST", "/hello", on_hello},
	{"GET", "/counted", on_counted}, {"GET", "/late", on_late},
	{"POST", "/late", on_late},      {"GET", "/waiting", on_waiting},
	{"GET", "/release", on_release}, {NULL, NULL, NULL},
};

static int setup(void **state)
{
	late = 0;
	server_start(&server, &(struct httpd_config){.name = "web", .routes = routes});
	server_run(&server);
	return 0;
}

static int teardown(void **state)
{
	server_stop(&server);
	return 0;
}

/* ---- late answers ---- */

static void test_late(void **state)
{
	int fd = far_dial(server.port);

	/* One request waits, the one behind it waits with it, others do not. */
	far_say(fd, "POST /late HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx"
		    "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	await(&late, 1);
	assert_string_equal(ask(server.port, "GET /release HTTP/1.1\r\n" HOST "\r\n").body,
			    "released");
	assert_string_equal(get_answer(fd, false).body, "late");
	assert_string_equal(get_answer(fd, false).body, "hello");
	assert_string_equal(ask(server.port, "GET /release HTTP/1.1\r\n" HOST "\r\n").body,
			    "nobody waits");
	close(fd);
}

/* A handler may take its time: no timer of the connection runs meanwhile. */
static void test_very_late(void **state)
{
	int fd = far_dial(server.port);

	usleep(10000); /* the connection is idle first */
	far_say(fd, "GET /late HTTP/1.1\r\n" HOST "\r\n");
	await(&late, 1);
	usleep((useconds_t)loop_scaled(HTTPD_IDLE_MS) * 1200);
	assert_string_equal(ask(server.port, "GET /release HTTP/1.1\r\n" HOST "\r\n").body,
			    "released");
	assert_string_equal(get_answer(fd, false).body, "late");
	close(fd);
}

/* Until the server has seen that their clients are gone. */
static void await_none_waits(void)
{
	for (int i = 0; i < 10000; i++) {
		struct answer a = ask(server.port, "GET /waiting HTTP/1.1\r\n" HOST "\r\n");

		if (a.status == 200 && strcmp(a.body, "0") == 0)
			return;
		usleep(1000);
	}
	fail();
}

static void test_gone_before_answer(void **state)
{
	for (int reset = 0; reset < 2; reset++) {
		struct linger now = {.l_onoff = reset};
		int fd = far_dial(server.port);

		far_say(fd, "GET /late HTTP/1.1\r\n" HOST "\r\n");
		/* Its request is there before the client goes. */
		far_say(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		await(&late, reset + 1);
		close(fd);
		await_none_waits();
		assert_string_equal(ask(server.port, "GET /release HTTP/1.1\r\n" HOST "\r\n").body,
				    "nobody waits");
	}
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

	far_say(fd, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab");
	free(far_rest(fd, &len, &end));
	assert_int_equal(len, 0);
	assert_int_equal(end, 0);
	close(fd);
}

static void stop_loop(void *arg)
{
	loop_stop(arg);
}

/* Hundreds of requests sent ahead are not answered in one turn: others have theirs. */
static void test_takes_turns(void **state)
{
	static const char one[] = "GET /counted HTTP/1.1\r\n" HOST "\r\n";
	static char answers[64 << 10];
	struct server s;
	int fd;

	server_start(&s, &(struct httpd_config){.name = "web", .routes = routes});
	fd = far_dial(s.port);
	for (int i = 0; i < 500; i++)
		far_say(fd, one);
	counted = 0;
	for (int i = 0; i < 1000 && counted < 500; i++) {
		struct loop_tick t = {.fn = stop_loop, .arg = s.loop};
		int before = counted;

		loop_next_tick(s.loop, &t);
		loop_run(s.loop);
		assert_in_range(counted - before, 0, 64);
		while (recv(fd, answers, sizeof(answers), MSG_DONTWAIT) > 0)
			;
	}
	assert_int_equal(counted, 500);
	close(fd);
	server_run(&s);
	server_stop(&s);
}

/* One that moves may take longer than a peer may be silent. */
static void test_long_body(void **state)
{
	int fd = far_dial(server.port);

	far_say(fd, "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		usleep((useconds_t)loop_scaled(HTTPD_IDLE_MS) * 1000 / 4);
		far_say(fd, "x");
	}
	assert_string_equal(get_answer(fd, false).body, "hello");
	close(fd);
}

/* The one that has been idle for longest makes room. */
static void test_too_many_idle(void **state)
{
	int fd[HTTPD_CONNECTIONS];

	for (int i = 0; i < HTTPD_CONNECTIONS; i++) {
		fd[i] = far_dial(server.port);
		far_say(fd[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		assert_string_equal(get_answer(fd[i], false).body, "hello");
	}
	assert_string_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
	assert_ended(fd[0]);
	for (int i = 1; i < HTTPD_CONNECTIONS; i++) {
		far_say(fd[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		assert_string_equal(get_answer(fd[i], false).body, "hello");
		close(fd[i]);
	}
}

static void test_too_many_busy(void **state)
{
	int fd[HTTPD_CONNECTIONS];

	for (int i = 0; i < HTTPD_CONNECTIONS; i++) {
		fd[i] = far_dial(server.port);
		far_say(fd[i], "GET /late HTTP/1.1\r\n" HOST "\r\n");
	}
	await(&late, HTTPD_CONNECTIONS);
	assert_int_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n").status, 503);
	for (int i = 0; i < HTTPD_CONNECTIONS; i++)
		close(fd[i]);
	await_none_waits();
	assert_string_equal(ask(server.port, "GET /hello HTTP/1.1\r\n" HOST "\r\n").body, "hello");
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int all_with(enum stream_engine engine)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_late),
		SERVED(test_very_late),
		SERVED(test_gone_before_answer),
		SERVED(test_slow_head),
		SERVED(test_slow_body),
		SERVED(test_too_many_idle),
		SERVED(test_too_many_busy),
		SERVED(test_long_body),
		cmocka_unit_test(test_takes_turns),
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
