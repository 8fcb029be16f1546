/* Unit tests of common/net/socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/net/socket.h"

static int get_int(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

static void test_options(void **state)
{
	int fd = socket_new(AF_INET);

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	socket_keepalive(fd);
	assert_int_equal(get_int(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
	socket_always_read(fd);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 35000);
	socket_short_queue(fd);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), SOCKET_UNSENT);
	socket_long_queue(fd);
	assert_int_equal(get_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 0);
	close(fd);
}

/* Two ends on loopback. */
static void connected(int *near, int *far)
{
	struct addr to;
	struct pollfd p = {.events = POLLOUT};
	int ln = socket_new(AF_INET);

	assert_true(addr_numeric("127.0.0.1", 0, &to));
	assert_int_equal(bind(ln, &to.sa.any, to.len), 0);
	assert_int_equal(listen(ln, 1), 0);
	to = addr_of_local(ln);
	assert_true(socket_connect(&to, near));
	p.fd = *near;
	assert_int_equal(poll(&p, 1, 5000), 1);
	p = (struct pollfd){.fd = ln, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	*far = accept(ln, NULL, NULL);
	assert_true(*far >= 0);
	close(ln);
}

static void test_connect(void **state)
{
	struct addr to;
	int near, far;

	connected(&near, &far);
	assert_int_equal(get_int(near, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(get_int(near, SOL_SOCKET, SO_KEEPALIVE), 0); /* loopback */
	to = addr_of_local(near);
	close(near);
	close(far);
	to.sa.any.sa_family = 12345;
	assert_false(socket_connect(&to, &near));
	assert_int_equal(errno, EAFNOSUPPORT);
	assert_int_equal(near, -1);
}

/* The peer's kernel acknowledges what its program does not read, as long as it has room. */
static void test_unacknowledged(void **state)
{
	static char piece[64 << 10];
	struct pollfd p = {.events = POLLIN};
	int near, far;

	connected(&near, &far);
	assert_int_equal(write(near, "x", 1), 1);
	p.fd = far;
	assert_int_equal(poll(&p, 1, 5000), 1);
	for (int i = 0; i < 5000 && socket_unacknowledged(near); i++)
		poll(NULL, 0, 1);
	assert_int_equal(socket_unacknowledged(near), 0);
	while (write(near, piece, sizeof(piece)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_true(socket_unacknowledged(near) > 0);
	close(near);
	close(far);
	assert_int_equal(socket_unacknowledged(near), -1);
}

static void test_raise_nofile(void **state)
{
	struct rlimit was, lim;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	lim = was;
	lim.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_true(socket_raise_nofile() == was.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_true(lim.rlim_cur == was.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_unacknowledged),
		cmocka_unit_test(test_raise_nofile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
