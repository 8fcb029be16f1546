/*
 * The first frame of a Drip connection: a Register makes a client, whose primary session the
 * connection becomes; a DataConnect makes it one more session of a client.
 */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/randid.h"
#include "msg/drip/frame.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/proto/drip_in.h"
#include "pgrokd/proto/drip_name.h"

/* ---- words ---- */

bool drip_say(struct stream *s, const struct drip_msg *m)
{
	struct err err;
	size_t len, n = 0;
	char *frame = drip_frame_make(m, &len, &err);
	bool ok = frame && stream_write(s, frame, len, &n) == STREAM_OK && n == len;

	free(frame);
	return ok;
}

struct drip_msg drip_error_of(const char *code, const char *message)
{
	struct drip_msg m = drip_new(DRIP_ERROR);

	m.error = (struct drip_error){code, message};
	return m;
}

struct drip_msg drip_no_data(const char *message)
{
	struct drip_msg m = drip_new(DRIP_DATA_CONNECT_ACK);

	m.data_ack.message = message;
	return m;
}

void drip_refuse(struct stream *s, const struct drip_msg *why)
{
	if (drip_say(s, why))
		stream_linger(s);
	else
		stream_close(s, false);
}

static void refuse(struct guest *g, const struct drip_msg *why)
{
	char peer[ADDR_TEXT];

	log_often(LOG_INFO, "lobby", "Refused %s: %s", addr_text(&g->peer, peer),
		  why->type == DRIP_ERROR ? why->error.message : why->data_ack.message);
	drip_refuse(guest_leave(g), why);
}

static void refuse_registration(struct guest *g, const char *message)
{
	struct drip_msg why = drip_error_of(DRIP_CODE_REGISTRATION, message);

	refuse(g, &why);
}

/* ---- tokens ---- */

static void refuse_register_token(struct guest *g)
{
	struct drip_msg why = drip_error_of(DRIP_CODE_TOKEN, DRIP_BAD_TOKEN);

	refuse(g, &why);
}

static void refuse_data_token(struct guest *g)
{
	struct drip_msg why = drip_no_data(DRIP_NO_TOKEN);

	refuse(g, &why);
}

/* False: it was told, or will be. A client takes the word authentication for the end of it. */
static bool token_allowed(struct guest *g, const char *text, void (*tell)(struct guest *g))
{
	struct token token = token_of(text);
	uint64_t later;
	const char *why;
	enum refusal r = admit_newcomer(g->worker, &token, &g->peer, &why, &later);

	if (!r)
		return true;
	if (later) {
		stream_want(g->stream, 0);
		g->alarm = tell;
		loop_after(&g->timer, later);
	} else if (r == REFUSED_GUESSES && tell == refuse_register_token) {
		refuse_registration(g, DRIP_TOO_OFTEN);
	} else {
		tell(g);
	}
	return false;
}

/* ---- Register ---- */

enum drip_kind drip_kind_of(const struct core *core, const char *tunnel_type)
{
	bool web = strcasecmp(tunnel_type, "http") == 0 || strcasecmp(tunnel_type, "https") == 0;

	if (strcasecmp(tunnel_type, "tcp") == 0)
		return KIND_TCP;
	return web && (core->on[PORT_HTTP] || core->on[PORT_HTTPS]) ? KIND_WEB : KIND_NONE;
}

/* Names that the operator did not list are reserved if he did not list any. */
static bool is_reserved(const struct config *c, const char *name)
{
	return strcmp(c->reserved, RESERVED_DEFAULT) == 0 && drip_name_reserved(name);
}

/* Can it be had at all, by whoever? False: why not. */
static bool name_allowed(const struct config *c, const struct drip_register *r, bool tcp,
			 struct err *why)
{
	uint16_t port = tcp ? drip_name_port(r->custom_subdomain) : 0;

	if (port && (port < c->tcp_port_min || port > c->tcp_port_max))
		return err_set(why,
			       "failed to allocate requested port %u: requested port %u outside "
			       "range %d-%d",
			       port, port, c->tcp_port_min, c->tcp_port_max);
	if (port || !*r->custom_subdomain)
		return true;
	if (!drip_name_valid(r->custom_subdomain))
		return err_set(why, "tunnel registration failed: invalid subdomain format");
	return !is_reserved(c, r->custom_subdomain) ||
	       err_set(why, "tunnel registration failed: subdomain is reserved");
}

static void own_free(void *own)
{
	struct drip_msg *m = own;

	drip_free(m);
	free(m);
}

/* It may go to its home. */
static void send_home(struct guest *g, struct parcel *p, const struct drip_msg *m, int home)
{
	struct worker *w = g->worker;
	struct drip_msg *own = xmalloc(sizeof(*own));

	*own = *m;
	p->own = own;
	p->own_free = own_free;
	parcel_send(p, w, home, guest_leave(g));
}

static void register_drop(struct parcel *p)
{
	registry_leave(p->to->core->registry, p->client_id);
}

static void refuse_type(struct guest *g, const char *type)
{
	char *text = xasprintf("Tunnel type '%s' is not allowed on this server", type);
	struct drip_msg why = drip_error_of(DRIP_CODE_TYPE, text);

	refuse(g, &why);
	free(text);
}

/* Takes what is in m. */
static void first_register(struct guest *g, struct drip_msg *m)
{
	struct worker *w = g->worker;
	enum drip_kind kind = drip_kind_of(w->core, m->reg.tunnel_type);
	struct err why;

	if (!kind) {
		refuse_type(g, m->reg.tunnel_type);
	} else if (!token_allowed(g, m->reg.token, refuse_register_token)) {
		/* that was its answer */
	} else if (!name_allowed(w->core->config, &m->reg, kind == KIND_TCP, &why)) {
		refuse_registration(g, why.text);
	} else {
		struct parcel *p = parcel_new(drip_control_adopt, register_drop, &g->peer);

		rand_hex(p->client_id, 16);
		send_home(g, p, m, registry_enter(w->core->registry, p->client_id));
		return;
	}
	drip_free(m);
}

/* ---- DataConnect ---- */

/* Takes what is in m. */
static void first_data_connect(struct guest *g, struct drip_msg *m)
{
	struct worker *w = g->worker;
	int home;

	if (!token_allowed(g, m->data.token, refuse_data_token)) {
		drip_free(m);
		return;
	}
	home = strlen(m->data.tunnel_id) <= LIMIT_CLIENT_ID
		       ? registry_home(w->core->registry, m->data.tunnel_id)
		       : -1;
	if (home < 0) {
		struct drip_msg why = drip_no_data(DRIP_NO_TUNNEL);

		w->count.no_client[NO_CLIENT_UNKNOWN]++;
		refuse(g, &why);
		drip_free(m);
		return;
	}
	struct parcel *p = parcel_new(drip_control_join, NULL, &g->peer);

	snprintf(p->client_id, sizeof(p->client_id), "%s", m->data.tunnel_id);
	send_home(g, p, m, home);
}

/* ---- first frames ---- */

static enum looks drip_looks_like(const char *buf, size_t len)
{
	enum drip_type type;
	size_t body;

	if (drip_scan(buf, len, &type, &body) == DRIP_BAD)
		return LOOKS_NO;
	if (len < DRIP_HEADER)
		return LOOKS_MORE;
	return type == DRIP_REGISTER || type == DRIP_DATA_CONNECT ? LOOKS_YES : LOOKS_NO;
}

static void refuse_frame(struct guest *g, const char *why)
{
	g->worker->count.no_client[NO_CLIENT_MESSAGE]++;
	guest_close(g, LOG_INFO, why);
}

static void first_frame(struct guest *g, enum drip_type type, size_t len)
{
	struct drip_msg m;
	struct err err;

	if (drip_decode(type, g->buf + DRIP_HEADER, len, &m, &err)) {
		if (type == DRIP_REGISTER)
			first_register(g, &m);
		else
			first_data_connect(g, &m);
	} else if (type == DRIP_DATA_CONNECT) {
		struct drip_msg why =
			drip_no_data("invalid_request: Failed to parse data connect request");

		g->worker->count.no_client[NO_CLIENT_MESSAGE]++;
		refuse(g, &why);
	} else { /* as Drip's own server: without a word */
		refuse_frame(g, err.text);
	}
}

/* Its clients accept no other one: whoever comes with that is none of them. */
static bool tls_is_old(const struct guest *g)
{
	SSL *ssl = stream_ssl(g->stream);

	return ssl && SSL_version(ssl) < TLS1_3_VERSION;
}

static void long_free(void *own)
{
	((struct worker *)own)->long_frames--;
}

/* No client of Drip's needs so much; of strangers who use it only some may at once. */
static bool may_be_long(struct guest *g)
{
	struct worker *w = g->worker;

	if (g->own)
		return true;
	if (w->long_frames >= LIMIT_DRIP_LONG)
		return false;
	w->long_frames++;
	g->own = w;
	g->own_free = long_free;
	return true;
}

/* No byte behind the frame is taken: it is the session's. */
static void drip_hello(struct guest *g)
{
	enum drip_type type;
	size_t len;

	if (g->alarm) /* a refusal is on its way */
		return;
	if (tls_is_old(g)) {
		refuse_frame(g, "Drip is spoken over TLS 1.3 alone");
		return;
	}
	for (;;) {
		switch (drip_scan(g->buf, g->len, &type, &len)) {
		case DRIP_OK:
			first_frame(g, type, len);
			return;
		case DRIP_BAD:
			refuse_frame(g, "its first frame is none");
			return;
		case DRIP_MORE:
			break;
		}
		if (len > LIMIT_DRIP_HELLO && !may_be_long(g)) {
			refuse_frame(g, "too many long first frames at once");
			return;
		}
		if (!guest_read(g, DRIP_HEADER + len))
			return;
	}
}

/* ---- the protocol ---- */

static const struct carrier_hooks carry = {
	.ask = drip_control_ask, .ended = drip_control_ended, .alive = drip_control_alive};

const struct proto_ops drip_proto = {
	.name = "drip",
	.late = "no first frame in time",
	.looks_like = drip_looks_like,
	.hello = drip_hello,
	.one_request = true,
	.random_name = drip_name_random,
	.carry = &carry,
	.answer = drip_control_answer,
	.ask_alive = drip_control_ask_alive,
	.seems_alive = drip_control_seems_alive,
	.withdrawn = drip_control_withdrawn,
	.rtt_us = drip_control_rtt_us,
	.quiet = drip_control_quiet,
	.stopped = drip_control_stopped,
};
