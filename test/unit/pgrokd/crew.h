/* For tests of core/: workers without a server around them. */
#ifndef TEST_UNIT_PGROKD_CREW_H
#define TEST_UNIT_PGROKD_CREW_H

#include "pgrokd/core/settings.h"
#include "pgrokd/core/worker.h"

#define CREW 3

struct crew {
	struct config config;
	struct core core;
	struct worker worker[CREW];
};

/* Makes them; none runs. */
static void crew_make(struct crew *c, struct settings *settings)
{
	*c = (struct crew){.core = {.config = &c->config, .worker = c->worker, .n_workers = CREW}};
	c->core.registry = registry_new(CREW);
	for (int i = 0; i < CREW; i++)
		worker_init(&c->worker[i], &c->core, i, settings ? settings_ref(settings) : NULL);
}

static void crew_stop_one(struct worker *w, void *arg)
{
	(void)arg;
	loop_stop(w->loop);
}

/* Starts all, waits until each has done what was asked of it, and ends them. */
static void crew_run(struct crew *c)
{
	for (int i = 0; i < CREW; i++)
		assert_true(worker_start(&c->worker[i]));
	for (int i = 0; i < CREW; i++)
		worker_call(&c->worker[i], crew_stop_one, NULL, NULL);
	for (int i = 0; i < CREW; i++)
		worker_join(&c->worker[i]);
}

static void crew_free(struct crew *c)
{
	for (int i = 0; i < CREW; i++) {
		settings_unref(c->worker[i].settings);
		worker_free(&c->worker[i]);
	}
	registry_free(c->core.registry);
}

#endif
