/* A client at home, from hello to closed. */
#include "pgrokd/client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/randid.h"
#include "msg/pgrok/msg.h"
#include "pgrokd/client/parts.h"
#include "pgrokd/client/request.h"
#include "pgrokd/client/rights.h"
#include "pgrokd/client/takeover.h"
#include "pgrokd/client/tunnel.h"
#include "pgrokd/core/settings.h"

static void client_end(struct client *c, bool replaced, const char *why);
static void client_later(void *arg);

struct client *client_new(struct worker *w, const struct client_conf *conf)
{
	struct client *old = client_find(w, conf->client_id);
	struct client *c = xcalloc(1, sizeof(*c));
	char id[9];

	if (old)
		client_end(old, true, "replaced by a new connection of its client");
	c->worker = w;
	c->proto = conf->proto;
	c->session = conf->session;
	c->id = id_next();
	c->born = loop_now(w->loop);
	rand_hex(id, 4);
	snprintf(c->name, sizeof(c->name), "ctl:%s", id);
	snprintf(c->client_id, sizeof(c->client_id), "%s", conf->client_id);
	msg_short_id(conf->client_id, c->short_id);
	c->owner = owner_of(conf->client_id, &conf->token, &conf->peer);
	c->token = conf->token;
	c->grant = conf->grant;
	owner_name(&c->owner, conf->client_id, grant_owner(c->grant));
	c->peer = conf->peer;
	c->new_id = conf->new_id;
	c->half_close = conf->half_close;
	c->may_share = conf->may_share;
	TAILQ_INIT(&c->tunnels);
	TAILQ_INIT(&c->requests);
	c->later = (struct loop_tick){.fn = client_later, .arg = c};
	c->carrier = carrier_new(w->loop, c->name, conf->proto->carry, conf->session);
	if (w->settings)
		carrier_bound(c->carrier, w->settings->limits.waiting);
	idmap_put(w->clients, c->id, c);
	strmap_put(w->client_ids, c->client_id, c);
	w->count.clients++;
	rights_watch(c);
	return c;
}

/* ---- what its protocol asks of it ---- */

struct client *client_find(const struct worker *w, const char *client_id)
{
	return strmap_get(w->client_ids, client_id);
}

const char *client_name(const struct client *c)
{
	return c->name;
}

const char *client_id(const struct client *c)
{
	return c->client_id;
}

const char *client_owner(const struct client *c)
{
	return grant_owner(c->grant);
}

const char *client_short_id(const struct client *c)
{
	return c->short_id;
}

void *client_session(const struct client *c, const struct proto_ops *proto)
{
	return c->proto == proto ? c->session : NULL;
}

struct carrier *client_carrier(const struct client *c)
{
	return c->carrier;
}

int client_tunnels(const struct client *c)
{
	return c->n_tunnels;
}

bool client_request(struct client *c, const struct wanted *want)
{
	if (c->n_requests >= LIMIT_TUNNELS)
		return false;
	request_start(c, want);
	return true;
}

void client_give_back(struct client *c, const char *url)
{
	struct tunnel *t = tunnel_find(c, url);

	if (t)
		tunnel_close(t, false, "its client closed it");
}

/* Refusals cost the server more than the client. */
bool client_refused(struct client *c)
{
	uint64_t now = loop_now(c->worker->loop);

	if (now - c->refusals_began >= loop_scaled(LIMIT_REFUSALS_MS)) {
		c->refusals_began = now;
		c->refusals = 0;
	}
	return ++c->refusals >= LIMIT_REFUSALS;
}

void client_alive(struct client *c)
{
	takeover_alive(c);
}

/* ---- closed ---- */

static void client_free(void *arg)
{
	struct client *c = arg;

	grant_unref(c->grant);
	xfree_secret(c, sizeof(*c)); /* the id, and the hash of the token */
}

/* Can it, or another of its owner's, ever ask for them again? */
static bool names_are_held(const struct client *c)
{
	return !c->revoked && !(c->new_id && !c->token.given);
}

static void client_end(struct client *c, bool replaced, const char *why)
{
	static struct log_kind
		idle; /* that never had a tunnel: a stranger makes as many as he likes */
	struct worker *w = c->worker;

	if (log_wants(LOG_INFO) && (c->had_tunnel || log_may(&idle, LOG_INFO, c->name)))
		log_closed(LOG_INFO, c->name, why, loop_now(w->loop) - c->born,
			   ", client %s%s%s, %d tunnels, %llu visitors, %llu bytes in, %llu out",
			   c->short_id, *client_owner(c) ? " of " : "", client_owner(c),
			   c->n_tunnels, (unsigned long long)c->count.visitors,
			   (unsigned long long)c->count.bytes[SIDE_VISITOR],
			   (unsigned long long)c->count.bytes[SIDE_SERVICE]);
	worker_closes(w, c->n_tunnels + 1);
	c->proto->quiet(c->session);
	while (!TAILQ_EMPTY(&c->requests))
		request_cancel(TAILQ_FIRST(&c->requests));
	while (!TAILQ_EMPTY(&c->tunnels))
		tunnel_close(TAILQ_FIRST(&c->tunnels), names_are_held(c),
			     "its control connection closed");
	carrier_close(c->carrier, "its control connection closed");
	/* The names are held by now, but not against who has the same token. */
	takeover_over(c, !replaced);
	idmap_del(w->clients, c->id);
	strmap_del(w->client_ids, c->client_id);
	loop_tick_cancel(w->loop, &c->later);
	loop_timer_stop(&c->expiry);
	c->proto->stopped(c->session);
	registry_leave(w->core->registry, c->client_id);
	loop_free_later(w->loop, c, client_free);
}

void client_close(struct client *c, const char *why)
{
	struct worker *w = c->worker;

	if (!w->closes || w->closes + c->n_tunnels <= LIMIT_CLOSES) {
		client_end(c, false, why);
		return;
	}
	c->why = why;
	c->proto->quiet(c->session);
	loop_next_tick(w->loop, &c->later);
}

void client_lost(struct client *c, const char *why)
{
	c->lost = true;
	c->worker->count.lost++;
	client_close(c, why);
}

void client_revoke(struct client *c, const char *why)
{
	c->revoked = true;
	client_lost(c, why);
}

static void client_later(void *arg)
{
	struct client *c = arg;

	client_close(c, c->why);
}

static void close_one(void *value, void *arg)
{
	client_end(value, false, arg);
}

void client_close_all(struct worker *w, const char *why)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", why);
	idmap_each(w->clients, close_one, text);
}
