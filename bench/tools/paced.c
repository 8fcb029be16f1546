/*
 * Requests at a fixed rate, whatever the answers do:
 * paced HOST PORT RATE SECONDS CONNECTIONS [NAME]
 *
 * Request k is due at start + k / RATE, and its latency counts from then: a stall is charged to every
 * request that it delays, not to one alone. A request waits in line when all connections are busy. What
 * is unanswered 2 s after the last was due counts as unanswered, with the time it has waited by then.
 */
#include "tool.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#define GRACE (2 * NS_PER_S)

struct conn {
	int fd;
	uint64_t due; /* of the request under way, 0: idle */
	struct answer answer;
};

static struct sockaddr_in target;
static char request[512];
static struct samples times;
static struct conn *all, **idle;
static size_t conns, idle_count;
static uint64_t start, period_num, sent, total; /* period_num: ns of the whole run */

static uint64_t due_of(uint64_t k)
{
	return start + (uint64_t)((double)k * ((double)period_num / (double)total));
}

static void conn_send(struct conn *c)
{
	size_t len = strlen(request);

	c->due = due_of(sent++);
	c->answer.have = 0;
	if (write(c->fd, request, len) != (ssize_t)len)
		die("write: %s", strerror(errno));
}

/* All that is due by now and finds a free connection. */
static void send_due(uint64_t now)
{
	while (sent < total && idle_count > 0 && due_of(sent) <= now)
		conn_send(idle[--idle_count]);
}

static void conn_ready(struct conn *c)
{
	switch (answer_read(&c->answer, c->fd)) {
	case ANSWER_MORE:
		return;
	case ANSWER_BAD:
		die("bad answer after %zu good ones", times.n);
	case ANSWER_DONE:
		sample_add(&times, now_ns() - c->due);
		c->due = 0;
		idle[idle_count++] = c;
	}
}

static void arm(int timer)
{
	uint64_t due = sent < total ? due_of(sent) : start + period_num + GRACE;
	struct itimerspec its = {.it_value = {.tv_sec = (time_t)(due / NS_PER_S),
					      .tv_nsec = (long)(due % NS_PER_S)}};

	timerfd_settime(timer, TFD_TIMER_ABSTIME, &its, NULL);
}

static void open_all(int ep)
{
	for (size_t i = 0; i < conns; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &all[i]};

		all[i].fd = connect_blocking(&target, 10);
		fcntl(all[i].fd, F_SETFL, fcntl(all[i].fd, F_GETFL) | O_NONBLOCK);
		epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev);
		idle[idle_count++] = &all[i];
	}
}

/* Those still out, and those never sent because nothing was free. */
static long count_unanswered(uint64_t now)
{
	long missing = 0;

	for (size_t i = 0; i < conns; i++) {
		if (all[i].due != 0) {
			sample_add(&times, now - all[i].due);
			missing++;
		}
	}
	for (; sent < total; sent++, missing++)
		sample_add(&times, now - due_of(sent));
	return missing;
}

static void run(int ep, int timer)
{
	struct epoll_event evs[64];
	uint64_t ticks, now;

	while (times.n < total && (now = now_ns()) < start + period_num + GRACE) {
		send_due(now);
		/* With everything busy the next send waits for an answer, not for the clock. */
		if (idle_count > 0)
			arm(timer);
		int n = epoll_wait(ep, evs, 64, 200);
		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr != NULL)
				conn_ready(evs[i].data.ptr);
			else if (read(timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
				die("timer: %s", strerror(errno));
		}
	}
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};

	if (argc < 6)
		die("usage: paced HOST PORT RATE SECONDS CONNECTIONS [NAME]");
	tool_init();
	target = address(argv[1], argv[2]);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
		 argc > 6 ? argv[6] : argv[1]);
	conns = (size_t)atoi(argv[5]);
	all = calloc(conns, sizeof(*all));
	idle = calloc(conns, sizeof(*idle));
	if (all == NULL || idle == NULL)
		die("out of memory");
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	epoll_ctl(ep, EPOLL_CTL_ADD, timer, &ev);
	open_all(ep);

	total = (uint64_t)(atof(argv[3]) * atof(argv[4]));
	period_num = (uint64_t)(atof(argv[4]) * 1e9);
	start = now_ns();
	run(ep, timer);
	uint64_t end = now_ns();
	long missing = count_unanswered(end);
	samples_print(&times, end - start, missing);
	return 0;
}
