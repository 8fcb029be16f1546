/*
 * The proxy connections of one control that wait for a visitor, and the visitors that wait for a
 * proxy connection.
 */
#ifndef PGROKD_POOL_H
#define PGROKD_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/stream.h"
#include "pgrokd/limits.h"

struct control;
struct public;

TAILQ_HEAD(proxy_list, proxy);
TAILQ_HEAD(waiting_list, public);

struct pool {
	struct proxy_list idle; /* oldest first */
	int n_idle;
	int limit;                   /* LIMIT_POOL; more after many visitors waited at once */
	bool missed;                 /* since the last pool_rest() somebody had to wait */
	struct waiting_list waiting; /* oldest first */
	int n_waiting;
	/* When the ReqProxys were sent that no RegProxy has come for: a ring. */
	uint64_t asked[LIMIT_POOL_MAX];
	int asked_first, n_asked;
};

void pool_init(struct control *c);
/* Sends a ReqProxy. */
void pool_ask(struct control *c);
/* Sends one if no connection waits and none is under way. */
void pool_warm(struct control *c);
/* Closes the idle connections; nobody may be waiting any more. */
void pool_close(struct control *c);
/* A proxy connection has come: takes s (settled). It goes to the first waiting visitor, if any. */
void pool_add(struct control *c, struct stream *s);
/* Finds a proxy connection for p or lets it wait. False: too many wait already. */
bool pool_serve(struct control *c, struct public *p) MUSTCHECK;
/* A mux session has come: waiting visitors that may use it do. */
void pool_mux_up(struct control *c);
/* p waits no more. */
void pool_forget(struct control *c, struct public *p);
/* Called every LIMIT_REAP_MS: demand that is gone is forgotten. */
void pool_rest(struct control *c);

#endif
