/*
 * The cookie of a visitor that has given a tunnel's password: a time, and an HMAC by a key of this
 * process. It opens that tunnel of that owner, as long as the password is the same.
 */
#ifndef PGROKD_ACCESS_PASS_H
#define PGROKD_ACCESS_PASS_H

#include <stdint.h>

#include "common/base/text.h"

#define PASS_HASH 32 /* bytes of a SHA-256 */

struct pass_key {
	unsigned char owner[PASS_HASH];
	unsigned char password[PASS_HASH]; /* SHA-256 of it */
};

void pass_hash(const void *bytes, size_t len, unsigned char out[static PASS_HASH]);
/*
 * Appends the field that sets it, from now on (seconds since 1970). secure: over https only. On
 * http it has another name, and is another cookie: neither opens the other's tunnel.
 */
void pass_set(struct text *out, const struct pass_key *k, const char *tunnel, bool secure,
	      int64_t now);
/* Is there a good one among the cookies of a request (the value of its Cookie)? */
bool pass_valid(const struct pass_key *k, const char *tunnel, bool secure, int64_t now,
		const char *cookies, size_t len) MUSTCHECK;

#endif
