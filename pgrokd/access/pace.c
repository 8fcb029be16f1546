/* Bytes a second. */
#include "pgrokd/access/pace.h"

#include <stdlib.h>
#include <string.h>

#define SECOND 1000000000u /* ns */
#define REST (SECOND / 20) /* so much time that was not used is not lost: who is late makes it up */
#define TURNS 50           /* a second: no read is for longer than one of them... */
#define TURN_LEAST 256u    /* ...but not for fewer bytes */
#define RATE_MAX (UINT64_C(1) << 40)

size_t pace_budget(const struct pace *p, uint64_t rate, uint64_t now, uint64_t *until)
{
	uint64_t paid = atomic_load_explicit(&p->paid, memory_order_relaxed);
	uint64_t turn = rate / TURNS;

	*until = paid;
	if (paid > now)
		return 0;
	return turn < TURN_LEAST ? TURN_LEAST : (size_t)turn;
}

void pace_pay(struct pace *p, uint64_t rate, uint64_t now, size_t n)
{
	uint64_t cost = (uint64_t)n * SECOND / rate;
	uint64_t was = atomic_load_explicit(&p->paid, memory_order_relaxed), from;

	do
		from = was + REST < now ? now - REST : was;
	while (!atomic_compare_exchange_weak_explicit(&p->paid, &was, from + cost,
						      memory_order_relaxed, memory_order_relaxed));
}

/* What follows the number: how much one of it is, in bytes over *by. */
static bool read_unit(const char *unit, uint64_t *times, uint64_t *by)
{
	static const char prefixes[] = "KMG";
	const char *at = *unit ? strchr(prefixes, *unit) : NULL;
	int power = at ? (int)(at - prefixes) + 1 : 0;
	bool bits = strncmp(unit + !!at, "bit", 3) == 0;

	unit += !!at;
	unit += bits ? 3 : *unit == 'B';
	*times = 1;
	*by = bits ? 8 : 1;
	while (power--)
		*times *= bits ? 1000 : 1024;
	return !*unit || strcmp(unit, "/s") == 0;
}

bool pace_parse(const char *text, uint64_t *rate)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t times, by, n;

	if (!digits || digits > 13 || !read_unit(text + digits, &times, &by))
		return false;
	n = strtoull(text, NULL, 10);
	if (n > RATE_MAX * 8 / times)
		return false;
	*rate = n * times / by;
	return *rate >= PACE_LEAST && *rate <= RATE_MAX;
}
