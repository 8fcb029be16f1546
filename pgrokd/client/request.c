/* A request for a tunnel, processed one protocol at a time. */
#include "pgrokd/client/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/randid.h"
#include "msg/pgrok/access.h"
#include "pgrokd/access/rate.h"
#include "pgrokd/client/rights.h"
#include "pgrokd/client/tunnel.h"
#include "pgrokd/core/settings.h"

/* ---- the words of protocols: "http+https" ---- */

static size_t word_len(const char *word)
{
	return strcspn(word, "+");
}

/* NULL: it was the last one. */
static const char *word_after(const char *word)
{
	size_t len = word_len(word);

	return word[len] ? word + len + 1 : NULL;
}

static bool protocol_open(const struct core *core, enum proto p)
{
	return p == PROTO_TCP || core->on[p == PROTO_HTTP ? PORT_HTTP : PORT_HTTPS];
}

/* ---- answers ---- */

void request_announce(const struct request *r, enum proto p, const char *url)
{
	const struct client *c = r->client;
	struct proto_answer a = {.request = r->req_id, .proto = p, .url = url};

	c->proto->answer(c->session, &a);
}

enum request_rc request_refuse(const struct request *r, enum no_tunnel reason, const char *fmt, ...)
{
	const struct client *c = r->client;
	char error[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	c->worker->count.no_tunnel[reason]++;
	log_often(LOG_INFO, c->name, "Refused a tunnel: %s", error);
	struct proto_answer a = {.request = r->req_id, .error = error, .reason = reason};

	c->proto->answer(c->session, &a);
	return REQUEST_REFUSED;
}

static enum request_rc refuse_taken(const struct request *r, const char *url)
{
	return request_refuse(r, NO_TUNNEL_TAKEN, "The tunnel %s is already registered.", url);
}

enum request_rc request_obstacle(struct request *r, const char *url, struct obstacle *why)
{
	const struct client *c = r->client;
	struct route *taken = why->taken;
	enum request_rc rc = REQUEST_WAITS;

	if (why->full) {
		rc = request_refuse(r, NO_TUNNEL_LIMIT, "Too many tunnels for your token");
	} else if (!taken) {
		rc = request_refuse(r, NO_TUNNEL_HELD,
				    "The tunnel %s is held for its owner for another %u s.", url,
				    why->held_s);
	} else if (!r->asked && token_same(&taken->owner.token, &c->owner.token) &&
		   taken->client != c->id) {
		log_often(LOG_INFO, c->name, "Wants %s: asking whether its owner still lives",
			  taken->url);
		takeover_ask(c->worker, taken, &r->ticket);
	} else {
		rc = refuse_taken(r, url);
	}
	route_unref(taken);
	return rc;
}

/* Takes url. NULL: it has a host that can't be a key. */
static struct route *make_route(const struct request *r, enum proto p, char *url)
{
	struct route *route = route_new(p, url, rules_ref(r->rules));

	if (!route)
		return NULL;
	route->mux = r->share && r->client->may_share;
	route->asks = r->asks;
	return route;
}

/* ---- http and https: a name that was asked for ---- */

/* The URL that was asked for, owned; NULL: the client was told why not. */
static char *wanted_url(struct request *r, enum proto p)
{
	const struct name_site *site = &r->client->worker->core->site;
	const char *why;

	if (p == PROTO_TCP)
		return url_of_port(site, r->remote_port);
	if (*r->hostname) {
		if (name_valid(r->hostname, true, &why))
			return url_of_hostname(p, r->hostname);
		(void)request_refuse(r, NO_TUNNEL_NAME, "Invalid hostname: %s", why);
		return NULL;
	}
	char *full = xasprintf("%s.%s", r->subdomain, site->domain);
	bool ok = name_valid(r->subdomain, false, &why) && name_valid(full, false, &why);

	free(full);
	if (ok)
		return url_of_subdomain(site, p, r->subdomain);
	(void)request_refuse(r, NO_TUNNEL_NAME, "Invalid subdomain: %s", why);
	return NULL;
}

static enum request_rc open_wanted(struct request *r, enum proto p)
{
	struct client *c = r->client;
	char *url = wanted_url(r, p);
	enum request_rc rc = REQUEST_OK;
	struct obstacle why;

	if (!url)
		return REQUEST_REFUSED;
	char *text = xstrdup(url);
	struct route *route = make_route(r, p, url);
	struct err no;

	if (!route) {
		rc = request_refuse(r, NO_TUNNEL_NAME, "Invalid hostname");
	} else if (!rights_allow(c, route, &no)) {
		rc = request_refuse(r, NO_TUNNEL_RIGHTS, "%s", no.text);
		route_unref(route);
	} else if (reserved_has(c->worker->settings->reserved, url_host(route->key))) {
		rc = request_refuse(r, NO_TUNNEL_NAME, "The name %s is reserved.",
				    url_host(route->key));
		route_unref(route);
	} else if (tunnel_open(c, &route, 1, &why)) {
		request_announce(r, p, text);
	} else {
		rc = request_obstacle(r, text, &why);
	}
	free(text);
	return rc;
}

/* ---- http and https: a random name, one for both ---- */

/*
 * The word at hand and those behind it that get one name together; it stops where an error will
 * come.
 */
static int protocols_together(const struct request *r, enum proto first, enum proto out[static 2])
{
	const struct client *c = r->client;
	const struct core *core = c->worker->core;
	const char *p = word_after(r->at);
	struct err no;
	int n = 0;

	out[n++] = first;
	while (p && n < 2 && rights_room(c) > n) {
		enum proto other;

		if (!proto_parse(p, word_len(p), &other) || !protocol_open(core, other) ||
		    other == first)
			break;
		if (other != PROTO_TCP &&
		    grant_tunnel(c->grant, &(struct wish){.proto = other}, &no) == ALLOWED)
			out[n++] = other;
		p = word_after(p);
	}
	return n;
}

#define RANDOM_NAME 8 /* hex digits */

static bool try_random(struct request *r, const char *name, const enum proto *protos, int n)
{
	struct client *c = r->client;
	struct route *routes[2];
	struct obstacle why = {0};
	char *urls[2];

	for (int i = 0; i < n; i++) {
		urls[i] = url_of_subdomain(&c->worker->core->site, protos[i], name);
		routes[i] = make_route(r, protos[i], xstrdup(urls[i]));
		if (!routes[i])
			fatal("-domain: no name can be made in it");
	}
	bool ok = tunnel_open(c, routes, n, &why);

	route_unref(why.taken);
	for (int i = 0; i < n; i++) {
		if (ok)
			r->opened[protos[i]] = urls[i];
		else
			free(urls[i]);
	}
	return ok;
}

/* The name that it had before, by its own word or ours, if that is free. */
static bool open_former(struct request *r, const struct affinity_keys *keys,
			char name[static AFFINITY_VALUE], const enum proto *protos, int n)
{
	const char *why;

	/* Nothing but what was given by chance: other names are asked for. */
	if (strlen(r->last_name) == RANDOM_NAME &&
	    strspn(r->last_name, "0123456789abcdef") == RANDOM_NAME) {
		snprintf(name, AFFINITY_VALUE, "%s", r->last_name);
		if (try_random(r, name, protos, n))
			return true;
	}
	return registry_recall(r->client->worker->core->registry, keys, name) &&
	       name_valid(name, false, &why) && try_random(r, name, protos, n);
}

static enum request_rc open_random(struct request *r, enum proto first)
{
	struct client *c = r->client;
	struct registry *reg = c->worker->core->registry;
	enum proto protos[2];
	int n = protocols_together(r, first, protos);
	struct affinity_keys keys;
	char name[AFFINITY_VALUE];
	struct err no;
	bool ok;

	if (!rights_allow_any(c, first, &no))
		return request_refuse(r, NO_TUNNEL_RIGHTS, "%s", no.text);
	affinity_keys(&keys, AFFINITY_NAME, c->client_id, &c->owner.token, &c->peer, r->category);
	ok = open_former(r, &keys, name, protos, n);
	for (int i = 0; !ok && i < LIMIT_RANDOM_TRIES; i++) {
		if (c->proto->random_name)
			c->proto->random_name(i, name);
		else
			rand_hex(name, RANDOM_NAME / 2);
		ok = try_random(r, name, protos, n);
	}
	if (!ok)
		return request_refuse(r, NO_TUNNEL_TAKEN,
				      "Failed to assign a URL after %d attempts!",
				      LIMIT_RANDOM_TRIES);
	registry_remember(reg, &keys, name);
	return REQUEST_OK;
}

static enum request_rc open_http(struct request *r, enum proto p)
{
	if (rules_ca(r->rules) && p == PROTO_HTTP)
		return request_refuse(r, NO_TUNNEL_RULES,
				      "Invalid rules: mtls_ca: an http tunnel can't have that");
	if (rules_ca(r->rules) && r->client->worker->core->config->client_ca)
		return request_refuse(r, NO_TUNNEL_RULES,
				      "Invalid rules: mtls_ca: this server asks all visitors for "
				      "certificates of its own CA");
	if (*r->hostname || *r->subdomain)
		return open_wanted(r, p);
	if (!r->opened[p]) {
		enum request_rc rc = open_random(r, p);

		if (rc != REQUEST_OK)
			return rc;
	}
	request_announce(r, p, r->opened[p]);
	free(r->opened[p]);
	r->opened[p] = NULL;
	return REQUEST_OK;
}

/* ---- life ---- */

/* The word at hand. */
static enum request_rc open_one(struct request *r)
{
	struct client *c = r->client;
	size_t len = word_len(r->at);
	struct err no;
	enum proto p;

	if (!proto_parse(r->at, len, &p))
		return request_refuse(r, NO_TUNNEL_PROTOCOL, "Protocol %.*s is not supported",
				      (int)(len < 100 ? len : 100), r->at);
	if (!protocol_open(c->worker->core, p))
		return request_refuse(r, NO_TUNNEL_PROTOCOL, "Not listening for %s connections",
				      proto_name(p));
	bool is_new = p == PROTO_TCP || !r->opened[p];

	if (is_new && c->n_tunnels >= LIMIT_TUNNELS)
		return request_refuse(r, NO_TUNNEL_LIMIT, "Too many tunnels: a client may have %d",
				      LIMIT_TUNNELS);
	if (is_new && !rights_allow_more(c, &no))
		return request_refuse(r, NO_TUNNEL_LIMIT, "%s", no.text);
	return p == PROTO_TCP ? request_open_tcp(r) : open_http(r, p);
}

static void request_run(void *arg)
{
	struct request *r = arg;
	enum request_rc rc = REQUEST_OK;

	while (r->at && rc == REQUEST_OK) {
		rc = open_one(r);
		if (rc == REQUEST_OK)
			r->at = word_after(r->at);
	}
	if (rc != REQUEST_WAITS)
		request_cancel(r);
}

/* A takeover is decided. */
static void request_resume(void *arg, bool is_free)
{
	struct request *r = arg;
	enum proto p;

	r->asked = true;
	if (is_free) {
		request_run(r);
		return;
	}
	char *url = proto_parse(r->at, word_len(r->at), &p) ? wanted_url(r, p) : NULL;

	if (url)
		(void)refuse_taken(r, url);
	free(url);
	request_cancel(r);
}

/* Whose its visitors' cookies are: one that comes back with its token is the same. */
static const unsigned char *rules_owner(const struct client *c, unsigned char buf[static PASS_HASH])
{
	if (c->owner.token.given)
		return c->owner.token.hash;
	pass_hash(c->owner.client, sizeof(c->owner.client), buf);
	return buf;
}

/* False: it was refused. */
static bool take_rules(struct request *r, const struct wanted *want)
{
	unsigned char hash[PASS_HASH];
	struct rules_conf conf = {.auth = want->http_auth,
				  .access = want->access,
				  .owner = rules_owner(r->client, hash)};
	struct err err;

	const struct config *c = r->client->worker->core->config;
	const char *url = want->forward_auth && *want->forward_auth ? want->forward_auth : NULL;

	if (want->access)
		r->http_rule = access_any_http(want->access);
	if (url && !r->http_rule)
		r->http_rule = "forward_auth";
	r->asks = config_forward(c, url);
	if (url && !r->asks) {
		(void)request_refuse(r, NO_TUNNEL_RULES,
				     "This server does not ask %.200s (-forwardAuthTunnels).", url);
		return false;
	}
	if (rules_make(&conf, &r->rules, &err))
		return true;
	(void)request_refuse(r, NO_TUNNEL_RULES, "%s", err.text);
	return false;
}

void request_start(struct client *c, const struct wanted *want)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->client = c;
	r->req_id = xstrdup(want->req_id);
	r->at = r->protocols = xstrdup(want->protocols);
	r->hostname = name_clean(want->hostname);
	r->subdomain = name_clean(want->subdomain);
	r->category = xstrdup(want->category);
	r->last_name = xstrdup(want->last_name);
	r->remote_port = want->remote_port;
	r->last_port = want->last_port;
	r->ticket = (struct takeover_ticket){.done = request_resume, .arg = r};
	r->again = (struct loop_tick){.fn = request_run, .arg = r};
	r->share = want->share;
	size_t len = strlen(r->hostname);

	if (len && r->hostname[len - 1] == '.')
		r->hostname[len - 1] = '\0';
	TAILQ_INSERT_TAIL(&c->requests, r, link);
	c->n_requests++;
	if (!rate_take(c->worker->core->tunnel_rate, &c->peer, loop_now(c->worker->loop)))
		(void)request_refuse(r, NO_TUNNEL_RATE,
				     "Too many tunnels were asked for from your address just now. "
				     "Try again in a second.");
	else if (take_rules(r, want)) {
		request_run(r);
		return;
	}
	request_cancel(r);
}

/* It was opened together with another, but an error came before the client heard of it. */
static void close_unannounced(struct request *r, const char *url)
{
	struct tunnel *t = url ? tunnel_find(r->client, url) : NULL;

	if (t)
		tunnel_close(t, false, "an error came before it was announced");
}

void request_cancel(struct request *r)
{
	struct client *c = r->client;

	takeover_cancel(c->worker, &r->ticket);
	loop_tick_cancel(c->worker->loop, &r->again);
	TAILQ_REMOVE(&c->requests, r, link);
	c->n_requests--;
	free(r->req_id);
	free(r->protocols);
	free(r->hostname);
	free(r->subdomain);
	rules_unref(r->rules);
	free(r->category);
	free(r->last_name);
	for (int p = PROTO_HTTP; p <= PROTO_HTTPS; p++) {
		close_unannounced(r, r->opened[p]);
		free(r->opened[p]);
	}
	loop_free_later(c->worker->loop, r, NULL);
}
