/*
 * A long line between two network namespaces, where the kernel has no netem:
 * delay NAMESPACE_A NAMESPACE_B ONE_WAY_MS MBIT LOSS_PERCENT
 *
 * Makes a tun device "wan0" in each namespace and carries packets between them: a bottleneck of MBIT with
 * 100 ms of buffer in front of it, then the delay, then loss, each way. Says "ready" once the devices
 * are there.
 */
#include "tool.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

#define PACKET_MAX 1600
#define SLOTS 16384 /* a power of two */
#define BUFFER_NS (NS_PER_S / 10)

struct packet {
	uint64_t due;
	size_t len;
	char data[PACKET_MAX];
};

/* Packets from one device to the other. They leave in the order they came. */
struct direction {
	int from, to;
	uint64_t free_at; /* when the bottleneck has sent all that it took */
	unsigned head, tail;
	struct packet *ring;
};

static uint64_t delay_ns;
static double bits_per_ns, loss;

static int tun_open(const char *namespace)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die("%s: %s", path, strerror(errno));
	close(ns);
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strcpy(ifr.ifr_name, "wan0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		die("tun device: %s", strerror(errno));
	return fd;
}

static bool lost(void)
{
	return loss > 0 && drand48() < loss;
}

/* Takes in what arrived; what does not fit into the bottleneck's buffer is dropped, as a router does. */
static void direction_take(struct direction *d, uint64_t now)
{
	for (int i = 0; i < 64 && d->tail - d->head < SLOTS; i++) {
		struct packet *p = &d->ring[d->tail % SLOTS];
		ssize_t n = read(d->from, p->data, PACKET_MAX);
		if (n <= 0)
			return;
		uint64_t begin = d->free_at > now ? d->free_at : now;
		if (begin - now > BUFFER_NS)
			continue;
		d->free_at = begin + (uint64_t)((double)n * 8 / bits_per_ns);
		if (lost())
			continue;
		p->due = d->free_at + delay_ns;
		p->len = (size_t)n;
		d->tail++;
	}
}

static void direction_give(struct direction *d, uint64_t now)
{
	while (d->head != d->tail && d->ring[d->head % SLOTS].due <= now) {
		struct packet *p = &d->ring[d->head++ % SLOTS];
		if (write(d->to, p->data, p->len) < 0 && errno != EAGAIN && errno != EIO)
			die("tun write: %s", strerror(errno));
	}
}

static uint64_t direction_next(const struct direction *d)
{
	return d->head == d->tail ? UINT64_MAX : d->ring[d->head % SLOTS].due;
}

static void direction_init(struct direction *d, int from, int to)
{
	*d = (struct direction){.from = from, .to = to};
	d->ring = calloc(SLOTS, sizeof(*d->ring));
	if (d->ring == NULL)
		die("out of memory");
}

int main(int argc, char **argv)
{
	struct direction ab, ba;

	if (argc != 6)
		die("usage: delay NAMESPACE_A NAMESPACE_B ONE_WAY_MS MBIT LOSS_PERCENT");
	delay_ns = (uint64_t)(atof(argv[3]) * 1e6);
	bits_per_ns = atof(argv[4]) / 1000;
	loss = atof(argv[5]) / 100;
	srand48((long)now_ns());
	int a = tun_open(argv[1]), b = tun_open(argv[2]);
	direction_init(&ab, a, b);
	direction_init(&ba, b, a);
	puts("ready");
	fflush(stdout);

	struct pollfd fds[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	for (;;) {
		uint64_t now = now_ns();
		uint64_t next = direction_next(&ab);
		if (direction_next(&ba) < next)
			next = direction_next(&ba);
		uint64_t wait = next == UINT64_MAX ? NS_PER_S : next > now ? next - now : 0;
		struct timespec ts = {(time_t)(wait / NS_PER_S), (long)(wait % NS_PER_S)};
		ppoll(fds, 2, &ts, NULL);
		now = now_ns();
		direction_take(&ab, now);
		direction_take(&ba, now);
		direction_give(&ab, now);
		direction_give(&ba, now);
	}
}
