/* One tunnel on a Drip server. */
#include "pgrok/uplink/drip_tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/drip_say.h"

#define NAME "drip"
#define REFUSALS 5 /* of a name that was not chosen: then any will do */

static void begin(void *arg);

static void set_state(struct drip_tunnel *d, enum drip_state state)
{
	static const char *const names[] = {"discovering", "registering", "up", "waiting",
					    "refused"};

	if (d->state != state)
		log_debug(NAME, "%s: %s -> %s", d->t->name, names[d->state], names[state]);
	d->state = state;
}

/* ---- lost, or refused ---- */

/*
 * The server has the tunnel for as long as the primary connection: with visitors on it, it must not
 * wait for them. A reset would look like a cut.
 */
static void drop(struct drip_tunnel *d)
{
	if (d->discovery)
		drip_discovery_cancel(d->discovery);
	d->discovery = NULL;
	drip_link_close(&d->primary, drip_link_streams(&d->primary) > 0);
	drip_pool_stop(&d->pool);
	loop_timer_stop(&d->retry);
	free(d->url);
	d->url = NULL;
}

static void lose(struct drip_tunnel *d, const char *why)
{
	bool was_up = d->state == DRIP_UP;
	char text[ERR_TEXT];
	uint32_t ms;

	/* The text may live in what is dropped. */
	snprintf(text, sizeof(text), "%s", why);
	if (was_up)
		backoff_reset(&d->backoff);
	ms = backoff_next(&d->backoff);
	drop(d);
	set_state(d, DRIP_WAITING);
	log_warn(NAME, "%s %s: %s", was_up ? "Connection lost of tunnel" : "No tunnel", d->t->name,
		 text);
	log_info(NAME, "Waiting %.1f seconds before reconnecting", ms / 1000.0);
	loop_after(&d->retry, ms);
	d->hooks->on_waiting(d->arg, d, text, ms);
}

static void refuse(struct drip_tunnel *d, const char *why, bool final)
{
	if (!final || d->worked) {
		lose(d, why);
		return;
	}
	log_error(NAME, "Tunnel %s: %s", d->t->name, why);
	drop(d);
	set_state(d, DRIP_REFUSED);
	d->hooks->on_refused(d->arg, d, why);
}

/* A name that another has taken meanwhile, and that was not asked for: it does not matter. */
static void count_refusal(struct drip_tunnel *d)
{
	char wanted[DRIP_NAME];

	if (++d->refusals < REFUSALS || *drip_say_name(d->t, d->proto, wanted))
		return;
	free(d->name);
	d->name = NULL;
	d->refusals = 0;
}

/* ---- what the server says ---- */

static void take_error(struct drip_tunnel *d, const struct drip_error *e)
{
	struct err err;

	count_refusal(d);
	err_set(&err, "registration error: %.200s - %.200s", e->code, e->message);
	refuse(d, err.text, drip_fatal(e));
}

static bool is_plain(const char *text, size_t most)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			return false;
	}
	return len > 0 && len <= most;
}

static void take_ack(struct drip_tunnel *d, const struct drip_register_ack *a)
{
	if (!is_plain(a->url, LIMIT_DRIP_URL) || !is_plain(a->subdomain, DRIP_NAME - 1)) {
		lose(d, "a RegisterAck without a URL and a name");
		return;
	}
	free(d->url);
	free(d->name);
	d->url = xstrdup(a->url);
	d->name = xstrdup(a->subdomain);
	d->refusals = 0;
	d->worked = true;
	set_state(d, DRIP_UP);
	log_info(NAME, "Tunnel established at %s", d->url);
	if (a->supports_data_conn && *a->tunnel_id)
		drip_pool_start(&d->pool, a->tunnel_id, d->wss);
	d->hooks->on_up(d->arg, d);
}

static void on_answer(void *arg, struct drip_link *k, const struct drip_msg *m)
{
	struct drip_tunnel *d = arg;
	struct err err;

	d->mute = false;
	if (m->type == DRIP_REGISTER_ACK) {
		take_ack(d, &m->ack);
	} else if (m->type == DRIP_ERROR) {
		take_error(d, &m->error);
	} else {
		err_set(&err, "%s where RegisterAck was due", drip_type_name(m->type));
		lose(d, err.text);
	}
}

static void on_connected(void *arg, struct drip_link *k)
{
	struct drip_tunnel *d = arg;

	d->mute = true;
	d->hooks->on_connected(d->arg);
}

static void on_primary_stream(void *arg, struct drip_link *k, struct stream *s)
{
	struct drip_tunnel *d = arg;

	d->hooks->on_stream(d->arg, d, s);
}

static void on_pool_stream(void *arg, struct stream *s)
{
	struct drip_tunnel *d = arg;

	d->hooks->on_stream(d->arg, d, s);
}

static void on_lost(void *arg, struct drip_link *k, const char *why)
{
	lose(arg, why);
}

static const struct drip_link_hooks link_hooks = {.on_connected = on_connected,
						  .on_answer = on_answer,
						  .on_stream = on_primary_stream,
						  .on_lost = on_lost};
static const struct drip_pool_hooks pool_hooks = {.on_stream = on_pool_stream};

/* ---- an attempt ---- */

static void begin_register(struct drip_tunnel *d)
{
	struct text frame = {.secret = true};
	char wanted[DRIP_NAME];
	const char *name = d->name ? d->name : drip_say_name(d->t, d->proto, wanted);
	struct err err;

	set_state(d, DRIP_REGISTERING);
	if (drip_say_register(&frame, d->conf->config, d->t, d->proto, name, &err)) {
		drip_link_open(&d->primary, d->conf, &frame, d->wss, LIMIT_DRIP_REGISTER_MS,
			       &link_hooks, d);
		return;
	}
	text_free(&frame);
	refuse(d, err.text, true);
}

static enum transport transport_of(const struct drip_tunnel *d)
{
	enum transport own = d->t->transport;

	return own == TRANSPORT_UNSET ? d->conf->config->transport : own;
}

static bool takes_tcp(const struct drip_discover *found)
{
	for (size_t i = 0; i < found->transports.n; i++) {
		if (strcmp(found->transports.text[i], DRIP_TCP) == 0)
			return true;
	}
	return !found->transports.n;
}

static void on_discovered(void *arg, const struct drip_discover *found)
{
	struct drip_tunnel *d = arg;

	d->discovery = NULL;
	d->wss = transport_of(d) != TRANSPORT_TCP && found &&
		 strcmp(found->preferred, DRIP_WSS) == 0;
	if (!found || d->wss || takes_tcp(found))
		begin_register(d);
	else
		refuse(d, "server only supports [wss] transport(s): transport: auto or wss", true);
}

/* One that takes no frames over TLS closes without a word: then it is asked, too. */
static bool asks_first(const struct drip_tunnel *d)
{
	return transport_of(d) == TRANSPORT_AUTO || (transport_of(d) == TRANSPORT_TCP && d->mute);
}

static void begin(void *arg)
{
	struct drip_tunnel *d = arg;

	d->wss = transport_of(d) == TRANSPORT_WSS;
	if (!asks_first(d)) {
		begin_register(d);
		return;
	}
	set_state(d, DRIP_DISCOVERING);
	d->discovery = drip_discovery_start(d->conf, on_discovered, d);
}

struct drip_tunnel *drip_tunnel_new(const struct drip_conf *conf, const struct config_tunnel *t,
				    enum proto proto, const struct drip_tunnel_hooks *hooks,
				    void *arg)
{
	struct drip_tunnel *d = xcalloc(1, sizeof(*d));

	d->conf = conf;
	d->t = t;
	d->proto = proto;
	d->hooks = hooks;
	d->arg = arg;
	drip_pool_init(&d->pool, conf, &pool_hooks, d);
	loop_timer_init(&d->retry, conf->loop, begin, d);
	set_state(d, DRIP_WAITING);
	loop_after(&d->retry, 0); /* what can't even be said is refused from the loop */
	return d;
}

static void tunnel_free(void *p)
{
	struct drip_tunnel *d = p;

	free(d->name);
	free(d);
}

void drip_tunnel_close(struct drip_tunnel *d, const char *why)
{
	log_debug(NAME, "Tunnel %s closed: %s", d->t->name, why);
	drop(d);
	loop_free_later(d->conf->loop, d, tunnel_free);
}

uint32_t drip_tunnel_rtt_us(const struct drip_tunnel *d)
{
	return d->primary.mux ? mux_rtt_us(d->primary.mux) : 0;
}
