/* What a kind of stream implements. Only kinds include this; users include stream.h. */
#ifndef COMMON_STREAM_KIND_H
#define COMMON_STREAM_KIND_H

#include "common/stream/stream.h"

struct stream_ops {
	const char *kind;
	enum stream_rc (*handshake)(struct stream *s);
	enum stream_rc (*read)(struct stream *s, void *buf, size_t cap, size_t *n);
	enum stream_rc (*write)(struct stream *s, const void *buf, size_t len, size_t *n);
	const char *(*peek)(struct stream *s, size_t *n); /* NULL: never anything to see */
	void (*skip)(struct stream *s, size_t n);
	char *(*room)(struct stream *s, size_t *cap); /* NULL: never any */
	void (*want)(struct stream *s, int dirs);
	enum stream_rc (*finish)(struct stream *s);
	bool (*flushed)(const struct stream *s);
	void (*close)(struct stream *s, bool abort);
	bool (*known)(struct stream *s);                      /* NULL: there is no telling */
	bool (*movable)(const struct stream *s);              /* besides flushed; NULL: always */
	void (*detach)(struct stream *s, int *fd, SSL **ssl); /* NULL: stays on its loop */
	const char *(*error)(const struct stream *s);
};

/* First member of every kind. */
struct stream {
	const struct stream_ops *ops;
	struct loop *loop;
	stream_ready_fn *ready; /* NULL: not set */
	void *ready_arg;
	SSL *ssl;
	int fd;
};

/* What the engines make. read_ahead: more than the TLS record that is needed may be read. */
struct stream *stream_direct_new(struct loop *l, int fd, SSL *ssl, bool read_ahead) MUSTCHECK;
struct stream *stream_bev_new(struct loop *l, int fd, SSL *ssl) MUSTCHECK;
bool stream_is_bev(const struct stream *s);

/*
 * Takes fd: the peer sees a reset, but only after it has what was written before (a reset at once
 * would throw away an answer that is still under way). At most LINGER_MS later.
 */
void stream_reset_fd(struct loop *l, int fd);

#endif
