/* The lingering close: what was said last arrives before the connection goes. */
#include <sys/socket.h>

#include "common/stream/kind.h"

struct lingering {
	struct stream *s;
	struct loop_timer timer;
	struct loop_exit exit;
	uint64_t left; /* bytes that are still read */
	bool finished;
};

static void linger_end(void *arg)
{
	struct lingering *g = arg;

	loop_timer_stop(&g->timer);
	loop_exit_del(g->s->loop, &g->exit);
	loop_free_later(g->s->loop, g, NULL);
	stream_close(g->s, false);
}

static void linger_step(void *arg, int dirs)
{
	struct lingering *g = arg;
	char sink[16384];
	size_t n;

	if (!g->finished) {
		enum stream_rc rc = stream_finish(g->s);
		if (rc == STREAM_ABORT) {
			linger_end(g);
			return;
		}
		g->finished = rc == STREAM_OK;
		/* After close_notify there is nothing more to say on TLS either. */
		if (g->finished && g->s->fd >= 0)
			shutdown(g->s->fd, SHUT_WR);
	}
	for (int turn = 0; turn < 16; turn++) {
		switch (stream_read(g->s, sink, sizeof(sink), &n)) {
		case STREAM_OK:
			if (n <= g->left) {
				g->left -= n;
				continue;
			}
			linger_end(g);
			return;
		case STREAM_AGAIN:
			turn = 16;
			break;
		case STREAM_EOF:
			if (g->finished) {
				linger_end(g);
				return;
			}
			stream_want(g->s, STREAM_WRITE);
			return;
		case STREAM_ABORT:
			linger_end(g);
			return;
		}
	}
	stream_want(g->s, STREAM_READ | (g->finished ? 0 : STREAM_WRITE));
}

void stream_linger(struct stream *s)
{
	stream_linger_for(s, LINGER_MS, LINGER_BYTES);
}

void stream_linger_for(struct stream *s, uint64_t ms, uint64_t bytes)
{
	struct lingering *g = xcalloc(1, sizeof(*g));

	g->s = s;
	g->left = bytes;
	g->exit.fn = linger_end;
	g->exit.arg = g;
	loop_exit_add(s->loop, &g->exit);
	loop_timer_init(&g->timer, s->loop, linger_end, g);
	loop_after(&g->timer, ms);
	stream_on_ready(s, linger_step, g);
	/* Tried at once: most of what is to be said fits, and the peer has often ended already. */
	linger_step(g, STREAM_READ | STREAM_WRITE);
}
