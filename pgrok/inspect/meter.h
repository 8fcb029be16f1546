/* Rates and durations of what each tunnel served, as ngrok's API shows them. Pure. */
#ifndef PGROK_INSPECT_METER_H
#define PGROK_INSPECT_METER_H

#include <stdint.h>

#include "common/base/text.h"

#define METER_BUCKETS 256

/* One kind of event: requests, connections. Zeroed memory is one that nothing was counted in. */
struct meter {
	uint64_t count;
	uint64_t timed; /* those of them whose duration is known */
	uint64_t sum_ns;
	double rate[3];                  /* per second, averaged over 1, 5 and 15 minutes */
	uint64_t since_tick;             /* counted since the last step of the averages */
	uint64_t ticked_ns;              /* when that was; 0: never */
	uint64_t classes[6];             /* by the first digit of a status; 0: none */
	uint32_t buckets[METER_BUCKETS]; /* of durations, on a scale of powers of two */
};

/* One more begins; it may have no end. */
void meter_begin(struct meter *m, uint64_t now_ns);
void meter_end(struct meter *m, uint64_t duration_ns);
/* One that has begun and ended. */
void meter_add(struct meter *m, uint64_t now_ns, uint64_t duration_ns, int status);
/* A duration that so much of them (0.5, 0.99) is not longer than, ns, within 10 %. */
uint64_t meter_percentile(const struct meter *m, double share);
/* "count":..,"rate1":.. and so on, as ngrok has them; gauge < 0: without. */
void meter_form(struct text *t, struct meter *m, uint64_t now_ns, int64_t gauge);

/* By the name of a tunnel. */
struct meters {
	struct meters_one {
		struct meters_one *next;
		char *name;
		struct meter http, conns;
	} * first;
};

/* Made if it is not there. */
struct meters_one *meters_get(struct meters *all, const char *name);
/* Takes one. Its tunnel is closed: programs open new ones with new names again and again. */
void meters_drop(struct meters *all, struct meters_one *one);
void meters_free(struct meters *all);

#endif
