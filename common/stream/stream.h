/*
 * One endpoint of a connection behind five calls. Kinds: direct (SSL_read/SSL_write or read/write
 * on level-triggered events), bufferevent (libevent's own), mux (one stream of a session).
 *
 * A stream call never calls back: it returns OK, AGAIN, EOF or ABORT. Readiness and death are
 * reported from the loop only, through on_ready.
 */
#ifndef COMMON_STREAM_STREAM_H
#define COMMON_STREAM_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/loop.h"

enum stream_rc {
	STREAM_OK,
	STREAM_AGAIN, /* nothing moved; on_ready tells when, if it is wanted */
	STREAM_EOF,   /* read: the peer ended its direction cleanly (FIN, or close_notify on TLS) */
	STREAM_ABORT  /* reset, TLS fault, on TLS a FIN without close_notify: the stream is dead */
};

#define STREAM_READ 1
#define STREAM_WRITE 2

/*
 * What a writer does best to write at once: with the heads of frames, of TLS records and of packets
 * it is just one segment of 64 KiB for the kernel to carry. 64 KiB of bytes were one and a bit.
 */
#define STREAM_PIECE (62u << 10)

enum stream_engine { ENGINE_DIRECT, ENGINE_BUFFEREVENT };

struct stream;
/* dirs: which of the wanted directions may move; may be wrong (then the call says AGAIN). */
typedef void stream_ready_fn(void *arg, int dirs);

/* Which kind stream_new() makes; called once at start, before any stream. Default: direct. */
void stream_set_engine(enum stream_engine e);
/* "direct" or "bufferevent"; false: another word. */
bool stream_engine_parse(const char *text, enum stream_engine *out) MUSTCHECK;

/*
 * Takes a connected (or connecting) non-blocking socket, and ssl if not NULL (set to accept or
 * connect state, handshake done or not). Returns owned. The stream may not be moved any more.
 */
struct stream *stream_new(struct loop *l, int fd, SSL *ssl) MUSTCHECK;
/* Always of the direct kind: for first bytes, before it is known which worker is the home. */
struct stream *stream_new_direct(struct loop *l, int fd, SSL *ssl) MUSTCHECK;
/*
 * Makes a stream_new_direct() one final, on its home: takes s, returns s itself with the direct
 * engine or if it is final, else a bufferevent stream made of its socket. on_ready has to be set
 * again. Not from inside s's on_ready with the bufferevent engine, unless nothing of s is used
 * afterwards.
 */
struct stream *stream_settle(struct stream *s) MUSTCHECK;
/*
 * Can it be taken apart now? Only after what it took is out; a bufferevent only if all that it has
 * got was read, and not from inside its on_ready.
 */
bool stream_movable(const struct stream *s);
/*
 * Takes apart a stream that is movable, so that it can be handed to another thread: events deleted,
 * shell freed, fd and ssl (may be NULL) now the caller's. Bytes inside ssl move with it.
 */
void stream_detach(struct stream *s, int *fd, SSL **ssl);

/* Nothing is reported before this. arg is borrowed. */
void stream_on_ready(struct stream *s, stream_ready_fn *fn, void *arg);

/*
 * TLS: drives the handshake: OK = done (at once for plain), AGAIN = on_ready will come whatever is
 * wanted, ABORT. Optional: read and write do it too.
 */
enum stream_rc stream_handshake(struct stream *s) MUSTCHECK;
/* OK: *n (> 0) bytes are in buf. */
enum stream_rc stream_read(struct stream *s, void *buf, size_t cap, size_t *n) MUSTCHECK;
/*
 * OK: *n (0 < *n <= len) bytes were taken, in order; fewer than len means AGAIN for the rest. One
 * call with len <= 16384 is one TLS record, taken whole or not at all. After AGAIN the next call
 * must offer the same bytes first.
 */
enum stream_rc stream_write(struct stream *s, const void *buf, size_t len, size_t *n) MUSTCHECK;
/*
 * For reading and writing without a copy, where a kind can (mux does). The bytes that stream_read()
 * would give next, *n of them; NULL: read. They stay until a call on this stream; stream_skip()
 * takes them as read.
 */
const char *stream_peek(struct stream *s, size_t *n) MUSTCHECK;
void stream_skip(struct stream *s, size_t n);
/*
 * The place where stream_write() would put bytes, *cap of them: what is written from there is not
 * copied. NULL: there is none, now or ever. It stays until another call on this stream, or on
 * another one of the same session.
 */
char *stream_room(struct stream *s, size_t *cap) MUSTCHECK;
/* The directions to be told of from now on; 0 = none. */
void stream_want(struct stream *s, int dirs);
/*
 * Flushes what was taken, then ends this direction (close_notify on TLS, FIN on plain). OK: done.
 * AGAIN: want WRITE and call again. No write after it. Reading goes on.
 */
enum stream_rc stream_finish(struct stream *s) MUSTCHECK;
/* Is everything that was taken out of this process's hands? Then close loses nothing. */
bool stream_flushed(const struct stream *s);
/*
 * Does the peer's program know of this stream? If that is not known it is asked, and the answer may
 * be found by a later call. True for kinds that can't tell.
 */
bool stream_known(struct stream *s);
/*
 * Takes s. abort: the peer is to see a reset. Otherwise close_notify is tried once and the socket
 * closed. Memory goes back on the next tick; on_ready is not called any more.
 */
void stream_close(struct stream *s, bool abort);

/*
 * Why the stream aborted, for a log line ("Connection reset by peer"); "" if it did not. Borrowed.
 */
const char *stream_error(const struct stream *s);
/* The socket under it (for addresses), -1 for mux. */
int stream_fd(const struct stream *s);
/* The TLS object under it, NULL if plain. Borrowed. */
SSL *stream_ssl(const struct stream *s);
struct loop *stream_loop(const struct stream *s);

/*
 * Takes s, whose user has said all it had to say: finishes it, reads and drops what still comes
 * (at most LINGER_BYTES or LINGER_MS), then closes. Without this a reset could overtake the answer
 * (RFC 9112 section 9.6).
 */
#define LINGER_MS 2000
#define LINGER_BYTES (16u << 20)
void stream_linger(struct stream *s);
/* The same for a peer that may need so long, or so much, before it reads what was said. */
void stream_linger_for(struct stream *s, uint64_t ms, uint64_t bytes);

#endif
