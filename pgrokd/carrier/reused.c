/*
 * The reused kind of connection: between our own ends one may carry yamux with one stream at a
 * time. When its visitor has gone it is idle again, and the next visitor costs no handshake.
 */
#include "common/net/socket.h"
#include "pgrokd/carrier/parts.h"

/* One that is not needed now is needed the next time as many visitors come at once. */
static int reused_limit(struct carrier *c)
{
	(void)c;
	return LIMIT_POOL_MAX;
}

static void reused_down(void *arg, const char *why)
{
	carrier_link_close(arg, why);
}

/* Its visitor has gone, and left nothing behind. */
static void reused_idle(void *arg)
{
	struct carrier_link *k = arg;
	struct carrier *c = k->carrier;
	struct carrier_waiter *w = TAILQ_FIRST(&c->waiting);
	struct stream *s;

	if (!k->busy)
		return;
	if (!w && c->pool.n_idle >= LIMIT_POOL_MAX) {
		carrier_link_close(k, "enough are idle");
		return;
	}
	pool_leave(k);
	/* Those used last are taken first: what is not needed stays at the end. */
	pool_put(k, true);
	if (w && carrier_link_serve(k, &w->visit, &s))
		carrier_hand_over(c, w, s);
}

static const struct mux_hooks reused_hooks = {.down = reused_down, .idle = reused_idle};

static void reused_start(struct carrier_link *k, struct stream *s)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = 1,
					     .alone = true};

	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	k->mux = mux_new(s, &conf, k->carrier->memory, &reused_hooks, k);
}

static struct stream *reused_open(struct carrier_link *k)
{
	struct stream *s = mux_open(k->mux);

	if (s)
		pool_busy(k);
	else
		carrier_link_close(k, "it carries no more streams");
	return s;
}

static void reused_stop(struct carrier_link *k)
{
	mux_close(k->mux, false);
}

const struct carrier_ops carrier_reused = {
	.name = "reused",
	.limit = reused_limit,
	.start = reused_start,
	.open = reused_open,
	.stop = reused_stop,
};
