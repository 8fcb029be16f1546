/* Sends back what it gets: echo HOST PORT */
#include "tool.h"

#include <sys/epoll.h>

static char buf[65536];

/* Whatever a slow reader leaves over is waited for: the tools that use this send a byte at a time. */
static bool send_back(int fd, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(fd, buf + done, len - done);
		if (n < 0 && errno == EAGAIN)
			usleep(100);
		else if (n < 0)
			return false;
		else
			done += (size_t)n;
	}
	return true;
}

static void take(int ep, int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
		no_delay(fd);
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event evs[64];
	int one = 1;

	if (argc != 3)
		die("usage: echo HOST PORT");
	tool_init();
	struct sockaddr_in sin = address(argv[1], argv[2]);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(listener, 4096) < 0)
		die("listen: %s", strerror(errno));
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	for (;;) {
		int n = epoll_wait(ep, evs, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;
			if (fd == listener) {
				take(ep, listener);
				continue;
			}
			ssize_t got = read(fd, buf, sizeof(buf));
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= 0 || !send_back(fd, (size_t)got))
				close(fd);
		}
	}
}
