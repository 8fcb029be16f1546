/* Events a second, by address. */
#include "pgrokd/access/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/randid.h"
#include "common/base/xalloc.h"

#define ROWS 2048u /* a power of two */
#define WAYS 4     /* addresses that may share a row */

/*
 * A bucket as one number: each event moves `paid` on by its share of a second, but `paid` is never
 * further ahead of the time than the burst is worth, nor behind it.
 */
struct bucket {
	uint64_t from;
	uint64_t paid; /* microseconds of the callers' clock; up to now: nobody's */
};

struct rate {
	atomic_int per_s;
	bool loopback_exempt;
	uint64_t salt; /* so that nobody chooses who shares a row with him */
	pthread_mutex_t lock;
	struct bucket (*row)[WAYS]; /* [ROWS]; NULL: there has never been a limit */
};

struct rate *rate_new(bool loopback_exempt)
{
	struct rate *r = xcalloc(1, sizeof(*r));

	r->loopback_exempt = loopback_exempt;
	rand_bytes(&r->salt, sizeof(r->salt));
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void rate_free(struct rate *r)
{
	if (!r)
		return;
	free(r->row);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void rate_set(struct rate *r, int per_s)
{
	atomic_store(&r->per_s, per_s);
}

/* Its own, or else the one that has rested longest: who loses it may cause a few events more. */
static struct bucket *bucket_of(struct rate *r, uint64_t from)
{
	uint64_t h = (from ^ r->salt) * 0x9e3779b97f4a7c15u;
	struct bucket *row = r->row[h >> 32 & (ROWS - 1)], *found = row;

	for (int i = 0; i < WAYS; i++) {
		if (row[i].from == from)
			return &row[i];
		if (row[i].paid < found->paid)
			found = &row[i];
	}
	*found = (struct bucket){.from = from};
	return found;
}

static bool take(struct bucket *b, int per_s, uint64_t now)
{
	uint64_t share = 1000000u / (unsigned)per_s;

	if (b->paid < now)
		b->paid = now;
	if (b->paid + share > now + RATE_BURST_S * 1000000u)
		return false;
	b->paid += share;
	return true;
}

bool rate_take(struct rate *r, const struct addr *peer, uint64_t now)
{
	int per_s = r ? atomic_load_explicit(&r->per_s, memory_order_relaxed) : 0;

	if (!per_s || (r->loopback_exempt && addr_is_loopback(peer)))
		return true;
	pthread_mutex_lock(&r->lock);
	if (!r->row)
		r->row = xcalloc(ROWS, sizeof(*r->row));
	bool ok = take(bucket_of(r, addr_household(peer)), per_s, now * 1000);

	pthread_mutex_unlock(&r->lock);
	return ok;
}
