/* A route: who serves a public URL. Immutable and counted, so that any thread may look at it. */
#ifndef PGROKD_NAMES_ROUTE_H
#define PGROKD_NAMES_ROUTE_H

#include <stdatomic.h>

#include "common/http/head.h"
#include "pgrokd/access/rules.h"
#include "pgrokd/names/name.h"
#include "pgrokd/names/owner.h"

struct route {
	atomic_uint refs;
	enum proto proto;
	int home;           /* worker */
	uint64_t tunnel_id; /* looked up at home; not found: it has been closed since */
	uint64_t client;    /* likewise */
	struct owner owner;
	int asks;      /* of each request core->forward[asks - 1] is asked; 0: none */
	bool mux;      /* its visitors may go over the client's mux session */
	uint16_t port; /* of a tcp tunnel; else 0 */
	char *key, *url;
	struct rules *rules; /* for its visitors; NULL: none */
};

/*
 * For http and https: takes url (owned) and a reference of rules (NULL: none). NULL: the URL has a
 * host that can't be a key. Returns owned, one reference.
 */
struct route *route_new(enum proto p, char *url, struct rules *rules) MUSTCHECK;
/* For tcp, where the port is what it is known by: takes url. Returns owned, one reference. */
struct route *route_new_tcp(char *url, uint16_t port, struct rules *rules) MUSTCHECK;
/* For a name that is only held: key and owner, nothing else. Returns owned, one reference. */
struct route *route_bare(const char *key, const struct owner *owner) MUSTCHECK;
struct route *route_ref(struct route *r);
/* The last one frees and wipes it; NULL is fine. */
void route_unref(struct route *r);

/* Are there rules, so that the right host alone does not let a request pass? */
bool route_guarded(const struct route *r);
/*
 * May this request pass? 0, or why not: 421 it is for another host than the route's,
 * else what rules_allow() says.
 */
int route_allows(const struct route *r, const struct visit *v);

#endif
