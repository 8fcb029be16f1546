/* Visitors' connections that are open, over all workers: in all, and by address. */
#ifndef PGROKD_CORE_CROWD_H
#define PGROKD_CORE_CROWD_H

#include "common/net/nets.h"
#include "pgrokd/core/counters.h"

struct crowd;

/* Where a connection is counted; goes with it, whoever has it. Zeroed: nowhere. */
struct seat {
	bool all, address;
	uint64_t from; /* whose address: addr_household() */
};

/* There is no limit yet. loopback_exempt: addresses of this machine are not counted by address. */
struct crowd *crowd_new(bool loopback_exempt) MUSTCHECK;
/* Nor are these proxies. Borrowed; before any other thread knows c. NULL: none. */
void crowd_trust(struct crowd *c, const struct nets *trusted);
void crowd_free(struct crowd *c);
/* So many, and so many of one address (of IPv6 its /64) from now on; 0: any number. */
void crowd_set(struct crowd *c, int most, int most_of_address);
/*
 * May one more come in? Then it is counted, and *seat says where. False: *why is set. From any
 * thread; c NULL: there is no limit.
 */
bool crowd_enter(struct crowd *c, const struct addr *peer, struct seat *seat,
		 enum shed *why) MUSTCHECK;
/*
 * It turns out to be of this address, as its proxy says. False: *why is set, there are too many of
 * that address. Nothing happens if it is counted nowhere.
 */
bool crowd_move(struct crowd *c, const struct addr *peer, struct seat *seat,
		enum shed *why) MUSTCHECK;
/* It has ended; *seat is used up. Nothing happens if it is counted nowhere. */
void crowd_leave(struct crowd *c, struct seat *seat);
/* Hands it on. */
static inline struct seat seat_take(struct seat *seat)
{
	struct seat taken = *seat;

	*seat = (struct seat){0};
	return taken;
}

#endif
