/* A route: who serves a public URL. Immutable and counted, so that any thread may look at it. */
#include "pgrokd/names/route.h"

#include <stdlib.h>
#include <string.h>

static struct route *make(enum proto p, char *key, char *url)
{
	struct route *r = xcalloc(1, sizeof(*r));

	atomic_init(&r->refs, 1);
	r->proto = p;
	r->key = key;
	r->url = url;
	return r;
}

struct route *route_new(enum proto p, char *url, struct rules *rules)
{
	const char *host = url_host(url);
	char key[ROUTE_KEY_MAX];

	if (!route_key(p, host, strlen(host), key)) {
		free(url);
		rules_unref(rules);
		return NULL;
	}
	struct route *r = make(p, xstrdup(key), url);

	r->rules = rules;
	return r;
}

struct route *route_new_tcp(char *url, uint16_t port, struct rules *rules)
{
	struct route *r = make(PROTO_TCP, port_key(port), url);

	r->rules = rules;
	r->port = port;
	return r;
}

struct route *route_bare(const char *key, const struct owner *owner)
{
	struct route *r = make(PROTO_TCP, xstrdup(key), NULL);

	r->owner = *owner;
	return r;
}

struct route *route_ref(struct route *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void route_unref(struct route *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(r->key);
	free(r->url);
	rules_unref(r->rules);
	xfree_secret(r, sizeof(*r));
}

bool route_guarded(const struct route *r)
{
	return r->rules != NULL || r->asks != 0;
}

int route_allows(const struct route *r, const struct visit *v)
{
	struct http_span host = v->head->authority;
	char key[ROUTE_KEY_MAX];

	if (!route_key(r->proto, v->bytes + host.off, host.len, key) || strcmp(key, r->key) != 0)
		return 421;
	return rules_allow(r->rules, v);
}
