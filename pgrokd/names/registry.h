/*
 * The one thing all workers share: which URL or port is whose or held for whom, where a client is
 * at home, who had which name. A monitor: its lock is held for look-ups only, never over I/O,
 * logging or a callback.
 */
#ifndef PGROKD_NAMES_REGISTRY_H
#define PGROKD_NAMES_REGISTRY_H

#include "pgrokd/names/affinity.h"
#include "pgrokd/names/route.h"

struct registry;

struct registry *registry_new(int workers) MUSTCHECK;
void registry_free(struct registry *r);

/* ---- routes ---- */

/* Returns a reference (the caller's), or NULL: no client has it. */
struct route *registry_find(struct registry *r, const char *key) MUSTCHECK;

/* How many there are. */
size_t registry_routes(struct registry *r);
/* Has nobody got it now, but is it held for its owner? */
bool registry_held(struct registry *r, const char *key);

/* Why a route could not be registered. */
struct obstacle {
	struct route
		*taken;  /* a reference (the caller's) to the one in the way; NULL: it is held */
	unsigned held_s; /* for another owner, for so many seconds */
	bool full;       /* not the registry's word: its owner has all the tunnels that it may */
};

/*
 * Registers all n routes, or none: then *why says why. The registry takes a reference of its own to
 * each.
 */
bool registry_claim(struct registry *r, struct route *const *routes, int n,
		    struct obstacle *why) MUSTCHECK;
/*
 * Deletes the entry if it is this route's own. hold: only its owner may claim it again for as long
 * as registry_set_keep() said.
 */
void registry_unregister(struct registry *r, const struct route *route, bool hold);

/*
 * How long names are held, scaled as all time-outs are; of owners with a token that is checked:
 * named. At first LIMIT_NAME_HELD_MS and LIMIT_NAME_KEPT_MS. Before any worker runs.
 */
void registry_set_keep(struct registry *r, uint64_t ms, uint64_t named_ms);

/* ---- ports of tcp tunnels ---- */

/* What registry_free_port() picks from. Before any worker runs. */
void registry_set_ports(struct registry *r, uint16_t min, uint16_t max);
/* One that no tunnel has and none is held for, by chance; 0: there is none. */
uint16_t registry_free_port(struct registry *r);
/* The same of those from min to max. */
uint16_t registry_free_port_of(struct registry *r, uint16_t min, uint16_t max);
/* Another program has it. */
void registry_port_failed(struct registry *r, uint16_t port);

/* ---- what is to survive a restart ---- */

struct saved_name {
	struct route *name; /* a reference: its key and owner */
	uint64_t left_ms;   /* how long it is held if nothing happens */
};

/*
 * All names that are in use or held (LIMIT_SAVED_NAMES of each at most), if they changed since the
 * last call; else NULL. For registry_names_free().
 */
struct saved_name *registry_names(struct registry *r, size_t *n) MUSTCHECK;
void registry_names_free(struct saved_name *names, size_t n);
/* They could not be saved: the next registry_names() is to return them again. */
void registry_names_unsaved(struct registry *r);
/* Loading, before any worker runs; no longer than any name is held. */
void registry_hold(struct registry *r, const char *key, const struct owner *owner,
		   uint64_t left_ms);

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
/* They could not be saved: the next registry_changes() is to return them again. */
void registry_unsaved(struct registry *r);

#endif
