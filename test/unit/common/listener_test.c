/* Real loopback ports: binding, siblings, accepting, closing, and running out of descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/net/listener.h"
#include "common/base/log.h"

static uint16_t bind_ok(const char *where, struct listener_fds *fds)
{
	struct err err = {""};
	struct addr a;

	if (!listener_bind(where, fds, &err))
		fail_msg("%s: %s", where, err.text);
	a = listener_addr(fds);
	return addr_get_port(&a);
}

static int get_int(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

/* A visitor: blocks until it is connected. */
static int visit(const char *host, uint16_t port)
{
	struct addr a;
	int fd;

	assert_true(addr_numeric(host, port, &a));
	fd = socket(a.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&a.sa, a.len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

struct guests {
	struct loop *loop;
	struct listener *ln;
	int n, enough;
	int fd[300];
	struct addr last;
	struct loop_timer timer;
	bool timed_out, close_in_fn;
};

static void on_guest(void *arg, int fd, const struct addr *peer)
{
	struct guests *g = arg;

	g->last = *peer;
	g->fd[g->n++] = fd;
	if (g->close_in_fn)
		listener_close(g->ln);
	if (g->n == g->enough)
		loop_stop(g->loop);
}

static void on_time(void *arg)
{
	struct guests *g = arg;

	g->timed_out = true;
	loop_stop(g->loop);
}

static void run_until(struct guests *g, int enough, uint64_t ms)
{
	g->enough = enough;
	g->timed_out = false;
	loop_timer_init(&g->timer, g->loop, on_time, g);
	loop_after(&g->timer, ms);
	loop_run(g->loop);
	loop_timer_stop(&g->timer);
}

static void send_home(struct guests *g)
{
	while (g->n > 0)
		close(g->fd[--g->n]);
}

/* ---- binding ---- */

static void test_bad_addresses(void **state)
{
	static const struct {
		const char *addr, *err;
	} bad[] = {
		{"127.0.0.1", "listen tcp: address 127.0.0.1: missing port in address"},
		{"::1:80", "listen tcp: address ::1:80: too many colons in address"},
		{":70000", "listen tcp: address 70000: invalid port"},
		{":nosuchservice", "listen tcp: lookup tcp/nosuchservice: unknown port"},
		{"a..b:80", "listen tcp: lookup a..b: no such host"},
		{"192.0.2.1:80", "listen tcp 192.0.2.1:80: bind: cannot assign requested address"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct listener_fds fds;
		struct err err = {""};

		assert_false(listener_bind(bad[i].addr, &fds, &err));
		assert_string_equal(err.text, bad[i].err);
		assert_int_equal(fds.fd[0], -1);
		assert_int_equal(fds.fd[1], -1);
	}
}

static bool have_ipv6(void)
{
	struct addr a;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool ok = fd >= 0 && addr_numeric("::1", 0, &a) &&
		  bind(fd, (struct sockaddr *)&a.sa, a.len) == 0;

	close(fd);
	return ok;
}

/* Go's rule: no host, 0.0.0.0 and [::] are all the same, every address of both families. */
static void test_every_address(void **state)
{
	static const char *const all[] = {":0", "0.0.0.0:0", "[::]:0"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct listener_fds fds;
		uint16_t port = bind_ok(all[i], &fds);
		struct addr a = listener_addr(&fds);
		int fd;

		assert_int_equal(a.sa.any.sa_family, AF_INET);
		fd = visit("127.0.0.1", port);
		assert_true(fd >= 0);
		close(fd);
		if (have_ipv6()) {
			fd = visit("::1", port);
			assert_true(fd >= 0);
			close(fd);
			assert_int_equal(get_int(fds.fd[1], IPPROTO_IPV6, IPV6_V6ONLY), 1);
		} else {
			assert_int_equal(fds.fd[1], -1);
		}
		listener_fds_close(&fds);
		assert_int_equal(fds.fd[0], -1);
	}
}

static void test_one_address(void **state)
{
	struct listener_fds fds;
	uint16_t port = bind_ok("localhost:0", &fds);
	int fd = visit("127.0.0.1", port);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fds.fd[1], -1);
	assert_int_equal(visit("127.0.0.2", port), -1);
	listener_fds_close(&fds);
}

/* Not even to one that asks with SO_REUSEPORT first, and not after siblings have joined. */
static void test_second_daemon(void **state)
{
	struct listener_fds first, sibling, second;
	uint16_t port = bind_ok(":0", &first);
	char where[32], want[128];
	struct err err;

	assert_true(listener_bind_sibling(&first, &sibling, &err));
	snprintf(where, sizeof(where), ":%u", port);
	assert_false(listener_bind(where, &second, &err));
	snprintf(want, sizeof(want), "listen tcp 0.0.0.0:%u: bind: address already in use", port);
	assert_string_equal(err.text, want);
	assert_int_equal(second.fd[0], -1);
	snprintf(where, sizeof(where), "127.0.0.1:%u", port);
	assert_false(listener_bind(where, &second, &err));
	if (have_ipv6()) {
		snprintf(where, sizeof(where), "[::1]:%u", port);
		assert_false(listener_bind(where, &second, &err));
	}
	listener_fds_close(&first);
	listener_fds_close(&sibling);
	/* at once again: a restart does not wait for TIME_WAIT */
	snprintf(where, sizeof(where), ":%u", port);
	assert_int_equal(bind_ok(where, &first), port);
	listener_fds_close(&first);
}

/* IPv6 alone is taken: nothing is left half-bound. */
static void test_half_taken(void **state)
{
	struct listener_fds six, both;
	char where[32], want[128];
	struct err err;
	uint16_t port;

	if (!have_ipv6())
		skip();
	port = bind_ok("[::1]:0", &six);
	snprintf(where, sizeof(where), ":%u", port);
	assert_false(listener_bind(where, &both, &err));
	snprintf(want, sizeof(want), "listen tcp [::]:%u: bind: address already in use", port);
	assert_string_equal(err.text, want);
	assert_int_equal(both.fd[0], -1);
	assert_int_equal(visit("127.0.0.1", port), -1);
	listener_fds_close(&six);
}

/* ---- accepting ---- */

static void test_accept(void **state)
{
	struct guests g = {.loop = loop_new()};
	struct listener_fds fds;
	uint16_t port = bind_ok(":0", &fds);
	char text[ADDR_TEXT];
	int visitor, fd;

	g.ln = listener_start(g.loop, &fds, on_guest, &g);
	assert_int_equal(fds.fd[0], -1);
	visitor = visit("127.0.0.1", port);
	run_until(&g, 1, 5000);
	assert_int_equal(g.n, 1);
	fd = g.fd[0];
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), SOCKET_UNSENT);
	assert_string_equal(addr_ip_text(&g.last, text), "127.0.0.1");
	close(visitor);
	if (have_ipv6()) {
		visitor = visit("::1", port);
		run_until(&g, 2, 5000);
		assert_string_equal(addr_ip_text(&g.last, text), "::1");
		close(visitor);
	}
	send_home(&g);
	listener_close(g.ln);
	loop_free(g.loop);
}

/* More than one wake-up takes. */
static void test_crowd(void **state)
{
	enum { N = 200 };
	struct guests g = {.loop = loop_new()};
	struct listener_fds fds;
	uint16_t port = bind_ok("127.0.0.1:0", &fds);
	int fd[N];

	for (int i = 0; i < N; i++)
		assert_true((fd[i] = visit("127.0.0.1", port)) >= 0);
	g.ln = listener_start(g.loop, &fds, on_guest, &g);
	run_until(&g, N, 5000);
	assert_int_equal(g.n, N);
	for (int i = 0; i < N; i++)
		close(fd[i]);
	send_home(&g);
	listener_close(g.ln);
	loop_free(g.loop);
}

/* Two workers on one port: both get visitors. */
static void test_siblings_share(void **state)
{
	enum { N = 100 };
	struct loop *l = loop_new();
	struct guests a = {.loop = l}, b = {.loop = l};
	struct listener_fds first, second;
	uint16_t port = bind_ok("127.0.0.1:0", &first);
	struct err err;
	int fd[N];

	assert_true(listener_bind_sibling(&first, &second, &err));
	a.ln = listener_start(l, &first, on_guest, &a);
	b.ln = listener_start(l, &second, on_guest, &b);
	for (int i = 0; i < N; i++)
		assert_true((fd[i] = visit("127.0.0.1", port)) >= 0);
	for (int i = 0; i < 100 && a.n + b.n < N; i++)
		run_until(&a, N + 1, 20);
	assert_int_equal(a.n + b.n, N);
	assert_true(a.n > N / 5 && b.n > N / 5);
	for (int i = 0; i < N; i++)
		close(fd[i]);
	send_home(&a);
	send_home(&b);
	listener_close(a.ln);
	listener_close(b.ln);
	loop_free(l);
}

/* Who is in the queue when the port closes is served, not reset. */
static void test_close_drains(void **state)
{
	struct guests g = {.loop = loop_new()};
	struct listener_fds fds;
	uint16_t port = bind_ok(":0", &fds);
	int fd[10];

	g.ln = listener_start(g.loop, &fds, on_guest, &g);
	for (int i = 0; i < 10; i++)
		assert_true((fd[i] = visit("127.0.0.1", port)) >= 0);
	listener_close(g.ln);
	assert_int_equal(g.n, 10);
	assert_int_equal(visit("127.0.0.1", port), -1);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(write(fd[i], "x", 1), 1);
		close(fd[i]);
	}
	send_home(&g);
	loop_free(g.loop);
}

static void test_close_from_inside(void **state)
{
	struct guests g = {.loop = loop_new(), .close_in_fn = true};
	struct listener_fds fds;
	uint16_t port = bind_ok(":0", &fds);
	int fd[10];

	g.ln = listener_start(g.loop, &fds, on_guest, &g);
	for (int i = 0; i < 10; i++)
		assert_true((fd[i] = visit("127.0.0.1", port)) >= 0);
	run_until(&g, 10, 2000);
	assert_int_equal(g.n, 10);
	for (int i = 0; i < 10; i++)
		close(fd[i]);
	send_home(&g);
	loop_free(g.loop);
}

/* ---- without descriptors ---- */

static long cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static void limit_descriptors(rlim_t n)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = n;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		_exit(9);
}

/* In a child of its own, which exits with the number of what failed. */
static int starve(uint16_t port, struct listener_fds *fds, int visitor[], int n)
{
	struct guests g = {.loop = loop_new()};
	struct pollfd p;
	long cpu;
	int top, shed = 0;

	for (int i = 0; i < n; i++)
		if ((visitor[i] = visit("127.0.0.1", port)) < 0)
			return 2;
	g.ln = listener_start(g.loop, fds, on_guest, &g);
	top = dup(0);
	close(top);
	limit_descriptors((rlim_t)top + 3); /* room for three */
	cpu = cpu_ms();
	run_until(&g, n, 350);
	if (g.n != 3)
		return 3;
	for (int i = 0; i < n; i++) {
		p = (struct pollfd){.fd = visitor[i], .events = POLLIN};
		shed += poll(&p, 1, 0) == 1;
	}
	/* One per 100 ms was sent away, not all, and it did not spin. */
	if (shed < 1 || shed > 6)
		return 4;
	if (cpu_ms() - cpu > 150)
		return 5;
	/* Descriptors are back: the others are served without a new event. */
	limit_descriptors((rlim_t)top + 100);
	run_until(&g, n - shed, 5000);
	if (g.timed_out || g.n != n - shed)
		return 6;
	send_home(&g);
	listener_close(g.ln);
	loop_free(g.loop);
	return 0;
}

static void test_no_descriptors(void **state)
{
	enum { N = 20 };
	struct listener_fds fds;
	uint16_t port = bind_ok("127.0.0.1:0", &fds);
	int visitor[N], out[2], status;
	char text[4096];
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		struct err err;

		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		if (!log_open("stdout", "INFO", &err))
			_exit(8);
		_exit(starve(port, &fds, visitor, N));
	}
	close(out[1]);
	while ((n = read(out[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	text[used] = '\0';
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* said, and said once */
	assert_non_null(strstr(text, "too many open files"));
	assert_null(strstr(strstr(text, "too many open files") + 1, "too many open files"));
	listener_fds_close(&fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_addresses),  cmocka_unit_test(test_every_address),
		cmocka_unit_test(test_one_address),    cmocka_unit_test(test_second_daemon),
		cmocka_unit_test(test_half_taken),     cmocka_unit_test(test_accept),
		cmocka_unit_test(test_crowd),          cmocka_unit_test(test_siblings_share),
		cmocka_unit_test(test_close_drains),   cmocka_unit_test(test_close_from_inside),
		cmocka_unit_test(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
