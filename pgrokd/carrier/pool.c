/* Proxy connections that wait for a visitor, visitors that wait for a proxy connection. */
#include "pgrokd/carrier/pool.h"

#include <assert.h>

#include "common/mux/mux.h"
#include "common/net/listener.h"
#include "pgrokd/client/client.h"
#include "pgrokd/visitor/visitor.h"

struct proxy {
	TAILQ_ENTRY(proxy) link;
	struct control *control;
	struct stream *stream; /* an ordinary one; else NULL */
	struct mux *mux;       /* one that comes back; else NULL */
	bool busy;             /* on that list */
};

void pool_init(struct control *c)
{
	TAILQ_INIT(&c->pool.idle);
	TAILQ_INIT(&c->pool.busy);
	TAILQ_INIT(&c->pool.waiting);
}

/* ---- asking ---- */

void pool_ask(struct control *c)
{
	struct pool *pool = &c->pool;
	struct msg m = msg_new(MSG_REQ_PROXY);

	if (pool->n_asked < POOL_ASKED) {
		int last = (pool->asked_first + pool->n_asked++) % POOL_ASKED;

		pool->asked[last] = (uint32_t)loop_now(c->worker->loop);
	}
	control_send(c, &m);
}

static void asked_drop(struct pool *pool)
{
	pool->asked_first = (pool->asked_first + 1) % POOL_ASKED;
	pool->n_asked--;
}

/* How many proxy connections are still to be counted on. */
static int asked_count(struct control *c)
{
	struct pool *pool = &c->pool;
	uint32_t now = (uint32_t)loop_now(c->worker->loop);
	uint32_t age = (uint32_t)loop_scaled(LIMIT_ASKED_MS);

	while (pool->n_asked > 0 && now - pool->asked[pool->asked_first] >= age)
		asked_drop(pool);
	return pool->n_asked;
}

/* A connection has come, probably the one that was asked for first. */
static void asked_came(struct control *c)
{
	struct pool *pool = &c->pool;
	uint32_t ms;

	if (!pool->n_asked)
		return;
	ms = (uint32_t)loop_now(c->worker->loop) - pool->asked[pool->asked_first];
	pool->fetch_ms = pool->fetch_ms ? (3 * pool->fetch_ms + ms) / 4 : ms;
	asked_drop(pool);
}

/* The counts of this second and the last, as of now. */
static void taken_tick(struct control *c)
{
	struct pool *pool = &c->pool;
	uint64_t age = loop_now(c->worker->loop) - pool->second;

	if (age < 1000)
		return;
	pool->taken_was = age < 2000 ? pool->taken : 0;
	pool->taken = 0;
	pool->second = loop_now(c->worker->loop);
}

/*
 * How many should be waiting. As many as will be used up until one that is asked for now is here,
 * twice that because visitors come in bunches; and as many as waited at once lately.
 */
static int wanted(struct control *c)
{
	struct pool *pool = &c->pool;

	taken_tick(c);
	uint64_t rate = (uint64_t)(pool->taken > pool->taken_was ? pool->taken : pool->taken_was);
	uint64_t n = 1 + 2 * rate * pool->fetch_ms / 1000;

	if (n < (uint64_t)pool->burst)
		n = (uint64_t)pool->burst;
	return n < LIMIT_POOL_MAX ? (int)n : LIMIT_POOL_MAX;
}

void pool_warm(struct control *c)
{
	if (!c->pool.n_idle && !asked_count(c))
		pool_ask(c);
}

/* After one was taken: at least one more, as the Go server does, unless enough are there. */
static void refill(struct control *c)
{
	int missing = wanted(c) + c->pool.n_waiting - c->pool.n_idle - asked_count(c);

	while (missing-- > 0)
		pool_ask(c);
}

/* ---- idle connections ---- */

static void proxy_leave(struct proxy *x)
{
	struct pool *pool = &x->control->pool;

	if (x->busy) {
		TAILQ_REMOVE(&pool->busy, x, link);
		return;
	}
	TAILQ_REMOVE(&pool->idle, x, link);
	pool->n_idle--;
	if (pool->low > pool->n_idle)
		pool->low = pool->n_idle;
}

/* Takes x. One that is in use ends when its visitor has gone. */
static void proxy_close(struct proxy *x, const char *why)
{
	log_debug(x->control->name, "A %s proxy connection was closed: %s",
		  x->busy ? "used" : "waiting", why);
	proxy_leave(x);
	if (x->mux)
		mux_close(x->mux, false);
	else
		stream_close(x->stream, false);
	loop_free_later(x->control->worker->loop, x, NULL);
}

/* A stream for a visitor; NULL: this one is of no use any more, and closed. */
static struct stream *proxy_take(struct proxy *x)
{
	struct control *c = x->control;
	struct stream *s = x->stream;

	if (s) {
		proxy_leave(x);
		taken_tick(c);
		c->pool.taken++;
		stream_want(s, 0);
		stream_on_ready(s, NULL, NULL);
		loop_free_later(c->worker->loop, x, NULL);
		return s;
	}
	s = mux_open(x->mux);
	if (!s) {
		proxy_close(x, "it carries no more streams");
		return NULL;
	}
	proxy_leave(x);
	x->busy = true;
	TAILQ_INSERT_TAIL(&c->pool.busy, x, link);
	return s;
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

static struct proxy *proxy_new(struct control *c)
{
	struct proxy *x = xcalloc(1, sizeof(*x));

	x->control = c;
	TAILQ_INSERT_TAIL(&c->pool.idle, x, link);
	c->pool.n_idle++;
	return x;
}

static void proxy_add(struct control *c, struct stream *s)
{
	struct proxy *x = proxy_new(c);

	x->stream = s;
	stream_on_ready(s, proxy_ready, x);
	stream_want(s, STREAM_READ);
}

/* ---- connections that come back ---- */

static void reusable_down(void *arg, const char *why)
{
	proxy_close(arg, why);
}

/* Its visitor has gone, and left nothing behind. */
static void reusable_idle(void *arg)
{
	struct proxy *x = arg;
	struct pool *pool = &x->control->pool;
	struct public *p = TAILQ_FIRST(&pool->waiting);

	if (!x->busy)
		return;
	if (!p && pool->n_idle >= LIMIT_POOL_MAX) {
		proxy_close(x, "enough are waiting");
		return;
	}
	TAILQ_REMOVE(&pool->busy, x, link);
	x->busy = false;
	/* Those used last are taken first: what nobody needs stays at the end. */
	TAILQ_INSERT_HEAD(&pool->idle, x, link);
	pool->n_idle++;
	if (p) {
		struct stream *s = proxy_take(x);

		(void)(s && public_join(p, s));
	}
}

static const struct mux_hooks reusable_hooks = {.down = reusable_down, .idle = reusable_idle};

static void reusable_add(struct control *c, struct stream *s)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = 1,
					     .alone = true};
	struct proxy *x = proxy_new(c);

	socket_always_read(stream_fd(s));
	socket_shared(stream_fd(s));
	x->mux = mux_new(s, &conf, c->memory, &reusable_hooks, x);
}

/* ---- bringing together ---- */

/* The newest connection goes to whoever waits longest. */
static void serve_waiting(struct control *c)
{
	struct public *p = TAILQ_FIRST(&c->pool.waiting);
	struct stream *s = p ? proxy_take(TAILQ_LAST(&c->pool.idle, proxy_list)) : NULL;

	if (!p)
		return;
	if (s && public_join(p, s))
		refill(c);
	else
		pool_ask(c); /* that connection was dead: the visitor waits for another */
}

/* Is there a use for one more? */
static bool welcome(struct control *c, int limit)
{
	struct pool *pool = &c->pool;

	asked_came(c);
	if (!TAILQ_EMPTY(&pool->waiting) || pool->n_idle < limit)
		return true;
	log_debug(c->name, "One proxy connection too many");
	return false;
}

void pool_add(struct control *c, struct stream *s)
{
	int limit = wanted(c);

	if (!welcome(c, limit > LIMIT_POOL ? limit : LIMIT_POOL)) {
		stream_close(s, false);
		return;
	}
	proxy_add(c, s);
	serve_waiting(c);
}

void pool_add_reusable(struct control *c, struct stream *s)
{
	/* One that nobody needs now is needed the next time that many come at once. */
	if (!welcome(c, LIMIT_POOL_MAX) || !mux_link_say(s)) {
		stream_close(s, false);
		return;
	}
	reusable_add(c, s);
	serve_waiting(c);
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

static bool serve_idle(struct control *c, struct public *p)
{
	struct proxy *x;

	while ((x = TAILQ_FIRST(&c->pool.idle))) {
		struct stream *s = proxy_take(x);

		if (s && public_join(p, s)) {
			refill(c);
			return true;
		}
	}
	return false;
}

bool pool_serve(struct control *c, struct public *p)
{
	struct pool *pool = &c->pool;

	if (serve_mux(c, p) || serve_idle(c, p))
		return true;
	if (pool->n_waiting >= LIMIT_WAITING)
		return false;
	TAILQ_INSERT_TAIL(&pool->waiting, p, wait_link);
	pool->n_waiting++;
	pool->missed = true;
	if (pool->burst < pool->n_waiting)
		pool->burst = pool->n_waiting < LIMIT_POOL_MAX ? pool->n_waiting : LIMIT_POOL_MAX;
	pool_ask(c);
	return true;
}

void pool_forget(struct control *c, struct public *p)
{
	TAILQ_REMOVE(&c->pool.waiting, p, wait_link);
	c->pool.n_waiting--;
}

/* Of those that nobody needed since the last time, and nobody is expected to, half go. */
static void trim(struct control *c)
{
	struct pool *pool = &c->pool;
	int low = pool->low < pool->n_idle ? pool->low : pool->n_idle;
	int surplus = (low - wanted(c) + 1) / 2;

	while (surplus-- > 0)
		proxy_close(TAILQ_LAST(&pool->idle, proxy_list), "nobody needed it");
	pool->low = pool->n_idle;
}

void pool_rest(struct control *c)
{
	struct pool *pool = &c->pool;

	if (!pool->missed)
		pool->burst /= 2;
	pool->missed = false;
	trim(c);
}

void pool_close(struct control *c)
{
	struct pool *pool = &c->pool;

	assert(TAILQ_EMPTY(&pool->waiting)); /* they went with their tunnels */
	while (!TAILQ_EMPTY(&pool->idle))
		proxy_close(TAILQ_FIRST(&pool->idle), "its control connection closed");
	while (!TAILQ_EMPTY(&pool->busy))
		proxy_close(TAILQ_FIRST(&pool->busy), "its control connection closed");
}
