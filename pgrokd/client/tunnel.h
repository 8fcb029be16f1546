/* One public URL of a control: its route, its listener if it is TCP, its visitors. */
#ifndef PGROKD_CLIENT_TUNNEL_H
#define PGROKD_CLIENT_TUNNEL_H

#include "common/net/listener.h"
#include "pgrokd/client/client.h"
#include "pgrokd/visitor/visitor.h"

struct tunnel {
	TAILQ_ENTRY(tunnel) link;
	struct control *control;
	uint64_t id, born;
	struct route *route;
	struct listener *listener; /* TCP only */
	struct visitors visitors;
};

/* Opens n tunnels, all or none; takes the routes. False: *why says why. */
bool tunnel_open(struct control *c, struct route **routes, int n, struct obstacle *why) MUSTCHECK;
/*
 * The same for one tcp tunnel. Is it not the name that is in the way, but that the port can't be
 * bound, then err says so and errno is set; else err is "".
 */
bool tunnel_open_tcp(struct control *c, struct route *route, struct obstacle *why,
		     char err[static 256]) MUSTCHECK;
/* hold: its name is held for its owner. */
void tunnel_close(struct tunnel *t, bool hold, const char *why);

#endif
