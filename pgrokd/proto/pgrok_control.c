/* What is said on a control connection of the pgrok protocol: from Auth to closed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/net/rtt.h"
#include "common/net/socket.h"
#include "msg/pgrok/chan.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/proto/pgrok_in.h"

enum control_state {
	CONTROL_UP,     /* heartbeat: LIMIT_PING_MS */
	CONTROL_FAILED, /* something went wrong deep inside a call; closes on the next tick */
	CONTROL_QUIET   /* its client is closed, now or soon */
};

struct pgrok_control {
	struct worker *worker;
	struct client *client; /* owns it */
	struct stream *stream;
	struct chan *chan;
	enum control_state state;
	bool features;      /* the client speaks our extensions; these of them: */
	bool feature_ping;  /* answers a Ping */
	bool feature_close; /* may send a NewTunnel to have its URL closed */
	bool feature_asks;
	bool feature_access; /* wants its rules for visitors enforced; they are, in any case */
	bool feature_mux;    /* speaks yamux on connections that ask for it */
	bool linger;         /* the last message tells why: see that it arrives */
	bool doubted;        /* it was silent too long, but so may this server have been */
	int pongs;           /* owed by the timer */
	uint64_t last_ping;
	const char *why; /* CONTROL_FAILED */
	char *hello;     /* who has come, not in the log yet; NULL: it is */
	struct loop_timer reap;
	struct loop_timer pong;   /* pongs > 0 */
	struct loop_timer unread; /* while messages wait to be written */
	struct loop_tick more;    /* messages left to handle, or CONTROL_FAILED */
};

static void control_ready(void *arg, int dirs);

/* ---- sending ---- */

/* Its socket is full of what it did not read. */
static void control_unread(void *arg)
{
	struct pgrok_control *k = arg;

	client_close(k->client, "its client does not read");
}

static void control_want(struct pgrok_control *k)
{
	int dirs = k->state == CONTROL_UP ? STREAM_READ : 0;
	bool waits = chan_waiting(k->chan);

	stream_want(k->stream, dirs | (waits ? STREAM_WRITE : 0));
	if (!waits)
		loop_timer_stop(&k->unread);
	else if (!loop_timer_pending(&k->unread))
		loop_after(&k->unread, LIMIT_CONTROL_WRITE_MS);
}

/* Closes on the next tick; linger: what was sent last should arrive. */
static void control_fail(struct pgrok_control *k, bool linger, const char *why)
{
	if (k->state != CONTROL_UP)
		return;
	k->state = CONTROL_FAILED;
	k->linger = linger;
	k->why = why;
	control_want(k);
	loop_next_tick(k->worker->loop, &k->more);
}

/* Never closes anything from inside this call. */
static void control_send(struct pgrok_control *k, const struct msg *m)
{
	if (k->state != CONTROL_UP)
		return;
	if (chan_send(k->chan, m)) {
		control_want(k);
		return;
	}
	log_often(LOG_INFO, client_name(k->client), "%s could not be sent: %s",
		  msg_type_name(m->type), chan_error(k->chan));
	control_fail(k, false, "a message could not be sent");
}

/*
 * Who has come. Of many that have no tunnel yet only some are told of at once, the others when they
 * get one.
 */
static void control_introduce(struct pgrok_control *k, bool always)
{
	static struct log_kind kind;
	const char *name = client_name(k->client);

	if (!k->hello || !log_wants(LOG_INFO) || (!always && !log_may(&kind, LOG_INFO, name)))
		return;
	log_info(name, "%s", k->hello);
	free(k->hello);
	k->hello = NULL;
}

/* ---- what the rest of the server wants said ---- */

/* As the Go server: an error names no request, and ends a client that has no tunnel. */
void pgrok_control_answer(void *session, const struct proto_answer *a)
{
	struct pgrok_control *k = session;
	struct msg m = msg_new(MSG_NEW_TUNNEL);

	if (a->url) {
		control_introduce(k, true);
		m.new_tunnel.req_id = a->request;
		m.new_tunnel.url = a->url;
		m.new_tunnel.protocol = proto_name(a->proto);
	} else {
		m.new_tunnel.error = a->error;
	}
	control_send(k, &m);
	if (a->url)
		return;
	if (client_tunnels(k->client) == 0)
		control_fail(k, true, "its tunnel was refused");
	else if (client_refused(k->client))
		control_fail(k, true, "too many of its tunnels were refused");
}

void pgrok_control_ask(void *arg)
{
	struct msg m = msg_new(MSG_REQ_PROXY);

	control_send(arg, &m);
}

/* A client that does not answer a Ping ignores a Pong: its kernel, at least, acknowledges it. */
void pgrok_control_ask_alive(void *session)
{
	struct pgrok_control *k = session;
	struct msg m = msg_new(k->feature_ping ? MSG_PING : MSG_PONG);

	control_send(k, &m);
}

bool pgrok_control_seems_alive(void *session)
{
	const struct pgrok_control *k = session;

	return !k->feature_ping && !chan_waiting(k->chan) &&
	       socket_unacknowledged(stream_fd(k->stream)) == 0;
}

/* A client that knows no such message takes it for a refusal; a Go client ends on that. */
void pgrok_control_withdrawn(void *session, const char *url, const char *why)
{
	struct pgrok_control *k = session;
	struct msg m = msg_new(MSG_NEW_TUNNEL);
	char *error = xasprintf("The server has closed %s: %s", url, why);

	m.new_tunnel.url = url;
	m.new_tunnel.error = error;
	control_send(k, &m);
	free(error);
	if (!k->feature_close)
		control_fail(k, true, "one of its tunnels was closed");
}

uint32_t pgrok_control_rtt_us(const void *session)
{
	const struct pgrok_control *k = session;

	return rtt_least_us(stream_fd(k->stream));
}

bool pgrok_control_up(const struct pgrok_control *k)
{
	return k->state == CONTROL_UP;
}

bool pgrok_control_mux(const struct pgrok_control *k)
{
	return k->feature_mux;
}

/* ---- messages ---- */

static void take_request(struct pgrok_control *k, const struct msg_req_tunnel *r)
{
	const struct wanted want = {
		.req_id = r->req_id,
		.protocols = r->protocol,
		.hostname = r->hostname,
		.subdomain = r->subdomain,
		.http_auth = r->http_auth,
		.access = &r->access,
		.forward_auth = r->forward_auth,
		.category = r->category,
		.remote_port = r->remote_port,
		.last_name = r->last_name,
		.last_port = r->last_port,
		.share = r->mux != 0,
	};

	if (!client_request(k->client, &want))
		control_fail(k, false, "too many tunnels asked for at once");
}

static void send_pongs(void *arg)
{
	struct pgrok_control *k = arg;
	struct msg pong = msg_new(MSG_PONG);

	for (; k->pongs > 0; k->pongs--)
		control_send(k, &pong);
}

/*
 * A Go client notes the time of its Ping after it was sent. A Pong that overtakes this is older for
 * it than the Ping, which it takes to be unanswered later, and closes the connection.
 */
static void take_ping(struct pgrok_control *k)
{
	k->pongs++;
	if (k->features)
		send_pongs(k);
	else if (!loop_timer_pending(&k->pong))
		loop_after(&k->pong, LIMIT_PONG_MS);
}

static void take_message(struct pgrok_control *k, const struct msg *m)
{
	bool reads = !chan_waiting(k->chan); /* else it may say what it likes */

	/* Of a client that is not pinged older messages may be under way. */
	if (k->feature_ping && reads)
		client_alive(k->client);
	switch (m->type) {
	case MSG_REQ_TUNNEL:
		take_request(k, &m->req_tunnel);
		break;
	case MSG_NEW_TUNNEL:
		if (k->feature_close)
			client_give_back(k->client, m->new_tunnel.url);
		break;
	case MSG_PING:
		if (reads)
			k->last_ping = loop_now(k->worker->loop);
		take_ping(k);
		break;
	default: /* the Go server ignores these, too */
		log_debug(client_name(k->client), "Ignored a %s", msg_type_name(m->type));
	}
}

/* False: k is closed, or quiet. */
static bool control_read(struct pgrok_control *k)
{
	struct msg m;

	for (int i = 0; i < LIMIT_MESSAGES && k->state == CONTROL_UP; i++) {
		switch (chan_recv(k->chan, &m)) {
		case CHAN_OK:
			take_message(k, &m);
			msg_free(&m);
			break;
		case CHAN_NULL:
			break;
		case CHAN_AGAIN:
			return true;
		case CHAN_EOF:
			client_close(k->client, "its client closed the connection");
			return false;
		case CHAN_ABORT:
		case CHAN_BAD:
			client_close(k->client, chan_error(k->chan));
			return false;
		}
	}
	loop_next_tick(k->worker->loop, &k->more);
	return true;
}

static void control_ready(void *arg, int dirs)
{
	struct pgrok_control *k = arg;

	if (dirs & STREAM_WRITE && chan_flush(k->chan) == STREAM_ABORT) {
		client_close(k->client, chan_error(k->chan));
		return;
	}
	if (k->state == CONTROL_FAILED) {
		loop_next_tick(k->worker->loop, &k->more);
		control_want(k);
		return;
	}
	if (dirs & STREAM_READ && !control_read(k))
		return;
	control_want(k);
}

/* Messages left over, or the end of a failed control: after its last words are out. */
static void control_tick(void *arg)
{
	struct pgrok_control *k = arg;

	if (k->state == CONTROL_UP)
		control_ready(k, STREAM_READ);
	else if (!k->linger || !chan_waiting(k->chan))
		client_close(k->client, k->why);
}

static void control_reap(void *arg)
{
	struct pgrok_control *k = arg;
	uint64_t silent = loop_now(k->worker->loop) - k->last_ping;

	if (k->state == CONTROL_FAILED) {
		client_close(k->client, k->why);
	} else if (silent < loop_scaled(LIMIT_PING_MS)) {
		k->doubted = false;
		carrier_rest(client_carrier(k->client));
		loop_after(&k->reap, LIMIT_REAP_MS);
	} else if (!k->doubted) {
		/* After a pause of the whole server timers ring before all that came is read. */
		k->doubted = true;
		loop_after(&k->reap, LIMIT_DOUBT_MS);
	} else {
		client_lost(k->client, "Lost heartbeat");
	}
}

/* ---- its life ---- */

static struct pgrok_control *control_new(struct worker *w, struct stream *s,
					 const struct msg_auth *auth)
{
	struct pgrok_control *k = xcalloc(1, sizeof(*k));

	k->worker = w;
	k->stream = stream_settle(s);
	k->chan = chan_new(k->stream);
	chan_set_queue(k->chan, LIMIT_CONTROL_QUEUE);
	socket_set(stream_fd(k->stream), SOL_SOCKET, SO_SNDBUF, LIMIT_CONTROL_SOCKET);
	k->last_ping = loop_now(w->loop);
	k->features = *auth->features;
	k->feature_ping = msg_has_feature(auth->features, FEATURE_PING);
	k->feature_close = msg_has_feature(auth->features, FEATURE_CLOSE);
	k->feature_access = msg_has_feature(auth->features, FEATURE_ACCESS);
	k->feature_asks = msg_has_feature(auth->features, FEATURE_ASKS);
	k->feature_mux = w->core->config->mux && msg_has_feature(auth->features, FEATURE_MUX);
	if (k->features)
		chan_set_max(k->chan, FRAME_HEADER + FRAME_BODY_MAX);
	k->more = (struct loop_tick){.fn = control_tick, .arg = k};
	loop_timer_init(&k->unread, w->loop, control_unread, k);
	loop_timer_init(&k->reap, w->loop, control_reap, k);
	loop_timer_init(&k->pong, w->loop, send_pongs, k);
	loop_after(&k->reap, LIMIT_REAP_MS);
	return k;
}

static void send_auth_resp(struct pgrok_control *k)
{
	struct msg m = msg_new(MSG_AUTH_RESP);
	char features[64];

	snprintf(features, sizeof(features), "%s%s%s%s%s", k->feature_mux ? " " FEATURE_MUX : "",
		 k->feature_ping ? " " FEATURE_PING : "", k->feature_close ? " " FEATURE_CLOSE : "",
		 k->feature_access ? " " FEATURE_ACCESS : "",
		 k->feature_asks ? " " FEATURE_ASKS : "");
	m.auth_resp.version = MSG_PROTO_VERSION;
	m.auth_resp.mm_version = MSG_SOFTWARE_VERSION;
	m.auth_resp.client_id = client_id(k->client);
	m.auth_resp.features = features + (*features == ' ');
	control_send(k, &m);
}

/* What was allowed a moment ago, on another worker. Says why in an AuthResp. */
static void refuse(struct worker *w, struct stream *s, struct parcel *p, enum refusal r,
		   const char *why)
{
	struct msg m = msg_new(MSG_AUTH_RESP);
	char text[ADDR_TEXT];

	admit_refused(w, r);
	registry_leave(w->core->registry, p->client_id);
	log_often(LOG_INFO, "lobby", "Refused %s: %s", addr_text(&p->peer, text), why);
	s = stream_settle(s);
	struct chan *chan = chan_new(s);

	m.auth_resp.version = m.auth_resp.mm_version = "";
	m.auth_resp.error = why;
	(void)!chan_send(chan, &m);
	chan_free(chan);
	stream_linger(s);
}

/* The final word: settings do not change between this and client_new(). */
static enum refusal admit_at_home(struct worker *w, const struct parcel *p,
				  const struct token *token, struct grant **grant, const char **why)
{
	const struct client *old = client_find(w, p->client_id);
	enum refusal r = admit_client(w, token, grant, why);

	if (r || !old || strcmp(client_owner(old), grant_owner(*grant)) == 0)
		return r;
	grant_unref(*grant);
	*why = "This client id is in use with another token.";
	return REFUSED_CLIENT;
}

void pgrok_control_adopt(struct worker *w, struct stream *s, struct parcel *p)
{
	const struct msg_auth *auth = &p->first.auth;
	struct token token = token_of(auth->user);
	struct grant *grant;
	const char *why;
	enum refusal r = admit_at_home(w, p, &token, &grant, &why);

	if (r) {
		refuse(w, s, p, r, why);
		return;
	}
	struct pgrok_control *k = control_new(w, s, auth);
	struct client_conf conf = {
		.proto = &pgrok_proto,
		.session = k,
		.client_id = p->client_id,
		.token = token,
		.grant = grant,
		.peer = p->peer,
		.half_close = k->features,
		.may_share = k->feature_mux,
	};
	char text[ADDR_TEXT];

	k->client = client_new(w, &conf);
	k->hello = xasprintf("Client %s%s%s connected from %s (%.32s/%.32s, version %.32s)",
			     client_short_id(k->client), *client_owner(k->client) ? " of " : "",
			     client_owner(k->client), addr_text(&p->peer, text), auth->os,
			     auth->arch, auth->mm_version);
	control_introduce(k, false);
	send_auth_resp(k);
	/* With mux it opens connections itself; what needs one of its own will ask for it. */
	if (!k->feature_mux)
		carrier_warm(client_carrier(k->client));
	stream_on_ready(k->stream, control_ready, k);
	/* What came with the Auth may lie in the TLS layer, where no event tells of it. */
	control_ready(k, STREAM_READ);
}

void pgrok_control_quiet(void *session)
{
	struct pgrok_control *k = session;

	k->state = CONTROL_QUIET;
	stream_want(k->stream, 0);
	loop_timer_stop(&k->reap);
	loop_timer_stop(&k->pong);
	loop_timer_stop(&k->unread);
	loop_tick_cancel(k->worker->loop, &k->more);
}

void pgrok_control_stopped(void *session)
{
	struct pgrok_control *k = session;

	chan_free(k->chan);
	free(k->hello);
	if (k->linger)
		stream_linger(k->stream);
	else
		stream_close(k->stream, false);
	loop_free_later(k->worker->loop, k, NULL);
}
