/* Who has how many of something, and which of them is the oldest. */
#include "pgrokd/names/quota.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"

struct quota_group {
	TAILQ_HEAD(, quota_seat) seats; /* the oldest first */
	int n;
	char who[];
};

struct quota {
	struct strmap *groups;
	int max;
};

struct quota *quota_new(int max)
{
	struct quota *q = xcalloc(1, sizeof(*q));

	q->groups = strmap_new();
	q->max = max;
	return q;
}

void quota_free(struct quota *q)
{
	strmap_free(q->groups);
	free(q);
}

void *quota_full(const struct quota *q, const char *who)
{
	const struct quota_group *g = *who ? strmap_get(q->groups, who) : NULL;

	return g && g->n >= q->max ? TAILQ_FIRST(&g->seats)->item : NULL;
}

static struct quota_group *group_new(struct quota *q, const char *who)
{
	size_t len = strlen(who) + 1;
	struct quota_group *g = xcalloc(1, sizeof(*g) + len);

	TAILQ_INIT(&g->seats);
	memcpy(g->who, who, len);
	strmap_put(q->groups, who, g);
	return g;
}

void quota_enter(struct quota *q, const char *who, struct quota_seat *s, void *item)
{
	if (!*who)
		return;
	s->group = strmap_get(q->groups, who);
	if (!s->group)
		s->group = group_new(q, who);
	s->item = item;
	TAILQ_INSERT_TAIL(&s->group->seats, s, link);
	s->group->n++;
}

void quota_leave(struct quota *q, struct quota_seat *s)
{
	struct quota_group *g = s->group;

	if (!g)
		return;
	TAILQ_REMOVE(&g->seats, s, link);
	s->group = NULL;
	if (--g->n == 0) {
		strmap_del(q->groups, g->who);
		free(g);
	}
}
