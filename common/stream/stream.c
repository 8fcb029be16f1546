/* Streams: what is the same for every kind, and the lingering close. */
#include "common/stream/stream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#include "common/stream/kind.h"

static enum stream_engine engine = ENGINE_DIRECT;

void stream_set_engine(enum stream_engine e)
{
	engine = e;
}

bool stream_engine_parse(const char *text, enum stream_engine *out)
{
	if (strcmp(text, "direct") == 0)
		*out = ENGINE_DIRECT;
	else if (strcmp(text, "bufferevent") == 0)
		*out = ENGINE_BUFFEREVENT;
	else
		return false;
	return true;
}

struct stream *stream_new(struct loop *l, int fd, SSL *ssl)
{
	return engine == ENGINE_DIRECT ? stream_new_direct(l, fd, ssl) : stream_bev_new(l, fd, ssl);
}

struct stream *stream_settle(struct stream *s)
{
	struct loop *l = s->loop;
	SSL *ssl;
	int fd;

	if (engine == ENGINE_DIRECT || !s->ops->detach)
		return s;
	stream_detach(s, &fd, &ssl);
	return stream_bev_new(l, fd, ssl);
}

bool stream_movable(const struct stream *s)
{
	return s->ops->detach && stream_flushed(s);
}

void stream_detach(struct stream *s, int *fd, SSL **ssl)
{
	s->ready = NULL;
	s->ops->detach(s, fd, ssl);
}

bool stream_reads_ahead(void)
{
	/* A bufferevent may take over this SSL, and it would never find what was read ahead. */
	return engine == ENGINE_DIRECT;
}

void stream_on_ready(struct stream *s, stream_ready_fn *fn, void *arg)
{
	s->ready = fn;
	s->ready_arg = arg;
}

enum stream_rc stream_handshake(struct stream *s)
{
	return s->ops->handshake(s);
}

enum stream_rc stream_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	return s->ops->read(s, buf, cap, n);
}

const char *stream_peek(struct stream *s, size_t *n)
{
	return s->ops->peek ? s->ops->peek(s, n) : NULL;
}

void stream_skip(struct stream *s, size_t n)
{
	s->ops->skip(s, n);
}

char *stream_room(struct stream *s, size_t *cap)
{
	return s->ops->room ? s->ops->room(s, cap) : NULL;
}

enum stream_rc stream_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	return s->ops->write(s, buf, len, n);
}

void stream_want(struct stream *s, int dirs)
{
	s->ops->want(s, dirs);
}

enum stream_rc stream_finish(struct stream *s)
{
	return s->ops->finish(s);
}

bool stream_flushed(const struct stream *s)
{
	return s->ops->flushed(s);
}

void stream_close(struct stream *s, bool abort)
{
	if (!s)
		return;
	s->ready = NULL;
	s->ops->close(s, abort);
}

const char *stream_error(const struct stream *s)
{
	return s->ops->error(s);
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

SSL *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

struct loop *stream_loop(const struct stream *s)
{
	return s->loop;
}

/* ---- lingering close ---- */

struct lingering {
	struct stream *s;
	struct loop_timer timer;
	struct loop_exit exit;
	size_t dropped;
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
			g->dropped += n;
			if (g->dropped <= LINGER_BYTES)
				continue;
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
	struct lingering *g = xcalloc(1, sizeof(*g));

	g->s = s;
	g->exit.fn = linger_end;
	g->exit.arg = g;
	loop_exit_add(s->loop, &g->exit);
	loop_timer_init(&g->timer, s->loop, linger_end, g);
	loop_after(&g->timer, LINGER_MS);
	stream_on_ready(s, linger_step, g);
	/* Tried at once: most of what is to be said fits, and the peer has often ended already. */
	linger_step(g, STREAM_READ | STREAM_WRITE);
}

/* ---- reset, but not before the peer has what was written ---- */

#define RESET_POLL_MS 20

struct reset {
	struct loop *loop;
	struct loop_timer timer;
	struct loop_exit exit;
	int fd;
	int left; /* polls until it is done anyway */
};

/* Bytes that the peer has not acknowledged; 0 where the system can't tell. */
static int unacknowledged(int fd)
{
	int n = 0;
#ifdef SIOCOUTQ
	if (ioctl(fd, SIOCOUTQ, &n) < 0)
		n = 0;
#endif
	return n;
}

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

	if (--r->left <= 0 || !unacknowledged(r->fd))
		reset_end(r);
	else
		loop_after(&r->timer, RESET_POLL_MS);
}

void stream_reset_fd(struct loop *l, int fd)
{
	struct reset *r;

	if (!unacknowledged(fd)) {
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
