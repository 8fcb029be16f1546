/*
 * Holds connections that do nothing: idle HOST PORT COUNT
 *
 * Opens them, sends a byte through each and awaits its echo, so that every one stands end to end; says
 * "held N"; waits for a line on standard input; sends a byte through each again, and says how many
 * came back as "alive N".
 */
#include "tool.h"

#include <poll.h>

#define BATCH 64
#define PATIENCE_MS 10000

static struct pollfd *all;
static int count;

static int open_batch(const struct sockaddr_in *sin, int from, int to)
{
	for (int i = from; i < to; i++) {
		all[i].fd = connect_start(sin);
		all[i].events = POLLOUT;
		if (all[i].fd < 0)
			die("connection %d: %s", i, strerror(errno));
	}
	return to;
}

/* A byte out and in again on [from, to), all at once. Returns how many echoed. */
static int bounce(int from, int to)
{
	uint64_t last = now_ns() + PATIENCE_MS * 1000000ull;
	int echoed = 0, open = to - from;
	char c = 'i';

	for (int i = from; i < to; i++)
		all[i].events = POLLOUT;
	while (open > 0 && now_ns() < last) {
		if (poll(all + from, (nfds_t)(to - from), 1000) < 0)
			die("poll: %s", strerror(errno));
		for (int i = from; i < to; i++) {
			short got = all[i].revents;
			if (got == 0 || all[i].events == 0)
				continue;
			if (all[i].events == POLLOUT && write(all[i].fd, &c, 1) == 1) {
				all[i].events = POLLIN;
				continue;
			}
			if (all[i].events == POLLIN && read(all[i].fd, &c, 1) == 1)
				echoed++;
			/* Answered, or dead: either way not waited for. */
			all[i].events = 0;
			open--;
		}
	}
	return echoed;
}

int main(int argc, char **argv)
{
	char line[16];

	if (argc != 4)
		die("usage: idle HOST PORT COUNT");
	tool_init();
	struct sockaddr_in sin = address(argv[1], argv[2]);
	count = atoi(argv[3]);
	all = calloc((size_t)count, sizeof(*all));
	if (all == NULL)
		die("out of memory");
	int held = 0;
	for (int i = 0; i < count; i += BATCH)
		held += bounce(i, open_batch(&sin, i, i + BATCH < count ? i + BATCH : count));
	printf("held %d\n", held);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 1;
	printf("alive %d\n", bounce(0, count));
	return 0;
}
