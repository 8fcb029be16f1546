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

/*
 * Opens n tunnels, all or none; takes the routes. False: *taken is a reference (the caller's) to
 * the route that is in the way.
 */
bool tunnel_open(struct control *c, struct route **routes, int n, struct route **taken) MUSTCHECK;
/* The same for one TCP tunnel; takes route and fds. */
void tunnel_open_tcp(struct control *c, struct route *route, struct listener_fds *fds);
void tunnel_close(struct tunnel *t, const char *why);

#endif
