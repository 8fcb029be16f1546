/* One ReqTunnel: what a client wants, worked off protocol by protocol. */
#include "pgrokd/client/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"
#include "pgrokd/client/takeover.h"
#include "pgrokd/client/tunnel.h"
#include "pgrokd/core/settings.h"

enum bid_rc {
	BID_OK,
	BID_REFUSED, /* the client was told why */
	BID_WAITS    /* for bid_resume(), or its next turn */
};

static bool protocol_open(const struct core *core, enum proto p)
{
	return p == PROTO_TCP || core->on[p == PROTO_HTTP ? PORT_HTTP : PORT_HTTPS];
}

/* ---- answers ---- */

static void announce(struct bid *b, enum proto p, const char *url)
{
	struct msg m = msg_new(MSG_NEW_TUNNEL);

	m.new_tunnel.req_id = b->req_id;
	m.new_tunnel.url = url;
	m.new_tunnel.protocol = proto_name(p);
	m.new_tunnel.error = "";
	control_send(b->control, &m);
}

/* Refusals cost the server more than the client: who only collects them has to go. */
static bool refused_too_often(struct control *c)
{
	uint64_t now = loop_now(c->worker->loop);

	if (now - c->refusals_began >= loop_scaled(LIMIT_REFUSALS_MS)) {
		c->refusals_began = now;
		c->refusals = 0;
	}
	return ++c->refusals >= LIMIT_REFUSALS;
}

/* As the Go server: an error names no request, and ends a control that has no tunnel. */
static enum bid_rc refuse(struct bid *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static enum bid_rc refuse(struct bid *b, const char *fmt, ...)
{
	struct control *c = b->control;
	struct msg m = msg_new(MSG_NEW_TUNNEL);
	char error[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	log_info(c->name, "Refused a tunnel: %s", error);
	m.new_tunnel.error = error;
	control_send(c, &m);
	if (c->n_tunnels == 0)
		control_fail(c, true, "its tunnel was refused");
	else if (refused_too_often(c))
		control_fail(c, true, "too many of its tunnels were refused");
	return BID_REFUSED;
}

static enum bid_rc refuse_taken(struct bid *b, const char *url)
{
	return refuse(b, "The tunnel %s is already registered.", url);
}

/* The name is another's, or was a moment ago. Takes what is in why. */
static enum bid_rc meet_obstacle(struct bid *b, const char *url, struct obstacle *why)
{
	const struct control *c = b->control;
	struct route *taken = why->taken;
	enum bid_rc rc = BID_WAITS;

	if (!taken)
		rc = refuse(b, "The tunnel %s is held for its owner for another %u s.", url,
			    why->held_s);
	else if (!b->challenged && token_same(&taken->owner.token, &c->owner.token) &&
		 taken->control_id != c->id)
		challenge_ask(b, taken);
	else
		rc = refuse_taken(b, url);
	route_unref(taken);
	return rc;
}

/* Takes url. NULL: it has a host that can't be a key. */
static struct route *make_route(const struct bid *b, enum proto p, char *url)
{
	struct route *r = route_new(p, url, b->http_auth);

	if (r)
		r->mux = b->mux && b->control->feature_mux;
	return r;
}

/* ---- http and https: a name that was asked for ---- */

/* The URL that was asked for, owned; NULL: the client was told why not. */
static char *wanted_url(struct bid *b, enum proto p)
{
	const struct name_site *site = &b->control->worker->core->site;
	const char *why;

	if (p == PROTO_TCP)
		return url_of_port(site, b->remote_port);
	if (*b->hostname) {
		if (name_valid(b->hostname, true, &why))
			return url_of_hostname(p, b->hostname);
		(void)refuse(b, "Invalid hostname: %s", why);
		return NULL;
	}
	char *full = xasprintf("%s.%s", b->subdomain, site->domain);
	bool ok = name_valid(b->subdomain, false, &why) && name_valid(full, false, &why);

	free(full);
	if (ok)
		return url_of_subdomain(site, p, b->subdomain);
	(void)refuse(b, "Invalid subdomain: %s", why);
	return NULL;
}

static enum bid_rc open_wanted(struct bid *b, enum proto p)
{
	struct control *c = b->control;
	char *url = wanted_url(b, p);
	enum bid_rc rc = BID_OK;
	struct obstacle why;

	if (!url)
		return BID_REFUSED;
	char *text = xstrdup(url);
	struct route *route = make_route(b, p, url);

	if (!route) {
		rc = refuse(b, "Invalid hostname");
	} else if (reserved_has(c->worker->settings->reserved, url_host(route->key))) {
		rc = refuse(b, "The name %s is reserved.", url_host(route->key));
		route_unref(route);
	} else if (tunnel_open(c, &route, 1, &why)) {
		announce(b, p, text);
	} else {
		rc = meet_obstacle(b, text, &why);
	}
	free(text);
	return rc;
}

/* ---- http and https: a random name, one for both ---- */

/* The protocols from here on that get one name together; where an error will come, it stops. */
static int protocols_together(const struct bid *b, enum proto first, enum proto out[static 2])
{
	const struct core *core = b->control->worker->core;
	const char *p = b->next;
	int n = 0;

	out[n++] = first;
	while (p && n < 2) {
		size_t len = strcspn(p, "+");
		enum proto other;

		if (!proto_parse(p, len, &other) || !protocol_open(core, other) || other == first)
			break;
		if (other != PROTO_TCP)
			out[n++] = other;
		p = p[len] ? p + len + 1 : NULL;
	}
	return n;
}

static bool try_random(struct bid *b, const char *name, const enum proto *protos, int n)
{
	struct control *c = b->control;
	struct route *routes[2];
	struct obstacle why = {0};
	char *urls[2];

	for (int i = 0; i < n; i++) {
		urls[i] = url_of_subdomain(&c->worker->core->site, protos[i], name);
		routes[i] = make_route(b, protos[i], xstrdup(urls[i]));
		if (!routes[i])
			fatal("-domain: no name can be made in it");
	}
	bool ok = tunnel_open(c, routes, n, &why);

	route_unref(why.taken);
	for (int i = 0; i < n; i++) {
		if (ok)
			b->opened[protos[i]] = urls[i];
		else
			free(urls[i]);
	}
	return ok;
}

static enum bid_rc open_random(struct bid *b, enum proto first)
{
	struct control *c = b->control;
	struct registry *reg = c->worker->core->registry;
	enum proto protos[2];
	int n = protocols_together(b, first, protos);
	struct affinity_keys keys;
	char name[AFFINITY_VALUE];
	const char *why;
	bool ok;

	affinity_keys(&keys, AFFINITY_NAME, c->client_id, &c->owner.token, &c->peer, b->category);
	ok = registry_recall(reg, &keys, name) && name_valid(name, false, &why) &&
	     try_random(b, name, protos, n);
	for (int i = 0; !ok && i < LIMIT_RANDOM_TRIES; i++) {
		rand_hex(name, 4);
		ok = try_random(b, name, protos, n);
	}
	if (!ok)
		return refuse(b, "Failed to assign a URL after %d attempts!", LIMIT_RANDOM_TRIES);
	registry_remember(reg, &keys, name);
	return BID_OK;
}

static enum bid_rc open_http(struct bid *b, enum proto p)
{
	if (strlen(b->http_auth) > LIMIT_AUTH)
		return refuse(b, "HttpAuth is longer than %d characters", LIMIT_AUTH);
	if (*b->hostname || *b->subdomain)
		return open_wanted(b, p);
	if (!b->opened[p]) {
		enum bid_rc rc = open_random(b, p);

		if (rc != BID_OK)
			return rc;
	}
	announce(b, p, b->opened[p]);
	free(b->opened[p]);
	b->opened[p] = NULL;
	return BID_OK;
}

/* ---- tcp ---- */

static bool port_allowed(const struct config *c, int port)
{
	return port >= c->tcp_port_min && port <= c->tcp_port_max;
}

static void port_keys(const struct bid *b, struct affinity_keys *keys)
{
	const struct control *c = b->control;

	affinity_keys(keys, AFFINITY_PORT, c->client_id, &c->owner.token, &c->peer, b->category);
}

/* Opens the tunnel there. False: as tunnel_open_tcp(). */
static bool try_port(struct bid *b, uint16_t port, struct obstacle *why, char err[static 256])
{
	struct control *c = b->control;
	const struct core *core = c->worker->core;
	char *url = url_of_port(&core->site, port), value[8];
	struct route *route = route_new_tcp(xstrdup(url), port);
	struct affinity_keys keys;

	route->mux = b->mux && c->feature_mux;
	bool ok = tunnel_open_tcp(c, route, why, err);

	if (ok) {
		port_keys(b, &keys);
		snprintf(value, sizeof(value), "%u", port);
		registry_remember(core->registry, &keys, value);
		announce(b, PROTO_TCP, url);
	}
	free(url);
	return ok;
}

static enum bid_rc refuse_unbound(struct bid *b, const char *err)
{
	const struct control *c = b->control;

	return refuse(b, "[%s] [%s] Error binding TCP listener: %s", c->name, c->short_id, err);
}

static enum bid_rc open_asked_port(struct bid *b)
{
	const struct config *conf = b->control->worker->core->config;
	struct obstacle why;
	char err[256];

	if (!port_allowed(conf, b->remote_port))
		return refuse(b, "Port %u is not allowed here: only %d-%d", b->remote_port,
			      conf->tcp_port_min, conf->tcp_port_max);
	if (try_port(b, b->remote_port, &why, err))
		return BID_OK;
	if (*err)
		return refuse_unbound(b, err);
	char *url = wanted_url(b, PROTO_TCP);
	enum bid_rc rc = meet_obstacle(b, url, &why);

	free(url);
	return rc;
}

/* The one that it had before, by its own word or ours, if that is free. */
static bool open_former_port(struct bid *b)
{
	const struct core *core = b->control->worker->core;
	int former[2] = {b->last_port, 0};
	char value[AFFINITY_VALUE], err[256];
	struct affinity_keys keys;
	struct obstacle why;

	port_keys(b, &keys);
	if (registry_recall(core->registry, &keys, value))
		former[1] = addr_port(value);
	for (int i = 0; i < 2; i++) {
		if (former[i] <= 0 || !port_allowed(core->config, former[i]))
			continue;
		if (try_port(b, (uint16_t)former[i], &why, err))
			return true;
		if (!*err)
			route_unref(why.taken);
	}
	return false;
}

static enum bid_rc open_any_port(struct bid *b)
{
	struct worker *w = b->control->worker;
	struct obstacle why;
	char err[256];

	for (int i = 0; i < LIMIT_PORT_TRIES; i++) {
		uint16_t port = registry_free_port(w->core->registry);

		if (!port)
			return refuse(b, "No port for a TCP tunnel is free");
		if (try_port(b, port, &why, err))
			return BID_OK;
		if (!*err)
			route_unref(why.taken);
		else if (errno != EADDRINUSE && errno != EACCES)
			return refuse_unbound(b, err);
	}
	/* Other programs have many of them: on with it in the next turn. */
	loop_next_tick(w->loop, &b->again);
	return BID_WAITS;
}

static enum bid_rc open_tcp(struct bid *b)
{
	if (b->remote_port)
		return open_asked_port(b);
	return open_former_port(b) ? BID_OK : open_any_port(b);
}

/* ---- life ---- */

/* Takes the next protocol off; NULL: that was all. */
static char *next_protocol(struct bid *b)
{
	char *word = b->next;

	if (!word)
		return NULL;
	char *plus = strchr(word, '+');

	if (plus)
		*plus = '\0';
	b->next = plus ? plus + 1 : NULL;
	return word;
}

static enum bid_rc open_one(struct bid *b, const char *word)
{
	struct control *c = b->control;
	enum proto p;

	if (!proto_parse(word, strlen(word), &p))
		return refuse(b, "Protocol %.100s is not supported", word);
	if (!protocol_open(c->worker->core, p))
		return refuse(b, "Not listening for %s connections", proto_name(p));
	bool is_new = p == PROTO_TCP || !b->opened[p];

	if (is_new && c->n_tunnels >= LIMIT_TUNNELS)
		return refuse(b, "Too many tunnels: a client may have %d", LIMIT_TUNNELS);
	return p == PROTO_TCP ? open_tcp(b) : open_http(b, p);
}

static void bid_run(struct bid *b)
{
	enum bid_rc rc = BID_OK;
	char *word = NULL;

	while (rc == BID_OK && (word = next_protocol(b)))
		rc = open_one(b, word);
	if (rc != BID_WAITS) {
		bid_close(b);
		return;
	}
	/* This protocol is to be done again: put it back. */
	if (b->next)
		b->next[-1] = '+';
	b->next = word;
}

static void bid_again(void *arg)
{
	bid_run(arg);
}

void bid_start(struct control *c, const struct msg_req_tunnel *r)
{
	struct bid *b = xcalloc(1, sizeof(*b));

	b->control = c;
	b->id = id_next();
	b->req_id = xstrdup(r->req_id);
	b->protocols = b->next = xstrdup(r->protocol);
	b->hostname = name_clean(r->hostname);
	b->subdomain = name_clean(r->subdomain);
	b->http_auth = xstrdup(r->http_auth);
	b->category = xstrdup(r->category);
	b->remote_port = r->remote_port;
	b->last_port = r->last_port;
	b->again = (struct loop_tick){.fn = bid_again, .arg = b};
	b->mux = r->mux != 0;
	size_t len = strlen(b->hostname);

	if (len && b->hostname[len - 1] == '.')
		b->hostname[len - 1] = '\0';
	TAILQ_INSERT_TAIL(&c->bids, b, link);
	c->n_bids++;
	idmap_put(c->worker->bids, b->id, b);
	bid_run(b);
}

void bid_resume(struct bid *b, bool is_free)
{
	b->challenged = true;
	b->challenged_control = 0;
	if (is_free) {
		bid_run(b);
		return;
	}
	enum proto p;
	char *word = next_protocol(b);
	char *url = word && proto_parse(word, strlen(word), &p) ? wanted_url(b, p) : NULL;

	if (url)
		(void)refuse_taken(b, url);
	free(url);
	bid_close(b);
}

/* Opened together with another, but an error came before it was its turn: nobody knows of it. */
static void close_unannounced(struct bid *b, const char *url)
{
	struct tunnel *t;

	TAILQ_FOREACH(t, &b->control->tunnels, link)
	if (url && strcmp(t->route->url, url) == 0)
		break;
	if (t)
		tunnel_close(t, false, "an error came before it was announced");
}

void bid_close(struct bid *b)
{
	struct control *c = b->control;

	if (b->challenged_control)
		challenge_cancel(b);
	loop_tick_cancel(c->worker->loop, &b->again);
	idmap_del(c->worker->bids, b->id);
	TAILQ_REMOVE(&c->bids, b, link);
	c->n_bids--;
	free(b->req_id);
	free(b->protocols);
	free(b->hostname);
	free(b->subdomain);
	xfree_secret_str(b->http_auth);
	free(b->category);
	for (int p = PROTO_HTTP; p <= PROTO_HTTPS; p++) {
		close_unannounced(b, b->opened[p]);
		free(b->opened[p]);
	}
	loop_free_later(c->worker->loop, b, NULL);
}
