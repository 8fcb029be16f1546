/* What every worker has and has done, asked by message. */
#include "pgrokd/core/census.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/log.h"

/* The question to one worker; comes back with the answer. */
struct form {
	struct loop_msg msg;
	struct poll *poll;
	struct census_row row;
};

/* On the asking thread, but for what is in a form that is under way. */
struct poll {
	struct loop *home;
	census_fn *done;
	void *arg;
	int n, missing;
	struct census census; /* at the end */
	struct form form[];   /* [n] */
};

static void add(struct census_row *sum, const struct census_row *row)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)row;

	for (size_t i = 0; i < sizeof(*row) / sizeof(*from); i++)
		to[i] += from[i];
}

static void poll_end(struct poll *poll)
{
	struct census *c = &poll->census;

	c->n_workers = poll->n;
	for (int i = 0; i < poll->n; i++) {
		c->row[i] = poll->form[i].row;
		add(&c->total, &c->row[i]);
	}
	poll->done(poll->arg, c);
	free(poll);
}

static void form_deliver(struct loop_msg *m, struct loop *l)
{
	struct poll *poll = ((struct form *)m)->poll;

	(void)l;
	if (--poll->missing == 0)
		poll_end(poll);
}

static void form_drop(struct loop_msg *m)
{
	struct poll *poll = ((struct form *)m)->poll;

	if (--poll->missing == 0)
		free(poll);
}

/* On the worker. */
static void fill(struct worker *w, void *arg)
{
	struct form *form = arg;

	form->row = (struct census_row){
		.half_open = (uint64_t)w->n_guests,
		.clients = idmap_count(w->clients),
		.tunnels = idmap_count(w->tunnels),
		.count = w->count,
	};
	loop_post(form->poll->home, &form->msg);
}

static void leave_empty(void *arg)
{
	struct form *form = arg;

	loop_post(form->poll->home, &form->msg);
}

void census_ask(const struct core *core, struct loop *home, census_fn *done, void *arg)
{
	size_t n = (size_t)core->n_workers;
	struct poll *poll = xcalloc(1, sizeof(*poll) + n * sizeof(poll->form[0]));

	poll->home = home;
	poll->done = done;
	poll->arg = arg;
	poll->n = poll->missing = core->n_workers;
	for (int i = 0; i < poll->n; i++) {
		struct form *form = &poll->form[i];

		form->msg.deliver = form_deliver;
		form->msg.drop = form_drop;
		form->poll = poll;
		worker_call(&core->worker[i], fill, leave_empty, form);
	}
}

/* ---- as text ---- */

static void log_row(const char *who, const struct census_row *row)
{
	const struct counters *c = &row->count;

	log_info("census",
		 "%s: now half-open %" PRIu64 ", clients %" PRIu64 ", tunnels %" PRIu64
		 ", visitors waiting %" PRIu64 ", joined %" PRIu64
		 "; since the start accepted http %" PRIu64 ", https %" PRIu64 ", tunnel %" PRIu64
		 ", shed %" PRIu64 ", moved %" PRIu64 ", clients %" PRIu64 ", tunnels %" PRIu64
		 ", visitors %" PRIu64 ", pages %" PRIu64 ", bytes in %" PRIu64 ", out %" PRIu64
		 ", access log lines lost %" PRIu64,
		 who, row->half_open, row->clients, row->tunnels, c->waiting_now, c->joined_now,
		 c->accepted[PORT_HTTP], c->accepted[PORT_HTTPS], c->accepted[PORT_TUNNEL],
		 counted_sum(c->shed, SHEDS), c->moved, c->clients, c->tunnels, c->joined,
		 counted_sum(c->pages, COUNTED_PAGES), c->bytes[0], c->bytes[1],
		 c->journal[LINES_LOST]);
}

void census_log(void *arg, const struct census *c)
{
	char who[24];

	(void)arg;
	for (int i = 0; i < c->n_workers; i++) {
		snprintf(who, sizeof(who), "worker:%d", i);
		log_row(who, &c->row[i]);
	}
	log_row("total", &c->total);
}
