/* The port of a TCP tunnel: the one that was asked for, had before, or any. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pgrokd/client/request.h"
#include "pgrokd/client/rights.h"
#include "pgrokd/client/tunnel.h"

static bool port_allowed(const struct config *c, int port)
{
	return port >= c->tcp_port_min && port <= c->tcp_port_max;
}

/* One that it did not ask for, or not of late. */
static bool may_have(const struct client *c, int port)
{
	struct wish w = {.proto = PROTO_TCP, .port = (uint16_t)port};
	struct err no;

	return port > 0 && port_allowed(c->worker->core->config, port) &&
	       grant_tunnel(c->grant, &w, &no) == ALLOWED;
}

static void port_keys(const struct request *r, struct affinity_keys *keys)
{
	const struct client *c = r->client;

	affinity_keys(keys, AFFINITY_PORT, c->client_id, &c->owner.token, &c->peer, r->category);
}

/* Opens the tunnel there. False: as tunnel_open_tcp(). */
static bool try_port(struct request *r, uint16_t port, struct obstacle *why, struct err *err)
{
	struct client *c = r->client;
	const struct core *core = c->worker->core;
	char *url = url_of_port(&core->site, port), value[8];
	struct route *route = route_new_tcp(xstrdup(url), port, rules_ref(r->rules));
	struct affinity_keys keys;

	route->mux = r->share && c->may_share;
	bool ok = tunnel_open_tcp(c, route, why, err);

	if (ok) {
		port_keys(r, &keys);
		snprintf(value, sizeof(value), "%u", port);
		registry_remember(core->registry, &keys, value);
		request_announce(r, PROTO_TCP, url);
	}
	free(url);
	return ok;
}

static enum request_rc refuse_unbound(const struct request *r, const char *err)
{
	const struct client *c = r->client;

	return request_refuse(r, NO_TUNNEL_PORT, "[%s] [%s] Error binding TCP listener: %s",
			      c->name, c->short_id, err);
}

static enum request_rc open_asked_port(struct request *r)
{
	const struct core *core = r->client->worker->core;
	const struct config *conf = core->config;
	struct obstacle why;
	struct err err;

	if (!port_allowed(conf, r->remote_port))
		return request_refuse(r, NO_TUNNEL_PORT, "Port %u is not allowed here: only %d-%d",
				      r->remote_port, conf->tcp_port_min, conf->tcp_port_max);
	if (!rights_allow_port(r->client, r->remote_port, &err))
		return request_refuse(r, NO_TUNNEL_RIGHTS, "%s", err.text);
	if (try_port(r, r->remote_port, &why, &err))
		return REQUEST_OK;
	if (*err.text)
		return refuse_unbound(r, err.text);
	char *url = url_of_port(&core->site, r->remote_port);
	enum request_rc rc = request_obstacle(r, url, &why);

	free(url);
	return rc;
}

/* The one that it had before, by its own word or ours, if that is free. */
static bool open_former_port(struct request *r)
{
	const struct core *core = r->client->worker->core;
	int former[2] = {r->last_port, 0};
	char value[AFFINITY_VALUE];
	struct err err;
	struct affinity_keys keys;
	struct obstacle why;

	port_keys(r, &keys);
	if (registry_recall(core->registry, &keys, value))
		former[1] = addr_port(value);
	for (int i = 0; i < 2; i++) {
		if (!may_have(r->client, former[i]))
			continue;
		if (try_port(r, (uint16_t)former[i], &why, &err))
			return true;
		if (!*err.text)
			route_unref(why.taken);
	}
	return false;
}

static enum request_rc open_any_port(struct request *r)
{
	struct worker *w = r->client->worker;
	struct obstacle why;
	struct err err;

	for (int i = 0; i < LIMIT_PORT_TRIES; i++) {
		uint16_t port = rights_free_port(r->client);

		if (!port)
			return request_refuse(r, NO_TUNNEL_PORT,
					      "No port for a TCP tunnel is free");
		if (try_port(r, port, &why, &err))
			return REQUEST_OK;
		if (!*err.text)
			route_unref(why.taken);
		else if (errno != EADDRINUSE && errno != EACCES)
			return refuse_unbound(r, err.text);
	}
	/* Other programs have many of them: on with it in the next turn. */
	loop_next_tick(w->loop, &r->again);
	return REQUEST_WAITS;
}

enum request_rc request_open_tcp(struct request *r)
{
	struct err no;

	if (r->http_rule)
		return request_refuse(r, NO_TUNNEL_RULES,
				      "Invalid rules: %s: a tcp tunnel can't have that",
				      r->http_rule);
	if (r->remote_port)
		return open_asked_port(r);
	if (!rights_allow_any(r->client, PROTO_TCP, &no))
		return request_refuse(r, NO_TUNNEL_RIGHTS, "%s", no.text);
	return open_former_port(r) ? REQUEST_OK : open_any_port(r);
}
