/* A worker: one thread, its loop, and all that lives on it. */
#include "pgrokd/core/worker.h"

#include <stdlib.h>

static void next_turn(void *arg)
{
	struct worker *w = arg;

	w->closes = 0;
}

void worker_closes(struct worker *w, int n)
{
	w->closes += n;
	loop_next_tick(w->loop, &w->turn);
}

void worker_init(struct worker *w, const struct core *core, int index, struct settings *settings)
{
	w->core = core;
	w->index = index;
	w->settings = settings;
	w->loop = loop_new();
	w->turn = (struct loop_tick){.fn = next_turn, .arg = w};
	TAILQ_INIT(&w->guests);
	TAILQ_INIT(&w->silent);
	TAILQ_INIT(&w->visitors);
	TAILQ_INIT(&w->unheard);
	TAILQ_INIT(&w->paused);
	w->client_ids = strmap_new();
	w->clients = idmap_new();
	w->tunnels = idmap_new();
	w->tickets = idmap_new();
}

void worker_free(struct worker *w)
{
	loop_free(w->loop);
	strmap_free(w->client_ids);
	idmap_free(w->clients);
	idmap_free(w->tunnels);
	idmap_free(w->tickets);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	return NULL;
}

bool worker_start(struct worker *w)
{
	return pthread_create(&w->thread, NULL, worker_run, w) == 0;
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

struct call {
	struct loop_msg msg;
	struct worker *worker;
	void (*fn)(struct worker *w, void *arg);
	void (*drop)(void *arg);
	void *arg;
};

static void call_deliver(struct loop_msg *m, struct loop *l)
{
	struct call *call = (struct call *)m;

	(void)l;
	call->fn(call->worker, call->arg);
	free(call);
}

static void call_drop(struct loop_msg *m)
{
	struct call *call = (struct call *)m;

	if (call->drop)
		call->drop(call->arg);
	free(call);
}

void worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void (*drop)(void *arg),
		 void *arg)
{
	struct call *call = xcalloc(1, sizeof(*call));

	*call = (struct call){
		.msg = {.deliver = call_deliver, .drop = call_drop},
		.worker = w,
		.fn = fn,
		.drop = drop,
		.arg = arg,
	};
	loop_post(w->loop, &call->msg);
}
