/* Connections to the server that carry one visitor after the other. */
#include "pgrok/uplink/reused.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/net/socket.h"
#include "common/base/log.h"
#include "common/mux/mux.h"

/* One of them. */
struct conn {
	TAILQ_ENTRY(conn) link;
	struct reused *all;
	struct mux *mux;
	uint64_t since; /* loop_now() */
	bool busy;
};

TAILQ_HEAD(conn_list, conn);

struct reused {
	struct loop *loop;
	struct mux_account *memory;
	struct conn_list list;
	unsigned idle;
	reused_fn *fn;
	void *arg;
};

static void set_busy(struct conn *c, bool busy)
{
	if (c->busy == busy)
		return;
	c->busy = busy;
	c->all->idle += busy ? -1u : 1u;
}

/* Takes c; a stream on it runs on. */
static void conn_close(struct conn *c, const char *reason)
{
	struct loop *l = c->all->loop;

	log_debug("reused", "Closed: %s (age %.1f s)", reason,
		  (double)(loop_now(l) - c->since) / 1000);
	set_busy(c, true);
	TAILQ_REMOVE(&c->all->list, c, link);
	mux_close(c->mux, false);
	loop_free_later(l, c, NULL);
}

static void on_accepted(void *arg, struct stream *s)
{
	struct conn *c = arg;

	set_busy(c, true);
	c->all->fn(c->all->arg, s);
}

static void on_idle(void *arg)
{
	set_busy(arg, false);
}

static void on_down(void *arg, const char *why)
{
	conn_close(arg, why);
}

static const struct mux_hooks hooks = {.accepted = on_accepted, .down = on_down, .idle = on_idle};

void reused_add(struct reused *all, struct stream *s)
{
	/* The last frames of one visitor and the first of the next may come together. */
	static const struct mux_conf conf = {
		.start_window = MUX_WINDOW_START, .max_streams = MUX_STREAMS_MAX, .alone = true};
	struct conn *c = xcalloc(1, sizeof(*c));

	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	c->all = all;
	c->since = loop_now(all->loop);
	c->mux = mux_new(s, &conf, all->memory, &hooks, c);
	all->idle++;
	TAILQ_INSERT_TAIL(&all->list, c, link);
}

unsigned reused_idle(const struct reused *all)
{
	return all->idle;
}

struct reused *reused_new(struct loop *l, struct mux_account *memory, reused_fn *fn, void *arg)
{
	struct reused *all = xcalloc(1, sizeof(*all));

	TAILQ_INIT(&all->list);
	all->loop = l;
	all->memory = memory;
	all->fn = fn;
	all->arg = arg;
	return all;
}

void reused_drop(struct reused *all, const char *reason)
{
	while (!TAILQ_EMPTY(&all->list))
		conn_close(TAILQ_FIRST(&all->list), reason);
}

void reused_close(struct reused *all, const char *reason)
{
	reused_drop(all, reason);
	loop_free_later(all->loop, all, NULL);
}
