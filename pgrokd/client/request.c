/* One ReqTunnel: what a client wants, worked off protocol by protocol. */
#include "pgrokd/client/request.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"
#include "pgrokd/client/takeover.h"
#include "pgrokd/client/tunnel.h"

enum bid_rc {
	BID_OK,
	BID_REFUSED, /* the client was told why */
	BID_WAITS    /* for bid_resume() */
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
	return BID_REFUSED;
}

static enum bid_rc refuse_taken(struct bid *b, const char *url)
{
	return refuse(b, "The tunnel %s is already registered.", url);
}

/* Takes url. NULL: it has a host that can't be a key. */
static struct route *make_route(const struct bid *b, enum proto p, char *url)
{
	struct route *r = route_new(p, url, p == PROTO_TCP ? "" : b->http_auth);

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
	struct route *taken;

	if (!url)
		return BID_REFUSED;
	char *text = xstrdup(url);
	struct route *route = make_route(b, p, url);

	if (!route) {
		rc = refuse(b, "Invalid hostname");
	} else if (tunnel_open(c, &route, 1, &taken)) {
		announce(b, p, text);
	} else {
		bool may_ask = !b->challenged && token_same(&taken->token, &c->token) &&
			       taken->control_id != c->id;

		if (may_ask) {
			challenge_ask(b, taken);
			rc = BID_WAITS;
		} else {
			rc = refuse_taken(b, text);
		}
		route_unref(taken);
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
	struct route *routes[2], *taken;
	char *urls[2];

	for (int i = 0; i < n; i++) {
		urls[i] = url_of_subdomain(&c->worker->core->site, protos[i], name);
		routes[i] = make_route(b, protos[i], xstrdup(urls[i]));
		if (!routes[i])
			fatal("-domain: no name can be made in it");
	}
	bool ok = tunnel_open(c, routes, n, &taken);

	route_unref(taken);
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

	affinity_keys(&keys, AFFINITY_NAME, c->client_id, &c->token, &c->peer, b->category);
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
	return !c->tcp_port_max || (port >= c->tcp_port_min && port <= c->tcp_port_max);
}

static bool bind_tcp(const struct config *conf, int port, struct listener_fds *fds,
		     char err[static 256])
{
	char addr[ADDR_TEXT];

	snprintf(addr, sizeof(addr), "%s:%d", conf->tcp_host, port);
	return listener_bind(addr, fds, err);
}

/* Any free port, of the range if there is one. */
static bool bind_any(const struct config *conf, struct listener_fds *fds, char err[static 256])
{
	int range = conf->tcp_port_max - conf->tcp_port_min + 1;

	if (!conf->tcp_port_max)
		return bind_tcp(conf, 0, fds, err);
	int start = (int)rand_below((uint32_t)range);

	for (int i = 0; i < range && i < LIMIT_PORT_TRIES; i++)
		if (bind_tcp(conf, conf->tcp_port_min + (start + i) % range, fds, err))
			return true;
	return false;
}

static bool bind_remembered(struct bid *b, const struct affinity_keys *keys,
			    struct listener_fds *fds)
{
	const struct core *core = b->control->worker->core;
	char value[AFFINITY_VALUE], err[256];

	if (!registry_recall(core->registry, keys, value))
		return false;
	int port = addr_port(value);

	return port > 0 && port_allowed(core->config, port) &&
	       bind_tcp(core->config, port, fds, err);
}

static enum bid_rc open_tcp(struct bid *b)
{
	struct control *c = b->control;
	const struct core *core = c->worker->core;
	const struct config *conf = core->config;
	struct affinity_keys keys;
	struct listener_fds fds;
	char err[256], value[8];
	bool ok;

	affinity_keys(&keys, AFFINITY_PORT, c->client_id, &c->token, &c->peer, b->category);
	if (b->remote_port && !port_allowed(conf, b->remote_port))
		return refuse(b, "Port %u is not allowed here: only %d-%d", b->remote_port,
			      conf->tcp_port_min, conf->tcp_port_max);
	if (b->remote_port)
		ok = bind_tcp(conf, b->remote_port, &fds, err);
	else
		ok = bind_remembered(b, &keys, &fds) || bind_any(conf, &fds, err);
	if (!ok)
		return refuse(b, "[%s] [%s] Error binding TCP listener: %s", c->name, c->short_id,
			      err);
	struct addr bound = listener_addr(&fds);
	uint16_t port = addr_get_port(&bound);
	char *url = url_of_port(&core->site, port);
	struct route *route = make_route(b, PROTO_TCP, xstrdup(url));

	snprintf(value, sizeof(value), "%u", port);
	registry_remember(core->registry, &keys, value);
	if (!route)
		fatal("-domain: no URL can be made of it");
	tunnel_open_tcp(c, route, &fds);
	announce(b, PROTO_TCP, url);
	free(url);
	return BID_OK;
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
		tunnel_close(t, "an error came before it was announced");
}

void bid_close(struct bid *b)
{
	struct control *c = b->control;

	if (b->challenged_control)
		challenge_cancel(b);
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
