/* Rates and durations. See inspect_meter.h. */
#include "pgrok/inspect/meter.h"

#include <stdlib.h>
#include <string.h>

#define TICK_NS UINT64_C(5000000000) /* the averages move every five seconds, as load averages do */
/* exp(-5 s / 1, 5, 15 min) */
static const double decay[3] = {0.92004441, 0.98347145, 0.99445985};

static void tick(struct meter *m, uint64_t now_ns)
{
	if (!m->ticked_ns)
		m->ticked_ns = now_ns;
	for (int steps = 0; now_ns - m->ticked_ns >= TICK_NS; steps++) {
		double now = (double)m->since_tick / ((double)TICK_NS / 1e9);

		/* After half a day of nothing it is nothing. */
		if (steps > 8640) {
			m->rate[0] = m->rate[1] = m->rate[2] = 0;
			m->ticked_ns = now_ns;
			break;
		}
		for (int i = 0; i < 3; i++)
			m->rate[i] = m->rate[i] * decay[i] + now * (1 - decay[i]);
		m->since_tick = 0;
		m->ticked_ns += TICK_NS;
	}
}

/* Eight buckets between a duration and its double; the first ones have a width of one. */
static unsigned bucket_of(uint64_t us)
{
	unsigned octave = 0, b;

	if (us < 8)
		return (unsigned)us;
	while (us >> (octave + 4))
		octave++;
	b = 8 * (octave + 1) + ((unsigned)(us >> octave) & 7);
	return b < METER_BUCKETS ? b : METER_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t bucket_us(unsigned b)
{
	if (b < 8)
		return b;
	return ((uint64_t)(2 * (8 + b % 8) + 1) << (b / 8 - 1)) / 2;
}

void meter_begin(struct meter *m, uint64_t now_ns)
{
	tick(m, now_ns);
	m->count++;
	m->since_tick++;
}

void meter_end(struct meter *m, uint64_t duration_ns)
{
	m->timed++;
	m->sum_ns += duration_ns;
	m->buckets[bucket_of(duration_ns / 1000)]++;
}

void meter_add(struct meter *m, uint64_t now_ns, uint64_t duration_ns, int status)
{
	meter_begin(m, now_ns);
	meter_end(m, duration_ns);
	m->classes[status >= 100 && status < 600 ? status / 100 : 0]++;
}

uint64_t meter_percentile(const struct meter *m, double share)
{
	double want = share * (double)m->timed, seen = 0;

	if (!m->timed)
		return 0;
	for (unsigned i = 0; i < METER_BUCKETS; i++) {
		seen += m->buckets[i];
		if (seen >= want)
			return bucket_us(i) * 1000;
	}
	return 0;
}

void meter_form(struct text *t, struct meter *m, uint64_t now_ns, int64_t gauge)
{
	static const struct {
		const char *name;
		double share;
	} shares[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}};

	tick(m, now_ns);
	text_fmt(t, "{\"count\":%llu", (unsigned long long)m->count);
	if (gauge >= 0)
		text_fmt(t, ",\"gauge\":%lld", (long long)gauge);
	text_fmt(t, ",\"rate1\":%.6g,\"rate5\":%.6g,\"rate15\":%.6g", m->rate[0], m->rate[1],
		 m->rate[2]);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		text_fmt(t, ",\"%s\":%llu", shares[i].name,
			 (unsigned long long)meter_percentile(m, shares[i].share));
	text_put(t, "}");
}

struct meters_one *meters_get(struct meters *all, const char *name)
{
	struct meters_one *one = all->first;

	while (one && strcmp(one->name, name) != 0)
		one = one->next;
	if (!one) {
		one = xcalloc(1, sizeof(*one));
		one->name = xstrdup(name);
		one->next = all->first;
		all->first = one;
	}
	return one;
}

void meters_drop(struct meters *all, struct meters_one *one)
{
	struct meters_one **at = &all->first;

	while (*at != one)
		at = &(*at)->next;
	*at = one->next;
	free(one->name);
	free(one);
}

void meters_free(struct meters *all)
{
	struct meters_one *next;

	for (struct meters_one *one = all->first; one; one = next) {
		next = one->next;
		free(one->name);
		free(one);
	}
	all->first = NULL;
}
