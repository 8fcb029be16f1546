/*
 * A connection whose first bytes are being read, for the protocols that read them (hello() of
 * struct proto_ops).
 */
#ifndef PGROKD_FRONT_GUEST_H
#define PGROKD_FRONT_GUEST_H

#include "common/base/log.h"
#include "common/http/head.h"
#include "common/stream/stream.h"
#include "pgrokd/core/crowd.h"
#include "pgrokd/core/proto.h"
#include "pgrokd/core/worker.h"

enum guest_state {
	GUEST_PROXIED,   /* a trusted proxy's: who it is from; timer: LIMIT_FIRST_MS from accept */
	GUEST_HANDSHAKE, /* TLS; timer: LIMIT_FIRST_MS from accept */
	GUEST_FIRST,     /* the bytes that tell which protocol it is; the same timer */
	GUEST_HELLO      /* what its protocol reads; the same timer, unless the protocol sets it */
};

struct guest {
	TAILQ_ENTRY(guest) link;
	TAILQ_ENTRY(guest) silent_link; /* while silent */
	struct worker *worker;
	enum port port;
	enum guest_state state;
	uint64_t since;                /* loop_now() at accept */
	bool silent;                   /* nothing has come from it yet */
	bool counted;                  /* by the door */
	bool again;                    /* it had an answer before: a tunnel's, or a page */
	bool looked;                   /* https port: at the first byte, before TLS was */
	bool plain;                    /* ... and it is none of TLS: for its one answer it is */
	const struct proto_ops *proto; /* GUEST_HELLO */
	struct stream *stream;
	char *buf; /* what was read; NULL: nothing */
	size_t len, cap;
	struct http_head head; /* http: scanned in buf */
	bool head_begun;       /* http: the head's own time runs */
	void *own;             /* any other protocol's; NULL: nothing */
	void (*own_free)(void *own);
	struct addr peer;
	struct addr origin; /* of the request at hand: peer, or whom a trusted proxy speaks of */
	struct seat seat;   /* of a visitor's connection */
	struct loop_timer timer;
	void (*alarm)(struct guest *g); /* when it rings; NULL: the guest is closed */
	struct loop_tick soon;          /* more to do in the next turn, though nothing comes */
};

/*
 * Takes s. It is in the lobby, not counted by the door, and has no timer; the oldest has left if
 * there were too many.
 */
struct guest *guest_new(struct worker *w, enum port port, struct stream *s,
			const struct addr *peer) MUSTCHECK;
/*
 * Takes s, which its connection has become, and on which proto is spoken: what was read is over.
 */
void guest_becomes(struct guest *g, struct stream *s, const struct proto_ops *proto);
/*
 * From now on it counts as this address. False: which may not come in; the guest is gone.
 */
bool guest_is_from(struct guest *g, const struct addr *from) MUSTCHECK;
/* Its protocol's hello() is called in the next turn. */
void guest_soon(struct guest *g);

/*
 * Reads what is there into buf, which then holds `max` bytes at most. False: nothing came (it will
 * be called again), or the guest has left and is closed.
 */
bool guest_read(struct guest *g, size_t max) MUSTCHECK;
/* Takes g; its connection is the caller's from now on. */
struct stream *guest_leave(struct guest *g) MUSTCHECK;
/*
 * Takes g, closes it. level: a scanner that comes and goes, or a visitor that never asks, is not
 * news; a client that speaks wrongly is.
 */
void guest_close(struct guest *g, enum log_level level, const char *why);

#endif
