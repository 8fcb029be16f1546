/*
 * The control connection of the pgrok protocol, from top to bottom: connect -> Auth -> AuthResp ->
 * ReqTunnel for each tunnel -> NewTunnel, ReqProxy, Pong ... -> lost -> wait -> connect. The
 * connections that bring visitors live as long as it does.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "msg/pgrok/access.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/uplink/control.h"
#include "pgrok/uplink/heartbeat.h"
#include "pgrok/uplink/proxies.h"
#include "pgrok/uplink/requests.h"
#include "pgrok/uplink/say.h"
#include "pgrok/uplink/shared.h"
#include "pgrok/uplink/trust.h"
#include "pgrok/uplink/uplink.h"

#define NAME "session"

enum session_state {
	SESSION_CONNECTING, /* waits for the connector, which has a deadline of its own */
	SESSION_AUTH,       /* waits for AuthResp; timer: LIMIT_AUTH_RESP_MS */
	SESSION_UP,         /* waits for whatever the server says; timers: ping, pong */
	SESSION_WAITING,    /* waits to try again; timer: retry */
	SESSION_CLOSED
};

struct session {
	struct uplink uplink;
	struct uplink_conf conf;
	struct proxies *proxies;
	struct shared *shared;
	struct mux_account *memory; /* of all mux sessions */

	enum session_state state;
	struct control control;     /* CONNECTING, AUTH, UP */
	struct loop_timer timer;    /* AUTH: AuthResp; WAITING: next attempt */
	struct heartbeat heartbeat; /* UP */
	struct backoff backoff;
	uint64_t since; /* loop_now() of its beginning */

	char client_id[LIMIT_CLIENT_ID + 1]; /* of the last AuthResp; a credential */
	struct requests requests;            /* of this session */
	bool got_tunnel, refused;            /* in this session */
	bool server_mux, server_close, server_access,
		server_asks; /* features that both ends named */
	bool worked;         /* an earlier session had a tunnel: refusals are not final */
	bool told_trust;
};

static void begin(void *arg);
static void lose(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void refuse(struct session *s, const char *what, const char *error);
static enum uplink_closing close_tunnel(struct uplink *u, struct config_tunnel *t);

static void set_state(struct session *s, enum session_state state)
{
	static const char *const names[] = {"connecting", "authenticating", "up", "waiting",
					    "closed"};

	if (state != s->state)
		log_debug(NAME, "%s -> %s", names[s->state], names[state]);
	s->state = state;
}

static void arm(struct session *s, void (*fn)(void *arg), uint64_t ms)
{
	loop_timer_stop(&s->timer);
	loop_timer_init(&s->timer, s->conf.loop, fn, s);
	loop_after(&s->timer, ms);
}

/* ---- sending ---- */

static void send_auth(struct session *s)
{
	struct msg m = say_auth(s->conf.config, s->client_id);
	struct err err;

	heartbeat_asked(&s->heartbeat);
	if (say_fits(&m, &err))
		(void)!control_send(&s->control, &m);
	else
		refuse(s, "Failed to authenticate to server", err.text);
}

/* Gives t's URLs back, of all tunnels if it is NULL. False: the connection was lost over it. */
static bool send_closed(struct session *s, const struct config_tunnel *t)
{
	const struct model *model = s->conf.model;

	for (size_t i = 0; i < model->tunnels_n; i++) {
		const struct model_tunnel *open = &model->tunnels[i];
		struct msg m = say_closed(open);

		if ((!t || open->conf == t) && open->session == model->session &&
		    !control_send(&s->control, &m))
			return false;
	}
	return true;
}

/* ---- what is asked for ---- */

/* Visitors may come before the answer that their tunnel is in: the model tells whether. */
static void set_owed(struct session *s)
{
	s->conf.model->tunnels_owed = s->requests.owed;
}

/* Have all answers come? */
static void check_owed(struct session *s)
{
	set_owed(s);
	if (s->requests.owed)
		return;
	model_drop_stale(s->conf.model);
	model_set_state(s->conf.model, MODEL_ONLINE, NULL, 0);
}

/* The first part of a URL's host. Too long: "". */
static void first_label(const char *url, char *name, size_t cap)
{
	const char *host = strstr(url, "://");
	size_t len = host ? strcspn(host + 3, ".:/") : 0;

	snprintf(name, cap, "%.*s", len < cap ? (int)len : 0, len ? host + 3 : "");
}

static bool is_unset(const char *text)
{
	return !text || !*text;
}

/* What t was given unasked when it was last open. */
static struct say_last last_of(const struct model *model, const struct config_tunnel *t)
{
	struct say_last last = {.port = 0};
	bool any_name = is_unset(t->hostname) && is_unset(t->subdomain);

	for (size_t i = 0; i < model->tunnels_n; i++) {
		const struct model_tunnel *had = &model->tunnels[i];
		const char *colon = strrchr(had->url, ':');

		if (had->conf != t)
			continue;
		if (had->proto != PROTO_TCP && any_name)
			first_label(had->url, last.name, sizeof(last.name));
		else if (had->proto == PROTO_TCP && !t->remote_port && colon &&
			 addr_port(colon + 1) > 0)
			last.port = (uint16_t)addr_port(colon + 1);
	}
	return last;
}

/* Asks for t with a new id. False: the connection was lost over it. */
static bool ask(struct session *s, const struct config_tunnel *t, bool ordered)
{
	const struct request *r = requests_add(&s->requests, t, ordered);
	char protos[PROTOS_TEXT];
	bool mux = !s->server_mux || (s->conf.config->mux && t->mux);
	struct say_last last = last_of(s->conf.model, t);
	struct msg m = say_req_tunnel(r, mux, &last, protos);

	set_owed(s);
	return control_send(&s->control, &m);
}

/*
 * Would visitors be let in that t's rules keep out? An older server, or a Go server, does not know
 * them. why says so.
 */
static bool unguarded(const struct session *s, const struct config_tunnel *t, struct err *why)
{
	struct msg_access access = config_access(t);
	const char *key = access_any(&access);

	if (s->server_access)
		key = NULL;
	if (!key && t->forward_auth && !s->server_asks)
		key = "forward_auth";
	if (!key)
		return false;
	err_set(why,
		"Tunnel %.200s stays closed: this server does not enforce %s, so that everyone "
		"could visit it",
		t->name, strcmp(key, "auth") == 0 ? "auth with several users" : key);
	return true;
}

/* All tunnels of the command line, and those ordered since, back to back. */
static bool ask_for_all(struct session *s)
{
	const struct config_tunnel *t;
	struct err why = {""};
	unsigned asked = 0;

	for (size_t i = 0; (t = config_tunnel_at(s->conf.config, i)); i++) {
		if (!t->start)
			continue;
		if (unguarded(s, t, &why)) {
			log_warn(NAME, "%s", why.text);
			model_note(s->conf.model, why.text);
			continue;
		}
		if (!ask(s, t, false))
			return false;
		asked++;
	}
	if (!asked && *why.text) {
		refuse(s, "Failed to open any tunnel", why.text);
		return false;
	}
	check_owed(s);
	return true;
}

/* ---- the end of a connection, and the next attempt ---- */

static void drop_requests(struct session *s)
{
	struct requests dropped = s->requests;

	s->requests = (struct requests){0};
	set_owed(s);
	for (size_t i = 0; i < dropped.n; i++) {
		if (dropped.list[i].ordered)
			s->conf.hooks->on_ordered(s->conf.arg, dropped.list[i].tunnel,
						  "the session was lost");
	}
	requests_free(&dropped);
}

static void drop_connection(struct session *s)
{
	control_close(&s->control);
	loop_timer_stop(&s->timer);
	heartbeat_stop(&s->heartbeat);
	drop_requests(s);
}

/* The session is gone: what waits for a visitor waits in vain. */
static void drop_waiting(struct session *s)
{
	static const char why[] = "the control connection is gone";

	shared_revoke(s->shared);
	proxies_drop_waiting(s->proxies, why);
	visits_drop_parked(s->conf.visits, why);
}

static void lose(struct session *s, const char *fmt, ...)
{
	bool had_session = s->state == SESSION_UP;
	char why[ERR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	drop_connection(s);
	/* Partly refused counts as a failure: a name that stays taken must not make a fast loop. */
	if (s->got_tunnel && !s->refused)
		backoff_reset(&s->backoff);
	s->worked |= s->got_tunnel;
	uint32_t ms = backoff_next(&s->backoff);
	set_state(s, SESSION_WAITING);
	log_warn(NAME, "%s: %s", had_session ? "Control connection lost" : "No session", why);
	log_info(NAME, "Waiting %.1f seconds before reconnecting", ms / 1000.0);
	arm(s, begin, ms);
	if (had_session)
		drop_waiting(s);
	model_set_state(s->conf.model, s->worked ? MODEL_RECONNECTING : MODEL_CONNECTING, why, ms);
}

/* For good. */
static void end(struct session *s, const char *text)
{
	drop_connection(s);
	set_state(s, SESSION_CLOSED);
	s->conf.hooks->on_refused(s->conf.arg, text);
}

/* The server said no. Before anything ever worked that is final; later it is tried again. */
static void refuse(struct session *s, const char *what, const char *error)
{
	char *text = xasprintf("%s: %s", what, error);

	s->refused = true;
	if (s->worked) {
		lose(s, "%s", text);
	} else {
		log_error(NAME, "%s", text);
		end(s, text);
	}
	free(text);
}

/* ---- heartbeat ---- */

static void on_pong_late(void *arg)
{
	lose(arg, "no Pong within %d s of a Ping", LIMIT_PONG_MS / 1000);
}

static void on_ping_due(void *arg)
{
	struct session *s = arg;
	struct msg m = msg_new(MSG_PING);

	if (control_send(&s->control, &m))
		heartbeat_pinged(&s->heartbeat);
}

static const struct heartbeat_hooks heartbeat_hooks = {.on_due = on_ping_due,
						       .on_late = on_pong_late};

static void answered(struct session *s)
{
	uint32_t us = heartbeat_answered(&s->heartbeat);

	if (us)
		model_set_latency(s->conf.model, us);
}

/* ---- what the server says ---- */

static void take_auth_resp(struct session *s, const struct msg_auth_resp *r)
{
	char shown[MSG_SHORT_ID];

	answered(s);
	if (*r->error) {
		refuse(s, "Failed to authenticate to server", r->error);
		return;
	}
	if (strlen(r->client_id) > LIMIT_CLIENT_ID) {
		lose(s, "the server gave a ClientId of more than %d bytes", LIMIT_CLIENT_ID);
		return;
	}
	snprintf(s->client_id, sizeof(s->client_id), "%s", r->client_id);
	msg_short_id(s->client_id, shown);
	log_info(NAME, "Authenticated with server %s, client id: %s...", r->mm_version, shown);
	if (*r->features)
		chan_set_max(s->control.chan, FRAME_HEADER + FRAME_BODY_MAX);
	s->server_mux = msg_has_feature(r->features, FEATURE_MUX);
	s->server_close = msg_has_feature(r->features, FEATURE_CLOSE);
	s->server_access = msg_has_feature(r->features, FEATURE_ACCESS);
	s->server_asks = msg_has_feature(r->features, FEATURE_ASKS);
	model_session(s->conf.model, r->mm_version);
	set_state(s, SESSION_UP);
	loop_timer_stop(&s->timer);
	heartbeat_start(&s->heartbeat);
	if (!ask_for_all(s) || !s->server_mux)
		return;
	proxies_reuse(s->proxies);
	if (config_wants_mux(s->conf.config))
		shared_grant(s->shared, s->client_id);
}

/* Only the one who ordered it needs to know. */
static void refuse_order(struct session *s, struct request *r, const char *error)
{
	const struct config_tunnel *t = r->tunnel;

	log_warn(NAME, "Server failed to allocate tunnel: %s", error);
	requests_forget(&s->requests, r);
	check_owed(s);
	s->conf.hooks->on_ordered(s->conf.arg, t, error);
}

static void tunnel_up(struct session *s, struct request *r, enum proto p, const char *url)
{
	log_info(NAME, "Tunnel established at %s", url);
	s->got_tunnel = true;
	requests_answer(&s->requests, r, p);
	model_add_tunnel(s->conf.model, r->tunnel, p, r->id, url);
	check_owed(s);
	visits_tunnel_up(s->conf.visits);
	if (r->ordered && requests_complete(r)) {
		r->ordered = false;
		s->conf.hooks->on_ordered(s->conf.arg, r->tunnel, NULL);
	}
}

/* A server without https, and https was not asked for by name: http alone will do. */
static bool do_without(struct session *s, const char *error)
{
	static const char no_https[] = "Not listening for https connections";
	struct request *r =
		strcmp(error, no_https) == 0 ? requests_optional(&s->requests, PROTO_HTTPS) : NULL;

	if (!r)
		return false;
	log_warn(NAME, "The server has no https: http only");
	model_note(s->conf.model, "The server has no https: http only");
	requests_answer(&s->requests, r, PROTO_HTTPS);
	check_owed(s);
	return true;
}

/* Is any tunnel asked for, now or in a later session? */
static bool wants_any(const struct session *s)
{
	const struct config_tunnel *t;
	size_t i = 0;

	while ((t = config_tunnel_at(s->conf.config, i)) && !t->start)
		i++;
	return t;
}

/* The server took a URL away: its tunnel is not asked for again, or nothing would be closed. */
static void take_away(struct session *s, const struct msg_new_tunnel *n)
{
	const struct model_tunnel *open = model_find(s->conf.model, n->url);
	const struct config_tunnel *conf = open ? open->conf : NULL;
	struct config_tunnel *t;
	size_t i = 0;

	log_warn(NAME, "%s", n->error);
	if (!conf)
		return; /* it is closed already */
	while ((t = config_tunnel_at(s->conf.config, i)) && t != conf)
		i++;
	if (t)
		close_tunnel(&s->uplink, t);
	if (s->state == SESSION_UP && !wants_any(s))
		end(s, n->error);
	else
		model_note(s->conf.model, n->error);
}

static void take_new_tunnel(struct session *s, const struct msg_new_tunnel *n)
{
	struct request *r = *n->error ? requests_refused(&s->requests, n->req_id)
				      : requests_find(&s->requests, n->req_id);
	enum proto p;

	if (*n->error && *n->url && s->server_close) {
		take_away(s, n);
		return;
	}
	if (*n->error && do_without(s, n->error))
		return;
	if (*n->error && r)
		refuse_order(s, r, n->error);
	else if (*n->error)
		refuse(s, "Server failed to allocate tunnel", n->error);
	else if (r && proto_parse(n->protocol, strlen(n->protocol), &p) && r->tunnel->local[p].text)
		tunnel_up(s, r, p, n->url);
	else
		log_warn(NAME, "The server opened %s without a request (ReqId %s)", n->url,
			 n->req_id);
}

static void on_msg(void *arg, const struct msg *m)
{
	struct session *s = arg;
	struct msg pong = msg_new(MSG_PONG);

	log_debug(NAME, "Got %s", msg_type_name(m->type));
	if (s->state == SESSION_AUTH) {
		if (m->type == MSG_AUTH_RESP)
			take_auth_resp(s, &m->auth_resp);
		else
			lose(s, "%s where AuthResp was due", msg_type_name(m->type));
		return;
	}
	switch (m->type) {
	case MSG_NEW_TUNNEL:
		take_new_tunnel(s, &m->new_tunnel);
		break;
	case MSG_REQ_PROXY:
		proxies_add(s->proxies, s->client_id);
		break;
	case MSG_PONG:
		answered(s);
		break;
	case MSG_PING:
		(void)!control_send(&s->control, &pong);
		break;
	default:
		log_warn(NAME, "Ignoring %s on the control connection", msg_type_name(m->type));
	}
}

/* ---- the connection ---- */

static void on_lost(void *arg, const char *why, bool garbage)
{
	struct session *s = arg;

	lose(s, "%s%s", why,
	     garbage && s->state == SESSION_AUTH ? " (is it the server's port for clients?)" : "");
}

static void on_auth_late(void *arg)
{
	lose(arg, "no AuthResp within %d s", LIMIT_AUTH_RESP_MS / 1000);
}

static void on_connected(void *arg)
{
	struct session *s = arg;

	trust_tell(&s->conf, &s->told_trust);
	set_state(s, SESSION_AUTH);
	arm(s, on_auth_late, LIMIT_AUTH_RESP_MS);
	send_auth(s);
}

static const struct control_hooks control_hooks = {
	.on_connected = on_connected, .on_msg = on_msg, .on_lost = on_lost};

static void begin(void *arg)
{
	struct session *s = arg;
	struct model *model = s->conf.model;

	s->got_tunnel = s->refused = false;
	set_state(s, SESSION_CONNECTING);
	model_set_state(model, s->worked ? MODEL_RECONNECTING : MODEL_CONNECTING, model->last_error,
			0);
	control_open(&s->control, s->conf.connector, &control_hooks, s);
}

/* ---- what the client asks for ---- */

static bool open_tunnel(struct uplink *u, struct config_tunnel *t)
{
	struct session *s = (struct session *)u;

	struct err why;

	return s->state == SESSION_UP && !unguarded(s, t, &why) && ask(s, t, true);
}

static enum uplink_closing close_tunnel(struct uplink *u, struct config_tunnel *t)
{
	struct session *s = (struct session *)u;
	bool restart = s->state == SESSION_UP && !s->server_close;

	t->start = false;
	log_info(NAME, "Closing tunnel %s%s", t->name, restart ? ", with a new session" : "");
	if (s->state == SESSION_UP && s->server_close && send_closed(s, t)) {
		requests_forget_tunnel(&s->requests, t);
		set_owed(s);
	}
	model_drop_tunnels(s->conf.model, t);
	if (!restart)
		return UPLINK_CLOSED;
	s->worked |= s->got_tunnel;
	drop_connection(s);
	drop_waiting(s);
	begin(s);
	return UPLINK_RESTARTED;
}

static bool asks_for(const struct uplink *u, const struct config_tunnel *t)
{
	return requests_ask_for(&((const struct session *)u)->requests, t);
}

static uint32_t rtt_us(const struct uplink *u)
{
	return shared_rtt_us(((const struct session *)u)->shared);
}

static void on_stream(void *arg, struct stream *s)
{
	struct session *session = arg;

	proxies_accept(session->proxies, s);
}

static struct uplink *session_start(const struct uplink_conf *conf)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->uplink.ops = &uplink_pgrok;
	s->conf = *conf;
	s->since = loop_now(conf->loop);
	s->memory = mux_account_new();
	s->proxies = proxies_new(conf->loop, conf->connector, conf->visits, s->memory);
	s->shared = shared_new(conf->loop, conf->connector, conf->visits, s->memory, on_stream, s);
	heartbeat_init(&s->heartbeat, conf->loop, &heartbeat_hooks, s);
	begin(s);
	return &s->uplink;
}

static void session_free(void *p)
{
	xfree_secret(p, sizeof(struct session));
}

static void session_close(struct uplink *u, const char *reason)
{
	struct session *s = (struct session *)u;

	log_info(NAME, "Closed: %s (age %.1f s)", reason,
		 (double)(loop_now(s->conf.loop) - s->since) / 1000);
	/* Without a word the server would hold the names for us. */
	if (s->state == SESSION_UP && s->server_close)
		(void)!send_closed(s, NULL);
	drop_connection(s);
	set_state(s, SESSION_CLOSED);
	shared_close(s->shared, reason);
	proxies_close(s->proxies, reason);
	mux_account_free(s->memory);
	loop_free_later(s->conf.loop, s, session_free);
}

const struct uplink_ops uplink_pgrok = {
	.name = "pgrok",
	.start = session_start,
	.open_tunnel = open_tunnel,
	.close_tunnel = close_tunnel,
	.asks_for = asks_for,
	.rtt_us = rtt_us,
	.close = session_close,
};
