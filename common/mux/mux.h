/*
 * Many streams over one: a yamux session over a transport stream. Each of its streams is a struct
 * stream of its own kind, which a pair joins like any other.
 *
 * Memory is bounded without ever stopping to read, and no stream is reset to get some back: a peer
 * may send what its windows allow, and a window is only opened as far as there is memory for it.
 *
 * - The window that a stream begins with (conf.start_window, which the peer may fill without being
 *   asked) is guaranteed. What such windows really hold counts against one half of the process's
 *   memory. While a client's account holds more of it than is left for all others, its sessions
 *   open no further streams (mux_open() returns NULL) and refuse those that their peers open;
 *   streams that are open keep their window. So the half is exceeded only by what open streams that
 *   held nothing receive afterwards: at most start_window each.
 * - What a window grows by is reserved in the other half as soon as it is announced, whether the
 *   peer uses it or not. Each growth takes a small part of what is left, so that it goes on for the
 *   next stream. A reader that stands still gets nothing new: of what it reads then, half a window
 *   is not announced again.
 *
 * Owed control frames are flags and not a queue. What a pair keeps (64 KiB a direction) is its own,
 * and no credit is given for it.
 */
#ifndef COMMON_MUX_MUX_H
#define COMMON_MUX_MUX_H

#include <stdint.h>

#include "common/stream/stream.h"

#define MUX_WINDOW_START (64u << 10) /* between our own ends */
#define MUX_WINDOW_MAX (16u << 20)   /* a bulk stream on a long path grows to this */
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
	 * and the buffer they went through serves the next session of the same turn. It is never
	 * refused: a connection of its own costs more than a window.
	 */
	bool alone;
	/*
	 * For peers that are not ours (Go's yamux closes a session whose stream has no ACK after 10
	 * s): SYN and ACK do not wait for something to ride on. ACK leaves with this turn, SYN with
	 * the next one: the bytes that a stream begins with are often there by then.
	 */
	bool prompt;
	/*
	 * FIN never rides on bytes: a reader of Go's yamux may see the end before it sees them.
	 */
	bool fin_alone;
	/*
	 * 0: whoever closes a stream that its peer has not ended resets it. Else it says FIN, and
	 * the peer has so long to end it, too: Go's yamux drops what its user has not read when a
	 * RST comes. Who sends bytes to a closed stream is told by RST at once. Looked at with
	 * pings.
	 */
	uint32_t close_ms;
	/* 0: only to measure. Else a PING as often, if the last one was answered. */
	uint32_t ping_ms;
	unsigned ping_misses; /* down after so many of these spans without a byte from the peer */
};

struct mux_hooks {
	/* Acceptor: a new stream, owned by the callee; set on_ready before returning. */
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
	/*
	 * NULL: not wanted. Likewise: max_streams were open, and one of them has gone.
	 */
	void (*room)(void *arg);
	/*
	 * NULL: not wanted. From the loop: a measurement is done, mux_rtt_us() has its result, and
	 * the peer lives.
	 */
	void (*measured)(void *arg);
};

/*
 * What the buffers of all sessions of the process may hold, see above. At start; default
 * MUX_MEMORY_DEFAULT.
 */
void mux_set_memory(uint64_t bytes);
/* Bytes that are counted against it now, to the nearest 64 KiB per account. From any thread. */
uint64_t mux_memory_used(void);

/* What the sessions of one client hold together. All of them live on one loop. */
struct mux_account;
/* Returns owned. */
struct mux_account *mux_account_new(void) MUSTCHECK;
/* Takes a (or NULL); sessions that use it keep it until they end. */
void mux_account_free(struct mux_account *a);

/*
 * Takes transport (handshake done, settled, nothing of it in use; no mux stream). account, hooks
 * and arg are borrowed.
 */
struct mux *mux_new(struct stream *transport, const struct mux_conf *conf,
		    struct mux_account *account, const struct mux_hooks *hooks,
		    void *arg) MUSTCHECK;
/*
 * A new stream, owned by the caller; NULL: down, draining, max_streams are open, or too much waits
 * in this account.
 */
struct stream *mux_open(struct mux *m) MUSTCHECK;
/*
 * Takes m: no new streams (the peer is told), no hook is called any more. It ends when its last
 * stream is closed; now if there is none. abort: its streams are aborted (each hears of it on the
 * next tick).
 */
void mux_close(struct mux *m, bool abort);
/* Streams open now. */
uint32_t mux_streams(const struct mux *m);
/* Asks the peer for a sign of life: hooks->measured() tells of it. */
void mux_ping(struct mux *m);
/* Round trip in microseconds, of the path and not of the queues on it; 0: not yet measured. */
uint32_t mux_rtt_us(const struct mux *m);

#endif
