/* Options and states of TCP sockets. */
#include "common/net/socket.h"

#include <errno.h>
#include <event2/util.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#define KEEPALIVE_IDLE_S 20
#define KEEPALIVE_STEP_S 5
#define KEEPALIVE_PROBES 3

int socket_new(int family)
{
#ifdef SOCK_NONBLOCK
	return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd >= 0) {
		evutil_make_socket_nonblocking(fd);
		evutil_make_socket_closeonexec(fd);
	}
	return fd;
#endif
}

void socket_set(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

bool socket_connect(const struct addr *to, int *fd)
{
	int error;

	*fd = socket_new(to->sa.any.sa_family);
	if (*fd < 0)
		return false;
	socket_set(*fd, IPPROTO_TCP, TCP_NODELAY, 1);
	/* The other end on this machine can't vanish without a word. */
	if (!addr_is_loopback(to))
		socket_keepalive(*fd);
	if (connect(*fd, (const struct sockaddr *)&to->sa, to->len) == 0 || errno == EINPROGRESS)
		return true;
	error = errno;
	close(*fd);
	*fd = -1;
	errno = error;
	return false;
}

void socket_keepalive(int fd)
{
	socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
	socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
#endif
#ifdef TCP_KEEPINTVL
	socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP_S);
	socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
#endif
}

void socket_always_read(int fd)
{
#ifdef TCP_USER_TIMEOUT
	socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		   1000 * (KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_STEP_S));
#else
	(void)fd;
#endif
}

void socket_short_queue(int fd)
{
#ifdef TCP_NOTSENT_LOWAT
	socket_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, SOCKET_UNSENT);
#else
	(void)fd;
#endif
}

void socket_long_queue(int fd)
{
#ifdef TCP_NOTSENT_LOWAT
	socket_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0);
#else
	(void)fd;
#endif
}

bool socket_broken(int fd)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error;
}

int socket_unacknowledged(int fd)
{
#ifdef SIOCOUTQ
	int n;

	return ioctl(fd, SIOCOUTQ, &n) < 0 ? -1 : n;
#else
	(void)fd;
	return -1;
#endif
}

unsigned long socket_raise_nofile(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 0;
	if (lim.rlim_cur < lim.rlim_max) {
		rlim_t was = lim.rlim_cur;

		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			lim.rlim_cur = was;
	}
	return lim.rlim_cur;
}

int socket_max_fds(void)
{
	struct rlimit r;

	return getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < INT_MAX ? (int)r.rlim_cur
									 : INT_MAX;
}
