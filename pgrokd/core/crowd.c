/* Visitors' connections that are open. */
#include "pgrokd/core/crowd.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/idmap.h"

struct crowd {
	atomic_int most, most_of_address; /* 0: any number */
	atomic_int now;
	bool loopback_exempt;
	const struct nets *trusted;
	pthread_mutex_t lock; /* held for one look-up in the map */
	struct idmap *counts; /* addr_household() -> intptr_t, while there is a limit */
};

struct crowd *crowd_new(bool loopback_exempt)
{
	struct crowd *c = xcalloc(1, sizeof(*c));

	c->loopback_exempt = loopback_exempt;
	pthread_mutex_init(&c->lock, NULL);
	c->counts = idmap_new();
	return c;
}

void crowd_trust(struct crowd *c, const struct nets *trusted)
{
	c->trusted = trusted;
}

void crowd_free(struct crowd *c)
{
	if (!c)
		return;
	idmap_free(c->counts);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void crowd_set(struct crowd *c, int most, int most_of_address)
{
	atomic_store(&c->most, most);
	atomic_store(&c->most_of_address, most_of_address);
}

/* `more` of an address, unless they are more than `most` then. */
static bool count(struct crowd *c, uint64_t from, int more, intptr_t most)
{
	pthread_mutex_lock(&c->lock);
	intptr_t was = (intptr_t)idmap_del(c->counts, from);
	bool ok = was + more <= most;
	intptr_t n = ok ? was + more : was;

	if (n > 0)
		idmap_put(c->counts, from, (void *)n);
	pthread_mutex_unlock(&c->lock);
	return ok;
}

static bool enter_address(struct crowd *c, const struct addr *peer, struct seat *seat,
			  enum shed *why)
{
	int most = atomic_load_explicit(&c->most_of_address, memory_order_relaxed);

	*why = SHED_ADDRESS_CONNECTIONS;
	if (!most || (c->loopback_exempt && addr_is_loopback(peer)) || nets_have(c->trusted, peer))
		return true;
	seat->from = addr_household(peer);
	seat->address = count(c, seat->from, 1, most);
	return seat->address;
}

static void leave_address(struct crowd *c, struct seat *seat)
{
	if (seat->address)
		(void)count(c, seat->from, -1, INTPTR_MAX);
	seat->address = false;
}

bool crowd_enter(struct crowd *c, const struct addr *peer, struct seat *seat, enum shed *why)
{
	*seat = (struct seat){0};
	if (!c)
		return true;
	int most = atomic_load_explicit(&c->most, memory_order_relaxed);

	*why = SHED_CONNECTIONS;
	seat->all = true;
	if ((atomic_fetch_add(&c->now, 1) < most || !most) && enter_address(c, peer, seat, why))
		return true;
	crowd_leave(c, seat);
	return false;
}

bool crowd_move(struct crowd *c, const struct addr *peer, struct seat *seat, enum shed *why)
{
	if (!seat->all)
		return true;
	leave_address(c, seat);
	return enter_address(c, peer, seat, why);
}

void crowd_leave(struct crowd *c, struct seat *seat)
{
	leave_address(c, seat);
	if (seat->all)
		atomic_fetch_sub(&c->now, 1);
	*seat = (struct seat){0};
}
