/* What the files of this folder share: a carrier, its connections, and what a kind implements. */
#ifndef PGROKD_CARRIER_PARTS_H
#define PGROKD_CARRIER_PARTS_H

#include <stdint.h>

#include "common/mux/mux.h"
#include "pgrokd/carrier/carrier.h"
#include "pgrokd/limits.h"

/* One connection of the client. */
struct carrier_link {
	TAILQ_ENTRY(carrier_link) link;
	const struct carrier_ops *ops;
	struct carrier *carrier;
	struct stream *stream; /* pooled: the connection; NULL once it is a visitor's */
	struct mux *mux;       /* shared, reused: the session on it */
	uint64_t born, visitors;
	bool busy; /* reused: a visitor is on it */
};

TAILQ_HEAD(link_list, carrier_link);
TAILQ_HEAD(waiter_list, carrier_waiter);

/* What a kind of connection implements. */
struct carrier_ops {
	const char *name; /* for the log */
	bool shares;      /* any number of visitors at a time; otherwise one, see struct pool */
	bool primary;     /* shares, and is taken only if no other is there */
	/* That many may there be (if it shares) or be idle (if not). */
	int (*limit)(struct carrier *c);
	/* Makes of s what k is; takes s. */
	void (*start)(struct carrier_link *k, struct stream *s);
	/* A stream for one more visitor, owned; NULL: k carries none now, or is gone and closed. */
	struct stream *(*open)(struct carrier_link *k);
	/* k goes: its connection ends, after the last visitor on it. */
	void (*stop)(struct carrier_link *k);
};

extern const struct carrier_ops carrier_shared, carrier_reused, carrier_pooled, carrier_data,
	carrier_primary;

/* The connections that carry one visitor at a time, and how many of them are needed. */
struct pool {
	struct link_list idle; /* the next to be taken first */
	struct link_list busy; /* those that come back */
	int n_idle;
	int low;     /* the fewest that were idle since the last pool_rest() */
	int burst;   /* that many visitors waited at once, lately */
	bool missed; /* since the last pool_rest() a visitor had to wait */
	/* When the client was asked for connections that have not come yet (loop_now()): a ring. */
	uint32_t asked[LIMIT_ASKED];
	int asked_first, n_asked;
	uint32_t fetch_ms;       /* from asking to the connection, smoothed */
	struct loop_timer again; /* while visitors wait: what was asked for may not come */
	uint64_t second;         /* loop_now() when the current second began */
	int taken, taken_was;    /* connections used up in this second, and in the one before */
};

struct carrier {
	struct loop *loop;
	const char *name;
	const struct carrier_hooks *hooks;
	void *arg;
	struct waiter_list waiting; /* oldest first */
	int n_waiting, most_waiting;
	struct link_list shared; /* all connections of kinds that share */
	int n_shared;
	struct pool pool;           /* all others */
	struct mux_account *memory; /* of all sessions, of whatever kind */
};

/* carrier.c */
/* Takes k out of its list, stops and frees it, and says so in the log. */
void carrier_link_close(struct carrier_link *k, const char *why);
/* A stream of k for the visit, begun; false: try another connection. */
bool carrier_link_serve(struct carrier_link *k, const struct carrier_visit *v,
			struct stream **s) MUSTCHECK;
/* Gives s to w, which waits. */
void carrier_hand_over(struct carrier *c, struct carrier_waiter *w, struct stream *s);

/* A connection that shares has room: for all who wait and may use it. */
void carrier_serve_sharers(struct carrier *c);

/* pool.c */
void pool_init(struct carrier *c);
void pool_end(struct carrier *c);
/* Asks for one more connection, unless so many are under way already. */
void pool_ask(struct carrier *c);
/* A connection has come, probably the one that was asked for first. */
void pool_came(struct carrier *c);
/* One was taken: asks for at least one more, as the Go server does, unless enough are there. */
void pool_refill(struct carrier *c);
/* A visitor waits: asks for a connection and remembers the demand. */
void pool_missed(struct carrier *c);
/* None is idle and none is under way: asks for one. */
void pool_warm(struct carrier *c);
void pool_rest(struct carrier *c);
/* k is idle: the next to be taken (first), or the last. */
void pool_put(struct carrier_link *k, bool first);
/* k is a visitor's now, and comes back. */
void pool_busy(struct carrier_link *k);
/* Takes k out of its list. */
void pool_leave(struct carrier_link *k);

#endif
