/*
 * What was given to whom: random names and TCP ports, so that a client that comes back gets the
 * same again if it is free. A bounded LRU; not for use by two threads (the registry locks around
 * it).
 */
#ifndef PGROKD_NAMES_AFFINITY_H
#define PGROKD_NAMES_AFFINITY_H

#include <stdbool.h>
#include <stddef.h>

#include "pgrokd/names/owner.h"

#define AFFINITY_KEY 34 /* a hash as hex digits: neither tokens nor ids are kept in clear */
#define AFFINITY_KEYS 3
#define AFFINITY_VALUE 64

enum affinity_kind { AFFINITY_NAME, AFFINITY_PORT };

/* Under what a name or port is remembered, the surest first, and as whose. */
struct affinity_keys {
	int n;
	char key[AFFINITY_KEYS][AFFINITY_KEY];
	struct owner_shares shares;
};

/*
 * By ClientId and by token; by address for ports only: a name behind a shared address may carry
 * another owner's visitors. category is the tunnel's name in the client's config, so that
 * each of several tunnels comes back to its own.
 */
void affinity_keys(struct affinity_keys *out, enum affinity_kind kind, const char *client_id,
		   const struct token *token, const struct addr *peer, const char *category);

struct affinity;
/*
 * max: bytes of keys and values kept; above it what was not used for longest is forgotten. Above
 * LIMIT_AFFINITY_CLIENT or LIMIT_AFFINITY_ADDRESS entries one client, or address, loses its own
 * first.
 */
struct affinity *affinity_new(size_t max);
void affinity_free(struct affinity *a);
/* The value of the first key that has one; false: none has. */
bool affinity_get(struct affinity *a, const struct affinity_keys *keys,
		  char value[static AFFINITY_VALUE]) MUSTCHECK;
/* True if this changed anything. */
bool affinity_put(struct affinity *a, const struct affinity_keys *keys, const char *value);
size_t affinity_count(const struct affinity *a);

/* All entries, oldest first, as "key\0value\0...". Owned, *len bytes. */
char *affinity_dump(const struct affinity *a, size_t *len) MUSTCHECK;
/* As the youngest; counted for no client until it is put again. */
void affinity_load(struct affinity *a, const char *key, const char *value);

#endif
