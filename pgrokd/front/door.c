/* How many connections may be half-open. */
#include "pgrokd/front/door.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/idmap.h"
#include "pgrokd/limits.h"

struct door {
	pthread_mutex_t lock; /* held for one look-up in the map */
	struct idmap *counts; /* addr_household() -> intptr_t */
	atomic_int most, per_ip;
	bool loopback_exempt;
	const struct nets *trusted;
};

struct door *door_new(int per_ip, bool loopback_exempt)
{
	struct door *d = xcalloc(1, sizeof(*d));

	pthread_mutex_init(&d->lock, NULL);
	d->counts = idmap_new();
	door_set(d, LIMIT_HALF_OPEN, per_ip);
	d->loopback_exempt = loopback_exempt;
	return d;
}

void door_trust(struct door *d, const struct nets *trusted)
{
	d->trusted = trusted;
}

void door_free(struct door *d)
{
	idmap_free(d->counts);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void door_set(struct door *d, int most, int per_ip)
{
	atomic_store(&d->most, most ? most : INT_MAX);
	atomic_store(&d->per_ip, per_ip ? per_ip : INT_MAX);
}

int door_share(const struct door *d, int n)
{
	int most = atomic_load_explicit(&d->most, memory_order_relaxed);

	return most < n ? 1 : most / n;
}

static bool exempt(const struct door *d, const struct addr *peer)
{
	return (d->loopback_exempt && addr_is_loopback(peer)) || nets_have(d->trusted, peer);
}

bool door_enter(struct door *d, const struct addr *peer)
{
	uint64_t from = addr_household(peer);

	if (exempt(d, peer))
		return true;
	pthread_mutex_lock(&d->lock);
	intptr_t n = (intptr_t)idmap_del(d->counts, from);
	bool ok = n < atomic_load_explicit(&d->per_ip, memory_order_relaxed);

	if (n + ok)
		idmap_put(d->counts, from, (void *)(n + ok));
	pthread_mutex_unlock(&d->lock);
	return ok;
}

void door_leave(struct door *d, const struct addr *peer)
{
	uint64_t from = addr_household(peer);

	if (exempt(d, peer))
		return;
	pthread_mutex_lock(&d->lock);
	intptr_t n = (intptr_t)idmap_del(d->counts, from);

	if (n > 1)
		idmap_put(d->counts, from, (void *)(n - 1));
	pthread_mutex_unlock(&d->lock);
}
