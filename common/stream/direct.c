/*
 * The direct kind of stream: read/write or SSL_read/SSL_write on level-triggered events.
 *
 * TLS goes through a BIO of ours, which saves system calls: records are encrypted into one buffer
 * per thread and leave in one write(); a read that came back short is not asked again in the same
 * call (level-triggering tells if there is more). Only what the socket did not take is kept on the
 * heap.
 */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/stream/kind.h"

#define RECORD_MAX 16384u      /* plain bytes in one TLS record (RFC 8446 section 5.1) */
#define BATCH_MAX STREAM_PIECE /* plain bytes encrypted before one write() */
/*
 * The same with the records' overhead. A peer may ask for records of 512 bytes (RFC 6066 section
 * 4); the most is 85 bytes each, with TLS 1.2, CBC and SHA-384.
 */
#define BATCH_BUF (BATCH_MAX + BATCH_MAX / 512 * 85 + 2048)
/*
 * One read() takes what one write() of ours has sent: the piece's three whole records of TLS 1.3
 * and a shorter one. Of a record that came in part OpenSSL reads the rest by itself. Its buffer
 * begins with 3 bytes that align what is behind a record's head.
 */
#define READ_AHEAD (STREAM_PIECE + 4 * 22 + 3)

struct direct {
	struct stream s;
	struct event er;
	struct event *ew;      /* made when first needed: most streams never wait to write */
	struct loop_tick tick; /* what epoll can't see: bytes inside the SSL, or death */
	char *out;             /* encrypted bytes that the socket did not take; NULL: none */
	uint32_t out_len, out_off;
	uint32_t ssl_error; /* OpenSSL's codes have 32 bits */
	int sys_error;
	unsigned char want;      /* STREAM_READ | STREAM_WRITE, as the user said */
	unsigned char handshake; /* the direction that the handshake waits for, 0: none */
	bool armed_r, armed_w;
	bool read_needs_write, write_needs_read; /* TLS: crossed directions */
	bool drained;    /* SSL_read said WANT_READ: what is inside is no whole record */
	bool sock_empty; /* within one call: the last read() came back short */
	bool sock_eof;
	bool batching;
	bool ahead_owed; /* the large read buffer, after the handshake */
	bool write_dead; /* the socket refused bytes; an answer may still be there to read */
	bool dead, finished;
};

/* Records of the stream_write() under way on this thread. */
static _Thread_local char batch[BATCH_BUF];
static _Thread_local size_t batch_len;

static struct direct *direct_of(struct stream *s)
{
	return (struct direct *)s;
}

/* ---- the BIO ---- */

/*
 * Writes *len bytes at *from as far as the socket takes them. ABORT: it takes none any more; what
 * the peer sent before its reset can still be read.
 */
static enum stream_rc sock_write(struct direct *d, const char **from, size_t *len)
{
	while (*len) {
		ssize_t n = write(d->s.fd, *from, *len);
		if (n >= 0) {
			*from += n;
			*len -= (size_t)n;
		} else if (errno == EAGAIN) {
			return STREAM_AGAIN;
		} else if (errno != EINTR) {
			d->sys_error = errno;
			d->write_dead = true;
			return STREAM_ABORT;
		}
	}
	return STREAM_OK;
}

/* Writes what waits. AGAIN: the socket is full. */
static enum stream_rc out_flush(struct direct *d)
{
	const char *from = d->out + d->out_off;
	size_t len = d->out_len;
	enum stream_rc v = sock_write(d, &from, &len);

	d->out_len = (uint32_t)len;
	d->out_off = (uint32_t)(from - d->out);
	if (v == STREAM_AGAIN)
		return v;
	free(d->out);
	d->out = NULL;
	d->out_len = d->out_off = 0;
	return v;
}

/* Ends a batch: one write() for all its records; what is left goes to the heap. */
static enum stream_rc batch_flush(struct direct *d)
{
	const char *from = batch;
	size_t len = batch_len;
	enum stream_rc v = sock_write(d, &from, &len);

	batch_len = 0;
	if (v != STREAM_AGAIN)
		return v;
	d->out = xmalloc(len);
	memcpy(d->out, from, len);
	d->out_len = (uint32_t)len;
	d->out_off = 0;
	return STREAM_OK;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct direct *d = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (d->batching) {
		if (batch_len + (size_t)len > sizeof(batch))
			return -1; /* not reached: the writer bounds what it encrypts */
		memcpy(batch + batch_len, data, (size_t)len);
		batch_len += (size_t)len;
		return len;
	}
	if (d->out_len && out_flush(d) != STREAM_OK) {
		if (!d->write_dead)
			BIO_set_retry_write(bio);
		return -1;
	}
	n = write(d->s.fd, data, (size_t)len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	else if (n < 0)
		d->sys_error = errno;
	return (int)n;
}

static int bio_read(BIO *bio, char *buf, int len)
{
	struct direct *d = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (d->sock_empty) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = read(d->s.fd, buf, (size_t)len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	else if (n < 0)
		d->sys_error = errno;
	else if (n == 0)
		d->sock_eof = true;
	else if (n < len)
		d->sock_empty = true;
	return (int)n;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct direct *d = BIO_get_data(bio);

	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return d->sock_eof;
	default:
		return 0;
	}
}

static BIO_METHOD *bio_method;

static void bio_method_make(void)
{
	bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (!bio_method || !BIO_meth_set_write(bio_method, bio_write) ||
	    !BIO_meth_set_read(bio_method, bio_read) || !BIO_meth_set_ctrl(bio_method, bio_ctrl))
		abort();
}

static void attach_bio(struct direct *d, bool read_ahead)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, bio_method_make);
	bio = BIO_new(bio_method);
	if (!bio)
		abort();
	BIO_set_data(bio, d);
	BIO_set_init(bio, 1);
	SSL_set_bio(d->s.ssl, bio, bio);
	SSL_set_mode(d->s.ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	if (read_ahead)
		SSL_set_read_ahead(d->s.ssl, 1);
	d->ahead_owed = read_ahead;
}

/* The large buffer is for who has shown that it can speak TLS: a stranger costs us 17 KiB. */
static inline void owed_ahead(struct direct *d)
{
	if (!d->ahead_owed || !SSL_is_init_finished(d->s.ssl))
		return;
	d->ahead_owed = false;
	SSL_set_default_read_buffer_len(d->s.ssl, READ_AHEAD);
}

/* ---- readiness ---- */

static void on_writable(evutil_socket_t fd, short what, void *arg);

static void arm_one(struct event *ev, bool *armed, bool wanted)
{
	if (*armed == wanted)
		return;
	if (wanted)
		event_add(ev, NULL);
	else
		event_del(ev);
	*armed = wanted;
}

static void arm(struct direct *d)
{
	bool r, w;

	if (d->handshake) {
		r = d->handshake == STREAM_READ;
		w = d->handshake == STREAM_WRITE;
	} else {
		r = ((d->want & STREAM_READ) && !d->read_needs_write) ||
		    ((d->want & STREAM_WRITE) && d->write_needs_read);
		w = ((d->want & STREAM_WRITE) && !d->write_needs_read) ||
		    ((d->want & STREAM_READ) && d->read_needs_write);
	}
	if (d->dead)
		r = w = false;
	w = w || (d->out_len && !d->dead);
	arm_one(&d->er, &d->armed_r, r);
	if (w && !d->ew) {
		d->ew = xmalloc(sizeof(*d->ew));
		event_assign(d->ew, loop_base(d->s.loop), d->s.fd, EV_WRITE | EV_PERSIST,
			     on_writable, d);
	}
	if (d->ew)
		arm_one(d->ew, &d->armed_w, w);
}

static void report(struct direct *d, int dirs)
{
	if (d->s.ready && dirs)
		d->s.ready(d->s.ready_arg, dirs);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct direct *d = arg;
	int dirs = 0;

	if (d->handshake) {
		report(d, STREAM_READ | STREAM_WRITE);
		return;
	}
	if ((d->want & STREAM_READ) && !d->read_needs_write)
		dirs |= STREAM_READ;
	if ((d->want & STREAM_WRITE) && d->write_needs_read)
		dirs |= STREAM_WRITE;
	report(d, dirs);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct direct *d = arg;
	int dirs = 0;

	if (d->out_len && out_flush(d) == STREAM_AGAIN)
		return;
	if (d->handshake) {
		report(d, STREAM_READ | STREAM_WRITE);
		return;
	}
	if (d->dead) {
		dirs = d->want;
	} else {
		if ((d->want & STREAM_WRITE) && !d->write_needs_read)
			dirs |= STREAM_WRITE;
		if ((d->want & STREAM_READ) && d->read_needs_write)
			dirs |= STREAM_READ;
	}
	arm(d);
	report(d, dirs);
}

static void on_tick(void *arg)
{
	struct direct *d = arg;
	report(d, d->dead ? d->want : d->want & STREAM_READ);
}

/* Is there something to read that epoll can't see: a whole record, or the peer's close_notify? */
static bool inside(const struct direct *d)
{
	return (!d->drained && SSL_has_pending(d->s.ssl)) ||
	       (SSL_get_shutdown(d->s.ssl) & SSL_RECEIVED_SHUTDOWN);
}

static void direct_want(struct stream *s, int dirs)
{
	struct direct *d = direct_of(s);

	d->want = (unsigned char)dirs;
	arm(d);
	if (!dirs)
		return;
	if (d->dead || ((dirs & STREAM_READ) && s->ssl && inside(d)))
		loop_next_tick(s->loop, &d->tick);
}

/* ---- the calls ---- */

static enum stream_rc died(struct direct *d)
{
	d->dead = true;
	d->handshake = 0;
	arm(d);
	return STREAM_ABORT;
}

/* What a failed SSL call means; `reading`: which direction asked. */
static enum stream_rc ssl_verdict(struct direct *d, int rc, bool reading)
{
	switch (SSL_get_error(d->s.ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		if (reading)
			d->drained = true;
		else
			d->write_needs_read = true;
		return STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		if (reading)
			d->read_needs_write = true;
		return STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return STREAM_EOF;
	default:
		if (!d->sys_error)
			d->ssl_error = (uint32_t)ERR_peek_error();
		ERR_clear_error();
		return died(d);
	}
}

static enum stream_rc direct_handshake(struct stream *s)
{
	struct direct *d = direct_of(s);
	int rc;

	if (d->dead)
		return STREAM_ABORT;
	if (!s->ssl || SSL_is_init_finished(s->ssl))
		return STREAM_OK;
	ERR_clear_error();
	d->sock_empty = false;
	rc = SSL_do_handshake(s->ssl);
	d->handshake = 0;
	if (rc != 1) {
		int why = SSL_get_error(s->ssl, rc);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return ssl_verdict(d, rc, true) == STREAM_EOF ? died(d) : STREAM_ABORT;
		d->handshake = why == SSL_ERROR_WANT_READ ? STREAM_READ : STREAM_WRITE;
	}
	arm(d);
	return d->handshake ? STREAM_AGAIN : STREAM_OK;
}

static enum stream_rc plain_read(struct direct *d, void *buf, size_t cap, size_t *n)
{
	ssize_t got;

	if (cap > STREAM_PIECE)
		cap = STREAM_PIECE;
	do
		got = read(d->s.fd, buf, cap);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		*n = (size_t)got;
		return STREAM_OK;
	}
	if (got == 0)
		return STREAM_EOF;
	if (errno == EAGAIN)
		return STREAM_AGAIN;
	d->sys_error = errno;
	return died(d);
}

static enum stream_rc direct_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct direct *d = direct_of(s);
	size_t got;

	*n = 0;
	if (d->dead)
		return STREAM_ABORT;
	if (!s->ssl)
		return plain_read(d, buf, cap, n);
	owed_ahead(d);
	d->sock_empty = false;
	d->drained = false;
	d->read_needs_write = false;
	ERR_clear_error();
	/* A record a call, as long as there are whole ones and room for one. */
	while (!*n || cap - *n >= RECORD_MAX) {
		int rc = SSL_read_ex(s->ssl, (char *)buf + *n, cap - *n, &got);
		if (rc == 1) {
			*n += got;
			/* A short one ends what was written at once: better begin with the next. */
			if (got < RECORD_MAX && *n >= cap / 2)
				break;
			continue;
		}
		enum stream_rc v = ssl_verdict(d, rc, true);
		/* What was read counts first; an end is found again by the next call. */
		if (*n && v != STREAM_AGAIN) {
			d->drained = false;
			loop_next_tick(s->loop, &d->tick);
		}
		return *n ? STREAM_OK : v;
	}
	return STREAM_OK;
}

static enum stream_rc plain_write(struct direct *d, const void *buf, size_t len, size_t *n)
{
	ssize_t put;

	do
		put = write(d->s.fd, buf, len);
	while (put < 0 && errno == EINTR);
	if (put >= 0) {
		*n = (size_t)put;
		return put ? STREAM_OK : STREAM_AGAIN;
	}
	if (errno == EAGAIN)
		return STREAM_AGAIN;
	d->sys_error = errno;
	d->write_dead = true;
	return STREAM_ABORT;
}

/* Encrypts up to BATCH_MAX bytes into the batch; *n = bytes encrypted. */
static enum stream_rc encrypt(struct direct *d, const char *buf, size_t len, size_t *n)
{
	enum stream_rc v = STREAM_OK;
	size_t done = 0, put;

	d->batching = true;
	if (len > BATCH_MAX)
		len = BATCH_MAX;
	while (done < len) {
		size_t piece = len - done < RECORD_MAX ? len - done : RECORD_MAX;
		int rc = SSL_write_ex(d->s.ssl, buf + done, piece, &put);
		if (rc != 1) {
			v = ssl_verdict(d, rc, false);
			break;
		}
		done += put;
	}
	d->batching = false;
	*n = done;
	return v;
}

static enum stream_rc direct_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct direct *d = direct_of(s);
	enum stream_rc v = STREAM_OK;

	*n = 0;
	if (d->dead || d->write_dead || d->finished)
		return STREAM_ABORT;
	if (!s->ssl)
		return plain_write(d, buf, len, n);
	d->write_needs_read = false;
	ERR_clear_error();
	if (!SSL_is_init_finished(s->ssl)) {
		/* Handshake messages must not wait in a batch for an answer of the peer's. */
		v = direct_handshake(s);
		if (v != STREAM_OK)
			return v;
	}
	while (*n < len && v == STREAM_OK) {
		size_t put;
		if (d->out_len && (v = out_flush(d)) != STREAM_OK)
			break;
		v = encrypt(d, (const char *)buf + *n, len - *n, &put);
		*n += put;
		if (batch_flush(d) != STREAM_OK)
			v = STREAM_ABORT;
	}
	if (v == STREAM_ABORT)
		return STREAM_ABORT;
	if (d->out_len)
		arm(d);
	return *n ? STREAM_OK : v;
}

static enum stream_rc direct_finish(struct stream *s)
{
	struct direct *d = direct_of(s);
	enum stream_rc v;

	if (d->dead || d->write_dead)
		return STREAM_ABORT;
	v = d->out_len ? out_flush(d) : STREAM_OK;
	if (v != STREAM_OK || d->finished)
		return v;
	if (!s->ssl) {
		if (shutdown(s->fd, SHUT_WR) < 0) {
			d->sys_error = errno;
			d->write_dead = true;
			return STREAM_ABORT;
		}
	} else if (SSL_is_init_finished(s->ssl)) {
		ERR_clear_error();
		int rc = SSL_shutdown(s->ssl);
		if (rc < 0) {
			v = ssl_verdict(d, rc, false);
			/* close_notify is out when only the peer's is missing. */
			if (v != STREAM_AGAIN)
				return v == STREAM_EOF ? died(d) : v;
			if (!d->write_needs_read)
				return v;
			d->write_needs_read = false;
		}
	}
	d->finished = true;
	return STREAM_OK;
}

static bool direct_flushed(const struct stream *s)
{
	return !((const struct direct *)s)->out_len;
}

static void direct_free(void *p)
{
	struct direct *d = p;

	free(d->out);
	free(d->ew);
	free(d);
}

static void direct_unhook(struct direct *d)
{
	event_del(&d->er);
	if (d->ew)
		event_del(d->ew);
	loop_tick_cancel(d->s.loop, &d->tick);
	loop_free_later(d->s.loop, d, direct_free);
}

static void direct_close(struct stream *s, bool abort)
{
	struct direct *d = direct_of(s);

	if (d->out_len && !d->dead)
		(void)!out_flush(d); /* it was taken: it goes out if it can */
	if (!abort && !d->finished && s->ssl)
		(void)!direct_finish(s);
	if (s->ssl) {
		/* Without this OpenSSL would count the session as broken and never resume it. */
		SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(s->ssl);
		s->ssl = NULL;
	}
	direct_unhook(d);
	if (abort)
		stream_reset_fd(s->loop, s->fd);
	else
		close(s->fd);
	s->fd = -1;
}

static void direct_detach(struct stream *s, int *fd, SSL **ssl)
{
	struct direct *d = direct_of(s);

	assert(!d->out_len);
	*fd = s->fd;
	*ssl = s->ssl;
	if (s->ssl)
		SSL_set_bio(s->ssl, NULL, NULL);
	direct_unhook(d);
}

static const char *direct_error(const struct stream *s)
{
	const struct direct *d = (const struct direct *)s;
	static _Thread_local char text[256];

	if (d->sys_error)
		return strerror(d->sys_error);
	if (!d->ssl_error)
		return d->dead ? "connection closed without close_notify" : "";
	if (ERR_GET_REASON(d->ssl_error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return "connection closed without close_notify";
	const char *reason = ERR_reason_error_string(d->ssl_error);
	snprintf(text, sizeof(text), "TLS: %s", reason ? reason : "error");
	return text;
}

static const struct stream_ops direct_ops = {
	.kind = "direct",
	.handshake = direct_handshake,
	.read = direct_read,
	.write = direct_write,
	.want = direct_want,
	.finish = direct_finish,
	.flushed = direct_flushed,
	.close = direct_close,
	.detach = direct_detach,
	.error = direct_error,
};

struct stream *stream_direct_new(struct loop *l, int fd, SSL *ssl, bool read_ahead)
{
	struct direct *d = xcalloc(1, sizeof(*d));

	d->s = (struct stream){.ops = &direct_ops, .loop = l, .ssl = ssl, .fd = fd};
	d->tick.fn = on_tick;
	d->tick.arg = d;
	event_assign(&d->er, loop_base(l), fd, EV_READ | EV_PERSIST, on_readable, d);
	if (ssl)
		attach_bio(d, read_ahead);
	return &d->s;
}
