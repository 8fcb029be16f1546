/* One public URL of a control: its route, its listener if it is TCP, its visitors. */
#include "pgrokd/client/tunnel.h"

/* Ids and owner are in the route before anybody else can see it. */
static void tunnel_sign(struct control *c, struct route *route)
{
	route->home = c->worker->index;
	route->tunnel_id = id_next();
	route->control_id = c->id;
	route->token = c->token;
}

static struct tunnel *tunnel_new(struct control *c, struct route *route)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->control = c;
	t->id = route->tunnel_id;
	t->born = loop_now(c->worker->loop);
	t->route = route;
	t->visitors = (struct visitors){
		.worker = c->worker,
		.route = route,
		.carrier = c->carrier,
		.half_close = c->features,
		.sum = &c->count,
	};
	visitors_open(&t->visitors);
	TAILQ_INSERT_TAIL(&c->tunnels, t, link);
	c->n_tunnels++;
	c->worker->count.tunnels++;
	if (!route->mux)
		carrier_warm(c->carrier);
	log_info(route->url, "Registered new tunnel on: %s", c->name);
	log_event("tunnel", "url", route->url, "control", c->name, NULL);
	return t;
}

bool tunnel_open(struct control *c, struct route **routes, int n, struct route **taken)
{
	for (int i = 0; i < n; i++)
		tunnel_sign(c, routes[i]);
	bool ok = registry_claim(c->worker->core->registry, routes, n, taken);

	for (int i = 0; i < n; i++) {
		if (ok)
			tunnel_new(c, routes[i]);
		else
			route_unref(routes[i]);
	}
	return ok;
}

static void tunnel_accept(void *arg, int fd, const struct addr *peer)
{
	struct tunnel *t = arg;

	visitor_accept(&t->visitors, fd, peer);
}

void tunnel_open_tcp(struct control *c, struct route *route, struct listener_fds *fds)
{
	tunnel_sign(c, route);
	struct tunnel *t = tunnel_new(c, route);

	t->listener = listener_start(c->worker->loop, fds, tunnel_accept, t);
}

void tunnel_close(struct tunnel *t, const char *why)
{
	struct control *c = t->control;
	struct worker *w = c->worker;

	/* First of all nobody new: the listener hands over what was queued. */
	if (t->listener)
		listener_close(t->listener);
	else
		registry_unregister(w->core->registry, t->route->key, t->id);
	visitors_close(&t->visitors);
	log_closed(LOG_INFO, t->route->url, why, loop_now(w->loop) - t->born,
		   ", %llu visitors, %llu bytes in, %llu out",
		   (unsigned long long)t->visitors.count.visitors,
		   (unsigned long long)t->visitors.count.bytes[0],
		   (unsigned long long)t->visitors.count.bytes[1]);
	log_event("tunnel_closed", "url", t->route->url, "control", c->name, "why", why, NULL);
	TAILQ_REMOVE(&c->tunnels, t, link);
	c->n_tunnels--;
	route_unref(t->route);
	loop_free_later(w->loop, t, NULL);
}
