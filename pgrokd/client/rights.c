/* What its token's grant means for a client. */
#include "pgrokd/client/rights.h"

#include <limits.h>
#include <string.h>

#include "common/base/clock.h"
#include "pgrokd/client/tunnel.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/core/settings.h"

bool rights_allow(const struct client *c, const struct route *route, struct err *why)
{
	char below[ROUTE_KEY_MAX];
	struct wish w = {.proto = route->proto, .port = route->port};

	if (route->proto != PROTO_TCP) {
		w.host = url_host(route->key);
		w.below = name_below(&c->worker->core->site, w.host, below);
		if (w.below)
			w.host = below;
	}
	return grant_tunnel(c->grant, &w, why) == ALLOWED;
}

bool rights_allow_any(const struct client *c, enum proto p, struct err *why)
{
	return grant_tunnel(c->grant, &(struct wish){.proto = p}, why) == ALLOWED;
}

bool rights_allow_port(const struct client *c, uint16_t port, struct err *why)
{
	struct wish w = {.proto = PROTO_TCP, .port = port};

	return grant_tunnel(c->grant, &w, why) == ALLOWED;
}

int rights_room(const struct client *c)
{
	return c->grant ? c->grant->tunnels - atomic_load(&c->grant->tally->tunnels) : INT_MAX;
}

bool rights_allow_more(const struct client *c, struct err *why)
{
	if (rights_room(c) > 0)
		return true;
	return err_set(why, "Too many tunnels: your token allows %d at once", c->grant->tunnels);
}

uint16_t rights_free_port(const struct client *c)
{
	const struct config *conf = c->worker->core->config;
	struct registry *r = c->worker->core->registry;
	const struct grant *g = c->grant;
	uint16_t port = 0;

	if (!g || !g->ports_bound)
		return registry_free_port(r);
	for (size_t i = 0; !port && i < g->n_ports; i++) {
		int min = g->ports[i].min, max = g->ports[i].max;

		min = min < conf->tcp_port_min ? conf->tcp_port_min : min;
		max = max > conf->tcp_port_max ? conf->tcp_port_max : max;
		if (min <= max)
			port = registry_free_port_of(r, (uint16_t)min, (uint16_t)max);
	}
	return port;
}

/* ---- another grant, or none ---- */

static void expired(void *arg)
{
	client_settle(arg);
}

#define WATCH_MS 3600000 /* the clock may be set meanwhile */

void rights_watch(struct client *c)
{
	int64_t left;

	loop_timer_stop(&c->expiry);
	if (!c->grant || c->grant->expires == INT64_MAX)
		return;
	left = c->grant->expires * 1000 - clock_wall_us() / 1000;
	left = left < 1 ? 1 : left > WATCH_MS ? WATCH_MS : left;
	loop_timer_init(&c->expiry, c->worker->loop, expired, c);
	loop_after(&c->expiry, (uint64_t)left);
}

/* Those that it may not have any more close, the youngest of too many among them. */
static void settle_tunnels(struct client *c)
{
	struct tunnel *t, *next;
	struct err why;

	for (t = TAILQ_FIRST(&c->tunnels); t; t = next) {
		next = tunnel_next(t);
		if (rights_allow(c, tunnel_route(t), &why))
			tunnel_regrant(t);
		else
			tunnel_revoke(t, why.text);
	}
	while (c->n_tunnels && c->grant &&
	       tunnel_revoke_over(TAILQ_LAST(&c->tunnels, tunnel_list), c->grant->tunnels,
				  "its token allows fewer tunnels now"))
		;
}

void client_settle(struct client *c)
{
	struct grant *grant;
	const char *why;
	enum refusal r = admit_client(c->worker, &c->token, &grant, &why);

	if (r) {
		client_revoke(c, r == REFUSED_EXPIRED ? "its token has expired"
						      : "its token is not known any more");
	} else if (strcmp(grant_owner(grant), client_owner(c)) != 0) {
		client_revoke(c, "its token is another owner's now");
	} else {
		grant_unref(c->grant);
		c->grant = grant_ref(grant);
		if (c->worker->settings)
			carrier_bound(c->carrier, c->worker->settings->limits.waiting);
		settle_tunnels(c);
		rights_watch(c);
	}
	grant_unref(grant);
}

static void settle_one(void *value, void *arg)
{
	client_settle(value);
}

void client_settle_all(struct worker *w)
{
	idmap_each(w->clients, settle_one, NULL);
	visitor_settle_all(w);
}
