/* Whose a name is: who may have it back, and against whose share it counts. */
#ifndef PGROKD_NAMES_OWNER_H
#define PGROKD_NAMES_OWNER_H

#include <stdint.h>

#include "common/base/addr.h"
#include "pgrokd/access/token.h"

#define OWNER_CLIENT 16

/* Nothing of it is a credential that could be used. */
struct owner {
	unsigned char client[OWNER_CLIENT]; /* of the SHA-256 of its ClientId */
	struct token token;
	bool named; /* token stands for the owner's name, whichever his tokens are: owner_name() */
	uint64_t from; /* addr_household(), 0 for loopback: not counted by address */
};

struct owner owner_of(const char *client_id, const struct token *token, const struct addr *peer);
/*
 * It is known by this name ("": by none), since tokens are checked: its ClientId and its token
 * count for as much as the name.
 */
void owner_name(struct owner *o, const char *client_id, const char *name);
/* The same ClientId, or the same token? */
bool owner_same(const struct owner *a, const struct owner *b);

#define OWNER_SHARE 34

/* Under which name what it has is counted, for its client and for its address ("": it is not). */
struct owner_shares {
	char client[OWNER_SHARE], from[OWNER_SHARE];
};
struct owner_shares owner_shares(const struct owner *o);

#endif
