/*
 * A slow line for one port, where namespaces are forbidden: relay HOST PORT TO_HOST TO_PORT ONE_WAY_MS
 *
 * Takes TCP connections and carries their bytes to TO_HOST:TO_PORT, each way late by ONE_WAY_MS, the first
 * bytes later by a round trip more, which is what connecting costs on a real line. Less true than
 * packets: no loss, no bottleneck, and a window of 8 MiB a direction.
 */
#include "tool.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

#define PIECE 65536
#define WINDOW (8 << 20)

struct piece {
	struct piece *next;
	uint64_t due;
	size_t len, done; /* len 0: the end */
	char data[];
};

struct direction {
	int from, to;
	size_t held;
	uint64_t not_before;
	struct piece *first, **last;
	bool ended, finished;
};

struct link {
	struct link *next;
	struct direction way[2];
};

static struct link *links;
static uint64_t delay_ns;
static struct sockaddr_in target;

static void link_new(int fd)
{
	struct link *l = calloc(1, sizeof(*l));
	int other = connect_start(&target);

	if (l == NULL)
		die("out of memory");
	if (other < 0) {
		free(l);
		close(fd);
		return;
	}
	no_delay(fd);
	for (int i = 0; i < 2; i++) {
		struct direction *d = &l->way[i];
		d->from = i == 0 ? fd : other;
		d->to = i == 0 ? other : fd;
		d->not_before = now_ns() + 3 * delay_ns;
		d->last = &d->first;
	}
	l->next = links;
	links = l;
}

/* Returns false once the direction is of no further use. */
static bool direction_take(struct direction *d, uint64_t now)
{
	while (!d->ended && d->held < WINDOW) {
		struct piece *p = malloc(sizeof(*p) + PIECE);
		if (p == NULL)
			die("out of memory");
		ssize_t n = read(d->from, p->data, PIECE);
		if (n < 0) {
			free(p);
			return errno == EAGAIN;
		}
		/* Most pieces are small, and hundreds of them may be under way. */
		struct piece *fit = realloc(p, sizeof(*p) + (size_t)n);
		p = fit ? fit : p;
		*p = (struct piece){.due = now + delay_ns, .len = (size_t)n};
		if (p->due < d->not_before)
			p->due = d->not_before;
		d->held += p->len;
		d->ended = n == 0;
		*d->last = p;
		d->last = &p->next;
	}
	return true;
}

static bool direction_give(struct direction *d, uint64_t now)
{
	while (d->first && d->first->due <= now) {
		struct piece *p = d->first;
		if (p->len == 0) {
			shutdown(d->to, SHUT_WR);
			d->finished = true;
		} else {
			ssize_t n = write(d->to, p->data + p->done, p->len - p->done);
			if (n < 0)
				return errno == EAGAIN;
			p->done += (size_t)n;
			d->held -= (size_t)n;
			if (p->done < p->len)
				return true;
		}
		d->first = p->next;
		if (d->first == NULL)
			d->last = &d->first;
		free(p);
	}
	return true;
}

static void link_free(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		close(l->way[i].from);
		while (l->way[i].first) {
			struct piece *p = l->way[i].first;
			l->way[i].first = p->next;
			free(p);
		}
	}
	free(l);
}

static bool link_turn(struct link *l, uint64_t now)
{
	for (int i = 0; i < 2; i++) {
		if (!direction_take(&l->way[i], now) || !direction_give(&l->way[i], now))
			return false;
	}
	return !(l->way[0].finished && l->way[1].finished);
}

int main(int argc, char **argv)
{
	int one = 1, fd;

	if (argc != 6)
		die("usage: relay HOST PORT TO_HOST TO_PORT ONE_WAY_MS");
	tool_init();
	struct sockaddr_in sin = address(argv[1], argv[2]);
	target = address(argv[3], argv[4]);
	delay_ns = (uint64_t)(atof(argv[5]) * 1e6);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) < 0 || listen(listener, 1024) < 0)
		die("listen: %s", strerror(errno));
	/* A look at everything each millisecond: coarse beside the tens of them that are added. */
	for (;; usleep(1000)) {
		while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
			link_new(fd);
		uint64_t now = now_ns();
		for (struct link **at = &links; *at;) {
			struct link *l = *at;
			if (link_turn(l, now)) {
				at = &l->next;
				continue;
			}
			*at = l->next;
			link_free(l);
		}
	}
}
