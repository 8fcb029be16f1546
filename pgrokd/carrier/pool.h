/*
 * The proxy connections of one control that wait for a visitor, and the visitors that wait for a
 * proxy connection.
 *
 * Two kinds of connections: an ordinary one serves a single visitor. Between our own ends one may
 * carry yamux instead, with one stream at a time: when its visitor has gone it waits here again,
 * and the next visitor costs no handshake.
 */
#ifndef PGROKD_CARRIER_POOL_H
#define PGROKD_CARRIER_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/stream/stream.h"
#include "pgrokd/limits.h"

struct control;
struct public;

TAILQ_HEAD(proxy_list, proxy);
TAILQ_HEAD(waiting_list, public);

#define POOL_ASKED (LIMIT_WAITING + LIMIT_POOL_MAX)

struct pool {
	struct proxy_list idle; /* the next to be taken first */
	struct proxy_list busy; /* those that come back */
	int n_idle;
	int low;                     /* the fewest that were idle since the last pool_rest() */
	int burst;                   /* that many visitors waited at once, lately */
	bool missed;                 /* since the last pool_rest() somebody had to wait */
	struct waiting_list waiting; /* oldest first */
	int n_waiting;
	/* When the ReqProxys were sent that no RegProxy has come for (loop_now()): a ring. */
	uint32_t asked[POOL_ASKED];
	int asked_first, n_asked;
	uint32_t fetch_ms;    /* from ReqProxy to RegProxy, smoothed */
	uint64_t second;      /* loop_now() when the current second began */
	int taken, taken_was; /* connections used up in this second, and in the one before */
};

void pool_init(struct control *c);
/* Sends a ReqProxy. */
void pool_ask(struct control *c);
/* Sends one if no connection waits and none is under way. */
void pool_warm(struct control *c);
/*
 * Closes the idle connections, and those in use when their visitor has gone; nobody may be waiting
 * any more.
 */
void pool_close(struct control *c);
/* A proxy connection has come: takes s (settled). It goes to the first waiting visitor, if any. */
void pool_add(struct control *c, struct stream *s);
/* The same, of one that wants to carry one visitor after the other. */
void pool_add_reusable(struct control *c, struct stream *s);
/* Finds a proxy connection for p or lets it wait. False: too many wait already. */
bool pool_serve(struct control *c, struct public *p) MUSTCHECK;
/* A mux session has come: waiting visitors that may use it do. */
void pool_mux_up(struct control *c);
/* p waits no more. */
void pool_forget(struct control *c, struct public *p);
/* Called every LIMIT_REAP_MS: demand that is gone is forgotten, and what was kept for it goes. */
void pool_rest(struct control *c);

#endif
