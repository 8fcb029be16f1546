/* Proxy connections that wait for a visitor, visitors that wait for a proxy connection. */
#include "pgrokd/pool.h"

#include <assert.h>

#include "pgrokd/control.h"
#include "pgrokd/public.h"

struct proxy {
	TAILQ_ENTRY(proxy) link;
	struct control *control;
	struct stream *stream;
};

void pool_init(struct control *c)
{
	TAILQ_INIT(&c->pool.idle);
	TAILQ_INIT(&c->pool.waiting);
	c->pool.limit = LIMIT_POOL;
}

/* ---- asking ---- */

void pool_ask(struct control *c)
{
	struct pool *pool = &c->pool;
	struct msg m = msg_new(MSG_REQ_PROXY);

	if (pool->n_asked < LIMIT_POOL_MAX) {
		int last = (pool->asked_first + pool->n_asked++) % LIMIT_POOL_MAX;

		pool->asked[last] = loop_now(c->worker->loop);
	}
	control_send(c, &m);
}

static void asked_drop(struct pool *pool)
{
	pool->asked_first = (pool->asked_first + 1) % LIMIT_POOL_MAX;
	pool->n_asked--;
}

/* How many proxy connections are still to be counted on. */
static int asked_count(struct control *c)
{
	struct pool *pool = &c->pool;
	uint64_t now = loop_now(c->worker->loop), age = loop_scaled(LIMIT_ASKED_MS);

	while (pool->n_asked > 0 && now - pool->asked[pool->asked_first] >= age)
		asked_drop(pool);
	return pool->n_asked;
}

void pool_warm(struct control *c)
{
	if (!c->pool.n_idle && !asked_count(c))
		pool_ask(c);
}

/* One for the one that was taken, as the Go server does, but never more than the pool may hold. */
static void refill(struct control *c)
{
	if (c->pool.n_idle + asked_count(c) - c->pool.n_waiting < c->pool.limit)
		pool_ask(c);
}

/* ---- idle connections ---- */

static struct stream *proxy_take(struct proxy *x)
{
	struct control *c = x->control;
	struct stream *s = x->stream;

	TAILQ_REMOVE(&c->pool.idle, x, link);
	c->pool.n_idle--;
	stream_want(s, 0);
	stream_on_ready(s, NULL, NULL);
	loop_free_later(c->worker->loop, x, NULL);
	return s;
}

static void proxy_close(struct proxy *x, const char *why)
{
	log_debug(x->control->name, "A waiting proxy connection was closed: %s", why);
	stream_close(proxy_take(x), false);
}

/* Before StartProxy there is nothing a client may say: whatever comes, it is of no use any more. */
static void proxy_ready(void *arg, int dirs)
{
	struct proxy *x = arg;
	char byte;
	size_t n;

	(void)dirs;
	switch (stream_read(x->stream, &byte, 1, &n)) {
	case STREAM_AGAIN:
		break;
	case STREAM_OK:
		proxy_close(x, "it spoke before its turn");
		break;
	case STREAM_EOF:
		proxy_close(x, "its client closed it");
		break;
	case STREAM_ABORT:
		proxy_close(x, stream_error(x->stream));
		break;
	}
}

static void proxy_new(struct control *c, struct stream *s)
{
	struct proxy *x = xcalloc(1, sizeof(*x));

	x->control = c;
	x->stream = s;
	TAILQ_INSERT_TAIL(&c->pool.idle, x, link);
	c->pool.n_idle++;
	stream_on_ready(s, proxy_ready, x);
	stream_want(s, STREAM_READ);
}

/* ---- bringing together ---- */

void pool_add(struct control *c, struct stream *s)
{
	struct pool *pool = &c->pool;
	struct public *p = TAILQ_FIRST(&pool->waiting);

	if (pool->n_asked > 0)
		asked_drop(pool);
	if (p) {
		if (public_join(p, s))
			refill(c);
		else
			pool_ask(c); /* that connection was dead: the visitor waits for another */
	} else if (pool->n_idle < pool->limit) {
		proxy_new(c, s);
	} else {
		log_debug(c->name, "One proxy connection too many");
		stream_close(s, false);
	}
}

/* False: no session can carry it. */
static bool serve_mux(struct control *c, struct public *p)
{
	struct stream *s = p->route->mux ? mux_link_open(c) : NULL;

	return s && public_join(p, s);
}

void pool_mux_up(struct control *c)
{
	struct public *p, *next;

	for (p = TAILQ_FIRST(&c->pool.waiting); p; p = next) {
		next = TAILQ_NEXT(p, wait_link);
		(void)serve_mux(c, p);
	}
}

bool pool_serve(struct control *c, struct public *p)
{
	struct pool *pool = &c->pool;
	struct proxy *x;

	if (serve_mux(c, p))
		return true;
	while ((x = TAILQ_FIRST(&pool->idle))) {
		if (public_join(p, proxy_take(x))) {
			refill(c);
			return true;
		}
	}
	if (pool->n_waiting >= LIMIT_WAITING)
		return false;
	TAILQ_INSERT_TAIL(&pool->waiting, p, wait_link);
	pool->n_waiting++;
	pool->missed = true;
	if (pool->limit < pool->n_waiting && pool->n_waiting <= LIMIT_POOL_MAX)
		pool->limit = pool->n_waiting;
	pool_ask(c);
	return true;
}

void pool_forget(struct control *c, struct public *p)
{
	TAILQ_REMOVE(&c->pool.waiting, p, wait_link);
	c->pool.n_waiting--;
}

void pool_rest(struct control *c)
{
	struct pool *pool = &c->pool;

	if (!pool->missed)
		pool->limit = pool->limit / 2 > LIMIT_POOL ? pool->limit / 2 : LIMIT_POOL;
	pool->missed = false;
}

void pool_close(struct control *c)
{
	assert(TAILQ_EMPTY(&c->pool.waiting)); /* they went with their tunnels */
	while (!TAILQ_EMPTY(&c->pool.idle))
		proxy_close(TAILQ_FIRST(&c->pool.idle), "its control connection closed");
}
