/* Names that are held for their owner after his connection broke. */
#include "pgrokd/names/held.h"

#include <stdlib.h>

#include "common/base/idmap.h"
#include "pgrokd/names/quota.h"

struct hold {
	TAILQ_ENTRY(hold) link;
	struct route *name; /* key and owner */
	uint64_t until;
	struct quota_seat by_client, by_address;
};

struct held {
	struct strmap *holds;              /* key -> struct hold */
	TAILQ_HEAD(hold_list, hold) order; /* by their end */
	size_t max;
	struct quota *clients, *addresses;
	void (*gone)(void *arg, const char *key);
	void *arg;
};

struct held *held_new(size_t max, int per_client, int per_address)
{
	struct held *h = xcalloc(1, sizeof(*h));

	h->holds = strmap_new();
	TAILQ_INIT(&h->order);
	h->max = max;
	h->clients = quota_new(per_client);
	h->addresses = quota_new(per_address);
	return h;
}

void held_on_gone(struct held *h, void (*gone)(void *arg, const char *key), void *arg)
{
	h->gone = gone;
	h->arg = arg;
}

/* NULL is fine. */
static void drop(struct held *h, struct hold *x)
{
	if (!x)
		return;
	strmap_del(h->holds, x->name->key);
	TAILQ_REMOVE(&h->order, x, link);
	quota_leave(h->clients, &x->by_client);
	quota_leave(h->addresses, &x->by_address);
	if (h->gone)
		h->gone(h->arg, x->name->key);
	route_unref(x->name);
	free(x);
}

void held_free(struct held *h)
{
	if (!h)
		return;
	h->gone = NULL;
	while (!TAILQ_EMPTY(&h->order))
		drop(h, TAILQ_FIRST(&h->order));
	strmap_free(h->holds);
	quota_free(h->clients);
	quota_free(h->addresses);
	free(h);
}

/* From the end: nearly always it is the last one. */
static void insert(struct held *h, struct hold *x)
{
	struct hold *before = TAILQ_LAST(&h->order, hold_list);

	while (before && before->until > x->until)
		before = TAILQ_PREV(before, hold_list, link);
	if (before)
		TAILQ_INSERT_AFTER(&h->order, before, x, link);
	else
		TAILQ_INSERT_HEAD(&h->order, x, link);
}

void held_add(struct held *h, const char *key, const struct owner *owner, uint64_t until)
{
	struct owner_shares shares = owner_shares(owner);
	struct hold *x = xcalloc(1, sizeof(*x));

	drop(h, strmap_get(h->holds, key));
	drop(h, quota_full(h->clients, shares.client));
	drop(h, quota_full(h->addresses, shares.from));
	if (strmap_count(h->holds) >= h->max)
		drop(h, TAILQ_FIRST(&h->order));
	x->name = route_bare(key, owner);
	x->until = until;
	insert(h, x);
	strmap_put(h->holds, key, x);
	quota_enter(h->clients, shares.client, &x->by_client, x);
	quota_enter(h->addresses, shares.from, &x->by_address, x);
}

uint64_t held_against(const struct held *h, const char *key, const struct owner *who, uint64_t now)
{
	const struct hold *x = strmap_get(h->holds, key);

	if (!x || x->until <= now || (who && owner_same(&x->name->owner, who)))
		return 0;
	return x->until - now;
}

void held_drop(struct held *h, const char *key)
{
	drop(h, strmap_get(h->holds, key));
}

void held_sweep(struct held *h, uint64_t now)
{
	struct hold *x;

	for (int i = 0; i < HELD_SWEEP && (x = TAILQ_FIRST(&h->order)) && x->until <= now; i++)
		drop(h, x);
}

size_t held_count(const struct held *h)
{
	return strmap_count(h->holds);
}

void held_each(const struct held *h, void (*fn)(void *arg, struct route *name, uint64_t until),
	       void *arg)
{
	const struct hold *x;

	TAILQ_FOREACH(x, &h->order, link)
	fn(arg, x->name, x->until);
}
