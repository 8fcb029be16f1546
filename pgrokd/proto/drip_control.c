/* A Drip client at home: from its Register to the end of its primary session. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/net/rtt.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/proto/drip_in.h"
#include "pgrokd/proto/drip_name.h"
#include "pgrokd/proto/drip_rules.h"

/* A client that reads the first two words does not try again. */
#define DRIP_BAD_RULES "invalid subdomain or rules: "
#define RECOMMENDED 4 /* connections, as Drip's own server says; no client looks at it */

enum control_state {
	CONTROL_UP,
	CONTROL_FAILED, /* something went wrong deep inside a call; closes on the next tick */
	CONTROL_QUIET   /* its client is closed, now or soon */
};

struct drip_control {
	struct worker *worker;
	struct client *client; /* owns it */
	struct stream *stream; /* until it is answered; then its primary session's, NULL here */
	int fd;                /* of that, to ask how far away it is; -1: it has gone */
	enum control_state state;
	bool joins;           /* other connections may become sessions of its */
	bool refused;         /* it was told why: see that this arrives */
	struct token token;   /* that it came with */
	bool tcp;             /* the kind of its tunnel, */
	uint16_t port;        /* the port that is wanted, 0: any, */
	char *name;           /* ... and the name, "": any */
	int urls;             /* of it that are not answered yet */
	char *url;            /* the last one that is open; NULL: none is */
	char *hello;          /* who has come; NULL: the log has it */
	char why[128];        /* CONTROL_FAILED */
	struct loop_tick end; /* CONTROL_FAILED */
};

/* ---- ends ---- */

static void control_fail(struct drip_control *k, const char *why)
{
	if (k->state != CONTROL_UP)
		return;
	k->state = CONTROL_FAILED;
	snprintf(k->why, sizeof(k->why), "%s", why);
	loop_next_tick(k->worker->loop, &k->end);
}

static void control_end(void *arg)
{
	struct drip_control *k = arg;

	client_close(k->client, k->why);
}

void drip_control_ended(void *arg, const char *why)
{
	struct drip_control *k = arg;

	k->fd = -1;
	control_fail(k, why);
}

/* There is no word for it: it will come again, and be told then what it may not have. */
void drip_control_withdrawn(void *session, const char *url, const char *why)
{
	(void)url;
	control_fail(session, why);
}

/* ---- answers ---- */

static void refuse(struct drip_control *k, const char *code, const char *message)
{
	struct drip_msg m = drip_error_of(code, message);

	k->refused = drip_say(k->stream, &m);
	control_fail(k, "its tunnel was refused");
}

/* Texts that its clients know, and know whether to try again. */
static char *port_refused(const struct drip_control *k, const struct proto_answer *a)
{
	const struct config *c = k->worker->core->config;

	if (!k->port)
		return xasprintf("failed to allocate port: no available port in range %d-%d",
				 c->tcp_port_random, c->tcp_port_max);
	if (a->reason == NO_TUNNEL_PORT)
		return xasprintf("failed to allocate requested port %u: requested port %u "
				 "unavailable: %s",
				 k->port, k->port, a->error);
	return xasprintf("failed to allocate requested port %u: requested port %u already in use",
			 k->port, k->port);
}

static char *why_refused(const struct drip_control *k, const struct proto_answer *a)
{
	static const char *const texts[NO_TUNNELS] = {
		[NO_TUNNEL_TAKEN] = "subdomain is already taken",
		[NO_TUNNEL_HELD] = "subdomain is already taken",
		[NO_TUNNEL_NAME] = "subdomain is reserved",
		[NO_TUNNEL_LIMIT] = "maximum tunnel limit reached",
		[NO_TUNNEL_RATE] = "rate limit exceeded, try again later",
	};
	bool of_port = a->reason == NO_TUNNEL_TAKEN || a->reason == NO_TUNNEL_HELD ||
		       a->reason == NO_TUNNEL_PORT;

	if (k->tcp && of_port)
		return port_refused(k, a);
	if (texts[a->reason])
		return xasprintf("tunnel registration failed: %s", texts[a->reason]);
	return xasprintf("tunnel registration failed: " DRIP_BAD_RULES "%s", a->error);
}

/* What it is to ask for the next time. Owned. */
static char *name_of(const struct drip_control *k)
{
	const char *host = strstr(k->url, "://") + 3;

	if (*k->name)
		return xstrdup(k->name);
	if (k->tcp)
		return xasprintf("tcp-%s", strrchr(host, ':') + 1);
	return xstrndup(host, strcspn(host, ".:"));
}

static bool say_opened(struct drip_control *k)
{
	struct drip_msg m = drip_new(DRIP_REGISTER_ACK);
	char *name = name_of(k);
	/* Its visitors come over TLS, here or at a proxy in front. */
	char *url = k->tcp ? xstrdup(k->url) : xasprintf("https%s", strstr(k->url, "://"));

	m.ack.subdomain = name;
	m.ack.port = k->tcp ? strtol(strrchr(k->url, ':') + 1, NULL, 10) : 0;
	m.ack.url = url;
	m.ack.message = "Tunnel registered successfully";
	m.ack.tunnel_id = k->joins ? client_id(k->client) : "";
	m.ack.supports_data_conn = k->joins;
	m.ack.recommended_conns = k->joins ? RECOMMENDED : 0;
	bool ok = drip_say(k->stream, &m);

	free(name);
	free(url);
	return ok;
}

static void control_opened(struct drip_control *k)
{
	struct stream *s = k->stream;

	log_info(client_name(k->client), "%s", k->hello);
	if (!say_opened(k)) {
		control_fail(k, "its answer could not be sent");
		return;
	}
	k->stream = NULL;
	k->fd = stream_fd(s);
	carrier_add(client_carrier(k->client), CARRIER_PRIMARY, s);
}

/* All URLs of its one tunnel are open, or it is refused. */
void drip_control_answer(void *session, const struct proto_answer *a)
{
	struct drip_control *k = session;

	if (k->state != CONTROL_UP)
		return;
	if (!a->url) {
		char *why = why_refused(k, a);

		refuse(k, a->reason == NO_TUNNEL_PROTOCOL ? DRIP_CODE_TYPE : DRIP_CODE_REGISTRATION,
		       why);
		free(why);
		return;
	}
	free(k->url);
	k->url = xstrdup(a->url);
	if (--k->urls == 0)
		control_opened(k);
}

/* ---- what the rest of the server asks of it ---- */

/* It opens connections when it likes. */
void drip_control_ask(void *arg)
{
	(void)arg;
}

void drip_control_ask_alive(void *session)
{
	struct drip_control *k = session;

	carrier_ask_alive(client_carrier(k->client));
}

void drip_control_alive(void *arg)
{
	struct drip_control *k = arg;

	client_alive(k->client);
}

bool drip_control_seems_alive(void *session)
{
	(void)session;
	return false;
}

uint32_t drip_control_rtt_us(const void *session)
{
	return rtt_least_us(((const struct drip_control *)session)->fd);
}

void drip_control_quiet(void *session)
{
	struct drip_control *k = session;

	k->state = CONTROL_QUIET;
	loop_tick_cancel(k->worker->loop, &k->end);
}

static void control_free(void *arg)
{
	struct drip_control *k = arg;

	free(k->name);
	free(k->url);
	free(k->hello);
	xfree_secret(k, sizeof(*k));
}

void drip_control_stopped(void *session)
{
	struct drip_control *k = session;

	if (k->stream && k->refused)
		stream_linger(k->stream);
	else if (k->stream)
		stream_close(k->stream, false);
	loop_free_later(k->worker->loop, k, control_free);
}

/* ---- a Register ---- */

static struct drip_control *control_new(struct worker *w, struct stream *s,
					const struct drip_register *r)
{
	struct drip_control *k = xcalloc(1, sizeof(*k));

	k->worker = w;
	k->stream = s;
	k->fd = -1;
	k->end = (struct loop_tick){.fn = control_end, .arg = k};
	k->joins = r->pool_capabilities.there && strcmp(r->connection_type, DRIP_PRIMARY) == 0;
	k->token = token_of(r->token);
	k->name = xstrdup(r->custom_subdomain);
	return k;
}

/* As a request for a tunnel has them. "": it may have none. */
static const char *protocols_of(struct drip_control *k, const struct grant *g)
{
	const struct core *core = k->worker->core;
	struct err no;
	bool open[2] = {core->on[PORT_HTTP], core->on[PORT_HTTPS]};

	for (int p = PROTO_HTTP; p <= PROTO_HTTPS; p++)
		open[p] &= grant_tunnel(g, &(struct wish){.proto = (enum proto)p}, &no) !=
			   REFUSED_PROTO; /* which names it may have is asked with the name */
	k->urls = k->tcp ? 1 : open[0] + open[1];
	if (k->tcp)
		return "tcp";
	if (open[0] && open[1])
		return "http+https";
	return open[1] ? "https" : open[0] ? "http" : "";
}

static bool is_taken(const struct drip_control *k, enum proto p, const char *name)
{
	const struct core *core = k->worker->core;
	char *host = xasprintf("%s.%s", name, core->site.domain), key[ROUTE_KEY_MAX];
	struct route *route =
		route_key(p, host, strlen(host), key) ? registry_find(core->registry, key) : NULL;

	free(host);
	route_unref(route);
	return route;
}

/* No visitor comes by the name of a tcp tunnel; but Drip's server keeps all names apart. */
static bool name_is_taken(const struct drip_control *k)
{
	return k->tcp && !k->port && *k->name &&
	       (is_taken(k, PROTO_HTTP, k->name) || is_taken(k, PROTO_HTTPS, k->name));
}

static void refuse_rules(struct drip_control *k, const char *why)
{
	char *text = xasprintf("tunnel registration failed: " DRIP_BAD_RULES "%s", why);

	refuse(k, DRIP_CODE_REGISTRATION, text);
	free(text);
}

static void control_request(struct drip_control *k, const struct drip_register *r,
			    const struct grant *g)
{
	struct drip_rules rules;
	struct err err;

	k->tcp = drip_kind_of(k->worker->core, r->tunnel_type) == KIND_TCP;
	k->port = k->tcp ? drip_name_port(k->name) : 0;
	const struct wanted want = {
		.req_id = "",
		.protocols = protocols_of(k, g),
		.hostname = "",
		.subdomain = k->tcp ? "" : k->name,
		.http_auth = "",
		.category = "",
		.access = &rules.access,
		.last_name = "",
		.remote_port = k->port,
		.share = true,
	};

	if (!drip_rules_of(r, &rules, &err))
		refuse_rules(k, err.text);
	else if (!*want.protocols)
		refuse_rules(k, "the token allows no tunnel for HTTP");
	else if (name_is_taken(k))
		refuse(k, DRIP_CODE_REGISTRATION,
		       "tunnel registration failed: subdomain is already taken");
	else if (!client_request(k->client, &want))
		control_fail(k, "too many tunnels asked for at once");
	drip_rules_free(&rules);
}

/* What was allowed a moment ago, on another worker. */
static void refuse_at_home(struct worker *w, struct stream *s, struct parcel *p, enum refusal r)
{
	struct drip_msg m = drip_error_of(DRIP_CODE_TOKEN, DRIP_BAD_TOKEN);

	admit_refused(w, r);
	registry_leave(w->core->registry, p->client_id);
	drip_refuse(s, &m);
}

void drip_control_adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	const struct drip_register *r = &((struct drip_msg *)p->own)->reg;
	struct token token = token_of(r->token);
	struct grant *grant;
	const char *why;
	enum refusal refusal = admit_client(w, &token, &grant, &why);

	s = stream_settle(s);
	if (refusal) {
		refuse_at_home(w, s, p, refusal);
		return;
	}
	struct drip_control *k = control_new(w, s, r);
	struct client_conf conf = {
		.proto = &drip_proto,
		.session = k,
		.client_id = p->client_id,
		.token = token,
		.grant = grant,
		.peer = p->peer,
		.new_id = true,
		.may_share = true,
	};
	char text[ADDR_TEXT];

	k->client = client_new(w, &conf);
	k->hello = xasprintf("Client %s%s%s connected from %s (Drip, local port %lld)",
			     client_short_id(k->client), *client_owner(k->client) ? " of " : "",
			     client_owner(k->client), addr_text(&p->peer, text),
			     (long long)r->local_port);
	control_request(k, r, grant);
}

/* ---- a DataConnect ---- */

/* The words for which it can't join; NULL: it can. */
static const char *cannot_join(const struct drip_control *k, const struct drip_data_connect *d)
{
	struct token token = token_of(d->token);

	if (!k || k->state != CONTROL_UP || k->stream || !k->joins)
		return DRIP_NO_TUNNEL;
	if (k->token.given && !token_same(&k->token, &token))
		return DRIP_NO_TOKEN;
	return carrier_wants(client_carrier(k->client), CARRIER_DATA) ? NULL : DRIP_NO_ROOM;
}

void drip_control_join(struct worker *w, struct stream *s, struct parcel *p)
{
	const struct drip_data_connect *d = &((struct drip_msg *)p->own)->data;
	struct client *c = client_find(w, p->client_id);
	struct drip_control *k = c ? client_session(c, &drip_proto) : NULL;
	const char *why = cannot_join(k, d);
	struct drip_msg m = drip_no_data(why);

	s = stream_settle(s);
	if (why) {
		w->count.no_client[NO_CLIENT_UNKNOWN]++;
		drip_refuse(s, &m);
		return;
	}
	m.data_ack = (struct drip_data_connect_ack){
		.accepted = true,
		.connection_id = d->connection_id,
		.message = "Data connection accepted",
	};
	if (drip_say(s, &m))
		carrier_add(client_carrier(c), CARRIER_DATA, s);
	else
		stream_close(s, false);
}
