/* All visitors together. */
#include <stdlib.h>

#include "common/base/log.h"
#include "pgrok/visit/visit_in.h"

struct visits *visits_new(struct loop *l, const struct visits_conf *conf)
{
	struct visits *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->conf = *conf;
	TAILQ_INIT(&all->list);
	return all;
}

void visits_close(struct visits *all, const char *reason)
{
	if (!all)
		return;
	while (!TAILQ_EMPTY(&all->list))
		visit_close(TAILQ_FIRST(&all->list), LOG_DEBUG, true, reason);
	loop_free_later(all->loop, all, NULL);
}

void visits_bytes(const struct visits *all, uint64_t *in, uint64_t *out)
{
	const struct visit *v;

	*in = *out = 0;
	TAILQ_FOREACH(v, &all->list, link)
	{
		if (!v->pair)
			continue;
		*in += pair_bytes(v->pair, SIDE_VISITOR);
		*out += pair_bytes(v->pair, SIDE_SERVICE);
	}
}

bool visits_serve(const struct visits *all, const struct config_tunnel *t)
{
	const struct visit *v;

	TAILQ_FOREACH(v, &all->list, link)
	{
		for (int p = 0; p < PROTOS; p++) {
			if (v->local == &t->local[p])
				return true;
		}
	}
	return false;
}

bool visits_at_inspector(const struct visits *all, const struct addr *near)
{
	const struct visit *v = TAILQ_FIRST(&all->list);

	while (v && (!v->near || v->near != addr_get_port(near)))
		v = TAILQ_NEXT(v, link);
	return v;
}
