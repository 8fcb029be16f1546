/*
 * The first messages of the pgrok protocol: an Auth makes a control connection, a RegProxy a
 * connection for visitors. And the first message the other way on such a connection: StartProxy.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"
#include "msg/pgrok/chan.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/proto/pgrok_in.h"

/* ---- a connection for visitors ---- */

static bool start_proxy(struct stream *s, const char *url, const char *visitor)
{
	struct err err;
	struct msg m = msg_new(MSG_START_PROXY);
	size_t len, n = 0;

	m.start_proxy.url = url;
	m.start_proxy.client_addr = visitor;
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, &err);
	bool ok = frame && stream_write(s, frame, len, &n) == STREAM_OK && n == len;

	free(frame);
	return ok;
}

static bool pgrok_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	char peer[ADDR_TEXT];

	(void)arg;
	return start_proxy(s, v->url, addr_text(v->peer, peer));
}

/* At home. */
static void proxy_adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	struct client *c = client_find(w, p->client_id);
	struct pgrok_control *k = c ? client_session(c, &pgrok_proto) : NULL;
	enum carrier_kind kind = CARRIER_POOLED;

	if (!k || !pgrok_control_up(k)) {
		char id[MSG_SHORT_ID];

		msg_short_id(p->client_id, id);
		w->count.no_client[NO_CLIENT_UNKNOWN]++;
		log_often(LOG_INFO, "lobby", "No client found for identifier: %s", id);
		stream_close(s, false);
		return;
	}
	if (p->first.reg_proxy.mux == MUX_SHARED && pgrok_control_mux(k))
		kind = CARRIER_SHARED;
	else if (p->first.reg_proxy.mux == MUX_REUSED && pgrok_control_mux(k))
		kind = CARRIER_REUSED;
	s = stream_settle(s);
	if (!carrier_wants(client_carrier(c), kind) ||
	    (kind != CARRIER_POOLED && !start_proxy(s, START_PROXY_MUX, ""))) {
		stream_close(s, false);
		return;
	}
	carrier_add(client_carrier(c), kind, s);
}

/* ---- first messages ---- */

/* The length of a message, as far as it has come: the rest of a short one is zeros. */
static enum looks pgrok_looks_like(const char *buf, size_t len)
{
	static const unsigned char nothing[FRAME_HEADER];
	unsigned char head[FRAME_HEADER] = {0};
	bool whole = len >= FRAME_HEADER;
	size_t body;

	memcpy(head, len ? buf : "", whole ? FRAME_HEADER : len);
	if (!whole && memcmp(head, nothing, FRAME_HEADER) == 0)
		return LOOKS_MORE;
	if (frame_parse(head, FRAME_HEADER, &body) == FRAME_BAD)
		return LOOKS_NO;
	return whole ? LOOKS_YES : LOOKS_MORE;
}

static bool client_id_valid(const char *id)
{
	size_t len = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return len > 0 && len <= LIMIT_CLIENT_ID && !id[len];
}

/* Says why in an AuthResp, then closes lingering. */
static void refuse_client(struct guest *g, const char *error)
{
	char peer[ADDR_TEXT];
	struct chan *chan = g->own;
	struct msg m = msg_new(MSG_AUTH_RESP);

	m.auth_resp.version = m.auth_resp.mm_version = "";
	m.auth_resp.error = error;
	log_often(LOG_INFO, "lobby", "Refused %s: %s", addr_text(&g->peer, peer), error);
	if (!chan_send(chan, &m) || chan_waiting(chan)) {
		guest_close(g, LOG_DEBUG, "the refusal could not be sent");
		return;
	}
	stream_linger(guest_leave(g));
}

static void refuse_version(struct guest *g, const struct msg_auth *auth)
{
	char error[256];

	/* The Go server names its software version but the client's protocol version. */
	snprintf(error, sizeof(error),
		 "Incompatible versions. Server %s, client %s. Download a new version at "
		 "https://github.com/jerson/pgrok",
		 MSG_SOFTWARE_VERSION, strlen(auth->version) < 32 ? auth->version : "?");
	g->worker->count.no_client[NO_CLIENT_VERSION]++;
	refuse_client(g, error);
}

/* ---- tokens ---- */

static void refuse_token(struct guest *g)
{
	refuse_client(g, "The token is unknown to this server.");
}

/* May it come with this token? False: it was told why not, or will be. */
static bool token_allowed(struct guest *g, const struct msg_auth *auth)
{
	struct token token = token_of(auth->user);
	uint64_t later;
	const char *why;

	if (!admit_newcomer(g->worker, &token, &g->peer, &why, &later))
		return true;
	if (!later) {
		refuse_client(g, why);
		return false;
	}
	stream_want(g->stream, 0);
	g->alarm = refuse_token;
	loop_after(&g->timer, later);
	return false;
}

static void auth_drop(struct parcel *p)
{
	registry_leave(p->to->core->registry, p->client_id);
}

static void first_auth(struct guest *g, struct msg *m)
{
	struct worker *w = g->worker;

	if (strcmp(m->auth.version, MSG_PROTO_VERSION) != 0) {
		refuse_version(g, &m->auth);
		msg_free(m);
		return;
	}
	if (!token_allowed(g, &m->auth)) {
		msg_free(m);
		return;
	}
	struct parcel *p = parcel_new(pgrok_control_adopt, auth_drop, &g->peer);

	if (client_id_valid(m->auth.client_id))
		snprintf(p->client_id, sizeof(p->client_id), "%s", m->auth.client_id);
	else
		rand_hex(p->client_id, 16);
	p->first = *m;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, registry_enter(w->core->registry, p->client_id), s);
}

static void first_reg_proxy(struct guest *g, struct msg *m)
{
	struct worker *w = g->worker;
	const char *id = m->reg_proxy.client_id;
	int home = client_id_valid(id) ? registry_home(w->core->registry, id) : -1;

	if (home < 0) {
		char why[64], shown[MSG_SHORT_ID];

		msg_short_id(id, shown);
		snprintf(why, sizeof(why), "No client found for identifier: %s", shown);
		w->count.no_client[NO_CLIENT_UNKNOWN]++;
		guest_close(g, LOG_INFO, why);
		msg_free(m);
		return;
	}
	struct parcel *p = parcel_new(proxy_adopt, NULL, &g->peer);

	snprintf(p->client_id, sizeof(p->client_id), "%s", id);
	p->first = *m;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, home, s);
}

static void refuse_message(struct guest *g, const char *why)
{
	g->worker->count.no_client[NO_CLIENT_MESSAGE]++;
	guest_close(g, LOG_INFO, why);
}

static void first_message(struct guest *g, struct msg *m)
{
	switch (m->type) {
	case MSG_AUTH:
		first_auth(g, m);
		break;
	case MSG_REG_PROXY:
		first_reg_proxy(g, m);
		break;
	default:
		refuse_message(g, "first message is neither Auth nor RegProxy");
		msg_free(m);
	}
}

static void own_free(void *own)
{
	chan_free(own);
}

static void pgrok_hello(struct guest *g)
{
	struct msg m;

	if (g->alarm) /* a refusal is on its way */
		return;
	if (!g->own) {
		g->own = chan_new(g->stream);
		g->own_free = own_free;
		chan_feed(g->own, g->buf, g->len);
	}
	switch (chan_recv(g->own, &m)) {
	case CHAN_OK:
		first_message(g, &m);
		break;
	case CHAN_AGAIN:
		stream_want(g->stream, STREAM_READ);
		break;
	case CHAN_EOF:
		guest_close(g, LOG_DEBUG, "left without a message");
		break;
	case CHAN_ABORT:
		guest_close(g, LOG_DEBUG, chan_error(g->own));
		break;
	case CHAN_NULL:
		refuse_message(g, "first message without a payload");
		break;
	case CHAN_BAD:
		refuse_message(g, chan_error(g->own));
		break;
	}
}

/* ---- the protocol ---- */

static const struct carrier_hooks carry = {.ask = pgrok_control_ask, .begin = pgrok_begin};

const struct proto_ops pgrok_proto = {
	.name = "pgrok",
	.late = "no first message in time",
	.looks_like = pgrok_looks_like,
	.hello = pgrok_hello,
	.carry = &carry,
	.answer = pgrok_control_answer,
	.ask_alive = pgrok_control_ask_alive,
	.seems_alive = pgrok_control_seems_alive,
	.withdrawn = pgrok_control_withdrawn,
	.rtt_us = pgrok_control_rtt_us,
	.quiet = pgrok_control_quiet,
	.stopped = pgrok_control_stopped,
};
