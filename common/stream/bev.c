/*
 * The bufferevent kind of stream: libevent's own bufferevents behind the five calls. Complete and
 * tested like the direct kind, but libevent 2.1 reads at most 4 KiB a turn and encrypts and writes
 * in the same pieces: two to five times the CPU of the direct kind, which is why that is the
 * default.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/stream/kind.h"

#define OUT_MAX (64u << 10)
#define RECORD_MAX 16384u

struct bev {
	struct stream s;
	struct bufferevent *be;
	struct evbuffer *before; /* decrypted before the bufferevent was made; NULL: nothing left */
	struct loop_tick tick;
	char error[128];
	unsigned char want;
	bool connected; /* handshake done */
	bool eof, dead, finished;
	bool write_dead; /* takes no more; what the peer sent before can still be read */
	bool aborted;    /* closed with a reset */
};

static struct bev *bev_of(struct stream *s)
{
	return (struct bev *)s;
}

static size_t in_len(const struct bev *b)
{
	return (b->before ? evbuffer_get_length(b->before) : 0) +
	       evbuffer_get_length(bufferevent_get_input(b->be));
}

static size_t out_len(const struct bev *b)
{
	return evbuffer_get_length(bufferevent_get_output(b->be));
}

static void report(struct bev *b, int dirs)
{
	if (b->s.ready && dirs)
		b->s.ready(b->s.ready_arg, dirs);
}

static void on_read(struct bufferevent *be, void *arg)
{
	struct bev *b = arg;
	report(b, b->want & STREAM_READ);
}

static void on_write(struct bufferevent *be, void *arg)
{
	struct bev *b = arg;
	report(b, b->want & STREAM_WRITE);
}

static void note_error(struct bev *b)
{
	unsigned long e = b->s.ssl ? bufferevent_get_openssl_error(b->be) : 0;
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	if (e && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		snprintf(b->error, sizeof(b->error), "connection closed without close_notify");
	else if (e)
		snprintf(b->error, sizeof(b->error), "TLS: %s", reason ? reason : "error");
	else
		snprintf(b->error, sizeof(b->error), "%s", strerror(errno));
}

static void on_event(struct bufferevent *be, short what, void *arg)
{
	struct bev *b = arg;
	bool handshake = !b->connected;

	if (what & BEV_EVENT_CONNECTED)
		b->connected = true;
	/* A write that fails after the peer's close_notify is called an end by OpenSSL, too. */
	if ((what & BEV_EVENT_EOF) && (what & BEV_EVENT_WRITING))
		what = BEV_EVENT_ERROR;
	if (what & BEV_EVENT_EOF) {
		b->eof = true;
		/*
		 * At the peer's close_notify libevent stops writing as well as reading; switching
		 * EV_WRITE off and on makes what is still in the output go out.
		 */
		bufferevent_disable(be, EV_WRITE);
		bufferevent_enable(be, EV_WRITE);
	}
	if (what & BEV_EVENT_ERROR) {
		note_error(b);
		b->write_dead = true;
		/* A failed write: the answer may be there all the same (413 and close). */
		if ((what & BEV_EVENT_WRITING) && b->connected && !b->eof)
			bufferevent_enable(be, b->want & STREAM_READ ? EV_READ : 0);
		else
			b->dead = !b->eof;
	}
	report(b, handshake ? STREAM_READ | STREAM_WRITE : b->want);
}

static void on_tick(void *arg)
{
	struct bev *b = arg;
	int dirs = 0;

	if ((b->want & STREAM_READ) && (b->eof || b->dead || in_len(b)))
		dirs |= STREAM_READ;
	if ((b->want & STREAM_WRITE) && (b->dead || b->write_dead || out_len(b) == 0))
		dirs |= STREAM_WRITE;
	report(b, dirs);
}

static void bev_want(struct stream *s, int dirs)
{
	struct bev *b = bev_of(s);

	b->want = (unsigned char)dirs;
	if (dirs & STREAM_READ)
		bufferevent_enable(b->be, EV_READ);
	else
		bufferevent_disable(b->be, EV_READ);
	if (((dirs & STREAM_READ) && (b->eof || in_len(b))) ||
	    ((dirs & STREAM_WRITE) && (b->write_dead || out_len(b) == 0)) || (dirs && b->dead))
		loop_next_tick(s->loop, &b->tick);
}

static enum stream_rc bev_handshake(struct stream *s)
{
	struct bev *b = bev_of(s);

	if (b->dead)
		return STREAM_ABORT;
	return b->connected ? STREAM_OK : STREAM_AGAIN;
}

static enum stream_rc bev_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct bev *b = bev_of(s);
	int got = 0;

	*n = 0;
	if (b->before) {
		got = evbuffer_remove(b->before, buf, cap);
		if (!evbuffer_get_length(b->before)) {
			evbuffer_free(b->before);
			b->before = NULL;
		}
	}
	if (got <= 0)
		got = evbuffer_remove(bufferevent_get_input(b->be), buf, cap);
	if (got > 0) {
		*n = (size_t)got;
		return STREAM_OK;
	}
	if (b->eof)
		return STREAM_EOF;
	return b->dead ? STREAM_ABORT : STREAM_AGAIN;
}

static enum stream_rc bev_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct bev *b = bev_of(s);
	struct evbuffer *out = bufferevent_get_output(b->be);
	size_t waiting = evbuffer_get_length(out);
	struct evbuffer_iovec v;

	*n = 0;
	if (b->dead || b->write_dead || b->finished)
		return STREAM_ABORT;
	if (waiting >= OUT_MAX)
		return STREAM_AGAIN;
	/* libevent makes a record of what stands together: a short piece may not straddle two. */
	if (len <= RECORD_MAX && waiting && waiting + len > RECORD_MAX)
		return STREAM_AGAIN;
	if (len > OUT_MAX - waiting)
		len = OUT_MAX - waiting;
	/* One vector: evbuffer_add() could split the piece over two chains, and so two records. */
	if (evbuffer_reserve_space(out, (ev_ssize_t)len, &v, 1) != 1)
		abort();
	memcpy(v.iov_base, buf, len);
	v.iov_len = len;
	if (evbuffer_commit_space(out, &v, 1) < 0)
		abort();
	*n = len;
	return STREAM_OK;
}

static enum stream_rc bev_finish(struct stream *s)
{
	struct bev *b = bev_of(s);

	if (b->dead || b->write_dead)
		return STREAM_ABORT;
	if (b->finished)
		return STREAM_OK;
	if (out_len(b))
		return STREAM_AGAIN;
	if (s->ssl) {
		/* libevent never sends close_notify. */
		ERR_clear_error();
		int rc = SSL_shutdown(s->ssl);
		if (rc < 0 && SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_WRITE)
			return STREAM_AGAIN;
		ERR_clear_error();
	} else {
		shutdown(s->fd, SHUT_WR);
	}
	b->finished = true;
	return STREAM_OK;
}

static bool bev_flushed(const struct stream *s)
{
	return !out_len((const struct bev *)s);
}

static void bev_free(void *p)
{
	struct bev *b = p;

	/* Only now: a callback of libevent's may have been using the SSL when it was closed. */
	SSL_free(b->s.ssl);
	if (b->aborted)
		stream_reset_fd(b->s.loop, b->s.fd);
	else
		close(b->s.fd);
	if (b->before)
		evbuffer_free(b->before);
	free(b);
}

/* What libevent would write in its next turn, as far as the kernel takes it now. */
static void write_rest(struct bev *b)
{
	struct evbuffer *out = bufferevent_get_output(b->be);
	struct evbuffer_iovec v;
	ssize_t n = 1;

	if (!b->connected || b->dead || b->write_dead)
		return;
	evbuffer_unfreeze(out, 1);
	while (n > 0 && evbuffer_peek(out, -1, NULL, &v, 1) > 0 && v.iov_len) {
		size_t len = v.iov_len < RECORD_MAX ? v.iov_len : RECORD_MAX;

		n = b->s.ssl ? SSL_write(b->s.ssl, v.iov_base, (int)len)
			     : send(b->s.fd, v.iov_base, len, MSG_NOSIGNAL);
		if (n > 0)
			evbuffer_drain(out, (size_t)n);
	}
	ERR_clear_error();
}

static void bev_close(struct stream *s, bool abort)
{
	struct bev *b = bev_of(s);

	if (!abort && !b->finished)
		write_rest(b);
	if (!abort && !b->finished && !b->write_dead && s->ssl && b->connected)
		(void)!bev_finish(s);
	b->aborted = abort;
	loop_tick_cancel(s->loop, &b->tick);
	bufferevent_setcb(b->be, NULL, NULL, NULL, NULL);
	bufferevent_disable(b->be, EV_READ | EV_WRITE);
	bufferevent_free(b->be);
	if (s->ssl)
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	loop_free_later(s->loop, b, bev_free);
}

static bool bev_movable(const struct stream *s)
{
	const struct bev *b = (const struct bev *)s;

	return b->connected && !b->dead && !b->write_dead && !b->finished && !in_len(b);
}

static void bev_free_shell(void *p)
{
	struct bev *b = p;

	if (b->before)
		evbuffer_free(b->before);
	free(b);
}

/* libevent has nothing more to do with fd and ssl once its events are deleted, which is now. */
static void bev_detach(struct stream *s, int *fd, SSL **ssl)
{
	struct bev *b = bev_of(s);

	*fd = s->fd;
	*ssl = s->ssl;
	loop_tick_cancel(s->loop, &b->tick);
	bufferevent_setcb(b->be, NULL, NULL, NULL, NULL);
	bufferevent_disable(b->be, EV_READ | EV_WRITE);
	bufferevent_free(b->be);
	if (s->ssl)
		SSL_set_bio(s->ssl, NULL, NULL);
	loop_free_later(s->loop, b, bev_free_shell);
}

static const char *bev_error(const struct stream *s)
{
	return ((const struct bev *)s)->error;
}

static const struct stream_ops bev_ops = {
	.kind = "bufferevent",
	.handshake = bev_handshake,
	.read = bev_read,
	.write = bev_write,
	.want = bev_want,
	.finish = bev_finish,
	.flushed = bev_flushed,
	.close = bev_close,
	.movable = bev_movable,
	.detach = bev_detach,
	.error = bev_error,
};

bool stream_is_bev(const struct stream *s)
{
	return s->ops == &bev_ops;
}

/* What the SSL has decrypted already is no news to epoll: it is taken out first. */
static struct evbuffer *take_decrypted(SSL *ssl)
{
	struct evbuffer *before = NULL;
	char buf[4096];
	int n;

	while (SSL_pending(ssl) > 0 && (n = SSL_read(ssl, buf, sizeof(buf))) > 0) {
		if (!before && !(before = evbuffer_new()))
			abort();
		evbuffer_add(before, buf, (size_t)n);
	}
	return before;
}

struct stream *stream_bev_new(struct loop *l, int fd, SSL *ssl)
{
	struct bev *b = xcalloc(1, sizeof(*b));

	b->s = (struct stream){.ops = &bev_ops, .loop = l, .ssl = ssl, .fd = fd};
	b->tick.fn = on_tick;
	b->tick.arg = b;
	if (ssl) {
		bool done = SSL_is_init_finished(ssl);
		enum bufferevent_ssl_state state =
			SSL_is_server(ssl) ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING;
		if (done)
			b->before = take_decrypted(ssl);
		/* Read with what came before it: no event will tell of it again. */
		b->eof = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
		b->connected = done;
		b->be = bufferevent_openssl_socket_new(loop_base(l), fd, ssl,
						       done ? BUFFEREVENT_SSL_OPEN : state, 0);
	} else {
		b->connected = true;
		b->be = bufferevent_socket_new(loop_base(l), fd, 0);
	}
	if (!b->be)
		abort();
	bufferevent_setcb(b->be, on_read, on_write, on_event, b);
	bufferevent_enable(b->be, EV_WRITE);
	bufferevent_disable(b->be, EV_READ);
	return &b->s;
}
