/*
 * The one thing all workers share: which URL is whose, where a client is at home, who had which
 * name. A monitor: its lock is held for look-ups only, never over I/O, logging or a callback.
 */
#ifndef PGROKD_NAMES_REGISTRY_H
#define PGROKD_NAMES_REGISTRY_H

#include "pgrokd/names/affinity.h"
#include "pgrokd/names/route.h"

struct registry;

struct registry *registry_new(int workers) MUSTCHECK;
void registry_free(struct registry *r);

/* ---- routes ---- */

/* Returns a reference (the caller's), or NULL: nobody has it. */
struct route *registry_find(struct registry *r, const char *key) MUSTCHECK;
/*
 * Registers all n routes, or none: then *taken is a reference (the caller's) to the route that is
 * in the way. The registry takes a reference of its own to each.
 */
bool registry_claim(struct registry *r, struct route *const *routes, int n,
		    struct route **taken) MUSTCHECK;
/* Deletes the entry only if it is this tunnel's own. */
void registry_unregister(struct registry *r, const char *key, uint64_t tunnel_id);

/* ---- homes ---- */

/*
 * The worker where this ClientId lives; a new one goes where fewest visitors are joined (then:
 * where fewest clients are). Counts one use: each call is undone by one registry_leave().
 */
int registry_enter(struct registry *r, const char *client_id);
void registry_leave(struct registry *r, const char *client_id);
/* The home of a known ClientId, -1 if there is none. Counts nothing. */
int registry_home(struct registry *r, const char *client_id);
/* A visitor was joined (+1) or left (-1) on this worker. No lock. */
void registry_joined(struct registry *r, int worker, int change);

/* ---- affinity ---- */

bool registry_recall(struct registry *r, const struct affinity_keys *keys,
		     char value[static AFFINITY_VALUE]) MUSTCHECK;
void registry_remember(struct registry *r, const struct affinity_keys *keys, const char *value);
/* Loading, before any worker runs. */
void registry_load(struct registry *r, const char *key, const char *value);
/* As affinity_dump(), if anything changed since the last call; NULL otherwise. Owned. */
char *registry_changes(struct registry *r, size_t *len) MUSTCHECK;

#endif
