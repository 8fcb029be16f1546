/* Dialling real loopback ports: accepted, refused, silent, unknown, cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/net/dial.h"
#include "common/net/listener.h"

struct outcome {
	struct loop *loop;
	int calls, fd;
	char error[256];
};

static void on_dialled(void *arg, int fd, const char *error)
{
	struct outcome *o = arg;

	o->calls++;
	o->fd = fd;
	assert_int_equal(fd < 0, error != NULL);
	snprintf(o->error, sizeof(o->error), "%s", error ? error : "");
	loop_stop(o->loop);
}

static struct outcome dial(const char *host, uint16_t port, uint64_t ms)
{
	struct outcome o = {.loop = loop_new(), .fd = -1};

	assert_non_null(dial_start(o.loop, host, port, ms, on_dialled, &o));
	assert_int_equal(o.calls, 0); /* never from inside the call */
	loop_run(o.loop);
	assert_int_equal(o.calls, 1);
	loop_free(o.loop);
	return o;
}

/* A port that accepts (in the kernel); *fds to be closed. */
static uint16_t open_port(const char *where, struct listener_fds *fds)
{
	struct err err;
	struct addr a;

	if (!listener_bind(where, fds, &err))
		fail_msg("%s", err.text);
	a = listener_addr(fds);
	return addr_get_port(&a);
}

/* A port on which nobody listens, for as long as nobody else takes it. */
static uint16_t closed_port(void)
{
	struct listener_fds fds;
	uint16_t port = open_port("127.0.0.1:0", &fds);

	listener_fds_close(&fds);
	return port;
}

static int get_int(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void test_accepted(void **state)
{
	static const char *host[] = {"127.0.0.1", "localhost", ""};
	struct listener_fds fds;
	uint16_t port = open_port(":0", &fds);

	for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++) {
		struct outcome o = dial(host[i], port, 10000);

		assert_string_equal(o.error, "");
		assert_true(o.fd >= 0);
		assert_true(fcntl(o.fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(o.fd, F_GETFD) & FD_CLOEXEC);
		assert_int_equal(get_int(o.fd, IPPROTO_TCP, TCP_NODELAY), 1);
		/* This machine does not go away: nothing to keep alive. */
		assert_int_equal(get_int(o.fd, SOL_SOCKET, SO_KEEPALIVE), 0);
		assert_int_equal(write(o.fd, "x", 1), 1);
		close(o.fd);
	}
	listener_fds_close(&fds);
}

static void test_refused(void **state)
{
	uint16_t port = closed_port();
	struct outcome o = dial("127.0.0.1", port, 10000);
	char text[128];

	snprintf(text, sizeof(text), "dial tcp 127.0.0.1:%u: connect: connection refused", port);
	assert_string_equal(o.error, text);
	/* a name, of whose addresses all refuse: the last one is named */
	o = dial("localhost", port, 10000);
	snprintf(text, sizeof(text), ":%u: connect: connection refused", port);
	assert_non_null(strstr(o.error, text));
	assert_int_equal(strncmp(o.error, "dial tcp ", 9), 0);
}

/*
 * Names with two addresses, without a name server: the one at 127.0.0.2 comes first, then
 * 127.0.0.1. Takes the place of the C library's function.
 */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **out)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			 struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
	struct addrinfo *second;
	int rc;

	if (!host || strcmp(host, "two.test") != 0)
		return real(host, port, hints, out);
	rc = real("127.0.0.2", port, hints, out);
	if (rc == 0)
		rc = real("127.0.0.1", port, hints, &second);
	if (rc == 0)
		(*out)->ai_next = second;
	return rc;
}

static void test_second_address(void **state)
{
	struct listener_fds fds;
	uint16_t port = open_port("127.0.0.1:0", &fds);
	struct outcome o = dial("two.test", port, 10000);
	char text[128];

	assert_string_equal(o.error, "");
	assert_true(o.fd >= 0);
	close(o.fd);
	listener_fds_close(&fds);
	/* both refuse: the last one is named */
	o = dial("two.test", port, 10000);
	snprintf(text, sizeof(text), "dial tcp 127.0.0.1:%u: connect: connection refused", port);
	assert_string_equal(o.error, text);
}

/* A port of this machine, on whichever address it is. */
static void test_this_machine(void **state)
{
	struct listener_fds fds;
	uint16_t port = open_port("[::1]:0", &fds);
	struct outcome o = dial("", port, 10000);
	char text[128];

	assert_string_equal(o.error, "");
	close(o.fd);
	listener_fds_close(&fds);
	o = dial("", port, 10000);
	snprintf(text, sizeof(text), "dial tcp 127.0.0.1:%u: connect: connection refused", port);
	assert_string_equal(o.error, text);
}

static struct outcome dial_path(const char *path, uint64_t ms, void (*meanwhile)(void *arg))
{
	struct outcome o = {.loop = loop_new(), .fd = -1};
	struct loop_timer timer;

	loop_timer_init(&timer, o.loop, meanwhile, NULL);
	if (meanwhile)
		loop_after(&timer, 100);
	assert_non_null(dial_unix(o.loop, path, ms, on_dialled, &o));
	assert_int_equal(o.calls, 0);
	loop_run(o.loop);
	assert_int_equal(o.calls, 1);
	loop_timer_stop(&timer);
	loop_free(o.loop);
	return o;
}

static int unix_listener = -1;

static void accept_one(void *arg)
{
	close(accept(unix_listener, NULL, NULL));
}

static void test_unix_socket(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/dial_test.XXXXXX", text[192];
	int waiting[16], n = 0;

	assert_non_null(mkdtemp(dir));
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", dir);
	struct outcome o = dial_path(at.sun_path, 10000, NULL);
	snprintf(text, sizeof(text), "dial unix %s: connect: no such file or directory",
		 at.sun_path);
	assert_string_equal(o.error, text);

	unix_listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(unix_listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(unix_listener, 0), 0);
	while (n < 16) {
		o = dial_path(at.sun_path, 1, NULL);
		if (o.fd < 0)
			break;
		waiting[n++] = o.fd;
	}
	/* Its queue is full: in vain, or until one of them is accepted. */
	assert_in_range(n, 1, 15);
	snprintf(text, sizeof(text), "dial unix %s: connect: resource temporarily unavailable",
		 at.sun_path);
	assert_string_equal(o.error, text);
	o = dial_path(at.sun_path, 10000, accept_one);
	assert_string_equal(o.error, "");
	close(o.fd);
	while (n)
		close(waiting[--n]);
	close(unix_listener);
	unlink(at.sun_path);
	rmdir(dir);
	assert_true(dial_unix_fits(at.sun_path));
	memset(text, 'x', sizeof(text));
	text[108] = '\0';
	assert_false(dial_unix_fits(text));
}

static void test_unknown(void **state)
{
	struct outcome o = dial("a..b", 80, 10000);

	assert_string_equal(o.error, "dial tcp: lookup a..b: no such host");
}

/* Fills the queue of a port that does not accept; its SYNs are dropped from then on. */
static int deaf_port(const char *ip, int taken[], int n, uint16_t *port)
{
	struct addr a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(addr_numeric(ip, *port, &a));
	assert_int_equal(bind(fd, (struct sockaddr *)&a.sa, a.len), 0);
	assert_int_equal(listen(fd, 0), 0);
	a = addr_of_local(fd);
	*port = addr_get_port(&a);
	for (int i = 0; i < n; i++)
		assert_true(socket_connect(&a, &taken[i]));
	return fd;
}

static void test_silent(void **state)
{
	int taken[4];
	uint16_t port = 0;
	int fd = deaf_port("127.0.0.1", taken, 4, &port);
	struct outcome o = dial("127.0.0.1", port, 200);
	char text[128];

	snprintf(text, sizeof(text), "dial tcp 127.0.0.1:%u: i/o timeout", port);
	assert_string_equal(o.error, text);
	for (int i = 0; i < 4; i++)
		close(taken[i]);
	close(fd);
}

/* The first address is silent: the second has its turn while there is time. */
static void test_silent_then_open(void **state)
{
	int taken[4], fd;
	struct listener_fds fds;
	uint16_t port = open_port("127.0.0.1:0", &fds);
	struct outcome o;

	fd = deaf_port("127.0.0.2", taken, 4, &port);
	o = dial("two.test", port, 4000);
	assert_string_equal(o.error, "");
	assert_true(o.fd >= 0);
	close(o.fd);
	for (int i = 0; i < 4; i++)
		close(taken[i]);
	close(fd);
	listener_fds_close(&fds);
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Cancelled at once, and while it waits: no call, no descriptor left. */
static void test_cancel(void **state)
{
	struct outcome o = {.loop = loop_new()}, last = {.loop = o.loop};
	struct listener_fds fds;
	uint16_t port = open_port("127.0.0.1:0", &fds), deaf = 0;
	int taken[4], fd = deaf_port("127.0.0.1", taken, 4, &deaf), before = open_descriptors();
	struct dial *waiting = dial_start(o.loop, "127.0.0.1", deaf, 5000, on_dialled, &o);

	dial_cancel(dial_start(o.loop, "127.0.0.1", port, 1000, on_dialled, &o));
	dial_cancel(dial_start(o.loop, "localhost", port, 1000, on_dialled, &o));
	dial_cancel(dial_start(o.loop, "127.0.0.1", closed_port(), 1000, on_dialled, &o));
	assert_non_null(dial_start(o.loop, "localhost", port, 1000, on_dialled, &last));
	loop_run(o.loop);
	dial_cancel(waiting);
	assert_int_equal(o.calls, 0);
	assert_int_equal(last.calls, 1);
	close(last.fd);
	assert_int_equal(open_descriptors(), before);
	for (int i = 0; i < 4; i++)
		close(taken[i]);
	close(fd);
	listener_fds_close(&fds);
	loop_free(o.loop);
}

/* The owner starts the next dial from inside the answer, as a client that reconnects does. */
struct chain {
	struct loop *loop;
	uint16_t port;
	int left;
};

static void on_chain(void *arg, int fd, const char *error)
{
	struct chain *c = arg;

	assert_true(fd >= 0);
	close(fd);
	if (--c->left == 0)
		loop_stop(c->loop);
	else
		assert_non_null(dial_start(c->loop, "127.0.0.1", c->port, 1000, on_chain, c));
}

static void test_chain(void **state)
{
	struct listener_fds fds;
	struct chain c = {.loop = loop_new(), .port = open_port("127.0.0.1:0", &fds), .left = 50};

	assert_non_null(dial_start(c.loop, "127.0.0.1", c.port, 1000, on_chain, &c));
	loop_run(c.loop);
	listener_fds_close(&fds);
	loop_free(c.loop);
}

static void test_no_descriptors(void **state)
{
	struct outcome o = {.loop = loop_new()};
	struct rlimit was, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_non_null(dial_start(o.loop, "127.0.0.1", 80, 1000, on_dialled, &o));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	loop_run(o.loop);
	assert_string_equal(o.error, "dial tcp 127.0.0.1:80: socket: too many open files");
	loop_free(o.loop);
}

static bool write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

/* A network of this process alone, in which outgoing connections have one source port to choose. */
static bool one_port_network(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;
	bool ok;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ok = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	close(fd);
	return ok && write_text("/proc/sys/net/ipv4/ip_local_port_range", "40000 40000");
}

/* A closed port of the range that outgoing connections use must not turn out to be open. */
static void test_never_meets_itself(void **state)
{
	enum { CANNOT = 77, NEVER_DOES = 78 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct outcome o;
		struct addr a;
		int fd;

		if (!one_port_network() || !addr_numeric("127.0.0.1", 40000, &a))
			_exit(CANNOT);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&a.sa, a.len) < 0)
			_exit(NEVER_DOES);
		/* a reset, not TIME_WAIT: the port is free again at once */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
			   sizeof(struct linger));
		close(fd);
		o = dial("127.0.0.1", 40000, 1000);
		_exit(strcmp(o.error, "dial tcp 127.0.0.1:40000: connect: connection refused") !=
		      0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		skip(); /* not allowed to make a network */
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_this_machine),     cmocka_unit_test(test_unix_socket),
		cmocka_unit_test(test_accepted),         cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown),          cmocka_unit_test(test_second_address),
		cmocka_unit_test(test_silent_then_open), cmocka_unit_test(test_silent),
		cmocka_unit_test(test_cancel),           cmocka_unit_test(test_chain),
		cmocka_unit_test(test_no_descriptors),   cmocka_unit_test(test_never_meets_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
