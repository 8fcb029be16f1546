/*
 * A new connection for every request: conn HOST PORT SECONDS CONCURRENCY [NAME]
 *
 * The time of a visitor is from connect() to the last byte of the answer. NAME goes into the Host
 * header. What is under way when time is up does not count.
 */
#include "tool.h"

#include <sys/epoll.h>

#define ERRORS_MAX 1000

struct visitor {
	int fd;
	bool sent;
	uint64_t start;
	struct answer answer;
};

static struct sockaddr_in target;
static char request[512];
static int ep;
static struct samples times;
static long errors;

static void visitor_start(struct visitor *v)
{
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = v};

	v->start = now_ns();
	v->answer.have = 0;
	v->sent = false;
	while ((v->fd = connect_start(&target)) < 0) {
		if (++errors > ERRORS_MAX)
			die("connect: %s (%ld errors)", strerror(errno), errors);
		usleep(1000);
	}
	if (epoll_ctl(ep, EPOLL_CTL_ADD, v->fd, &ev) < 0)
		die("epoll_ctl: %s", strerror(errno));
}

static void visitor_end(struct visitor *v, bool fine)
{
	close(v->fd);
	if (fine)
		sample_add(&times, now_ns() - v->start);
	else if (++errors > ERRORS_MAX)
		die("%ld visitors failed, %zu did not", errors, times.n);
	visitor_start(v);
}

static void visitor_ready(struct visitor *v)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = v};

	if (!v->sent) {
		ssize_t n = write(v->fd, request, strlen(request));
		if (n != (ssize_t)strlen(request))
			return visitor_end(v, false);
		v->sent = true;
		epoll_ctl(ep, EPOLL_CTL_MOD, v->fd, &ev);
		return;
	}
	switch (answer_read(&v->answer, v->fd)) {
	case ANSWER_MORE:
		return;
	case ANSWER_DONE:
		return visitor_end(v, true);
	case ANSWER_BAD:
		return visitor_end(v, false);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event evs[64];

	if (argc < 5)
		die("usage: conn HOST PORT SECONDS CONCURRENCY [NAME]");
	tool_init();
	target = address(argv[1], argv[2]);
	snprintf(request, sizeof(request),
		 "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
		 argc > 5 ? argv[5] : argv[1]);
	ep = epoll_create1(EPOLL_CLOEXEC);

	uint64_t last = (uint64_t)(atof(argv[3]) * 1e9), start = now_ns(), now = start;
	int count = atoi(argv[4]);
	struct visitor *all = calloc((size_t)count, sizeof(*all));
	if (all == NULL)
		die("out of memory");
	for (int i = 0; i < count; i++)
		visitor_start(&all[i]);
	while ((now = now_ns()) - start < last) {
		int n = epoll_wait(ep, evs, 64, 100);
		for (int i = 0; i < n; i++)
			visitor_ready(evs[i].data.ptr);
	}
	samples_print(&times, now - start, errors);
	return 0;
}
