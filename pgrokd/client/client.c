/* A client's session, on its home worker. From Auth to closed. */
#include "pgrokd/client/client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"
#include "pgrokd/client/request.h"
#include "pgrokd/client/takeover.h"
#include "pgrokd/client/tunnel.h"

/* The words of Features that this server knows. */
#define FEATURE_PING "ping"
#define FEATURE_MUX "mux"
#define FEATURE_CLOSE "close"

static void control_ready(void *arg, int dirs);
static void control_tick(void *arg);
static void control_reap(void *arg);
static void control_end(struct control *c, bool replaced, const char *why);
static void control_leave(struct control *c, const char *why);

/* ---- sending ---- */

static void control_want(struct control *c)
{
	int dirs = c->state == CONTROL_UP ? STREAM_READ : 0;

	stream_want(c->stream, dirs | (chan_waiting(c->chan) ? STREAM_WRITE : 0));
}

void control_fail(struct control *c, bool linger, const char *why)
{
	if (c->state == CONTROL_FAILED)
		return;
	c->state = CONTROL_FAILED;
	c->linger = linger;
	c->why = why;
	control_want(c);
	loop_next_tick(c->worker->loop, &c->more);
}

void control_send(struct control *c, const struct msg *m)
{
	if (c->state == CONTROL_FAILED)
		return;
	if (chan_send(c->chan, m)) {
		control_want(c);
		return;
	}
	log_info(c->name, "%s could not be sent: %s", msg_type_name(m->type), chan_error(c->chan));
	control_fail(c, false, "a message could not be sent");
}

/* ---- what the carrier asks for ---- */

static void client_ask(void *arg)
{
	struct msg m = msg_new(MSG_REQ_PROXY);

	control_send(arg, &m);
}

/* In one piece or not at all: a connection with half a message on it is useless. */
static bool say_start_proxy(struct stream *s, const char *url, const char *peer)
{
	char err[256];
	struct msg m = msg_new(MSG_START_PROXY);
	size_t len, n = 0;

	m.start_proxy.url = url;
	m.start_proxy.client_addr = peer;
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, err);
	bool ok = frame && stream_write(s, frame, len, &n) == STREAM_OK && n == len;

	free(frame);
	return ok;
}

static bool client_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	char peer[ADDR_TEXT];

	(void)arg;
	return say_start_proxy(s, v->url, addr_text(v->peer, peer));
}

static const struct carrier_hooks carrier_hooks = {.ask = client_ask, .begin = client_begin};

/* ---- step 1: authenticated ---- */

static struct control *control_new(struct worker *w, struct stream *s, const struct parcel *p)
{
	struct control *c = xcalloc(1, sizeof(*c));
	char id[9];

	c->worker = w;
	c->id = id_next();
	rand_hex(id, 4);
	snprintf(c->name, sizeof(c->name), "ctl:%s", id);
	snprintf(c->client_id, sizeof(c->client_id), "%s", p->client_id);
	snprintf(c->short_id, sizeof(c->short_id), "%.8s", p->client_id);
	c->stream = stream_settle(s);
	c->chan = chan_new(c->stream);
	c->peer = p->peer;
	c->born = c->last_ping = loop_now(w->loop);
	TAILQ_INIT(&c->tunnels);
	TAILQ_INIT(&c->bids);
	c->carrier = carrier_new(w->loop, c->name, &carrier_hooks, c);
	c->more = (struct loop_tick){.fn = control_tick, .arg = c};
	loop_timer_init(&c->reap, w->loop, control_reap, c);
	loop_after(&c->reap, LIMIT_REAP_MS);
	idmap_put(w->controls, c->id, c);
	strmap_put(w->clients, c->client_id, c);
	w->count.controls++;
	return c;
}

static void send_auth_resp(struct control *c)
{
	struct msg m = msg_new(MSG_AUTH_RESP);

	m.auth_resp.version = MSG_PROTO_VERSION;
	m.auth_resp.mm_version = MSG_SOFTWARE_VERSION;
	m.auth_resp.client_id = c->client_id;
	char features[32];

	snprintf(features, sizeof(features), "%s%s%s", c->feature_mux ? " " FEATURE_MUX : "",
		 c->feature_ping ? " " FEATURE_PING : "",
		 c->feature_close ? " " FEATURE_CLOSE : "");
	m.auth_resp.features = features + (*features == ' ');
	control_send(c, &m);
}

void control_adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	const struct msg_auth *auth = &p->first.auth;
	struct control *old = strmap_get(w->clients, p->client_id);
	char text[ADDR_TEXT];

	if (old)
		control_end(old, true, "replaced by a new connection of its client");
	struct control *c = control_new(w, s, p);

	struct token token = token_of(auth->user);

	c->owner = owner_of(c->client_id, &token, &c->peer);
	c->features = *auth->features;
	c->feature_ping = msg_has_feature(auth->features, FEATURE_PING);
	c->feature_close = msg_has_feature(auth->features, FEATURE_CLOSE);
	c->feature_mux = w->core->config->mux && msg_has_feature(auth->features, FEATURE_MUX);
	if (c->features)
		chan_set_max(c->chan, FRAME_HEADER + FRAME_BODY_MAX);
	log_info(c->name, "Client %s connected from %s (%.32s/%.32s, version %.32s)", c->short_id,
		 addr_text(&c->peer, text), auth->os, auth->arch, auth->mm_version);
	send_auth_resp(c);
	/*
	 * With mux the client comes by itself; who needs a connection of its own will ask for it.
	 */
	if (!c->feature_mux)
		carrier_warm(c->carrier);
	stream_on_ready(c->stream, control_ready, c);
	/* What came with the Auth may lie in the TLS layer, where no event tells of it. */
	control_ready(c, STREAM_READ);
}

void control_adopt_proxy(struct worker *w, struct stream *s, struct parcel *p)
{
	struct control *c = strmap_get(w->clients, p->client_id);

	if (!c || c->state != CONTROL_UP) {
		log_info("lobby", "No client found for identifier: %.8s", p->client_id);
		stream_close(s, false);
		return;
	}
	int64_t mux = c->feature_mux ? p->first.reg_proxy.mux : 0;

	s = stream_settle(s);
	enum carrier_kind kind = mux == MUX_SHARED   ? CARRIER_SHARED
				 : mux == MUX_REUSED ? CARRIER_REUSED
						     : CARRIER_POOLED;

	if (!carrier_wants(c->carrier, kind) ||
	    (kind != CARRIER_POOLED && !say_start_proxy(s, "mux:", ""))) {
		stream_close(s, false);
		return;
	}
	carrier_add(c->carrier, kind, s);
}

/* ---- step 2: messages ---- */

/* The client wants one of its URLs closed. */
static void give_back(struct control *c, const char *url)
{
	struct tunnel *t = TAILQ_FIRST(&c->tunnels);

	while (t && strcmp(t->route->url, url) != 0)
		t = TAILQ_NEXT(t, link);
	if (t)
		tunnel_close(t, false, "its client closed it");
}

static void control_message(struct control *c, const struct msg *m)
{
	struct msg pong = msg_new(MSG_PONG);

	challenge_alive(c);
	switch (m->type) {
	case MSG_REQ_TUNNEL:
		if (c->n_bids >= LIMIT_TUNNELS)
			control_fail(c, false, "too many tunnels asked for at once");
		else
			bid_start(c, &m->req_tunnel);
		break;
	case MSG_NEW_TUNNEL:
		if (c->feature_close)
			give_back(c, m->new_tunnel.url);
		break;
	case MSG_PING:
		c->last_ping = loop_now(c->worker->loop);
		control_send(c, &pong);
		break;
	default: /* the Go server ignores these, too */
		log_debug(c->name, "Ignored a %s", msg_type_name(m->type));
	}
}

/* False: c is closed, or soon. */
static bool control_read(struct control *c)
{
	struct msg m;

	for (int i = 0; i < LIMIT_MESSAGES && c->state == CONTROL_UP; i++) {
		switch (chan_recv(c->chan, &m)) {
		case CHAN_OK:
			control_message(c, &m);
			msg_free(&m);
			break;
		case CHAN_NULL:
			break;
		case CHAN_AGAIN:
			return true;
		case CHAN_EOF:
			control_leave(c, "its client closed the connection");
			return false;
		case CHAN_ABORT:
		case CHAN_BAD:
			control_leave(c, chan_error(c->chan));
			return false;
		}
	}
	loop_next_tick(c->worker->loop, &c->more);
	return true;
}

static void control_ready(void *arg, int dirs)
{
	struct control *c = arg;

	if (dirs & STREAM_WRITE && chan_flush(c->chan) == STREAM_ABORT) {
		control_leave(c, chan_error(c->chan));
		return;
	}
	if (c->state == CONTROL_FAILED) {
		loop_next_tick(c->worker->loop, &c->more);
		control_want(c);
		return;
	}
	if (dirs & STREAM_READ && !control_read(c))
		return;
	control_want(c);
}

/* Messages left over, or the end of a failed control: after its last words are out. */
static void control_tick(void *arg)
{
	struct control *c = arg;

	if (c->state == CONTROL_UP)
		control_ready(c, STREAM_READ);
	else if (!c->linger || !chan_waiting(c->chan))
		control_leave(c, c->why);
}

static void control_reap(void *arg)
{
	struct control *c = arg;
	uint64_t silent = loop_now(c->worker->loop) - c->last_ping;

	if (c->state == CONTROL_FAILED) {
		control_leave(c, c->why);
	} else if (silent >= loop_scaled(LIMIT_PING_MS)) {
		control_leave(c, "Lost heartbeat");
	} else {
		carrier_rest(c->carrier);
		loop_after(&c->reap, LIMIT_REAP_MS);
	}
}

/* ---- step 3: closed ---- */

/*
 * Takes c: now, or, where so many leave at once that the others would have to wait for it, in one
 * of the next turns.
 */
static void control_leave(struct control *c, const char *why)
{
	struct worker *w = c->worker;

	if (!w->closes || w->closes + c->n_tunnels <= LIMIT_CLOSES) {
		control_end(c, false, why);
		return;
	}
	c->state = CONTROL_FAILED;
	c->linger = false;
	c->why = why;
	stream_want(c->stream, 0);
	loop_next_tick(w->loop, &c->more);
}

static void control_end(struct control *c, bool replaced, const char *why)
{
	struct worker *w = c->worker;

	log_closed(LOG_INFO, c->name, why, loop_now(w->loop) - c->born,
		   ", client %s, %d tunnels, %llu visitors, %llu bytes in, %llu out", c->short_id,
		   c->n_tunnels, (unsigned long long)c->count.visitors,
		   (unsigned long long)c->count.bytes[0], (unsigned long long)c->count.bytes[1]);
	worker_closes(w, c->n_tunnels + 1);
	c->state = CONTROL_FAILED; /* nothing is sent any more */
	while (!TAILQ_EMPTY(&c->bids))
		bid_close(TAILQ_FIRST(&c->bids));
	while (!TAILQ_EMPTY(&c->tunnels))
		tunnel_close(TAILQ_FIRST(&c->tunnels), true, "its control connection closed");
	carrier_close(c->carrier, "its control connection closed");
	/* The names are held by now, but not against who has the same token. */
	challenge_over(c, !replaced);
	idmap_del(w->controls, c->id);
	if (strmap_get(w->clients, c->client_id) == c)
		strmap_del(w->clients, c->client_id);
	loop_timer_stop(&c->reap);
	loop_tick_cancel(w->loop, &c->more);
	chan_free(c->chan);
	if (c->linger)
		stream_linger(c->stream);
	else
		stream_close(c->stream, false);
	registry_leave(w->core->registry, c->client_id);
	loop_free_later(w->loop, c, NULL);
}

void control_close(struct control *c, const char *why)
{
	control_leave(c, why);
}

static void close_one(void *value, void *arg)
{
	control_end(value, false, arg);
}

void control_close_all(struct worker *w, const char *why)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", why);
	idmap_each(w->controls, close_one, text);
}
