/*
 * So many events a second each address may cause, and RATE_BURST_S times as many at once after a
 * rest: a bucket of tokens for each address of late, in a table of fixed size.
 */
#ifndef PGROKD_ACCESS_RATE_H
#define PGROKD_ACCESS_RATE_H

#include "common/base/addr.h"

#define RATE_BURST_S 5

struct rate;

/* There is no limit yet. loopback_exempt: none ever for addresses of this machine. */
struct rate *rate_new(bool loopback_exempt) MUSTCHECK;
void rate_free(struct rate *r);
/* From any thread. 0: no limit. */
void rate_set(struct rate *r, int per_s);
/*
 * One more of this address (of IPv6 its /64), from any thread, now (milliseconds of a monotonic
 * clock). False: it is too soon, by a second at most, and does not count. r NULL: no limit.
 */
bool rate_take(struct rate *r, const struct addr *peer, uint64_t now) MUSTCHECK;

#endif
