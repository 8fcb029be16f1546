/*
 * The connections that carry one visitor at a time: which are idle, and when to ask for more. Here
 * too, because it is nothing more than a place in the pool: the pooled kind.
 */
#include "common/base/log.h"
#include "pgrokd/carrier/parts.h"

static void ask_again(void *arg)
{
	struct carrier *c = arg;

	if (!c->n_waiting)
		return;
	pool_refill(c);
	loop_after(&c->pool.again, LIMIT_ASKED_MS);
}

void pool_init(struct carrier *c)
{
	TAILQ_INIT(&c->pool.idle);
	TAILQ_INIT(&c->pool.busy);
	loop_timer_init(&c->pool.again, c->loop, ask_again, c);
}

void pool_end(struct carrier *c)
{
	loop_timer_stop(&c->pool.again);
}

/* ---- asking ---- */

static void asked_drop(struct pool *pool)
{
	pool->asked_first = (pool->asked_first + 1) % LIMIT_ASKED;
	pool->n_asked--;
}

/* How many connections can still be counted on. */
static int asked_count(struct carrier *c)
{
	struct pool *pool = &c->pool;
	uint32_t now = (uint32_t)loop_now(c->loop);
	uint32_t age = (uint32_t)loop_scaled(LIMIT_ASKED_MS);

	while (pool->n_asked > 0 && now - pool->asked[pool->asked_first] >= age)
		asked_drop(pool);
	return pool->n_asked;
}

void pool_ask(struct carrier *c)
{
	struct pool *pool = &c->pool;
	int n = asked_count(c);

	if (n == LIMIT_ASKED)
		return;
	pool->asked[(pool->asked_first + n) % LIMIT_ASKED] = (uint32_t)loop_now(c->loop);
	pool->n_asked++;
	c->hooks->ask(c->arg);
}

void pool_came(struct carrier *c)
{
	struct pool *pool = &c->pool;
	uint32_t ms;

	if (!pool->n_asked)
		return;
	ms = (uint32_t)loop_now(c->loop) - pool->asked[pool->asked_first];
	pool->fetch_ms = pool->fetch_ms ? (3 * pool->fetch_ms + ms) / 4 : ms;
	asked_drop(pool);
}

/* The counts of this second and the last, as of now. */
static void taken_tick(struct carrier *c)
{
	struct pool *pool = &c->pool;
	uint64_t age = loop_now(c->loop) - pool->second;

	if (age < 1000)
		return;
	pool->taken_was = age < 2000 ? pool->taken : 0;
	pool->taken = 0;
	pool->second = loop_now(c->loop);
}

/*
 * How many should be idle. As many as will be used up until one that is asked for now is here,
 * twice that because visitors come in bunches; and as many as waited at once lately.
 */
static int wanted(struct carrier *c)
{
	struct pool *pool = &c->pool;

	taken_tick(c);
	uint64_t rate = (uint64_t)(pool->taken > pool->taken_was ? pool->taken : pool->taken_was);
	uint64_t n = 1 + 2 * rate * pool->fetch_ms / 1000;

	if (n < (uint64_t)pool->burst)
		n = (uint64_t)pool->burst;
	return n < LIMIT_POOL_MAX ? (int)n : LIMIT_POOL_MAX;
}

void pool_warm(struct carrier *c)
{
	if (!c->pool.n_idle && !asked_count(c))
		pool_ask(c);
}

void pool_refill(struct carrier *c)
{
	int under_way = asked_count(c);
	int missing = wanted(c) + c->n_waiting - c->pool.n_idle - under_way;

	if (missing > LIMIT_ASKED - under_way)
		missing = LIMIT_ASKED - under_way;
	while (missing-- > 0)
		pool_ask(c);
}

void pool_missed(struct carrier *c)
{
	struct pool *pool = &c->pool;

	pool->missed = true;
	if (pool->burst < c->n_waiting)
		pool->burst = c->n_waiting < LIMIT_POOL_MAX ? c->n_waiting : LIMIT_POOL_MAX;
	pool_ask(c);
	if (!loop_timer_pending(&pool->again))
		loop_after(&pool->again, LIMIT_ASKED_MS);
}

/* ---- idle and busy ---- */

void pool_put(struct carrier_link *k, bool first)
{
	struct pool *pool = &k->carrier->pool;

	k->busy = false;
	if (first)
		TAILQ_INSERT_HEAD(&pool->idle, k, link);
	else
		TAILQ_INSERT_TAIL(&pool->idle, k, link);
	pool->n_idle++;
}

void pool_leave(struct carrier_link *k)
{
	struct pool *pool = &k->carrier->pool;

	if (k->busy) {
		TAILQ_REMOVE(&pool->busy, k, link);
		return;
	}
	TAILQ_REMOVE(&pool->idle, k, link);
	pool->n_idle--;
	if (pool->low > pool->n_idle)
		pool->low = pool->n_idle;
}

void pool_busy(struct carrier_link *k)
{
	pool_leave(k);
	k->busy = true;
	TAILQ_INSERT_TAIL(&k->carrier->pool.busy, k, link);
}

/* Of those that were not needed since the last time, and are not expected to be, half go. */
static void trim(struct carrier *c)
{
	struct pool *pool = &c->pool;
	int low = pool->low < pool->n_idle ? pool->low : pool->n_idle;
	int surplus = (low - wanted(c) + 1) / 2;

	while (surplus-- > 0)
		carrier_link_close(TAILQ_LAST(&pool->idle, link_list), "not needed");
	pool->low = pool->n_idle;
}

void pool_rest(struct carrier *c)
{
	struct pool *pool = &c->pool;

	if (!pool->missed)
		pool->burst /= 2;
	pool->missed = false;
	trim(c);
}

/* ---- the pooled kind: an ordinary connection, for one visitor ---- */

/* As the Go server, or more if visitors come faster than connections. */
static int pooled_limit(struct carrier *c)
{
	int n = wanted(c);

	return n > LIMIT_POOL ? n : LIMIT_POOL;
}

/* A client may say nothing before its visitor has come: after a word it is of no use. */
static void pooled_ready(void *arg, int dirs)
{
	struct carrier_link *k = arg;
	char byte;
	size_t n;

	(void)dirs;
	switch (stream_read(k->stream, &byte, 1, &n)) {
	case STREAM_AGAIN:
		break;
	case STREAM_OK:
		carrier_link_close(k, "it spoke before its turn");
		break;
	case STREAM_EOF:
		carrier_link_close(k, "its client closed it");
		break;
	case STREAM_ABORT:
		carrier_link_close(k, stream_error(k->stream));
		break;
	}
}

static void pooled_start(struct carrier_link *k, struct stream *s)
{
	k->stream = s;
	stream_on_ready(s, pooled_ready, k);
	stream_want(s, STREAM_READ);
}

static struct stream *pooled_open(struct carrier_link *k)
{
	struct carrier *c = k->carrier;
	struct stream *s = k->stream;

	pool_leave(k);
	taken_tick(c);
	c->pool.taken++;
	stream_want(s, 0);
	stream_on_ready(s, NULL, NULL);
	loop_free_later(c->loop, k, NULL);
	return s;
}

static void pooled_stop(struct carrier_link *k)
{
	stream_close(k->stream, false);
}

const struct carrier_ops carrier_pooled = {
	.name = "pooled",
	.limit = pooled_limit,
	.start = pooled_start,
	.open = pooled_open,
	.stop = pooled_stop,
};
