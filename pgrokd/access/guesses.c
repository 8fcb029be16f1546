/* Wrong passwords and tokens, counted in a table of fixed size. */
#include "pgrokd/access/guesses.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/randid.h"
#include "common/base/xalloc.h"

#define SLOTS 8192u /* a power of two */

/* Those of one address at one tunnel, or at the server. */
struct slot {
	uint64_t from, tunnel;
	uint64_t began;
	unsigned wrong; /* since then; 0: nobody's */
};

struct guesses {
	unsigned most;
	uint64_t span_ms;
	bool loopback_exempt;
	uint64_t salt;                /* so that nobody chooses who shares a slot with him */
	_Atomic uint64_t quiet_after; /* nobody has to wait from then on: no lock is needed */
	pthread_mutex_t lock;
	struct slot *slots; /* NULL: nobody has ever guessed */
};

struct guesses *guesses_new(unsigned most, uint64_t span_ms, bool loopback_exempt)
{
	struct guesses *g = xcalloc(1, sizeof(*g));

	g->most = most;
	g->span_ms = span_ms;
	g->loopback_exempt = loopback_exempt;
	rand_bytes(&g->salt, sizeof(g->salt));
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

void guesses_free(struct guesses *g)
{
	if (!g)
		return;
	free(g->slots);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static bool over(const struct guesses *g, const struct slot *s, uint64_t now)
{
	return !s->wrong || now - s->began >= g->span_ms;
}

static struct slot *slot_of(struct guesses *g, uint64_t from, uint64_t tunnel)
{
	uint64_t h = (from ^ g->salt) * 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 32 ^ tunnel) * 0x9e3779b97f4a7c15u;
	return &g->slots[h >> 32 & (SLOTS - 1)];
}

static bool must_wait(const struct guesses *g, const struct slot *s, uint64_t from, uint64_t tunnel,
		      uint64_t now)
{
	return s->from == from && s->tunnel == tunnel && !over(g, s, now) && s->wrong >= g->most;
}

/* One more; a slot that is another's is left to it until its time is over. */
static void count(struct guesses *g, struct slot *s, uint64_t from, uint64_t tunnel, uint64_t now)
{
	if (over(g, s, now))
		*s = (struct slot){.from = from, .tunnel = tunnel, .began = now};
	else if (s->from != from || s->tunnel != tunnel)
		return;
	if (++s->wrong >= g->most && atomic_load(&g->quiet_after) < s->began + g->span_ms)
		atomic_store(&g->quiet_after, s->began + g->span_ms);
}

/* Its slot, and the lock. NULL, and no lock: it never has to wait. */
static struct slot *enter(struct guesses *g, const struct addr *peer, uint64_t what)
{
	if (g->loopback_exempt && addr_is_loopback(peer))
		return NULL;
	pthread_mutex_lock(&g->lock);
	if (!g->slots)
		g->slots = xcalloc(SLOTS, sizeof(*g->slots));
	return slot_of(g, addr_household(peer), what);
}

int guesses_judge(struct guesses *g, const struct addr *peer, uint64_t tunnel, uint64_t now,
		  int status)
{
	uint64_t from = addr_household(peer);

	if (status != 401 && now >= atomic_load(&g->quiet_after))
		return status;
	struct slot *s = enter(g, peer, tunnel);

	if (!s)
		return status;
	if (must_wait(g, s, from, tunnel, now))
		status = 429;
	else if (status == 401)
		count(g, s, from, tunnel, now);
	pthread_mutex_unlock(&g->lock);
	return status;
}

bool guesses_must_wait(struct guesses *g, const struct addr *peer, uint64_t what, uint64_t now)
{
	return guesses_judge(g, peer, what, now, 0) != 0;
}

unsigned guesses_wrong(struct guesses *g, const struct addr *peer, uint64_t what, uint64_t now)
{
	uint64_t from = addr_household(peer);
	struct slot *s = enter(g, peer, what);
	unsigned n;

	if (!s)
		return 0;
	count(g, s, from, what, now);
	n = s->from == from && s->tunnel == what ? s->wrong : 0;
	pthread_mutex_unlock(&g->lock);
	return n;
}
