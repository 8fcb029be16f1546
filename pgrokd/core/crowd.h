/* Visitors' connections that are open, over all workers: in all, and by address. */
#ifndef PGROKD_CORE_CROWD_H
#define PGROKD_CORE_CROWD_H

#include "common/base/addr.h"
#include "pgrokd/core/counters.h"

struct crowd;

/* Where a connection is counted; goes with it, whoever has it. Zeroed: nowhere. */
struct pass {
	bool all, address;
};

/* There is no limit yet. loopback_exempt: addresses of this machine are not counted by address. */
struct crowd *crowd_new(bool loopback_exempt) MUSTCHECK;
void crowd_free(struct crowd *c);
/* So many, and so many of one address (of IPv6 its /64) from now on; 0: any number. */
void crowd_set(struct crowd *c, int most, int most_of_address);
/*
 * May one more come in? Then it is counted, and *pass says where. False: *why is set. From any
 * thread; c NULL: there is no limit.
 */
bool crowd_enter(struct crowd *c, const struct addr *peer, struct pass *pass,
		 enum shed *why) MUSTCHECK;
/* It has ended; *pass is used up. Nothing happens if it is counted nowhere. */
void crowd_leave(struct crowd *c, const struct addr *peer, struct pass *pass);
/* Hands it on. */
static inline struct pass pass_take(struct pass *pass)
{
	struct pass taken = *pass;

	*pass = (struct pass){0};
	return taken;
}

#endif
