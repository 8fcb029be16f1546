/*
 * What every worker has and has done, asked by message: workers write their counters without a
 * lock, so only they may read them.
 */
#ifndef PGROKD_CORE_CENSUS_H
#define PGROKD_CORE_CENSUS_H

#include "pgrokd/core/worker.h"

/* Of one worker, as it was when the question came; uint64_t alone, like the counters. */
struct census_row {
	uint64_t half_open, clients, tunnels; /* now */
	struct counters count;
};

struct census {
	int n_workers;
	struct census_row total, row[LIMIT_WORKERS]; /* [n_workers] */
};

/* c is valid during the call. */
typedef void census_fn(void *arg, const struct census *c);

/*
 * Asks all workers, which must have been started; done is called once, on `home`, the loop of the
 * thread that asks. Unless `home` ends before all have answered: then never. A worker that has
 * ended counts as empty.
 */
void census_ask(const struct core *core, struct loop *home, census_fn *done, void *arg);
/* One line for each worker and one for all of them, in the log. For census_fn. */
void census_log(void *arg, const struct census *c);

#endif
