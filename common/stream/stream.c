/* Streams: what is the same for every kind. */
#include "common/stream/stream.h"

#include "common/stream/kind.h"

bool stream_movable(const struct stream *s)
{
	return s->ops->detach && stream_flushed(s) && (!s->ops->movable || s->ops->movable(s));
}

void stream_detach(struct stream *s, int *fd, SSL **ssl)
{
	s->ready = NULL;
	s->ops->detach(s, fd, ssl);
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

bool stream_known(struct stream *s)
{
	return !s->ops->known || s->ops->known(s);
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
