/* How the visitors of one client are carried to it: which connection next, and who waits. */
#include "pgrokd/carrier/carrier.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "pgrokd/carrier/parts.h"

static const struct carrier_ops *const kinds[] = {
	[CARRIER_SHARED] = &carrier_shared,   [CARRIER_REUSED] = &carrier_reused,
	[CARRIER_POOLED] = &carrier_pooled,   [CARRIER_DATA] = &carrier_data,
	[CARRIER_PRIMARY] = &carrier_primary,
};

struct carrier *carrier_new(struct loop *l, const char *name, const struct carrier_hooks *hooks,
			    void *arg)
{
	struct carrier *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->name = name;
	c->hooks = hooks;
	c->arg = arg;
	TAILQ_INIT(&c->waiting);
	c->most_waiting = LIMIT_WAITING;
	TAILQ_INIT(&c->shared);
	pool_init(c);
	c->memory = mux_account_new();
	return c;
}

void carrier_bound(struct carrier *c, int most)
{
	c->most_waiting = most ? most : INT_MAX;
}

static void close_all(struct link_list *list, const char *why)
{
	while (!TAILQ_EMPTY(list))
		carrier_link_close(TAILQ_FIRST(list), why);
}

void carrier_close(struct carrier *c, const char *why)
{
	assert(TAILQ_EMPTY(&c->waiting)); /* they went with their tunnels */
	pool_end(c);
	close_all(&c->pool.idle, why);
	close_all(&c->pool.busy, why);
	close_all(&c->shared, why);
	mux_account_free(c->memory);
	loop_free_later(c->loop, c, NULL);
}

/* ---- connections ---- */

static void link_leave(struct carrier_link *k)
{
	if (k->ops->shares) {
		TAILQ_REMOVE(&k->carrier->shared, k, link);
		k->carrier->n_shared--;
	} else {
		pool_leave(k);
	}
}

void carrier_link_close(struct carrier_link *k, const char *why)
{
	struct carrier *c = k->carrier;
	char prefix[48];

	if (log_wants(LOG_DEBUG)) {
		snprintf(prefix, sizeof(prefix), "%s/%s", c->name, k->ops->name);
		log_closed(LOG_DEBUG, prefix, why, loop_now(c->loop) - k->born, ", %llu visitors",
			   (unsigned long long)k->visitors);
	}
	link_leave(k);
	k->ops->stop(k);
	loop_free_later(c->loop, k, NULL);
}

bool carrier_link_serve(struct carrier_link *k, const struct carrier_visit *v, struct stream **s)
{
	struct carrier *c = k->carrier;

	*s = k->ops->open(k);
	if (!*s)
		return false;
	if (!c->hooks->begin || c->hooks->begin(c->arg, *s, v)) {
		k->visitors++;
		return true;
	}
	log_debug(c->name, "A %s connection was dead: %s", k->ops->name, stream_error(*s));
	stream_close(*s, false);
	return false;
}

/* ---- visitors ---- */

/* The one that carries the least, a primary one only if there is no other. */
static bool better(const struct carrier_link *k, const struct carrier_link *best)
{
	if (!best || k->ops->primary != best->ops->primary)
		return !best || best->ops->primary;
	return mux_streams(k->mux) < mux_streams(best->mux);
}

/* False: no shared connection can carry it. */
static bool serve_shared(struct carrier *c, const struct carrier_visit *v, struct stream **s)
{
	struct carrier_link *k, *best = NULL;

	if (!v->may_share)
		return false;
	TAILQ_FOREACH(k, &c->shared, link)
	if (better(k, best))
		best = k;
	return best && carrier_link_serve(best, v, s);
}

static bool serve_idle(struct carrier *c, const struct carrier_visit *v, struct stream **s)
{
	struct carrier_link *k;

	while ((k = TAILQ_FIRST(&c->pool.idle))) {
		if (carrier_link_serve(k, v, s)) {
			pool_refill(c);
			return true;
		}
	}
	return false;
}

/*
 * Visitors that wait are memory, which a client that takes none may not fill. As long as the one
 * that came first has hardly waited, the client takes them, or has had no time to.
 */
static bool enough_wait(struct carrier *c)
{
	const struct carrier_waiter *first = TAILQ_FIRST(&c->waiting);
	bool takes = !first || loop_now(c->loop) - first->since < loop_scaled(LIMIT_ASKED_MS);

	return c->n_waiting >= (takes ? c->most_waiting : c->most_waiting / LIMIT_WAITING_PART);
}

enum carrier_rc carrier_serve(struct carrier *c, struct carrier_waiter *w, struct stream **s)
{
	if (serve_shared(c, &w->visit, s) || serve_idle(c, &w->visit, s))
		return CARRIER_OK;
	if (enough_wait(c))
		return CARRIER_FULL;
	w->since = loop_now(c->loop);
	TAILQ_INSERT_TAIL(&c->waiting, w, link);
	c->n_waiting++;
	pool_missed(c);
	return CARRIER_WAITS;
}

void carrier_cancel(struct carrier *c, struct carrier_waiter *w)
{
	TAILQ_REMOVE(&c->waiting, w, link);
	c->n_waiting--;
}

void carrier_hand_over(struct carrier *c, struct carrier_waiter *w, struct stream *s)
{
	carrier_cancel(c, w);
	w->fn(w->arg, s);
}

/* ---- a connection has come ---- */

bool carrier_wants(struct carrier *c, enum carrier_kind kind)
{
	const struct carrier_ops *ops = kinds[kind];
	int limit = ops->limit(c);

	if (!ops->shares)
		pool_came(c);
	/* While visitors wait none is idle. */
	if ((ops->shares ? c->n_shared : c->pool.n_idle) < limit)
		return true;
	log_debug(c->name, "One %s connection too many", ops->name);
	return false;
}

void carrier_serve_sharers(struct carrier *c)
{
	struct carrier_waiter *w, *next;
	struct stream *s;

	for (w = TAILQ_FIRST(&c->waiting); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (serve_shared(c, &w->visit, &s))
			carrier_hand_over(c, w, s);
	}
}

/* Any other is for the one that waits longest. */
static void serve_first(struct carrier *c, struct carrier_link *k)
{
	struct carrier_waiter *w = TAILQ_FIRST(&c->waiting);
	struct stream *s;

	if (!w)
		return;
	if (carrier_link_serve(k, &w->visit, &s)) {
		carrier_hand_over(c, w, s);
		pool_refill(c);
	} else {
		pool_ask(c); /* it came dead: the visitor waits for another */
	}
}

void carrier_add(struct carrier *c, enum carrier_kind kind, struct stream *s)
{
	struct carrier_link *k = xcalloc(1, sizeof(*k));

	k->ops = kinds[kind];
	k->carrier = c;
	k->born = loop_now(c->loop);
	k->ops->start(k, s);
	if (k->ops->shares) {
		TAILQ_INSERT_TAIL(&c->shared, k, link);
		c->n_shared++;
		log_debug(c->name, "A mux session is up");
		carrier_serve_sharers(c);
	} else {
		pool_put(k, false);
		serve_first(c, k);
	}
}

/* ---- demand ---- */

void carrier_ask_alive(struct carrier *c)
{
	struct carrier_link *k;

	TAILQ_FOREACH(k, &c->shared, link)
	mux_ping(k->mux);
}

void carrier_warm(struct carrier *c)
{
	pool_warm(c);
}

void carrier_rest(struct carrier *c)
{
	pool_rest(c);
}
