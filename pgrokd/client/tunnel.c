/* One public URL of a control: its route, its listener if it is TCP, its visitors. */
#include "pgrokd/client/tunnel.h"

#include "pgrokd/visitor/visitor.h"

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
	TAILQ_INIT(&t->publics);
	TAILQ_INSERT_TAIL(&c->tunnels, t, link);
	c->n_tunnels++;
	idmap_put(c->worker->tunnels, t->id, t);
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
	public_accept_tcp(arg, fd, peer);
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
	while (!TAILQ_EMPTY(&t->publics))
		public_tunnel_gone(TAILQ_FIRST(&t->publics));
	log_info(t->route->url, "Closed: %s (age %llu s, %llu visitors, %llu bytes in, %llu out)",
		 why, (unsigned long long)((loop_now(w->loop) - t->born) / 1000),
		 (unsigned long long)t->visitors, (unsigned long long)t->bytes[0],
		 (unsigned long long)t->bytes[1]);
	log_event("tunnel_closed", "url", t->route->url, "control", c->name, "why", why, NULL);
	idmap_del(w->tunnels, t->id);
	TAILQ_REMOVE(&c->tunnels, t, link);
	c->n_tunnels--;
	route_unref(t->route);
	loop_free_later(w->loop, t, NULL);
}
