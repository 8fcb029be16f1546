/* A route: who serves a public URL. Immutable and counted, so that any thread may look at it. */
#ifndef PGROKD_NAMES_ROUTE_H
#define PGROKD_NAMES_ROUTE_H

#include <stdatomic.h>

#include "common/http/head.h"
#include "pgrokd/names/name.h"

#define TOKEN_HASH 32

/* A token as it may be kept and compared: its SHA-256. No token: given is false. */
struct token {
	bool given;
	unsigned char hash[TOKEN_HASH];
};

struct token token_of(const char *text);
/* The same, and one was given at all? In constant time. */
bool token_same(const struct token *a, const struct token *b);

struct route {
	atomic_uint refs;
	enum proto proto;
	int home;            /* worker */
	uint64_t tunnel_id;  /* found on the home, or it died meanwhile */
	uint64_t control_id; /* likewise */
	struct token token;  /* of the owner */
	bool mux;            /* its visitors may go over the client's mux session */
	char *key, *url;
	char *auth; /* what must be behind "Basic" in a request's Authorization; NULL: no rule */
};

/*
 * Takes url (owned); auth is "user:password", borrowed, "" for none. NULL: the URL has a host that
 * can't be a key. Returns owned, one reference.
 */
struct route *route_new(enum proto p, char *url, const char *auth) MUSTCHECK;
struct route *route_ref(struct route *r);
/* The last one frees and wipes it; NULL is fine. */
void route_unref(struct route *r);

/* Are there rules, so that the right host alone does not let a request pass? */
bool route_guarded(const struct route *r);
/*
 * May this request pass? 0, or the status to refuse it with: 421 another host than the route's,
 * 401 no or wrong credentials.
 */
int route_allows(const struct route *r, const struct http_head *h, const char *head);

#endif
