/* Who may keep how much waiting: plain arithmetic per client, and behind it the process's total. */
#include "common/mux/memory.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The total is told of changes of at least this size: it is shared by all threads. */
#define STEP (64 << 10)
/*
 * Of what is left one window takes a small part, so that there is always something left for the
 * next one, however many have stopped reading with a window that had grown. Sockets swallow some
 * megabytes for a reader that never reads: only one that has kept up for longer gets the bigger
 * part.
 */
#define PART_NEW 64
#define PART_PROVEN 8
#define SHORT 4 /* less than this part of all is left */

static uint64_t most[MEMORY_KINDS] = {MUX_MEMORY_DEFAULT / 2, MUX_MEMORY_DEFAULT / 2};
static _Atomic uint64_t total[MEMORY_KINDS];

void mux_set_memory(uint64_t bytes)
{
	most[MEMORY_START] = most[MEMORY_GROWTH] = bytes / 2;
}

static uint64_t total_of(enum memory kind)
{
	return atomic_load_explicit(&total[kind], memory_order_relaxed);
}

uint64_t mux_memory_used(void)
{
	return total_of(MEMORY_START) + total_of(MEMORY_GROWTH);
}

struct mux_account *mux_account_new(void)
{
	struct mux_account *a = xcalloc(1, sizeof(*a));

	a->users = 1;
	return a;
}

void account_join(struct mux_account *a)
{
	a->users++;
}

void account_leave(struct mux_account *a)
{
	if (--a->users)
		return;
	assert(!a->used[MEMORY_START] && !a->used[MEMORY_GROWTH]);
	free(a);
}

void mux_account_free(struct mux_account *a)
{
	if (a)
		account_leave(a);
}

void account_charge(struct mux_account *a, enum memory kind, int64_t by)
{
	int64_t untold;

	a->used[kind] += (uint64_t)by;
	untold = (int64_t)(a->used[kind] - a->drawn[kind]) / STEP * STEP;
	if (!untold)
		return;
	a->drawn[kind] += (uint64_t)untold;
	atomic_fetch_add_explicit(&total[kind], (uint64_t)untold, memory_order_relaxed);
}

/* What this client may still use: it never has more than it leaves to all others. */
static uint64_t left(const struct mux_account *a, enum memory kind)
{
	uint64_t gone = total_of(kind) + a->used[kind];

	return gone < most[kind] ? most[kind] - gone : 0;
}

bool account_admits(const struct mux_account *a)
{
	/* Whoever keeps nothing waiting is always served, whatever others do. */
	return !a->used[MEMORY_START] || left(a, MEMORY_START);
}

uint64_t account_growth(const struct mux_account *a, bool proven)
{
	return left(a, MEMORY_GROWTH) / (proven ? PART_PROVEN : PART_NEW);
}

bool account_short(const struct mux_account *a)
{
	return left(a, MEMORY_GROWTH) < most[MEMORY_GROWTH] / SHORT;
}
