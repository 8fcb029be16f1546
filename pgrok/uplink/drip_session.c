/*
 * The Drip protocol's uplink: each tunnel has connections of its own, so there is no session but
 * what they have in common. Online is who has all of them open.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "pgrok/uplink/drip_tunnel.h"
#include "pgrok/uplink/trust.h"
#include "pgrok/uplink/uplink.h"

#define NAME "session"

TAILQ_HEAD(tunnels, drip_tunnel);

struct session {
	struct uplink uplink;
	struct uplink_conf conf;
	struct drip_conf drip;
	struct tunnels tunnels;
	uint64_t since; /* loop_now() of its beginning */
	uint64_t data_ids;
	bool worked; /* a tunnel was open */
	bool told_trust;
};

static void add(struct session *s, const struct config_tunnel *t, bool ordered);

/* ---- what the model shows ---- */

/* Tunnels that are not open, without those that were ordered: who ordered them hears of it. */
static unsigned owed(const struct session *s)
{
	const struct drip_tunnel *d;
	unsigned n = 0;

	TAILQ_FOREACH(d, &s->tunnels, link)
	n += !d->ordered && d->state != DRIP_UP;
	return n;
}

/* why, ms: of the attempt that has just failed; NULL and 0: it is on. */
static void show(struct session *s, const char *why, uint32_t ms)
{
	struct model *m = s->conf.model;

	m->tunnels_owed = owed(s);
	if (!m->tunnels_owed && s->worked)
		model_set_state(m, MODEL_ONLINE, NULL, 0);
	else
		model_set_state(m, s->worked ? MODEL_RECONNECTING : MODEL_CONNECTING, why, ms);
}

/* ---- a tunnel's own affairs ---- */

static void forget(struct session *s, struct drip_tunnel *d, const char *why)
{
	TAILQ_REMOVE(&s->tunnels, d, link);
	drip_tunnel_close(d, why);
}

static void forget_all_of(struct session *s, const struct config_tunnel *t, const char *why)
{
	struct drip_tunnel *d, *next;

	for (d = TAILQ_FIRST(&s->tunnels); d; d = next) {
		next = TAILQ_NEXT(d, link);
		if (d->t == t)
			forget(s, d, why);
	}
}

static bool all_up(const struct session *s, const struct config_tunnel *t)
{
	const struct drip_tunnel *d;

	TAILQ_FOREACH(d, &s->tunnels, link)
	{
		if (d->t == t && d->state != DRIP_UP)
			return false;
	}
	return true;
}

/* What was asked for at run time has come to its end. */
static void answer_order(struct session *s, const struct config_tunnel *t, const char *error)
{
	struct drip_tunnel *d;

	if (error) {
		forget_all_of(s, t, error);
		model_drop_tunnels(s->conf.model, t);
		show(s, NULL, 0);
	}
	TAILQ_FOREACH(d, &s->tunnels, link)
	{
		if (d->t == t)
			d->ordered = false;
	}
	s->conf.hooks->on_ordered(s->conf.arg, t, error);
}

static void on_up(void *arg, struct drip_tunnel *d)
{
	struct session *s = arg;

	/* All of them are of one session: what was open before a cut comes back one by one. */
	if (!s->worked)
		model_session(s->conf.model, "Drip");
	s->worked = true;
	model_add_tunnel(s->conf.model, d->t, d->proto, "", d->url);
	show(s, NULL, 0);
	if (d->ordered && all_up(s, d->t))
		answer_order(s, d->t, NULL);
}

static void on_waiting(void *arg, struct drip_tunnel *d, const char *why, uint32_t ms)
{
	struct session *s = arg;

	if (d->ordered)
		answer_order(s, d->t, why);
	else
		show(s, why, ms);
}

static void on_refused(void *arg, struct drip_tunnel *d, const char *why)
{
	struct session *s = arg;
	char *text;

	if (d->ordered) {
		answer_order(s, d->t, why);
		return;
	}
	text = xasprintf("Server failed to allocate tunnel %s: %s", d->t->name, why);
	s->conf.hooks->on_refused(s->conf.arg, text);
	free(text);
}

static void on_connected(void *arg)
{
	struct session *s = arg;

	trust_tell(&s->conf, &s->told_trust);
}

/* By what it is, not by its URL: a server could give the same one twice. */
static const struct model_tunnel *shown(const struct model *m, const struct drip_tunnel *d)
{
	for (size_t i = 0; i < m->tunnels_n; i++) {
		if (m->tunnels[i].conf == d->t && m->tunnels[i].proto == d->proto)
			return &m->tunnels[i];
	}
	return NULL;
}

/* Who the visitor is is not said. */
static void on_stream(void *arg, struct drip_tunnel *d, struct stream *stream)
{
	struct session *s = arg;
	const struct model_tunnel *t = shown(s->conf.model, d);

	if (t)
		visit_accept(s->conf.visits, stream,
			     &(struct visit_info){.tunnel = t, .peer = "unknown"});
	else
		stream_close(stream, true);
}

static const struct drip_tunnel_hooks tunnel_hooks = {.on_connected = on_connected,
						      .on_up = on_up,
						      .on_waiting = on_waiting,
						      .on_refused = on_refused,
						      .on_stream = on_stream};

/* ---- what the client asks for ---- */

/* One for each protocol. */
static void add(struct session *s, const struct config_tunnel *t, bool ordered)
{
	for (int p = 0; p < PROTOS; p++) {
		if (!t->local[p].text)
			continue;
		struct drip_tunnel *d =
			drip_tunnel_new(&s->drip, t, (enum proto)p, &tunnel_hooks, s);

		d->ordered = ordered;
		TAILQ_INSERT_TAIL(&s->tunnels, d, link);
	}
}

static bool open_tunnel(struct uplink *u, struct config_tunnel *t)
{
	struct session *s = (struct session *)u;

	add(s, t, true);
	return true;
}

static enum uplink_closing close_tunnel(struct uplink *u, struct config_tunnel *t)
{
	struct session *s = (struct session *)u;

	t->start = false;
	log_info(NAME, "Closing tunnel %s", t->name);
	forget_all_of(s, t, "closed");
	model_drop_tunnels(s->conf.model, t);
	show(s, NULL, 0);
	return UPLINK_CLOSED;
}

static bool asks_for(const struct uplink *u, const struct config_tunnel *t)
{
	const struct drip_tunnel *d;

	TAILQ_FOREACH(d, &((const struct session *)u)->tunnels, link)
	{
		if (d->t == t)
			return true;
	}
	return false;
}

static uint32_t rtt_us(const struct uplink *u)
{
	const struct drip_tunnel *d = TAILQ_FIRST(&((const struct session *)u)->tunnels);

	return d ? drip_tunnel_rtt_us(d) : 0;
}

static struct uplink *session_start(const struct uplink_conf *conf)
{
	struct session *s = xcalloc(1, sizeof(*s));
	const struct config_tunnel *t;

	s->uplink.ops = &uplink_drip;
	s->conf = *conf;
	s->since = loop_now(conf->loop);
	s->drip = (struct drip_conf){.loop = conf->loop,
				     .connector = conf->connector,
				     .config = conf->config,
				     .memory = mux_account_new(),
				     .data_ids = &s->data_ids};
	TAILQ_INIT(&s->tunnels);
	for (size_t i = 0; (t = config_tunnel_at(conf->config, i)); i++) {
		if (t->start)
			add(s, t, false);
	}
	show(s, NULL, 0);
	return &s->uplink;
}

static void session_close(struct uplink *u, const char *reason)
{
	struct session *s = (struct session *)u;
	struct drip_tunnel *d;

	log_info(NAME, "Closed: %s (age %.1f s)", reason,
		 (double)(loop_now(s->conf.loop) - s->since) / 1000);
	while ((d = TAILQ_FIRST(&s->tunnels))) {
		TAILQ_REMOVE(&s->tunnels, d, link);
		drip_tunnel_close(d, reason);
	}
	mux_account_free(s->drip.memory);
	loop_free_later(s->conf.loop, s, NULL);
}

const struct uplink_ops uplink_drip = {
	.name = "drip",
	.start = session_start,
	.open_tunnel = open_tunnel,
	.close_tunnel = close_tunnel,
	.asks_for = asks_for,
	.rtt_us = rtt_us,
	.close = session_close,
};
