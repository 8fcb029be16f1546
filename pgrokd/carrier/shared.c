/* The shared kind of connection: a mux session, over which any number of visitors go as streams. */
#include "common/net/socket.h"
#include "pgrokd/carrier/parts.h"

static int shared_limit(struct carrier *c)
{
	(void)c;
	return LIMIT_MUX;
}

static void shared_down(void *arg, const char *why)
{
	carrier_link_close(arg, why);
}

static const struct mux_hooks shared_hooks = {.down = shared_down};

static void shared_start(struct carrier_link *k, struct stream *s)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};

	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	k->mux = mux_new(s, &conf, k->carrier->memory, &shared_hooks, k);
}

static struct stream *shared_open(struct carrier_link *k)
{
	return mux_open(k->mux);
}

static void shared_stop(struct carrier_link *k)
{
	mux_close(k->mux, false);
}

const struct carrier_ops carrier_shared = {
	.name = "shared",
	.shares = true,
	.limit = shared_limit,
	.start = shared_start,
	.open = shared_open,
	.stop = shared_stop,
};
