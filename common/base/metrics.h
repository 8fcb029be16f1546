/*
 * Numbers for Prometheus: its text format, written into a text, and histograms that are filled
 * where things happen.
 */
#ifndef COMMON_BASE_METRICS_H
#define COMMON_BASE_METRICS_H

#include "common/base/text.h"

/* What GET /metrics answers (the text format, version 0.0.4). */
#define METRICS_MIME "text/plain; version=0.0.4; charset=utf-8"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_SUMMARY, METRIC_HISTOGRAM };

/* A page of them: set up by its user, who frees out. Texts are borrowed. */
struct metrics {
	struct text *out;
	const char *prefix; /* of all names: "pgrok" makes "up" pgrok_up */
	const char *name;   /* of the family begun last */
};

/* Is this a good prefix: letters, digits and '_', no digit first? */
bool metrics_prefix_valid(const char *prefix) MUSTCHECK;

/*
 * Begins a family: its samples follow. name of a METRIC_COUNTER ends in _total. help is one line.
 */
void metrics_family(struct metrics *m, enum metric_type type, const char *name, const char *help);
/*
 * A sample of that family. suffix: "", or "_sum" and the like. Then its labels: name, value, ...,
 * NULL. Values may be any text; names are [a-z_].
 */
void metrics_sample(struct metrics *m, const char *suffix, double value, ...)
	__attribute__((sentinel));
/* A family of one sample without labels. */
void metrics_one(struct metrics *m, enum metric_type type, const char *name, const char *help,
		 double value);

/* ---- histograms ---- */

#define HISTOGRAM_BOUNDS 14 /* 1 ms to 30 s */

/*
 * How long things took. Zeroed memory is an empty one; uint64_t alone, so that several can be added
 * up as arrays. Of one thread: no lock, no allocation.
 */
struct histogram {
	uint64_t sum_us;
	uint64_t bucket[HISTOGRAM_BOUNDS + 1]; /* above the bound before, up to its own; the rest */
};

void histogram_add(struct histogram *h, uint64_t us);
/* A family of one histogram without labels, in seconds. */
void metrics_histogram(struct metrics *m, const char *name, const char *help,
		       const struct histogram *h);
/* One of the family begun last, which two labels tell apart; nothing if it is empty. */
void metrics_histogram_of(struct metrics *m, const struct histogram *h, const char *label,
			  const char *value, const char *label2, const char *value2);

#endif
