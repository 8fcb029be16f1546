/* The visitors of tunnels, from the tunnel's home to closed. */
#ifndef PGROKD_VISITOR_VISITOR_H
#define PGROKD_VISITOR_VISITOR_H

#include "common/stream/pair.h"
#include "pgrokd/carrier/carrier.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/core/worker.h"

/* Joined so far, and bytes (enum side) moved. */
struct visitor_count {
	uint64_t visitors, bytes[2];
};

/* One tunnel, as far as its visitors are concerned; embedded in its owner, who sets it up. */
struct visitors {
	struct worker *worker;
	struct route *route;     /* what they come for */
	struct carrier *carrier; /* how they get there */
	bool half_close;         /* the client carries half-close */
	bool one_request;        /* a stream to the client carries one request */
	const char *owner;       /* the name of its token; NULL or "": tokens are not checked */
	struct visitor_count count;
	struct visitor_count *sum; /* of all tunnels of its client */
	struct tally *tally;       /* NULL: there is no limit; borrowed */
	int most;                  /* of the owner's visitors at once */
	uint64_t now;              /* visitors in the list */
	uint64_t last;             /* loop_now() of the last request or visitor; 0: none came */
	struct speed *speed;       /* the limits of its bandwidth; NULL: none */
	struct visitor_list list;
};

/*
 * So many bytes a second, in each direction, may all its visitors together carry, and those of all
 * tunnels of its tally (where it has one); 0: any number.
 */
void visitors_limit(struct visitors *at, uint64_t rate, uint64_t owner_rate);
/* From now on visitors may come. */
void visitors_open(struct visitors *at);
/*
 * The tunnel closes. Those that wait get a page. Those that are joined go on with the answer under
 * way, streams run on; lost: its client won't be heard of again, so that they end, too. Between
 * requests they leave: their next one finds another tunnel, or none.
 */
void visitors_close(struct visitors *at, bool lost);

/*
 * A visitor of a TCP tunnel; takes fd, and what it is counted by. Closed at once if the tunnel's
 * rules do not let it in.
 */
void visitor_accept(struct visitors *at, int fd, const struct addr *peer, struct seat seat);
/*
 * Parcels with a visitor of an http or https tunnel go here: route (its tunnel is looked up at
 * home), unread (from the head of its request on).
 *
 * It leaves the same way, through core->back: without an answer to the request with which unread
 * begins, and with the route that it came for. status says which page it is to get; 0: the request
 * is for another tunnel, or this one is gone, so that it is to be routed as if it were its first.
 */
parcel_adopt_fn visitor_adopt;
/* Other settings: ends those whose tunnel has closed, if its owner has no token any more. */
void visitor_settle_all(struct worker *w);
void visitor_close_all(struct worker *w, const char *why);

#endif
