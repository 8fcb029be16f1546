/* The data sessions of one tunnel. */
#include "pgrok/uplink/drip_pool.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "pgrok/uplink/drip_say.h"

#define NAME "drip"
#define LOOK_MS 1000

static void fill(void *arg);

unsigned drip_pool_size(unsigned n, unsigned streams, bool quiet)
{
	unsigned room = n * DRIP_POOL_STREAMS, more = 0;

	if (streams * 10 > room * 9)
		more = 4;
	else if (streams * 10 > room * 6)
		more = 1;
	else if (quiet && n > DRIP_POOL_LEAST)
		return n - 1;
	return n + more < LIMIT_DRIP_DATA ? n + more : LIMIT_DRIP_DATA;
}

/* ---- one of them ---- */

static void on_answer(void *arg, struct drip_link *k, const struct drip_msg *m)
{
	struct drip_seat *seat = arg;
	struct drip_pool *p = seat->pool;

	if (m->type == DRIP_DATA_CONNECT_ACK && m->data_ack.accepted) {
		seat->up = true;
		backoff_reset(&p->backoff);
		log_debug(NAME, "Data session %d is up", (int)(seat - p->seat));
		return;
	}
	/* Not an error: what is there carries all. */
	p->refused = true;
	if (m->type == DRIP_DATA_CONNECT_ACK)
		log_warn(NAME, "The server refuses data sessions: %s", m->data_ack.message);
	else if (m->type == DRIP_ERROR)
		log_warn(NAME, "The server refuses data sessions: %s - %s", m->error.code,
			 m->error.message);
	else
		log_warn(NAME, "%s where DataConnectAck was due", drip_type_name(m->type));
	drip_link_close(k, false);
}

static void on_stream(void *arg, struct drip_link *k, struct stream *s)
{
	struct drip_seat *seat = arg;

	seat->pool->hooks->on_stream(seat->pool->arg, s);
}

static void on_lost(void *arg, struct drip_link *k, const char *why)
{
	struct drip_seat *seat = arg;
	struct drip_pool *p = seat->pool;

	log_info(NAME, "Data session %d %s: %s", (int)(seat - p->seat),
		 seat->up ? "lost" : "not opened", why);
	drip_link_close(k, false);
	seat->up = false;
	if (!p->refused && !loop_timer_pending(&p->retry))
		loop_after(&p->retry, backoff_next(&p->backoff));
}

static const struct drip_link_hooks link_hooks = {
	.on_answer = on_answer, .on_stream = on_stream, .on_lost = on_lost};

static void open_seat(struct drip_seat *seat)
{
	struct drip_pool *p = seat->pool;
	struct text frame = {.secret = true};
	struct err err;

	seat->up = false;
	if (drip_say_data(&frame, p->conf->config, p->tunnel_id, ++*p->conf->data_ids, &err)) {
		drip_link_open(&seat->link, p->conf, &frame, p->wss, LIMIT_DRIP_JOIN_MS,
			       &link_hooks, seat);
		return;
	}
	log_warn(NAME, "No data sessions: %s", err.text);
	p->refused = true;
	text_free(&frame);
}

/* ---- how many ---- */

static unsigned there(const struct drip_pool *p)
{
	unsigned n = 0;

	for (size_t i = 0; i < LIMIT_DRIP_DATA; i++)
		n += drip_link_there(&p->seat[i].link);
	return n;
}

/* Opens what is missing, unless it was lost just now. */
static void fill(void *arg)
{
	struct drip_pool *p = arg;
	unsigned n = there(p);

	for (size_t i = 0; i < LIMIT_DRIP_DATA && n < p->wanted && !p->refused; i++) {
		if (drip_link_there(&p->seat[i].link))
			continue;
		open_seat(&p->seat[i]);
		n++;
	}
}

/* Takes no new visitors; the server uses the others. */
static void give_up_one(struct drip_pool *p)
{
	struct drip_seat *least = NULL;

	for (size_t i = 0; i < LIMIT_DRIP_DATA; i++) {
		struct drip_seat *seat = &p->seat[i];

		if (seat->up &&
		    (!least || drip_link_streams(&seat->link) < drip_link_streams(&least->link)))
			least = seat;
	}
	if (!least)
		return;
	log_debug(NAME, "Data session %d is given up", (int)(least - p->seat));
	drip_link_close(&least->link, false);
	least->up = false;
	p->wanted--;
}

static void on_look(void *arg)
{
	struct drip_pool *p = arg;
	uint64_t now = loop_now(p->conf->loop);
	unsigned up = 0, streams = 0, size;

	for (size_t i = 0; i < LIMIT_DRIP_DATA; i++) {
		up += p->seat[i].up;
		streams += drip_link_streams(&p->seat[i].link);
	}
	loop_after(&p->look, LOOK_MS);
	if (streams * 5 >= up * DRIP_POOL_STREAMS)
		p->busy = now;
	if (up != p->wanted || p->refused)
		return;
	size = drip_pool_size(up, streams, now - p->busy >= loop_scaled(DRIP_POOL_QUIET_MS));
	if (size < up) {
		p->busy = now;
		give_up_one(p);
	} else if (size > up) {
		p->wanted = size;
		fill(p);
	}
}

/* ---- begin and end ---- */

void drip_pool_init(struct drip_pool *p, const struct drip_conf *conf,
		    const struct drip_pool_hooks *hooks, void *arg)
{
	p->conf = conf;
	p->hooks = hooks;
	p->arg = arg;
	for (size_t i = 0; i < LIMIT_DRIP_DATA; i++)
		p->seat[i].pool = p;
	loop_timer_init(&p->retry, conf->loop, fill, p);
	loop_timer_init(&p->look, conf->loop, on_look, p);
}

void drip_pool_start(struct drip_pool *p, const char *tunnel_id, bool wss)
{
	drip_pool_stop(p);
	p->tunnel_id = xstrdup(tunnel_id);
	p->wss = wss;
	p->wanted = DRIP_POOL_FIRST;
	p->refused = false;
	p->busy = loop_now(p->conf->loop);
	backoff_reset(&p->backoff);
	loop_after(&p->look, LOOK_MS);
	fill(p);
}

void drip_pool_stop(struct drip_pool *p)
{
	loop_timer_stop(&p->retry);
	loop_timer_stop(&p->look);
	for (size_t i = 0; i < LIMIT_DRIP_DATA; i++) {
		drip_link_close(&p->seat[i].link, false);
		p->seat[i].up = false;
	}
	xfree_secret_str(p->tunnel_id);
	p->tunnel_id = NULL;
}
