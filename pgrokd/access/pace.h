/*
 * Bytes a second, for any number of connections on any workers: each looks whether it may read,
 * and pays afterwards for what it has read. No lock; who reads too much delays whoever is next.
 */
#ifndef PGROKD_ACCESS_PACE_H
#define PGROKD_ACCESS_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

#define PACE_LEAST 1024u /* bytes a second: less is not worth the name */

/* One direction. Zeroed: nothing was ever read. */
struct pace {
	_Atomic uint64_t paid; /* until then (nanoseconds of one clock) everything is paid for */
};

/*
 * How many bytes may be read now, in one go. 0: none before *until. now, *until: nanoseconds; rate:
 * bytes a second.
 */
size_t pace_budget(const struct pace *p, uint64_t rate, uint64_t now, uint64_t *until) MUSTCHECK;
/* n bytes were read. */
void pace_pay(struct pace *p, uint64_t rate, uint64_t now, size_t n);

/*
 * "500K", "10MB/s", "80Mbit/s": bytes a second. K, M and G are 1024, 1024^2, 1024^3 bytes, or 1000,
 * 1000^2, 1000^3 bit. False: it is something else, less than PACE_LEAST or more than 1 TiB.
 */
bool pace_parse(const char *text, uint64_t *rate) MUSTCHECK;

#endif
