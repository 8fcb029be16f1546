/* A client's session, on its home worker: its connection, tunnels, proxies and waiting visitors. */
#ifndef PGROKD_CLIENT_CLIENT_H
#define PGROKD_CLIENT_CLIENT_H

#include "common/mux/mux.h"
#include "msg/pgrok/chan.h"
#include "pgrokd/carrier/carrier.h"
#include "pgrokd/visitor/visitor.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/core/worker.h"

TAILQ_HEAD(tunnel_list, tunnel);
TAILQ_HEAD(bid_list, bid);

enum control_state {
	CONTROL_UP,    /* heartbeat: LIMIT_PING_MS */
	CONTROL_FAILED /* closes on a next tick: deep inside a call, or many close at once */
};

struct control {
	struct worker *worker;
	uint64_t id;
	char name[16];                       /* "ctl:309f56fc", for the log */
	char client_id[LIMIT_CLIENT_ID + 1]; /* a credential: only short_id is ever shown */
	char short_id[9];
	struct stream *stream;
	struct chan *chan;
	struct addr peer;
	enum control_state state;
	bool features;      /* the client speaks our extensions */
	bool feature_ping;  /* and answers a Ping */
	bool feature_close; /* and may send a NewTunnel to have its URL closed */
	bool feature_mux;   /* and speaks yamux on connections that ask for it */
	bool linger;        /* the last message tells why: see that it arrives */
	struct owner owner; /* of its names */
	struct tunnel_list tunnels;
	int n_tunnels;
	struct bid_list bids; /* ReqTunnels that wait for a challenge, or their turn */
	int n_bids;
	int refusals; /* of ReqTunnels, since refusals_began */
	uint64_t refusals_began;
	struct carrier *carrier;
	struct challenge *challenge; /* somebody wants one of its names; NULL: nobody */
	uint64_t born, last_ping;
	struct visitor_count count; /* of all its tunnels */
	const char *why;            /* CONTROL_FAILED; as long as its stream and chan */
	struct loop_timer reap;
	struct loop_tick more; /* messages left to handle, or CONTROL_FAILED */
};

/* Both borrow the parcel, take s, and take from the parcel what they need. */
void control_adopt(struct worker *w, struct stream *s, struct parcel *p);
void control_adopt_proxy(struct worker *w, struct stream *s, struct parcel *p);

/*
 * Sends m. Never closes the control from inside this call: a control that can't be written to
 * closes on the next tick.
 */
void control_send(struct control *c, const struct msg *m);
/* Closes on the next tick; linger: what was sent last is to arrive. */
void control_fail(struct control *c, bool linger, const char *why);
/* Its tunnels, proxies, waiting visitors go, now or in one of the next turns. Joined ones stay. */
void control_close(struct control *c, const char *why);
void control_close_all(struct worker *w, const char *why);

#endif
