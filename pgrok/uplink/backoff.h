/* How long to wait before the next attempt: doubling, with jitter, so that clients of a server that
 * comes back do not all knock at the same moment. */
#ifndef PGROK_UPLINK_BACKOFF_H
#define PGROK_UPLINK_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint32_t step_ms; /* of the next wait; 0: the first */
};

/* The next wait: 1 s, 2, 4 ... 30 s, each +-25 %. */
uint32_t backoff_next(struct backoff *b);
void backoff_reset(struct backoff *b);

#endif
