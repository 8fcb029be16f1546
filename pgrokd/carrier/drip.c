/*
 * The sessions of a Drip client: yamux to the letter, on whose streams nothing is said but what the
 * visitor says. The primary one lives as long as the client; it carries visitors only while there
 * are no others.
 */
#include "common/net/socket.h"
#include "pgrokd/carrier/parts.h"

static int session_limit(struct carrier *c)
{
	(void)c;
	return LIMIT_DRIP_SESSIONS;
}

static void session_down(void *arg, const char *why)
{
	struct carrier_link *k = arg;
	struct carrier *c = k->carrier;
	bool primary = k->ops->primary;

	carrier_link_close(k, why);
	if (primary)
		c->hooks->ended(c->arg, why);
}

static void session_room(void *arg)
{
	carrier_serve_sharers(((struct carrier_link *)arg)->carrier);
}

static void session_measured(void *arg)
{
	struct carrier *c = ((struct carrier_link *)arg)->carrier;

	c->hooks->alive(c->arg);
}

static const struct mux_hooks session_hooks = {
	.down = session_down, .room = session_room, .measured = session_measured};

static void session_start(struct carrier_link *k, struct stream *s)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = LIMIT_DRIP_WINDOW,
					     .max_streams = LIMIT_DRIP_STREAMS,
					     .prompt = true,
					     .fin_alone = true,
					     .close_ms = LIMIT_DRIP_CLOSE_MS,
					     .ping_ms = LIMIT_DRIP_PING_MS,
					     .ping_misses = LIMIT_DRIP_MISSES};

	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	k->mux = mux_new(s, &conf, k->carrier->memory, &session_hooks, k);
}

static struct stream *session_open(struct carrier_link *k)
{
	return mux_open(k->mux);
}

static void session_stop(struct carrier_link *k)
{
	mux_close(k->mux, false);
}

const struct carrier_ops carrier_data = {
	.name = "data",
	.shares = true,
	.limit = session_limit,
	.start = session_start,
	.open = session_open,
	.stop = session_stop,
};

const struct carrier_ops carrier_primary = {
	.name = "primary",
	.shares = true,
	.primary = true,
	.limit = session_limit,
	.start = session_start,
	.open = session_open,
	.stop = session_stop,
};
