/* Which kind of stream is made of a socket: the one place that knows them all. */
#include <string.h>

#include "common/stream/kind.h"

static enum stream_engine engine = ENGINE_DIRECT;

static const struct {
	const char *name;
	struct stream *(*make)(struct loop *l, int fd, SSL *ssl);
} engines[] = {
	[ENGINE_DIRECT] = {"direct", stream_new_direct},
	[ENGINE_BUFFEREVENT] = {"bufferevent", stream_bev_new},
};

void stream_set_engine(enum stream_engine e)
{
	engine = e;
}

bool stream_engine_parse(const char *text, enum stream_engine *out)
{
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (strcmp(text, engines[i].name) == 0) {
			*out = (enum stream_engine)i;
			return true;
		}
	}
	return false;
}

struct stream *stream_new(struct loop *l, int fd, SSL *ssl)
{
	return engines[engine].make(l, fd, ssl);
}

struct stream *stream_new_direct(struct loop *l, int fd, SSL *ssl)
{
	/* A bufferevent may take over this SSL, and it would never find what was read ahead. */
	return stream_direct_new(l, fd, ssl, engine == ENGINE_DIRECT);
}

struct stream *stream_settle(struct stream *s)
{
	struct loop *l = s->loop;
	SSL *ssl;
	int fd;

	if (engine == ENGINE_DIRECT || !s->ops->detach || stream_is_bev(s))
		return s;
	stream_detach(s, &fd, &ssl);
	return engines[engine].make(l, fd, ssl);
}
