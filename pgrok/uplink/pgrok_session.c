/*
 * The control connection, from top to bottom: connect -> Auth -> AuthResp -> ReqTunnel for each
 * tunnel -> NewTunnel, ReqProxy, Pong ... -> lost -> wait -> connect.
 */
#include "pgrok/uplink/pgrok_session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/randid.h"
#include "msg/pgrok/chan.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/config/limits.h"

#define FEATURES FEATURE_MUX " " FEATURE_PING " " FEATURE_CLOSE

enum session_state {
	SESSION_CONNECTING, /* waits for the connector, which has a deadline of its own */
	SESSION_AUTH,       /* waits for AuthResp; timer: LIMIT_AUTH_RESP_MS */
	SESSION_UP,         /* waits for whatever the server says; timers: ping, pong */
	SESSION_WAITING,    /* waits to try again; timer: retry */
	SESSION_CLOSED
};

static const char *const state_names[] = {"connecting", "authenticating", "up", "waiting",
					  "closed"};

/* A ReqTunnel and what came of it. */
struct request {
	char id[17]; /* 16 hex digits */
	const struct config_tunnel *tunnel;
	bool answered[PROTOS];
	bool ordered; /* at run time: somebody waits to hear how it ended */
};

struct session {
	struct loop *loop;
	struct connector *connector;
	struct config *conf;
	struct model *model;
	const struct session_hooks *hooks;
	void *arg;

	enum session_state state;
	struct connect *attempt; /* CONNECTING */
	struct stream *stream;   /* AUTH, UP */
	struct chan *chan;
	struct loop_timer timer; /* AUTH: AuthResp; WAITING: next attempt; UP: next Ping */
	struct loop_timer pong;  /* a Ping is unanswered */
	uint64_t asked_us;       /* when Auth or the first unanswered Ping left; 0: none did */
	struct backoff backoff;

	char client_id[LIMIT_CLIENT_ID + 1]; /* of the last AuthResp; a credential */
	char name[16];                       /* prefix of log lines */
	struct request *requests;            /* of this session */
	size_t requests_n;
	unsigned owed;            /* NewTunnels still to come */
	bool got_tunnel, refused; /* in this session */
	bool server_close;        /* it knows how to close a single tunnel */
	bool worked;              /* an earlier session had a tunnel: refusals are not final */
	bool told_trust;
	bool server_mux; /* it speaks yamux */
};

static void start(struct session *s);
static void lose(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void refuse(struct session *s, const char *what, const char *error);

static void set_state(struct session *s, enum session_state state)
{
	if (state != s->state)
		log_debug(s->name, "%s -> %s", state_names[s->state], state_names[state]);
	s->state = state;
}

static void arm(struct session *s, void (*fn)(void *arg), uint64_t ms)
{
	loop_timer_stop(&s->timer);
	loop_timer_init(&s->timer, s->loop, fn, s);
	loop_after(&s->timer, ms);
}

/* ---- who we are ---- */

const char *session_os(void)
{
	static char os[sizeof(((struct utsname *)NULL)->sysname)];
	struct utsname u;

	if (!os[0] && uname(&u) == 0) {
		for (size_t i = 0; i < sizeof os - 1 && u.sysname[i]; i++)
			os[i] = (char)tolower((unsigned char)u.sysname[i]);
	}
	return os;
}

const char *session_arch(void)
{
	static const char *const names[][2] = {{"x86_64", "amd64"},  {"amd64", "amd64"},
					       {"aarch64", "arm64"}, {"arm64", "arm64"},
					       {"i386", "386"},      {"i686", "386"},
					       {"armv6l", "arm"},    {"armv7l", "arm"},
					       {"armv8l", "arm"},    {NULL, NULL}};
	static char arch[sizeof(((struct utsname *)NULL)->machine)];
	struct utsname u;

	if (arch[0] || uname(&u) != 0)
		return arch;
	snprintf(arch, sizeof arch, "%s", u.machine);
	for (size_t i = 0; names[i][0]; i++) {
		if (strcmp(u.machine, names[i][0]) == 0)
			snprintf(arch, sizeof arch, "%s", names[i][1]);
	}
	return arch;
}

/* ---- sending ---- */

/* Of now, not of this turn of the loop: milliseconds are too coarse for a round trip. */
static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void want(struct session *s)
{
	stream_want(s->stream, STREAM_READ | (chan_waiting(s->chan) ? STREAM_WRITE : 0));
}

/* False: the connection was lost over it. */
static bool send_msg(struct session *s, const struct msg *m)
{
	if (chan_send(s->chan, m)) {
		want(s);
		return true;
	}
	lose(s, "sending %s: %s", msg_type_name(m->type), chan_error(s->chan));
	return false;
}

/* A question whose answer comes at once: its time is the round trip. */
static void clock_start(struct session *s)
{
	s->asked_us = clock_us();
}

static void clock_stop(struct session *s)
{
	uint64_t us = s->asked_us ? clock_us() - s->asked_us : 0;

	s->asked_us = 0;
	if (us)
		model_set_latency(s->model, us < UINT32_MAX ? (uint32_t)us : UINT32_MAX);
}

static bool send_auth(struct session *s)
{
	struct msg m = msg_new(MSG_AUTH);

	m.auth.version = MSG_PROTO_VERSION;
	m.auth.mm_version = MSG_SOFTWARE_VERSION;
	m.auth.user = s->conf->auth_token;
	m.auth.os = session_os();
	m.auth.arch = session_arch();
	m.auth.client_id = s->client_id;
	m.auth.features = FEATURES;
	clock_start(s);
	/* What a server without our extensions can't take, no second attempt can bring either. */
	char err[256];
	size_t len;
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, err);

	if (!frame) {
		refuse(s, "Failed to authenticate to server", err);
		return false;
	}
	xfree_secret(frame, len);
	return send_msg(s, &m);
}

static bool send_request(struct session *s, struct request *r)
{
	const struct config_tunnel *t = r->tunnel;
	char protos[PROTOS_TEXT];
	struct msg m = msg_new(MSG_REQ_TUNNEL);

	m.req_tunnel.category = t->name;
	m.req_tunnel.req_id = r->id;
	m.req_tunnel.protocol = config_protos(t, protos);
	m.req_tunnel.hostname = t->hostname;
	m.req_tunnel.subdomain = t->subdomain;
	m.req_tunnel.http_auth = t->auth;
	m.req_tunnel.remote_port = t->remote_port;
	m.req_tunnel.mux = !s->server_mux || (s->conf->mux && t->mux);
	return send_msg(s, &m);
}

/* Asks for t with a new id. False: the connection was lost over it. */
static bool ask(struct session *s, const struct config_tunnel *t, bool ordered)
{
	struct request *r;

	s->requests = xrealloc(s->requests, (s->requests_n + 1) * sizeof *s->requests);
	r = &s->requests[s->requests_n++];
	*r = (struct request){.tunnel = t, .ordered = ordered};
	rand_hex(r->id, 8);
	for (int p = 0; p < PROTOS; p++)
		s->owed += t->local[p].text != NULL;
	return send_request(s, r);
}

/* Every answer has come. */
static void all_up(struct session *s)
{
	model_drop_stale(s->model);
	model_set_state(s->model, MODEL_ONLINE, NULL, 0);
}

/* All tunnels of the command line, and those ordered since, back to back. */
static bool send_requests(struct session *s)
{
	const struct config_tunnel *t;

	for (size_t i = 0; (t = config_tunnel_at(s->conf, i)); i++) {
		if (t->start && !ask(s, t, false))
			return false;
	}
	if (s->owed == 0)
		all_up(s);
	return true;
}

bool session_expects_tunnels(const struct session *s)
{
	return s->state == SESSION_UP && s->owed > 0;
}

bool session_asks_for(const struct session *s, const struct config_tunnel *t)
{
	size_t i = 0;

	while (i < s->requests_n && s->requests[i].tunnel != t)
		i++;
	return i < s->requests_n;
}

/* ---- the end of a connection, and the next attempt ---- */

static void drop_connection(struct session *s, bool abort)
{
	if (s->attempt)
		connect_cancel(s->attempt);
	s->attempt = NULL;
	chan_free(s->chan);
	s->chan = NULL;
	if (s->stream)
		stream_close(s->stream, abort);
	s->stream = NULL;
	loop_timer_stop(&s->timer);
	loop_timer_stop(&s->pong);
	struct request *requests = s->requests;
	size_t n = s->requests_n;

	s->requests = NULL;
	s->requests_n = 0;
	s->owed = 0;
	for (size_t i = 0; i < n; i++) {
		if (requests[i].ordered)
			s->hooks->ordered(s->arg, requests[i].tunnel, "the session was lost");
	}
	free(requests);
}

static void on_retry(void *arg)
{
	start(arg);
}

static void lose(struct session *s, const char *fmt, ...)
{
	bool had_session = s->state == SESSION_UP;
	char why[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	drop_connection(s, false);
	/* Partly refused counts as a failure: a name that stays taken must not make a fast loop. */
	if (s->got_tunnel && !s->refused)
		backoff_reset(&s->backoff);
	s->worked |= s->got_tunnel;
	uint32_t ms = backoff_next(&s->backoff);
	set_state(s, SESSION_WAITING);
	log_warn(s->name, "%s: %s", had_session ? "control connection lost" : "no session", why);
	log_info(s->name, "Waiting %.1f seconds before reconnecting", ms / 1000.0);
	arm(s, on_retry, ms);
	if (had_session)
		s->hooks->lost(s->arg);
	model_set_state(s->model, s->worked ? MODEL_RECONNECTING : MODEL_CONNECTING, why, ms);
}

/* The server said no. Before anything ever worked that is final; later it is tried again. */
static void refuse(struct session *s, const char *what, const char *error)
{
	char *text = xasprintf("%s: %s", what, error);

	s->refused = true;
	if (s->worked) {
		lose(s, "%s", text);
	} else {
		log_error(s->name, "%s", text);
		drop_connection(s, false);
		set_state(s, SESSION_CLOSED);
		s->hooks->refused(s->arg, text);
	}
	free(text);
}

/* ---- heartbeat ---- */

static void on_pong_due(void *arg)
{
	lose(arg, "no Pong within %d s of a Ping", LIMIT_PONG_MS / 1000);
}

static void on_ping_due(void *arg)
{
	struct session *s = arg;
	struct msg m = msg_new(MSG_PING);

	if (!send_msg(s, &m))
		return;
	loop_after(&s->timer, LIMIT_PING_MS);
	if (!loop_timer_pending(&s->pong)) {
		loop_after(&s->pong, LIMIT_PONG_MS);
		clock_start(s);
	}
}

/* ---- what the server says ---- */

static void take_auth_resp(struct session *s, const struct msg *m)
{
	const struct msg_auth_resp *r = &m->auth_resp;

	clock_stop(s);
	if (*r->error) {
		refuse(s, "Failed to authenticate to server", r->error);
		return;
	}
	if (strlen(r->client_id) > LIMIT_CLIENT_ID) {
		lose(s, "the server gave a ClientId of more than %d bytes", LIMIT_CLIENT_ID);
		return;
	}
	snprintf(s->client_id, sizeof s->client_id, "%s", r->client_id);
	log_info(s->name, "Authenticated with server %s, client id: %.8s...", r->mm_version,
		 s->client_id);
	if (*r->features)
		chan_set_max(s->chan, FRAME_HEADER + FRAME_BODY_MAX);
	model_session(s->model, r->mm_version);
	set_state(s, SESSION_UP);
	arm(s, on_ping_due, LIMIT_PING_MS);
	s->server_mux = msg_has_feature(r->features, FEATURE_MUX);
	s->server_close = msg_has_feature(r->features, FEATURE_CLOSE);
	if (send_requests(s) && s->server_mux)
		s->hooks->mux(s->arg, s->client_id);
}

static struct request *find_request(struct session *s, const char *id)
{
	for (size_t i = 0; i < s->requests_n; i++) {
		if (strcmp(s->requests[i].id, id) == 0)
			return &s->requests[i];
	}
	return NULL;
}

/* URLs of it that the server has not opened yet. */
static unsigned unanswered(const struct request *r)
{
	unsigned n = 0;

	for (int p = 0; p < PROTOS; p++)
		n += r->tunnel->local[p].text && !r->answered[p];
	return n;
}

static void forget_request(struct session *s, struct request *r)
{
	s->owed -= unanswered(r);
	*r = s->requests[--s->requests_n];
}

/*
 * What a refusal is about, if it was ordered. A Go server names no id: then it is what was ordered
 * last, as long as nothing else is owed.
 */
static struct request *refused_order(struct session *s, const char *id)
{
	struct request *r = find_request(s, id), *only = NULL;

	if (r)
		return r->ordered ? r : NULL;
	for (size_t i = 0; i < s->requests_n; i++) {
		if (!unanswered(&s->requests[i]))
			continue;
		if (!s->requests[i].ordered)
			return NULL;
		only = &s->requests[i];
	}
	return only;
}

/* Only who ordered it needs to know. */
static void refuse_order(struct session *s, struct request *r, const char *error)
{
	const struct config_tunnel *t = r->tunnel;

	log_warn(s->name, "Server failed to allocate tunnel: %s", error);
	forget_request(s, r);
	if (s->owed == 0)
		all_up(s);
	s->hooks->ordered(s->arg, t, error);
}

static void tunnel_up(struct session *s, struct request *r, enum proto p, const char *url)
{
	log_info(s->name, "Tunnel established at %s", url);
	s->got_tunnel = true;
	if (!r->answered[p])
		s->owed--;
	r->answered[p] = true;
	model_add_tunnel(s->model, r->tunnel, p, r->id, url);
	if (s->owed == 0)
		all_up(s);
	s->hooks->tunnel(s->arg);
	if (r->ordered && !unanswered(r)) {
		r->ordered = false;
		s->hooks->ordered(s->arg, r->tunnel, NULL);
	}
}

static void take_new_tunnel(struct session *s, const struct msg *m)
{
	const struct msg_new_tunnel *n = &m->new_tunnel;
	enum proto p;

	struct request *r = *n->error ? refused_order(s, n->req_id) : NULL;

	if (r) {
		refuse_order(s, r, n->error);
		return;
	}
	if (*n->error) {
		refuse(s, "Server failed to allocate tunnel", n->error);
		return;
	}
	r = find_request(s, n->req_id);
	if (!r || !proto_parse(n->protocol, strlen(n->protocol), &p) || !r->tunnel->local[p].text) {
		log_warn(s->name, "the server opened %s, which nobody asked for (ReqId %s)", n->url,
			 n->req_id);
		return;
	}
	tunnel_up(s, r, p, n->url);
}

static void take_msg(struct session *s, const struct msg *m)
{
	if (s->state == SESSION_AUTH) {
		if (m->type == MSG_AUTH_RESP)
			take_auth_resp(s, m);
		else
			lose(s, "%s where AuthResp was due", msg_type_name(m->type));
		return;
	}
	switch (m->type) {
	case MSG_NEW_TUNNEL:
		take_new_tunnel(s, m);
		break;
	case MSG_REQ_PROXY:
		s->hooks->req_proxy(s->arg, s->client_id);
		break;
	case MSG_PONG:
		loop_timer_stop(&s->pong);
		clock_stop(s);
		break;
	case MSG_PING: {
		struct msg pong = msg_new(MSG_PONG);
		(void)!send_msg(s, &pong);
		break;
	}
	default:
		log_warn(s->name, "ignoring %s on the control connection", msg_type_name(m->type));
	}
}

/* ---- the connection ---- */

static void end_of_input(struct session *s, enum chan_rc rc)
{
	if (rc == CHAN_EOF)
		lose(s, "closed by the server");
	else
		lose(s, "%s%s", chan_error(s->chan),
		     rc == CHAN_BAD && s->state == SESSION_AUTH
			     ? " (is it the server's port for clients?)"
			     : "");
}

static void on_ready(void *arg, int dirs)
{
	struct session *s = arg;
	struct stream *here = s->stream;
	struct msg m;

	if (chan_flush(s->chan) == STREAM_ABORT) {
		lose(s, "%s", chan_error(s->chan));
		return;
	}
	for (int i = 0; i < LIMIT_MESSAGES; i++) {
		enum chan_rc rc = chan_recv(s->chan, &m);
		if (rc == CHAN_NULL)
			continue;
		if (rc == CHAN_AGAIN)
			break;
		if (rc != CHAN_OK) {
			end_of_input(s, rc);
			return;
		}
		log_debug(s->name, "got %s", msg_type_name(m.type));
		take_msg(s, &m);
		msg_free(&m);
		/* The message may have ended this connection. */
		if (s->stream != here)
			return;
	}
	want(s);
}

/* Said once: with no trust option any server is believed, as pgrok always did. */
static void tell_trust(struct session *s)
{
	char text[320];

	if (s->told_trust || s->conf->trust_host_root_certs || s->conf->root_cas ||
	    s->conf->server_pin)
		return;
	s->told_trust = true;
	snprintf(text, sizeof text,
		 "The server's certificate is not checked. To accept only the one that answers "
		 "now, put this into the configuration: server_pin: %s",
		 connector_pin(s->connector));
	log_warn(s->name, "%s", text);
	model_note(s->model, text);
}

static void on_auth_late(void *arg)
{
	lose(arg, "no AuthResp within %d s", LIMIT_AUTH_RESP_MS / 1000);
}

static void on_connected(void *arg, struct stream *stream, const char *error)
{
	struct session *s = arg;

	s->attempt = NULL;
	if (!stream) {
		lose(s, "%s", error);
		return;
	}
	s->stream = stream;
	s->chan = chan_new(stream);
	stream_on_ready(stream, on_ready, s);
	tell_trust(s);
	set_state(s, SESSION_AUTH);
	arm(s, on_auth_late, LIMIT_AUTH_RESP_MS);
	if (send_auth(s))
		on_ready(s, STREAM_READ);
}

static void start(struct session *s)
{
	s->got_tunnel = s->refused = false;
	set_state(s, SESSION_CONNECTING);
	model_set_state(s->model, s->worked ? MODEL_RECONNECTING : MODEL_CONNECTING,
			s->model->last_error, 0);
	s->attempt = connect_start(s->connector, on_connected, s);
}

/* ---- orders at run time ---- */

bool session_open_tunnel(struct session *s, struct config_tunnel *t)
{
	if (s->state != SESSION_UP)
		return false;
	return ask(s, t, true);
}

/* False: the connection was lost over it. */
static bool give_back(struct session *s, const struct config_tunnel *t)
{
	const struct model *m = s->model;

	for (size_t i = 0; i < m->tunnels_n; i++) {
		struct msg gone = msg_new(MSG_NEW_TUNNEL);

		if (m->tunnels[i].conf != t || m->tunnels[i].session != m->session)
			continue;
		gone.new_tunnel.req_id = m->tunnels[i].req_id;
		gone.new_tunnel.url = m->tunnels[i].url;
		gone.new_tunnel.protocol = proto_name(m->tunnels[i].proto);
		gone.new_tunnel.error = "closed";
		if (!send_msg(s, &gone))
			return false;
	}
	return true;
}

enum session_closing session_close_tunnel(struct session *s, struct config_tunnel *t)
{
	bool anew = s->state == SESSION_UP && !s->server_close;

	t->start = false;
	log_info(s->name, "closing tunnel %s%s", t->name, anew ? ", with a new session" : "");
	if (s->state == SESSION_UP && s->server_close && give_back(s, t)) {
		for (size_t i = s->requests_n; i-- > 0;) {
			if (s->requests[i].tunnel == t)
				forget_request(s, &s->requests[i]);
		}
	}
	model_drop_tunnels(s->model, t);
	if (!anew)
		return SESSION_TOLD;
	s->worked |= s->got_tunnel;
	drop_connection(s, false);
	s->hooks->lost(s->arg);
	start(s);
	return SESSION_ANEW;
}

struct session *session_new(struct loop *l, struct connector *connector, struct config *conf,
			    struct model *model, const struct session_hooks *hooks, void *arg)
{
	struct session *s = xcalloc(1, sizeof *s);

	s->loop = l;
	s->connector = connector;
	s->conf = conf;
	s->model = model;
	s->hooks = hooks;
	s->arg = arg;
	snprintf(s->name, sizeof s->name, "session");
	loop_timer_init(&s->timer, l, on_retry, s);
	loop_timer_init(&s->pong, l, on_pong_due, s);
	start(s);
	return s;
}

static void session_free(void *p)
{
	xfree_secret(p, sizeof(struct session));
}

void session_close(struct session *s, const char *reason)
{
	log_info(s->name, "closing: %s", reason);
	drop_connection(s, false);
	set_state(s, SESSION_CLOSED);
	loop_free_later(s->loop, s, session_free);
}
