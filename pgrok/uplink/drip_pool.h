/*
 * The data sessions of one tunnel: the server spreads visitors over them, and takes the primary one
 * only while there is none. More with the load, fewer when there is none.
 */
#ifndef PGROK_UPLINK_DRIP_POOL_H
#define PGROK_UPLINK_DRIP_POOL_H

#include "pgrok/config/limits.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/uplink/drip_link.h"

#define DRIP_POOL_FIRST 3
#define DRIP_POOL_LEAST 1
#define DRIP_POOL_STREAMS 256    /* in one session: more the server does not open */
#define DRIP_POOL_QUIET_MS 60000 /* with less load than that, one session is given up */

struct drip_pool;

struct drip_pool_hooks {
	/* Takes s, the stream of a visitor. */
	void (*on_stream)(void *arg, struct stream *s);
};

struct drip_seat {
	struct drip_pool *pool;
	struct drip_link link;
	bool up;
};

/* Embedded in its owner. */
struct drip_pool {
	const struct drip_conf *conf;
	const struct drip_pool_hooks *hooks;
	void *arg;
	char *tunnel_id; /* NULL: it does not run */
	bool wss;        /* they are made like this */
	unsigned wanted; /* sessions */
	bool refused;    /* the server lets no more in */
	struct drip_seat seat[LIMIT_DRIP_DATA];
	struct backoff backoff;
	struct loop_timer retry; /* after one was lost, or could not be made */
	struct loop_timer look;  /* at the load */
	uint64_t busy;           /* loop_now() when there was load, or one was given up */
};

/* Everything is borrowed. */
void drip_pool_init(struct drip_pool *p, const struct drip_conf *conf,
		    const struct drip_pool_hooks *hooks, void *arg);
/* The tunnel is open, and its server knows data sessions. */
void drip_pool_start(struct drip_pool *p, const char *tunnel_id, bool wss);
/* Visitors on them are served to their end. Stopping what does not run is fine. */
void drip_pool_stop(struct drip_pool *p);

/* How many of n sessions with so many visitors there should be. Pure. */
unsigned drip_pool_size(unsigned n, unsigned streams, bool quiet);

#endif
