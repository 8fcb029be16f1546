/* Which ports tcp tunnels have: a map of bits. */
#include "pgrokd/names/ports.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/loop.h"
#include "pgrokd/limits.h"

#define WORD 64
#define WORDS (65536 / WORD)

struct ports {
	uint16_t min, max;
	uint64_t busy[WORDS];
	/* Could not be bound: since `turned`, and in the time before that. */
	uint64_t failed[WORDS], failed_before[WORDS];
	uint64_t turned; /* milliseconds */
};

struct ports *ports_new(void)
{
	struct ports *p = xcalloc(1, sizeof(*p));

	ports_set_range(p, LIMIT_PORT_RANDOM, 65535);
	return p;
}

void ports_free(struct ports *p)
{
	free(p);
}

void ports_set_range(struct ports *p, uint16_t min, uint16_t max)
{
	p->min = min;
	p->max = max;
}

void ports_set_busy(struct ports *p, uint16_t port, bool busy)
{
	uint64_t bit = UINT64_C(1) << port % WORD;

	if (busy)
		p->busy[port / WORD] |= bit;
	else
		p->busy[port / WORD] &= ~bit;
}

/* Forgets what failed long ago. */
static void turn(struct ports *p, uint64_t now)
{
	uint64_t age = loop_scaled(LIMIT_PORT_FAILED_MS), past = now - p->turned;

	if (past < age)
		return;
	if (past < 2 * age)
		memcpy(p->failed_before, p->failed, sizeof(p->failed));
	else
		memset(p->failed_before, 0, sizeof(p->failed_before));
	memset(p->failed, 0, sizeof(p->failed));
	p->turned = past < 2 * age ? p->turned + age : now;
}

void ports_failed(struct ports *p, uint16_t port, uint64_t now)
{
	turn(p, now);
	p->failed[port / WORD] |= UINT64_C(1) << port % WORD;
}

/* The lowest one from `from` to `to`, -1: none. */
static int first_free(const struct ports *p, int from, int to)
{
	for (int w = from / WORD; w <= to / WORD && from <= to; w++) {
		uint64_t none = p->busy[w] | p->failed[w] | p->failed_before[w];
		int port;

		if (w == from / WORD)
			none |= (UINT64_C(1) << from % WORD) - 1;
		if (none == UINT64_MAX)
			continue;
		port = w * WORD + __builtin_ctzll(~none);
		return port <= to ? port : -1;
	}
	return -1;
}

uint16_t ports_pick_of(struct ports *p, uint16_t min, uint16_t max, uint16_t start, uint64_t now)
{
	int port;

	turn(p, now);
	if (start < min || start > max)
		start = min;
	port = first_free(p, start, max);
	if (port < 0)
		port = first_free(p, min, start - 1);
	return port < 0 ? 0 : (uint16_t)port;
}

uint16_t ports_pick(struct ports *p, uint16_t start, uint64_t now)
{
	return ports_pick_of(p, p->min, p->max, start, now);
}
