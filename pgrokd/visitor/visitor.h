/* A visitor of a tunnel, from the tunnel's home to closed. */
#ifndef PGROKD_VISITOR_VISITOR_H
#define PGROKD_VISITOR_VISITOR_H

#include "common/http/track.h"
#include "common/stream/pair.h"
#include "pgrokd/carrier/carrier.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/core/worker.h"

struct tunnel;

enum public_state {
	PUBLIC_NEW,     /* nothing is waited for */
	PUBLIC_WAITING, /* for a proxy connection; timer: LIMIT_WAIT_MS, then 504 */
	PUBLIC_JOINED,  /* timer: see enum public_timer */
	PUBLIC_CLOSED
};

enum public_timer {
	TIMER_NONE,
	TIMER_HEAD, /* the rest of a later request head: LIMIT_HEAD_MS */
	TIMER_OWED, /* the answers owed after a refusal: LIMIT_OWED_MS */
	TIMER_FIN   /* bytes of the answer that holds the visitor's end back: PAIR_SILENCE_MS */
};

struct public
{
	TAILQ_ENTRY(public) link;        /* of all on this worker */
	TAILQ_ENTRY(public) tunnel_link; /* of its tunnel, while that lives */
	struct carrier_waiter waiter;    /* PUBLIC_WAITING */
	struct worker *worker;
	struct tunnel *tunnel; /* NULL: it closed meanwhile */
	struct route *route;   /* a reference: what it came for */
	enum public_state state;
	uint64_t id, born;
	struct addr peer;
	struct stream *stream; /* NULL once it is the pair's */
	char *unread;          /* before it is joined: bytes read already */
	size_t unread_len;
	bool head_only;              /* the request is a HEAD */
	bool peer_features;          /* the client of its tunnel carries half-close */
	bool fin_held;               /* the visitor's end waits until the answers are out */
	bool end_at_rest;            /* the tunnel is gone: ends with the answer under way */
	enum public_timer timer_for; /* PUBLIC_JOINED: what the timer waits for */
	struct pair *pair;
	struct loop_timer *timer;  /* NULL: never needed yet */
	struct http_track track[]; /* one if it is http(s), none on TCP: there are many of these */
};

/*
 * Whose is this request? 0: *route is a reference to it. Otherwise the status to answer, and *why
 * for the log. On the worker that accepted; the only place where the registry is asked.
 */
int public_route(struct worker *w, enum port port, const struct http_head *h, const char *head,
		 struct route **route, const char **why) MUSTCHECK;
/* Borrows the parcel, takes s, takes from the parcel what it needs. */
void public_adopt(struct worker *w, struct stream *s, struct parcel *p);
/* A visitor of a TCP tunnel; takes fd. */
void public_accept_tcp(struct tunnel *t, int fd, const struct addr *peer);
/* Before it is joined: answers (http) and closes. */
void public_refuse(struct public *p, int status, const char *why);
/* Its tunnel closes: ends at the next request boundary; streams run on. */
void public_tunnel_gone(struct public *p);
void public_close_all(struct worker *w, const char *why);

#endif
