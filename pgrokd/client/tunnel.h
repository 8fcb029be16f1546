/* One public URL of a client: its route, its listener if it is TCP, its visitors. */
#ifndef PGROKD_CLIENT_TUNNEL_H
#define PGROKD_CLIENT_TUNNEL_H

#include "common/base/err.h"
#include "pgrokd/client/parts.h"

struct tunnel;

/* Opens n tunnels, all or none; takes the routes. False: *why says why. */
bool tunnel_open(struct client *c, struct route **routes, int n, struct obstacle *why) MUSTCHECK;
/*
 * The same for one tcp tunnel. If not the name is in the way but the port can't be bound, err says
 * so and errno is set; else err is "".
 */
bool tunnel_open_tcp(struct client *c, struct route *route, struct obstacle *why,
		     struct err *err) MUSTCHECK;
/* The client's tunnel with this URL; NULL: it has none. */
struct tunnel *tunnel_find(struct client *c, const char *url);
/* The next one of its client; NULL: it is the last. */
struct tunnel *tunnel_next(struct tunnel *t);
const struct route *tunnel_route(const struct tunnel *t);
/*
 * Closes it at once, visitors included, and tells its client: it may not have it. Nothing is held.
 */
void tunnel_revoke(struct tunnel *t, const char *why);
/* The same if its owner has more than `most`; false: t stays. */
bool tunnel_revoke_over(struct tunnel *t, int most, const char *why) MUSTCHECK;
/* Its client has another grant: how many visitors it may have. */
void tunnel_regrant(struct tunnel *t);
/* hold: its name is held for its owner. */
void tunnel_close(struct tunnel *t, bool hold, const char *why);

#endif
