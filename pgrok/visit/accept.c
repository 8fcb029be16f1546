/* A visitor's stream has come: which tunnel is it for? */
#include <string.h>

#include "common/base/log.h"
#include "pgrok/config/limits.h"
#include "pgrok/visit/visit_in.h"

static void on_parked(void *arg)
{
	visit_close(arg, LOG_WARN, true, "no tunnel has this address");
}

static void park(struct visit *v)
{
	visit_set_state(v, VISIT_PARKED);
	visit_wait(v, LIMIT_PARKED_MS, on_parked);
}

void visit_accept(struct visits *all, struct stream *s, const struct visit_info *info)
{
	const struct model_tunnel *t = info->tunnel;
	struct visit *v = xcalloc(1, sizeof(*v));

	v->all = all;
	v->id = ++all->ids;
	v->stream = s;
	v->url = xstrdup(t ? t->url : info->url);
	v->peer = xstrdup(info->peer);
	v->since = loop_now(all->loop);
	TAILQ_INSERT_HEAD(&all->list, v, link);
	if (!t)
		t = model_find(all->conf.model, v->url);
	if (t) {
		visit_serve(v, t);
	} else if (all->conf.model->tunnels_owed) {
		park(v);
	} else {
		visit_log(v, LOG_WARN, "Visitor of unknown tunnel %s", v->url);
		on_parked(v);
	}
}

/* ---- those who wait ---- */

static void retry(struct visit *v)
{
	const struct model_tunnel *t = model_find(v->all->conf.model, v->url);

	if (!t)
		return;
	loop_timer_stop(v->timer);
	visit_serve(v, t);
}

/* The next parked one from v on; NULL: none. */
static struct visit *parked_from(struct visit *v)
{
	while (v && v->state != VISIT_PARKED)
		v = TAILQ_NEXT(v, link);
	return v;
}

void visits_tunnel_up(struct visits *all)
{
	struct visit *next;

	for (struct visit *v = parked_from(TAILQ_FIRST(&all->list)); v; v = next) {
		next = parked_from(TAILQ_NEXT(v, link));
		retry(v);
	}
}

void visits_drop_parked(struct visits *all, const char *reason)
{
	struct visit *next;

	for (struct visit *v = parked_from(TAILQ_FIRST(&all->list)); v; v = next) {
		next = parked_from(TAILQ_NEXT(v, link));
		visit_close(v, LOG_DEBUG, true, reason);
	}
}
