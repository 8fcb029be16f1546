/* A descriptor that takes lines without ever blocking. */
#include "common/base/out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

void out_init(struct out *o, int fd)
{
	char path[32];
	struct stat st;

	o->fd = fd;
	o->owned = false;
	o->how = OUT_WRITE;
	atomic_init(&o->dropped, 0);
	atomic_init(&o->torn, false);
	if (fd < 0 || fstat(fd, &st) < 0 || S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode)) {
		o->how = OUT_SEND;
		return;
	}
	if (!S_ISFIFO(st.st_mode) && !isatty(fd))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	o->owned = own >= 0;
	if (o->owned)
		o->fd = own;
	else
		o->how = OUT_POLL;
}

void out_end(struct out *o)
{
	if (o->owned)
		close(o->fd);
	o->owned = false;
	o->fd = -1;
}

static ssize_t out_once(struct out *o, const char *bytes, size_t len)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};

	if (o->how == OUT_SEND)
		return send(o->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (o->how == OUT_POLL && poll(&p, 1, 0) != 1)
		return -1;
	return write(o->fd, bytes, len);
}

/* The number of bytes that went out. */
static size_t out_bytes(struct out *o, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = out_once(o, bytes, len);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

bool out_line(struct out *o, const char *line, size_t len)
{
	if (o->fd < 0)
		return false;
	/* A line that was cut off (a terminal that filled up, a full disk) gets its end first. */
	if (atomic_load_explicit(&o->torn, memory_order_relaxed)) {
		if (out_bytes(o, "\n", 1) != 1) {
			atomic_fetch_add(&o->dropped, 1);
			return false;
		}
		atomic_store(&o->torn, false);
	}
	size_t n = out_bytes(o, line, len);

	if (n == len)
		return true;
	if (n > 0)
		atomic_store(&o->torn, true);
	atomic_fetch_add(&o->dropped, 1);
	return false;
}

unsigned long out_take_dropped(struct out *o)
{
	if (atomic_load_explicit(&o->dropped, memory_order_relaxed) == 0)
		return 0;
	return atomic_exchange(&o->dropped, 0);
}
