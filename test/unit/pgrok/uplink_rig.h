/*
 * For tests of uplinks: a client with all that one needs, what it makes of its server, and what the
 * server noted. A test that includes this has included cmocka.
 */
#ifndef TEST_UNIT_PGROK_UPLINK_RIG_H
#define TEST_UNIT_PGROK_UPLINK_RIG_H

#include <stdio.h>
#include <string.h>

#include "pgrok/uplink/uplink.h"

#define TRIES 8

struct rig {
	struct loop *loop;
	struct config *config;
	struct model *model;
	struct model_watch watch;
	struct visits *visits;
	struct uplink *uplink; /* NULL: was not started */
	char heard[1024];      /* by the server */
	uint32_t waits[TRIES];
	unsigned tries;
	char error[320], refused[320], ordered[320];
};

static inline void note(struct rig *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline void note(struct rig *r, const char *fmt, ...)
{
	size_t used = strlen(r->heard);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->heard + used, sizeof(r->heard) - used, fmt, ap);
	va_end(ap);
}

static inline void rig_refused(void *arg, const char *text)
{
	struct rig *r = arg;

	snprintf(r->refused, sizeof(r->refused), "%s", text);
	loop_stop(r->loop);
}

static inline void rig_ordered(void *arg, const struct config_tunnel *t, const char *error)
{
	struct rig *r = arg;

	snprintf(r->ordered, sizeof(r->ordered), "%s: %s", t->name, error ? error : "up");
	loop_stop(r->loop);
}

static inline void rig_model(void *arg, const struct model *m, enum model_event ev)
{
	struct rig *r = arg;

	if (ev == MODEL_EV_STATE && m->retry_ms) {
		snprintf(r->error, sizeof(r->error), "%s", m->last_error);
		if (r->tries < TRIES)
			r->waits[r->tries++] = m->retry_ms;
	}
	loop_stop(r->loop);
}

static inline void rig_init(struct rig *r)
{
	r->loop = loop_new();
	r->config = config_new();
	r->model = model_new();
	r->watch = (struct model_watch){.fn = rig_model, .arg = r};
	model_watch(r->model, &r->watch);
	r->visits = visits_new(r->loop, &(struct visits_conf){.model = r->model});
}

/* Nothing listens where it leads. */
static inline struct config_tunnel *rig_tunnel(struct rig *r, const char *name)
{
	struct config_tunnel *t = config_add_tunnel(r->config, name);
	struct err err;

	assert_true(config_set_protos(t, "tcp", "127.0.0.1:9", name, &err));
	t->start = true;
	return t;
}

static inline void rig_start(struct rig *r, const struct uplink_ops *ops,
			     struct connector *connector)
{
	static const struct uplink_hooks hooks = {.on_refused = rig_refused,
						  .on_ordered = rig_ordered};

	r->uplink = ops->start(&(struct uplink_conf){.loop = r->loop,
						     .connector = connector,
						     .config = r->config,
						     .model = r->model,
						     .visits = r->visits,
						     .hooks = &hooks,
						     .arg = r});
}

/* The client ends; then its server may, then rig_free(). */
static inline void rig_stop(struct rig *r)
{
	visits_close(r->visits, "the test ends");
	if (r->uplink)
		r->uplink->ops->close(r->uplink, "the test ends");
}

static inline void rig_free(struct rig *r)
{
	loop_free(r->loop);
	model_free(r->model);
	config_free(r->config);
}

static inline void run_until_online(struct rig *r)
{
	while (r->model->state != MODEL_ONLINE)
		loop_run(r->loop);
}

static inline void run_until_tried(struct rig *r, unsigned tries)
{
	while (r->tries < tries)
		loop_run(r->loop);
}

#endif
