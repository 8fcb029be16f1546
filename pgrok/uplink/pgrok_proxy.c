/* One proxy connection, from its beginning to a visitor. */
#include "pgrok/uplink/pgrok_proxy.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"

#define say(p, level, ...)                                                               \
	do {                                                                             \
		char name_[28];                                                          \
		if (!log_wants(level))                                                   \
			break;                                                           \
		snprintf(name_, sizeof(name_), "prx:%llu", (unsigned long long)(p)->id); \
		log_line(level, name_, __VA_ARGS__);                                     \
	} while (0)

static void set_state(struct pgrok_proxy *p, enum proxy_state state)
{
	static const char *const names[PROXY_STATES] = {"connecting", "waiting", "opened",
							"closed"};
	enum proxy_state was = p->state;

	say(p, LOG_DEBUG, "%s -> %s", names[was], names[state]);
	p->state = state;
	p->conf->hooks->on_state(p->conf->arg, p, was);
}

/* Takes p, with which nothing is under way any more. */
static void over(struct pgrok_proxy *p, enum log_level level, const char *why)
{
	struct loop *l = p->conf->loop;

	say(p, level, "Closed: %s (age %.1f s)", why, (double)(loop_now(l) - p->since) / 1000);
	loop_free_later(l, p, NULL);
	set_state(p, PROXY_CLOSED);
}

void pgrok_proxy_close(struct pgrok_proxy *p, const char *reason)
{
	/* A visitor has been given to this one, or is about to be: it is to see a reset. */
	register_cancel(&p->reg, p->state == PROXY_OPENED);
	over(p, LOG_DEBUG, reason);
}

/* ---- the handshake ---- */

static void on_registered(void *arg)
{
	set_state(arg, PROXY_WAITING);
}

/* The server has a use for it: one visitor, or from now on one after the other, as streams. */
static void begin(struct pgrok_proxy *p, struct stream *s, const struct msg_start_proxy *start)
{
	const struct proxy_conf *conf = p->conf;

	if (p->reg.mux == MUX_REUSED && register_is_mux(start)) {
		reused_add(conf->reused, s);
		over(p, LOG_DEBUG, "carries one visitor after the other now");
		return;
	}
	visit_accept(conf->visits, s,
		     &(struct visit_info){.url = start->url, .peer = start->client_addr});
	over(p, LOG_DEBUG, "a visitor came");
}

static void on_end(void *arg, enum register_end how, struct stream *s,
		   const struct msg_start_proxy *start, const char *why)
{
	struct pgrok_proxy *p = arg;

	switch (how) {
	case REGISTER_OK:
		begin(p, s, start);
		return;
	case REGISTER_EOF:
		stream_close(s, false);
		over(p, LOG_DEBUG, "not needed by the server");
		return;
	case REGISTER_ABORT:
		/* A Go server that gives up a pooled connection leaves broken TLS behind. */
		stream_close(s, true);
		over(p, LOG_DEBUG, why);
		return;
	case REGISTER_BAD:
		stream_close(s, true);
		over(p, LOG_WARN, why);
		return;
	case REGISTER_UNCONNECTED:
		over(p, LOG_WARN, why);
		return;
	}
}

static const struct register_hooks hooks = {.on_registered = on_registered, .on_end = on_end};

/* ---- the beginning ---- */

static struct pgrok_proxy *proxy_new(const struct proxy_conf *conf, uint64_t id,
				     enum proxy_state state)
{
	struct pgrok_proxy *p = xcalloc(1, sizeof(*p));

	p->conf = conf;
	p->state = state;
	p->since = loop_now(conf->loop);
	p->id = id;
	return p;
}

struct pgrok_proxy *pgrok_proxy_connect(const struct proxy_conf *conf, uint64_t id,
					const char *client_id, bool reusable)
{
	struct pgrok_proxy *p = proxy_new(conf, id, PROXY_CONNECTING);

	register_connect(&p->reg, conf->connector, client_id, reusable ? MUX_REUSED : 0, &hooks, p);
	return p;
}

struct pgrok_proxy *pgrok_proxy_accept(const struct proxy_conf *conf, uint64_t id, struct stream *s)
{
	struct pgrok_proxy *p = proxy_new(conf, id, PROXY_OPENED);

	register_stream(&p->reg, s, &hooks, p);
	return p;
}
