/* The ReqTunnels of one control connection, and what came of them. */
#include "pgrok/uplink/requests.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/randid.h"

/* URLs of it that the server has not opened yet. */
static unsigned unanswered(const struct request *r)
{
	unsigned n = 0;

	for (int p = 0; p < PROTOS; p++)
		n += r->tunnel->local[p].text && !r->answered[p];
	return n;
}

struct request *requests_add(struct requests *all, const struct config_tunnel *t, bool ordered)
{
	all->list = xrealloc(all->list, (all->n + 1) * sizeof(*all->list));
	struct request *r = &all->list[all->n++];

	*r = (struct request){.tunnel = t, .ordered = ordered};
	rand_hex(r->id, 8);
	all->owed += unanswered(r);
	return r;
}

struct request *requests_find(struct requests *all, const char *id)
{
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(all->list[i].id, id) == 0)
			return &all->list[i];
	}
	return NULL;
}

struct request *requests_refused(struct requests *all, const char *id)
{
	struct request *r = requests_find(all, id), *last = NULL;

	if (r)
		return r->ordered ? r : NULL;
	for (size_t i = 0; i < all->n; i++) {
		if (!unanswered(&all->list[i]))
			continue;
		if (!all->list[i].ordered)
			return NULL;
		last = &all->list[i];
	}
	return last;
}

struct request *requests_optional(struct requests *all, enum proto p)
{
	for (size_t i = 0; i < all->n; i++) {
		struct request *r = &all->list[i];
		bool other = false;

		for (int q = 0; q < PROTOS; q++)
			other |= q != (int)p && r->answered[q];
		if (r->tunnel->any_proto && r->tunnel->local[p].text && !r->answered[p] && other)
			return r;
	}
	return NULL;
}

void requests_answer(struct requests *all, struct request *r, enum proto p)
{
	if (!r->answered[p])
		all->owed--;
	r->answered[p] = true;
}

bool requests_complete(const struct request *r)
{
	return !unanswered(r);
}

bool requests_ask_for(const struct requests *all, const struct config_tunnel *t)
{
	size_t i = 0;

	while (i < all->n && all->list[i].tunnel != t)
		i++;
	return i < all->n;
}

void requests_forget(struct requests *all, struct request *r)
{
	all->owed -= unanswered(r);
	*r = all->list[--all->n];
}

void requests_forget_tunnel(struct requests *all, const struct config_tunnel *t)
{
	for (size_t i = all->n; i-- > 0;) {
		if (all->list[i].tunnel == t)
			requests_forget(all, &all->list[i]);
	}
}

void requests_free(struct requests *all)
{
	free(all->list);
	*all = (struct requests){0};
}
