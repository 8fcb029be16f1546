/*
 * How the visitors of one client are carried to it: over which of the connections the client has
 * made, who waits for one, and when the client is asked for more.
 *
 * A carrier knows neither visitors nor messages: what is said on a connection is written by its
 * user, through the hooks. It belongs to one loop and is not for use from inside its own hooks.
 */
#ifndef PGROKD_CARRIER_CARRIER_H
#define PGROKD_CARRIER_CARRIER_H

#include <sys/queue.h>

#include "common/base/addr.h"
#include "common/stream/stream.h"

/* What a connection of the client is good for. Each kind is a row of a table in carrier.c. */
enum carrier_kind {
	CARRIER_SHARED, /* a mux session for all visitors that may share it: preferred */
	CARRIER_REUSED, /* a mux session for one visitor after the other */
	CARRIER_POOLED, /* the connection itself, for one visitor */
	CARRIER_DATA,   /* a mux session for all visitors, as Drip speaks it */
	CARRIER_PRIMARY /* the same, without which the client ends; for visitors the last choice */
};

/* What a carrier knows of a visitor, and tells it. */
struct carrier_visit {
	const char *url;         /* of its tunnel */
	const struct addr *peer; /* its address */
	bool may_share;
};

/* A visitor that needs a stream. It is embedded in the visitor; link is the carrier's. */
struct carrier_waiter {
	TAILQ_ENTRY(carrier_waiter) link;
	struct carrier_visit visit;              /* what it points to must outlive the wait */
	uint64_t since;                          /* the carrier's */
	void (*fn)(void *arg, struct stream *s); /* after CARRIER_WAITS: takes s */
	void *arg;
};

struct carrier_hooks {
	/* The client is to make one more connection. */
	void (*ask)(void *arg);
	/*
	 * Says on s whose it is from now on. False: s is dead, the next one is tried. NULL: nothing
	 * needs to be said.
	 */
	bool (*begin)(void *arg, struct stream *s, const struct carrier_visit *v);
	/*
	 * The rest may be NULL where there is no primary connection. It has ended by itself; why is
	 * borrowed for the call.
	 */
	void (*ended)(void *arg, const char *why);
	/* A sign of life that carrier_ask_alive() asked for. */
	void (*alive)(void *arg);
};

struct carrier;

/* name (for the log), hooks and arg are borrowed. Returns owned. */
struct carrier *carrier_new(struct loop *l, const char *name, const struct carrier_hooks *hooks,
			    void *arg) MUSTCHECK;
/* So many visitors may wait; 0: any number. LIMIT_WAITING at first. */
void carrier_bound(struct carrier *c, int most);
/*
 * Takes c; no visitor may be waiting any more. Idle connections are closed, the others when their
 * last visitor has gone.
 */
void carrier_close(struct carrier *c, const char *why);

/*
 * A connection of this kind has come: is there a use for it? No: the caller closes it. Yes:
 * carrier_add() follows, unless the connection has died.
 */
bool carrier_wants(struct carrier *c, enum carrier_kind kind) MUSTCHECK;
/* Takes s (settled). Visitors that wait and may use it get it at once. */
void carrier_add(struct carrier *c, enum carrier_kind kind, struct stream *s);

enum carrier_rc {
	CARRIER_OK,    /* *s is the visitor's, and begun */
	CARRIER_WAITS, /* w->fn() will be called, unless carrier_cancel() comes first */
	CARRIER_FULL   /* enough visitors wait already */
};

/* A stream for a visitor: now, or when there is one. Borrows w. */
enum carrier_rc carrier_serve(struct carrier *c, struct carrier_waiter *w,
			      struct stream **s) MUSTCHECK;
/* w waits no more. */
void carrier_cancel(struct carrier *c, struct carrier_waiter *w);

/* Asks for a sign of life on every connection that can be asked: hooks->alive() tells of it. */
void carrier_ask_alive(struct carrier *c);
/* Visitors that can't share are expected: asks for a connection unless one is idle or asked for. */
void carrier_warm(struct carrier *c);
/* Called every LIMIT_REAP_MS: connections kept for a demand that is gone are closed. */
void carrier_rest(struct carrier *c);

#endif
