/*
 * One tunnel on a Drip server: discover -> Register on a primary connection -> RegisterAck -> data
 * sessions beside it -> lost -> wait -> again, with the same name.
 */
#ifndef PGROK_UPLINK_DRIP_TUNNEL_H
#define PGROK_UPLINK_DRIP_TUNNEL_H

#include <sys/queue.h>

#include "pgrok/uplink/backoff.h"
#include "pgrok/uplink/drip_discovery.h"
#include "pgrok/uplink/drip_link.h"
#include "pgrok/uplink/drip_pool.h"

enum drip_state {
	DRIP_DISCOVERING, /* waits for the server's word on transports; it has a deadline */
	DRIP_REGISTERING, /* waits for RegisterAck, which has a deadline */
	DRIP_UP,          /* waits for visitors */
	DRIP_WAITING,     /* waits to try again; timer */
	DRIP_REFUSED      /* waits to be closed */
};

struct drip_tunnel;

/* From the loop only. Each may close the tunnel. */
struct drip_tunnel_hooks {
	void (*on_connected)(void *arg);
	/* d->url is open. */
	void (*on_up)(void *arg, struct drip_tunnel *d);
	/* It is not open, or no longer; the next attempt begins in so many ms. why is borrowed. */
	void (*on_waiting)(void *arg, struct drip_tunnel *d, const char *why, uint32_t ms);
	/* The server said no for good before it was ever open. why is borrowed. */
	void (*on_refused)(void *arg, struct drip_tunnel *d, const char *why);
	/* Takes s, the stream of a visitor. */
	void (*on_stream)(void *arg, struct drip_tunnel *d, struct stream *s);
};

struct drip_tunnel {
	TAILQ_ENTRY(drip_tunnel) link; /* its owner's */
	const struct drip_conf *conf;
	const struct drip_tunnel_hooks *hooks;
	void *arg;
	const struct config_tunnel *t; /* borrowed, longer than this lives */
	enum proto proto;
	bool ordered; /* its owner's: at run time */

	enum drip_state state;
	struct drip_discovery *discovery; /* DISCOVERING */
	struct drip_link primary;         /* REGISTERING, UP */
	struct drip_pool pool;            /* UP */
	struct loop_timer retry;          /* WAITING */
	struct backoff backoff;
	char *url;         /* UP; NULL: not open */
	char *name;        /* what the server called it last; NULL: nothing yet */
	unsigned refusals; /* of this name, one after the other */
	bool wss;          /* its connections are WebSockets */
	bool worked;
	bool mute; /* the last attempt got a connection and no answer */
};

/* Begins at once, without a call back from inside. Everything is borrowed. */
struct drip_tunnel *drip_tunnel_new(const struct drip_conf *conf, const struct config_tunnel *t,
				    enum proto proto, const struct drip_tunnel_hooks *hooks,
				    void *arg) MUSTCHECK;
/* Takes d; the server forgets it when the primary connection ends. */
void drip_tunnel_close(struct drip_tunnel *d, const char *why);
/* Round trip in microseconds; 0: not known. */
uint32_t drip_tunnel_rtt_us(const struct drip_tunnel *d);

#endif
