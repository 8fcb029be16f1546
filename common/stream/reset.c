/* A reset, but not before the peer has what was written. */
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/socket.h"
#include "common/stream/kind.h"

#define RESET_POLL_MS 20

struct reset {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_exit exit;
	int fd;
	int left; /* polls until it is done anyway */
};

static void reset_now(int fd)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void reset_end(void *arg)
{
	struct reset *r = arg;

	loop_timer_stop(&r->timer);
	loop_exit_del(r->loop, &r->exit);
	reset_now(r->fd);
	loop_free_later(r->loop, r, NULL);
}

static void reset_poll(void *arg)
{
	struct reset *r = arg;

	if (--r->left <= 0 || socket_unacknowledged(r->fd) <= 0)
		reset_end(r);
	else
		loop_after(&r->timer, RESET_POLL_MS);
}

void stream_reset_fd(struct loop *l, int fd)
{
	struct reset *r;

	if (socket_unacknowledged(fd) <= 0) {
		reset_now(fd);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->loop = l;
	r->fd = fd;
	r->left = LINGER_MS / RESET_POLL_MS;
	r->exit.fn = reset_end;
	r->exit.arg = r;
	loop_exit_add(l, &r->exit);
	loop_timer_init(&r->timer, l, reset_poll, r);
	loop_after(&r->timer, RESET_POLL_MS);
}
