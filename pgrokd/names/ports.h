/*
 * Which ports tcp tunnels have, so that a free one is found without trying: a map of bits. Not for
 * use by two threads (the registry locks around it).
 */
#ifndef PGROKD_NAMES_PORTS_H
#define PGROKD_NAMES_PORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/xalloc.h"

struct ports;

struct ports *ports_new(void) MUSTCHECK;
void ports_free(struct ports *p);
/* What ports_pick() picks from; before: LIMIT_PORT_RANDOM and above. */
void ports_set_range(struct ports *p, uint16_t min, uint16_t max);
/* Is a tunnel's, or held for one: never picked. */
void ports_set_busy(struct ports *p, uint16_t port, bool busy);
/*
 * Could not be bound, at the time now (milliseconds): not picked for LIMIT_PORT_FAILED_MS, up to
 * twice as long.
 */
void ports_failed(struct ports *p, uint16_t port, uint64_t now);
/* The first one that may be had from `start` on, in a circle; 0: there is none. */
uint16_t ports_pick(struct ports *p, uint16_t start, uint64_t now);
/* The same of those from min to max. */
uint16_t ports_pick_of(struct ports *p, uint16_t min, uint16_t max, uint16_t start, uint64_t now);

#endif
