/* Messages over a stream: a reader that takes frames in any pieces, and a writer that sends each
 * frame in one piece. */
#ifndef MSG_PGROK_CHAN_H
#define MSG_PGROK_CHAN_H

#include "common/stream/stream.h"
#include "msg/pgrok/frame.h"

#define CHAN_QUEUE_MAX (1u << 20) /* see chan_set_queue() */

struct chan;

/* Borrows s, which must outlive it; does not touch on_ready. Returns owned. */
struct chan *chan_new(struct stream *s) MUSTCHECK;
/*
 * Before chan_recv(): bytes that were read from s already, with which the first message begins.
 * FRAME_HEADER of them at most.
 */
void chan_feed(struct chan *c, const void *buf, size_t len);
/* Wipes what it holds (tokens). */
void chan_free(struct chan *c);
/* The largest frame this peer takes; at first FRAME_GO_MAX. */
void chan_set_max(struct chan *c, size_t max);
/*
 * Bytes, what their keeping takes included, that may wait for a peer that does not read; at first
 * CHAN_QUEUE_MAX. A single frame may always wait.
 */
void chan_set_queue(struct chan *c, size_t max);

enum chan_rc {
	CHAN_OK,    /* *out is a message: msg_free() it */
	CHAN_NULL,  /* a message with a null payload came: ask again */
	CHAN_AGAIN, /* nothing whole there: want READ */
	CHAN_EOF,   /* the peer ended its direction between two messages */
	CHAN_ABORT, /* or ended it in the middle of one; chan_error() says why */
	CHAN_BAD    /* bad length or bad JSON, and so ever after; chan_error() says why */
};

/*
 * The next message. Reads exactly the bytes of frames, so raw bytes may follow and the stream may
 * be moved to another thread after any message. Ask until AGAIN: several may have come at once.
 */
enum chan_rc chan_recv(struct chan *c, struct msg *out) MUSTCHECK;

/*
 * Queues m and writes what can be written. False: too large for this peer, not UTF-8, the queue is
 * full, or the stream aborted (chan_error()).
 */
bool chan_send(struct chan *c, const struct msg *m) MUSTCHECK;
/* Writes on (after WRITE readiness). OK: nothing waits any more; AGAIN: want WRITE; ABORT. */
enum stream_rc chan_flush(struct chan *c) MUSTCHECK;
bool chan_waiting(const struct chan *c);
const char *chan_error(const struct chan *c);

#endif
