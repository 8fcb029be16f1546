/* Connections to the server that carry one visitor after the other. */
#include "pgrok/uplink/reused.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "common/net/listener.h"
#include "common/base/log.h"
#include "common/mux/mux.h"

struct lane {
	TAILQ_ENTRY(lane) link;
	struct lanes *all;
	struct mux *mux;
	bool busy;
};

TAILQ_HEAD(lane_list, lane);

struct lanes {
	struct loop *loop;
	struct mux_account *memory;
	struct lane_list list;
	unsigned idle;
	lane_fn *fn;
	void *arg;
};

static void set_busy(struct lane *ln, bool busy)
{
	if (ln->busy == busy)
		return;
	ln->busy = busy;
	ln->all->idle += busy ? -1u : 1u;
}

/* Takes ln; a stream on it runs on. */
static void lane_close(struct lane *ln)
{
	set_busy(ln, true);
	TAILQ_REMOVE(&ln->all->list, ln, link);
	mux_close(ln->mux, false);
	loop_free_later(ln->all->loop, ln, NULL);
}

static void on_accepted(void *arg, struct stream *s)
{
	struct lane *ln = arg;

	set_busy(ln, true);
	ln->all->fn(ln->all->arg, s);
}

static void on_idle(void *arg)
{
	set_busy(arg, false);
}

static void on_down(void *arg, const char *why)
{
	log_debug("lane", "closed: %s", why);
	lane_close(arg);
}

static const struct mux_hooks hooks = {.accepted = on_accepted, .down = on_down, .idle = on_idle};

void lanes_add(struct lanes *all, struct stream *s)
{
	/* The last frames of one visitor and the first of the next may come together. */
	static const struct mux_conf conf = {
		.start_window = MUX_WINDOW_START, .max_streams = MUX_STREAMS_MAX, .alone = true};
	struct lane *ln = xcalloc(1, sizeof *ln);

	socket_always_read(stream_fd(s));
	socket_shared(stream_fd(s));
	ln->all = all;
	ln->mux = mux_new(s, &conf, all->memory, &hooks, ln);
	all->idle++;
	TAILQ_INSERT_TAIL(&all->list, ln, link);
}

unsigned lanes_idle(const struct lanes *all)
{
	return all->idle;
}

struct lanes *lanes_new(struct loop *l, struct mux_account *memory, lane_fn *fn, void *arg)
{
	struct lanes *all = xcalloc(1, sizeof *all);

	TAILQ_INIT(&all->list);
	all->loop = l;
	all->memory = memory;
	all->fn = fn;
	all->arg = arg;
	return all;
}

void lanes_drop(struct lanes *all)
{
	while (!TAILQ_EMPTY(&all->list))
		lane_close(TAILQ_FIRST(&all->list));
}

void lanes_free(struct lanes *all)
{
	lanes_drop(all);
	loop_free_later(all->loop, all, NULL);
}
