/*
 * The clocks, read now. Time-outs go by loop_now(), which is read once a turn; these are for what
 * is measured or shown.
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"

/* Nanoseconds, microseconds of one monotonic clock. */
uint64_t clock_ns(void);
uint64_t clock_us(void);
/* Milliseconds of the same, from the last tick of the system (1 to 10 ms ago): much cheaper. */
uint64_t clock_coarse_ms(void);
/* Microseconds since 1970, UTC; may jump when the clock is set. */
int64_t clock_wall_us(void);
/*
 * Seconds since 1970 of a date with a time (RFC 3339: "2027-01-31T18:00:00Z", "+01:00" instead of
 * Z, no fractions), or of the end of a date ("2027-01-31", UTC): the first second of the day after
 * it.
 */
bool clock_wall_parse(const char *text, int64_t *seconds) MUSTCHECK;
/* "2027-01-31T18:00:00Z". */
#define CLOCK_TEXT 32
const char *clock_wall_text(int64_t seconds, char out[static CLOCK_TEXT]);

#endif
