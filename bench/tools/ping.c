/* One byte there and back, again and again: ping HOST PORT SECONDS */
#include "tool.h"

static void bounce(int fd)
{
	char c = 'p';

	if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
		die("no echo: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct samples s = {0};

	if (argc != 4)
		die("usage: ping HOST PORT SECONDS");
	struct sockaddr_in sin = address(argv[1], argv[2]);
	uint64_t last = (uint64_t)(atof(argv[3]) * 1e9);
	int fd = connect_blocking(&sin, 10);

	/* The first ones pay for waking everything up. */
	for (int i = 0; i < 5; i++)
		bounce(fd);

	uint64_t start = now_ns(), now = start;
	while (now - start < last) {
		bounce(fd);
		uint64_t then = now_ns();
		sample_add(&s, then - now);
		now = then;
	}
	samples_print(&s, now - start, 0);
	return 0;
}
