/* One public URL of a client: its route, its listener if it is TCP, its visitors. */
#include "pgrokd/client/tunnel.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/net/listener.h"
#include "pgrokd/access/rate.h"
#include "pgrokd/core/settings.h"

struct tunnel {
	TAILQ_ENTRY(tunnel) link;
	struct client *client;
	uint64_t born;
	struct route *route;
	struct listener *listener; /* TCP only */
	struct tally *tally;       /* a reference: it is counted there; NULL: nowhere */
	bool surplus;              /* it is counted no more, and about to close */
	struct visitors visitors;
};

/* Ids and owner are in the route before another thread can see it. */
static void tunnel_sign(const struct client *c, struct route *route)
{
	route->home = c->worker->index;
	route->tunnel_id = id_next();
	route->client = c->id;
	route->owner = c->owner;
}

static struct tally *tally_of(const struct client *c)
{
	return c->grant ? c->grant->tally : NULL;
}

/* How many its tunnels may have; nobody asks where there is no tally. */
static int visitors_of(const struct client *c)
{
	return c->grant ? c->grant->visitors : 0;
}

static void limit(struct tunnel *t)
{
	const struct client *c = t->client;
	const struct settings *s = c->worker->settings;

	visitors_limit(&t->visitors, s ? s->limits.tunnel_bandwidth : 0,
		       c->grant ? c->grant->bandwidth : 0);
}

static struct tunnel *tunnel_new(struct client *c, struct route *route)
{
	struct tunnel *t = xcalloc(1, sizeof(*t));

	t->client = c;
	t->born = loop_now(c->worker->loop);
	t->route = route;
	t->visitors = (struct visitors){
		.worker = c->worker,
		.route = route,
		.carrier = c->carrier,
		.half_close = c->half_close,
		.one_request = c->proto->one_request,
		.owner = client_owner(c),
		.sum = &c->count,
		.tally = tally_of(c),
		.most = visitors_of(c),
	};
	t->tally = tally_ref(t->visitors.tally);
	visitors_open(&t->visitors);
	limit(t);
	TAILQ_INSERT_TAIL(&c->tunnels, t, link);
	c->n_tunnels++;
	c->had_tunnel = true;
	c->worker->count.tunnels++;
	if (!route->mux)
		carrier_warm(c->carrier);
	log_info(route->url, "Registered new tunnel on: %s%s%s", c->name,
		 *client_owner(c) ? " of " : "", client_owner(c));
	log_event("tunnel", "url", route->url, "control", c->name, "owner", client_owner(c), NULL);
	return t;
}

/* n more of its owner's tunnels. */
static bool enter(const struct client *c, int n, struct obstacle *why)
{
	const struct grant *g = c->grant;

	*why = (struct obstacle){.full = g &&
					 !tally_enter(g->tally, &g->tally->tunnels, n, g->tunnels)};
	return !why->full;
}

static void leave(struct tally *t, int n)
{
	if (t)
		atomic_fetch_sub(&t->tunnels, n);
}

bool tunnel_open(struct client *c, struct route **routes, int n, struct obstacle *why)
{
	for (int i = 0; i < n; i++)
		tunnel_sign(c, routes[i]);
	bool room = enter(c, n, why);
	bool ok = room && registry_claim(c->worker->core->registry, routes, n, why);

	if (room && !ok)
		leave(tally_of(c), n);
	for (int i = 0; i < n; i++) {
		if (ok)
			tunnel_new(c, routes[i]);
		else
			route_unref(routes[i]);
	}
	return ok;
}

/* Counts it in; false: why is set. */
static bool let_in(const struct worker *w, const struct addr *peer, struct seat *seat,
		   enum shed *why)
{
	*why = SHED_MEMORY;
	if (memory_short())
		return false;
	*why = SHED_RATE;
	return rate_take(w->core->visitor_rate, peer, loop_now(w->loop)) &&
	       crowd_enter(w->core->crowd, peer, seat, why);
}

static void tunnel_accept(void *arg, int fd, const struct addr *peer)
{
	struct tunnel *t = arg;
	struct worker *w = t->client->worker;
	struct seat seat;
	enum shed why;

	if (!let_in(w, peer, &seat, &why)) {
		w->count.shed[why]++;
		close(fd);
		return;
	}
	visitor_accept(&t->visitors, fd, peer, seat);
}

static bool bind_port(const struct core *core, uint16_t port, struct listener_fds *fds,
		      struct err *err)
{
	char addr[ADDR_TEXT];

	snprintf(addr, sizeof(addr), "%s:%u", core->config->tcp_host, port);
	if (listener_bind(addr, fds, err))
		return true;
	if (errno == EADDRINUSE || errno == EACCES)
		registry_port_failed(core->registry, port);
	return false;
}

bool tunnel_open_tcp(struct client *c, struct route *route, struct obstacle *why, struct err *err)
{
	const struct core *core = c->worker->core;
	struct listener_fds fds;

	err->text[0] = '\0';
	tunnel_sign(c, route);
	/* First the name, then the port: two workers never try for the same one. */
	bool room = enter(c, 1, why);

	if (!room || !registry_claim(core->registry, &route, 1, why)) {
		if (room)
			leave(tally_of(c), 1);
		route_unref(route);
		return false;
	}
	if (!bind_port(core, route->port, &fds, err)) {
		int error = errno;

		registry_unregister(core->registry, route, false);
		leave(tally_of(c), 1);
		route_unref(route);
		errno = error;
		return false;
	}
	struct tunnel *t = tunnel_new(c, route);

	t->listener = listener_start(c->worker->loop, &fds, tunnel_accept, t);
	worker_listens(c->worker, t->listener, true);
	return true;
}

struct tunnel *tunnel_find(struct client *c, const char *url)
{
	struct tunnel *t = TAILQ_FIRST(&c->tunnels);

	while (t && strcmp(t->route->url, url) != 0)
		t = TAILQ_NEXT(t, link);
	return t;
}

struct tunnel *tunnel_next(struct tunnel *t)
{
	return TAILQ_NEXT(t, link);
}

const struct route *tunnel_route(const struct tunnel *t)
{
	return t->route;
}

void tunnel_regrant(struct tunnel *t)
{
	t->visitors.most = visitors_of(t->client);
	t->visitors.owner = client_owner(t->client);
	limit(t);
}

/* lost: its joined visitors go, too. */
static void tunnel_end(struct tunnel *t, bool hold, bool lost, const char *why)
{
	struct client *c = t->client;
	struct worker *w = c->worker;
	const struct visitor_count *count = &t->visitors.count;

	/* First of all no new visitors: the listener hands over what was queued. */
	if (t->listener)
		listener_close(t->listener);
	registry_unregister(w->core->registry, t->route, hold);
	visitors_close(&t->visitors, lost);
	log_closed(LOG_INFO, t->route->url, why, loop_now(w->loop) - t->born,
		   ", %llu visitors, %llu bytes in, %llu out", (unsigned long long)count->visitors,
		   (unsigned long long)count->bytes[SIDE_VISITOR],
		   (unsigned long long)count->bytes[SIDE_SERVICE]);
	log_event("tunnel_closed", "url", t->route->url, "control", c->name, "why", why, NULL);
	TAILQ_REMOVE(&c->tunnels, t, link);
	c->n_tunnels--;
	if (!t->surplus)
		leave(t->tally, 1);
	tally_unref(t->tally);
	route_unref(t->route);
	loop_free_later(w->loop, t, NULL);
}

void tunnel_close(struct tunnel *t, bool hold, const char *why)
{
	tunnel_end(t, hold, t->client->lost, why);
}

/* Its client is told. */
static void tunnel_withdraw(struct tunnel *t, bool lost, const char *why)
{
	struct client *c = t->client;
	char *url = xstrdup(t->route->url);

	tunnel_end(t, false, lost, why);
	c->proto->withdrawn(c->session, url, why);
	free(url);
}

void tunnel_revoke(struct tunnel *t, const char *why)
{
	tunnel_withdraw(t, true, why);
}

bool tunnel_revoke_over(struct tunnel *t, int most, const char *why)
{
	/* Other workers count down at the same time, and each closes only what it has counted. */
	if (!t->tally || !tally_leave_over(t->tally, &t->tally->tunnels, most))
		return false;
	t->surplus = true;
	tunnel_revoke(t, why);
	return true;
}

/* ---- for an operator ---- */

static struct tunnel *tunnel_of(const struct worker *w, uint64_t id)
{
	char *visitors = idmap_get(w->tunnels, id);

	return visitors ? (struct tunnel *)(visitors - offsetof(struct tunnel, visitors)) : NULL;
}

bool client_tunnel_view(const struct worker *w, uint64_t id, struct tunnel_view *v)
{
	const struct tunnel *t = tunnel_of(w, id);

	if (!t)
		return false;
	*v = (struct tunnel_view){
		.owner = client_owner(t->client),
		.url = t->route->url,
		.name = url_host(t->route->key),
		.peer = t->client->peer,
		.born = t->born,
		.last = t->visitors.last,
		.visitors_now = t->visitors.now,
		.count = t->visitors.count,
		.rtt_us = t->client->proto->rtt_us(t->client->session),
	};
	return true;
}

bool client_withdraw(const struct worker *w, uint64_t id, const char *why)
{
	struct tunnel *t = tunnel_of(w, id);

	if (t)
		tunnel_withdraw(t, false, why);
	return t != NULL;
}
