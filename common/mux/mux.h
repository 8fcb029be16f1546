/*
 * Many streams over one: a yamux session over a transport stream. Each of its streams is a struct
 * stream of its own kind, which a pair joins like any other.
 *
 * Memory is bounded without ever stopping to read: a peer may send what its windows allow, owed
 * control frames are flags and not a queue, and where the buffers of a session would hold more than
 * MUX_UNREAD_SESSION (or those of all sessions more than mux_set_memory()) the stream that holds
 * most is reset. Long before, the windows of streams with slow readers go back to where they began.
 */
#ifndef COMMON_MUX_MUX_H
#define COMMON_MUX_MUX_H

#include <stdint.h>

#include "common/stream/stream.h"

#define MUX_WINDOW_START (64u << 10) /* between our own ends */
#define MUX_WINDOW_MAX (16u << 20)   /* a bulk stream on a long path grows to this */
#define MUX_UNREAD_SESSION (32u << 20)
#define MUX_MEMORY_DEFAULT (256u << 20)
#define MUX_STREAMS_MAX 4096

struct mux;

struct mux_conf {
	bool opens;            /* this end opens the streams; a SYN from the other is an error */
	uint32_t first_id;     /* opener: 1 or 2, then every second one */
	uint32_t start_window; /* both ends must have the same */
	uint32_t max_streams;
	/*
	 * One stream at a time: its bytes need not wait for those of others at the end of the turn,
	 * and the buffer they went through serves the next session of the same turn.
	 */
	bool alone;
};

struct mux_hooks {
	/* Acceptor: a new stream, owned by the callee; on_ready has to be set before returning. */
	void (*accepted)(void *arg, struct stream *s);
	/*
	 * Called once, from the loop, when the session can carry no new streams any more: transport
	 * lost, protocol error, the peer went away, or all ids are used (then open streams still
	 * run). The owner forgets m and calls mux_close(), now or later.
	 */
	void (*down)(void *arg, const char *why);
	/*
	 * NULL: not wanted. From the loop, not after down: the last stream is closed, and nothing
	 * of it is owed any more. Streams may be opened and the session closed in it.
	 */
	void (*idle)(void *arg);
	/* NULL: not wanted. From the loop: mux_rtt_us() has a new value. */
	void (*measured)(void *arg);
};

/*
 * What the buffers of all sessions of the process may hold. At start; default MUX_MEMORY_DEFAULT.
 * Half of it is for whoever needs it; beyond, each session has an equal share of the other half.
 */
void mux_set_memory(uint64_t bytes);
/* Bytes of the buffers of all sessions now. From any thread. */
uint64_t mux_memory_used(void);

/*
 * Takes transport (handshake done, settled, nothing of it in use; no mux stream). hooks and arg are
 * borrowed.
 */
struct mux *mux_new(struct stream *transport, const struct mux_conf *conf,
		    const struct mux_hooks *hooks, void *arg) MUSTCHECK;
/* A new stream, owned by the caller; NULL: down, draining, or max_streams are open. */
struct stream *mux_open(struct mux *m) MUSTCHECK;
/*
 * Takes m: no new streams (the peer is told), no hook is called any more. It ends when its last
 * stream is closed; now if there is none. abort: its streams are aborted (each hears of it on the
 * next tick).
 */
void mux_close(struct mux *m, bool abort);
/* Streams open now. */
uint32_t mux_streams(const struct mux *m);
/* Measures the round trip again; hooks->measured tells when it is done. */
void mux_measure(struct mux *m);
/* Round trip in microseconds as last measured, 0: not yet. */
uint32_t mux_rtt_us(const struct mux *m);

#endif
