/*
 * Tokens that the operator took back while the server ran. They stay out whatever the list of
 * tokens says, until their line here is removed or their owner gets another token.
 */
#ifndef PGROKD_ACCESS_REVOKED_H
#define PGROKD_ACCESS_REVOKED_H

#include "pgrokd/access/tokens.h"

/* Main thread. */
struct revoked;

struct revoked *revoked_new(void) MUSTCHECK;
/* NULL is fine. */
void revoked_free(struct revoked *r);

/*
 * Reads lines "OWNER sha256:HEX" in the place of what was there; empty ones and those that begin
 * with # do not count. False: err names the line, and nothing has changed.
 */
bool revoked_parse(struct revoked *r, const char *text, struct err *err) MUSTCHECK;
/* The same text, owned. */
char *revoked_text(const struct revoked *r) MUSTCHECK;
/*
 * The same from, and to, revoked.txt in this folder (-stateDir; NULL: none, and there is nothing to
 * do). One that is not there is empty. False: err says which file, and why.
 */
bool revoked_read(struct revoked *r, const char *dir, struct err *err) MUSTCHECK;
bool revoked_write(const struct revoked *r, const char *dir, struct err *err) MUSTCHECK;

/* The token of this owner in t. False: t has none. */
bool revoked_add(struct revoked *r, const struct tokens *t, const char *owner) MUSTCHECK;
/* t without them, a new reference; t itself if none is in it. NULL if t is. */
struct tokens *revoked_apply(const struct revoked *r, struct tokens *t) MUSTCHECK;

#endif
