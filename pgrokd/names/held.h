/*
 * Names that are held for their owner after his connection broke. Not for use by two threads (the
 * registry locks around it). Times are milliseconds of one clock, the caller's.
 */
#ifndef PGROKD_NAMES_HELD_H
#define PGROKD_NAMES_HELD_H

#include "pgrokd/names/route.h"

struct held;

/*
 * max: names in all, above it the one whose time is up first goes. An owner has at most per_client,
 * an address per_address: above it their own oldest goes.
 */
struct held *held_new(size_t max, int per_client, int per_address) MUSTCHECK;
void held_free(struct held *h);
/* gone(arg, key) is called for each name that is not held any more, whatever the reason. */
void held_on_gone(struct held *h, void (*gone)(void *arg, const char *key), void *arg);

/* For `owner` until then; takes the place of what was held under this key. */
void held_add(struct held *h, const char *key, const struct owner *owner, uint64_t until);
/* How long `who` (NULL: a stranger) must wait for it; 0: not at all. Asking changes nothing. */
uint64_t held_against(const struct held *h, const char *key, const struct owner *who, uint64_t now);
/* It is in use again. Nothing if it is not held. */
void held_drop(struct held *h, const char *key);
/* Drops those whose time is up, HELD_SWEEP of them at most. */
#define HELD_SWEEP 64
void held_sweep(struct held *h, uint64_t now);
size_t held_count(const struct held *h);
/* Those whose time is up first come first; name: its key and owner. */
void held_each(const struct held *h, void (*fn)(void *arg, struct route *name, uint64_t until),
	       void *arg);

#endif
