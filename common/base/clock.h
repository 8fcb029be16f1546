/*
 * The clocks, read now. Time-outs go by loop_now(), which is read once a turn; these are for what
 * is measured or shown.
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds, microseconds of one monotonic clock. */
uint64_t clock_ns(void);
uint64_t clock_us(void);
/* Milliseconds of the same, from the last tick of the system (1 to 10 ms ago): much cheaper. */
uint64_t clock_coarse_ms(void);
/* Microseconds since 1970, UTC; may jump when the clock is set. */
int64_t clock_wall_us(void);

#endif
