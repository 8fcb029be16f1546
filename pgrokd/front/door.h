/* How many connections may be half-open: in all, and by address, counted over all workers. */
#ifndef PGROKD_FRONT_DOOR_H
#define PGROKD_FRONT_DOOR_H

#include "common/net/nets.h"

struct door;

/* loopback_exempt: addresses of this machine are not counted. */
struct door *door_new(int per_ip, bool loopback_exempt) MUSTCHECK;
/* Before others know it: these proxies are not counted either. Borrowed; NULL: none. */
void door_trust(struct door *d, const struct nets *trusted);
void door_free(struct door *d);
/* Other limits from now on, in all and by address; 0: any number. From any thread. */
void door_set(struct door *d, int most, int per_ip);
/* So many may be half-open on one of n workers. */
int door_share(const struct door *d, int n) MUSTCHECK;
/*
 * May one more half-open connection of this address come in? IPv6 counts by /64. From any thread;
 * each true is undone by one door_leave().
 */
bool door_enter(struct door *d, const struct addr *peer) MUSTCHECK;
void door_leave(struct door *d, const struct addr *peer);

#endif
