/* Connections whose first bytes have not decided yet what they are. */
#include "pgrokd/front/lobby.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/http/head.h"
#include "common/base/randid.h"
#include "common/net/tls.h"
#include "msg/pgrok/chan.h"
#include "pgrokd/proto/pgrok_in.h"
#include "pgrokd/core/parcel.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/route_visitor.h"
#include "pgrokd/visitor/visitor.h"
#include "pgrokd/visitor/reply.h"

#define GUEST_BUF 2048 /* at first; grows to HTTP_HEAD_MAX */

enum guest_state {
	GUEST_HANDSHAKE, /* TLS; timer: LIMIT_FIRST_MS from accept */
	GUEST_FIRST,     /* the first message or the first byte of a head; the same timer */
	GUEST_HEAD       /* the rest of a head; timer: LIMIT_HEAD_MS from its first byte */
};

struct guest {
	TAILQ_ENTRY(guest) link;
	struct worker *worker;
	enum port port;
	enum guest_state state;
	bool looked; /* https port: at the first byte, before TLS was */
	bool plain;  /* ... and it is none of TLS: for its one answer it is */
	struct stream *stream;
	struct chan *chan; /* tunnel port, after the handshake */
	char *buf;         /* public ports: what was read */
	size_t len, cap;
	struct http_head head;
	struct addr peer;
	struct loop_timer timer;
};

/* ---- in and out ---- */

/* Out of the lobby, with its connection, which the caller owns from now on. */
static struct stream *guest_leave(struct guest *g)
{
	struct stream *s = g->stream;

	loop_timer_stop(&g->timer);
	TAILQ_REMOVE(&g->worker->guests, g, link);
	g->worker->n_guests--;
	door_leave(g->worker->core->door, &g->peer);
	if (g->chan)
		chan_free(g->chan);
	free(g->buf);
	stream_want(s, 0);
	stream_on_ready(s, NULL, NULL);
	loop_free_later(g->worker->loop, g, NULL);
	return s;
}

/*
 * level: a scanner that comes and goes, or a visitor that never asks, is no news; a client that
 * speaks wrongly is.
 */
static void guest_close(struct guest *g, enum log_level level, const char *why)
{
	static const char *const at[PORTS] = {"http", "https", "tunnel"};
	char text[ADDR_TEXT];

	if (log_wants(level))
		log_line(level, "lobby", "Closed %s on the %s port: %s", addr_text(&g->peer, text),
			 at[g->port], why);
	stream_close(guest_leave(g), false);
}

static void guest_time_out(void *arg)
{
	struct guest *g = arg;

	guest_close(g, LOG_DEBUG,
		    g->state == GUEST_HANDSHAKE ? "no TLS handshake in time"
		    : g->port == PORT_TUNNEL    ? "no first message in time"
						: "no request in time");
}

/* ---- the tunnel port: the first message ---- */

static bool client_id_valid(const char *id)
{
	size_t len = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	return len > 0 && len <= LIMIT_CLIENT_ID && !id[len];
}

/* Says why in an AuthResp, then closes lingering. */
static void refuse_version(struct guest *g, const struct msg_auth *auth)
{
	char error[256], peer[ADDR_TEXT];
	struct msg m = msg_new(MSG_AUTH_RESP);

	/* The Go server names its software version but the client's protocol version. */
	snprintf(error, sizeof(error),
		 "Incompatible versions. Server %s, client %s. Download a new version at "
		 "https://github.com/jerson/pgrok",
		 MSG_SOFTWARE_VERSION, strlen(auth->version) < 32 ? auth->version : "?");
	m.auth_resp.version = m.auth_resp.mm_version = "";
	m.auth_resp.error = error;
	log_info("lobby", "Refused %s: %s", addr_text(&g->peer, peer), error);
	if (!chan_send(g->chan, &m) || chan_waiting(g->chan)) {
		guest_close(g, LOG_DEBUG, "the refusal could not be sent");
		return;
	}
	stream_linger(guest_leave(g));
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
		char why[64];

		snprintf(why, sizeof(why), "No client found for identifier: %.8s", id);
		guest_close(g, LOG_INFO, why);
		msg_free(m);
		return;
	}
	struct parcel *p = parcel_new(pgrok_proxy_adopt, NULL, &g->peer);

	snprintf(p->client_id, sizeof(p->client_id), "%s", id);
	p->first = *m;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, home, s);
}

static void guest_first_message(struct guest *g)
{
	struct msg m;

	switch (chan_recv(g->chan, &m)) {
	case CHAN_OK:
		break;
	case CHAN_AGAIN:
		stream_want(g->stream, STREAM_READ);
		return;
	case CHAN_EOF:
		guest_close(g, LOG_DEBUG, "left without a message");
		return;
	case CHAN_ABORT:
		guest_close(g, LOG_DEBUG, chan_error(g->chan));
		return;
	case CHAN_NULL:
		guest_close(g, LOG_INFO, "first message without a payload");
		return;
	case CHAN_BAD:
		guest_close(g, LOG_INFO, chan_error(g->chan));
		return;
	}
	switch (m.type) {
	case MSG_AUTH:
		first_auth(g, &m);
		break;
	case MSG_REG_PROXY:
		first_reg_proxy(g, &m);
		break;
	default:
		guest_close(g, LOG_INFO, "first message is neither Auth nor RegProxy");
		msg_free(&m);
	}
}

/* ---- the public ports: the first request head ---- */

static void guest_reply(struct guest *g, int status, const char *why)
{
	char text[ADDR_TEXT];
	struct worker *w = g->worker;
	bool head_only = http_span_is(g->buf, g->head.method, "HEAD");

	log_debug("lobby", "%d to %s: %s", status, addr_text(&g->peer, text), why);
	w->count.pages++;
	char *buf = g->buf;
	struct reply_host host = {buf + g->head.authority.off, g->head.authority.len};

	g->buf = NULL; /* it outlives the guest */
	reply_send(guest_leave(g), status, head_only, host);
	free(buf);
}

static void guest_visit(struct guest *g)
{
	struct worker *w = g->worker;
	const char *why;
	struct route *route;
	int status = route_visitor(w, g->port, &g->head, g->buf, &route, &why);

	if (status) {
		guest_reply(g, status, why);
		return;
	}
	struct parcel *p = parcel_new(visitor_adopt, NULL, &g->peer);

	p->route = route;
	p->unread = g->buf;
	p->unread_len = g->len;
	p->head_only = http_span_is(g->buf, g->head.method, "HEAD");
	g->buf = NULL;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, route->home, s);
}

/* Reads what is there. False: the guest is gone or waits. */
static bool guest_read(struct guest *g)
{
	size_t n = 0;

	if (g->len == g->cap) {
		g->cap = g->cap ? g->cap * 2 : GUEST_BUF;
		if (g->cap > HTTP_HEAD_MAX)
			g->cap = HTTP_HEAD_MAX;
		g->buf = xrealloc(g->buf, g->cap);
	}
	switch (stream_read(g->stream, g->buf + g->len, g->cap - g->len, &n)) {
	case STREAM_OK:
		g->len += n;
		return true;
	case STREAM_AGAIN:
		stream_want(g->stream, STREAM_READ);
		return false;
	case STREAM_EOF:
		guest_close(g, LOG_DEBUG, "left before its request was complete");
		return false;
	case STREAM_ABORT:
		guest_close(g, LOG_DEBUG, stream_error(g->stream));
		return false;
	}
	return false;
}

static void guest_first_head(struct guest *g)
{
	while (guest_read(g)) {
		if (g->state == GUEST_FIRST) {
			g->state = GUEST_HEAD;
			loop_after(&g->timer, LIMIT_HEAD_MS);
		}
		enum http_rc rc = http_request_scan(&g->head, g->buf, g->len);

		if (g->plain && rc != HTTP_MORE) {
			guest_reply(g, REPLY_PLAIN_HTTP, "plain HTTP on the https port");
			return;
		}
		switch (rc) {
		case HTTP_OK:
			guest_visit(g);
			return;
		case HTTP_BAD:
			guest_reply(g, g->head.status, g->head.error);
			return;
		case HTTP_MORE:
			break;
		}
	}
}

/* ---- events ---- */

static void guest_ready(void *arg, int dirs);

/* A method begins with a letter, no TLS record does: such a guest gets its answer without TLS. */
static void guest_look(struct guest *g)
{
	char first;
	SSL *ssl;
	int fd;

	if (g->port != PORT_HTTPS || g->looked ||
	    recv(stream_fd(g->stream), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return;
	g->looked = true;
	g->plain = isalpha((unsigned char)first);
	if (!g->plain)
		return;
	stream_detach(g->stream, &fd, &ssl);
	SSL_free(ssl);
	g->stream = stream_new_direct(g->worker->loop, fd, NULL);
	stream_on_ready(g->stream, guest_ready, g);
}

static void guest_ready(void *arg, int dirs)
{
	struct guest *g = arg;

	(void)dirs;
	if (g->state == GUEST_HANDSHAKE) {
		guest_look(g);
		switch (stream_handshake(g->stream)) {
		case STREAM_AGAIN:
			return;
		case STREAM_OK:
			break;
		case STREAM_EOF:
		case STREAM_ABORT:
			guest_close(g, LOG_DEBUG, stream_error(g->stream));
			return;
		}
		g->state = GUEST_FIRST;
		if (g->port == PORT_TUNNEL)
			g->chan = chan_new(g->stream);
	}
	if (g->port == PORT_TUNNEL)
		guest_first_message(g);
	else
		guest_first_head(g);
}

static void lobby_shed(struct worker *w)
{
	w->count.shed++;
	guest_close(TAILQ_FIRST(&w->guests), LOG_DEBUG, "too many half-open connections");
}

static void lobby_accept(struct worker *w, enum port port, int fd, const struct addr *peer)
{
	w->count.accepted[port]++;
	if (!door_enter(w->core->door, peer)) {
		w->count.shed++;
		close(fd);
		return;
	}
	/* At the limit the oldest goes: it is the likeliest to mean no good. */
	if (w->n_guests >= LIMIT_HALF_OPEN / w->core->n_workers)
		lobby_shed(w);
	struct guest *g = xcalloc(1, sizeof(*g));

	g->worker = w;
	g->port = port;
	g->peer = *peer;
	TAILQ_INSERT_TAIL(&w->guests, g, link);
	w->n_guests++;
	SSL_CTX *tls = w->settings->tls[port];

	g->stream = stream_new_direct(w->loop, fd, tls ? tls_accept_ssl(tls) : NULL);
	loop_timer_init(&g->timer, w->loop, guest_time_out, g);
	loop_after(&g->timer, LIMIT_FIRST_MS);
	stream_on_ready(g->stream, guest_ready, g);
	stream_want(g->stream, STREAM_READ);
}

static void accept_http(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_HTTP, fd, peer);
}

static void accept_https(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_HTTPS, fd, peer);
}

static void accept_tunnel(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_TUNNEL, fd, peer);
}

struct listener *lobby_listen(struct worker *w, enum port p, struct listener_fds *fds)
{
	static listener_accept_fn *const accept_fn[PORTS] = {accept_http, accept_https,
							     accept_tunnel};

	return listener_start(w->loop, fds, accept_fn[p], w);
}

void lobby_close_all(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->guests))
		guest_close(TAILQ_FIRST(&w->guests), LOG_DEBUG, "the server stops");
}
