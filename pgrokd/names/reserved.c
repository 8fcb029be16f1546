/* Host names that are no tunnel's. */
#include "pgrokd/names/reserved.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"
#include "common/base/words.h"
#include "common/base/xalloc.h"
#include "pgrokd/names/name.h"

struct reserved {
	struct strmap *hosts; /* as they stand in a route's key */
};

static void add_below(struct reserved *r, const char *word, const char *host)
{
	char *whole = xasprintf("%s.%s", word, host);

	reserved_add(r, whole);
	free(whole);
}

bool reserved_wants_cert(const char *words)
{
	bool found = false;
	char *word;

	while (!found && (word = words_next(&words))) {
		found = strcmp(word, RESERVED_CERT) == 0;
		free(word);
	}
	return found;
}

struct reserved *reserved_new(const char *words, const char *domain, const char *vhost)
{
	struct reserved *r = xcalloc(1, sizeof(*r));
	char *word;

	r->hosts = strmap_new();
	reserved_add(r, domain);
	if (vhost)
		reserved_add(r, vhost);
	while ((word = words_next(&words))) {
		if (*word != '@') {
			add_below(r, word, domain);
			if (vhost)
				add_below(r, word, vhost);
		}
		free(word);
	}
	return r;
}

void reserved_free(struct reserved *r)
{
	if (!r)
		return;
	strmap_free(r->hosts);
	free(r);
}

void reserved_add(struct reserved *r, const char *host)
{
	char key[ROUTE_KEY_MAX];

	if (*host != '*' && route_key(PROTO_HTTP, host, strlen(host), key))
		strmap_put(r->hosts, url_host(key), r);
}

bool reserved_has(const struct reserved *r, const char *host)
{
	char key[ROUTE_KEY_MAX];

	return route_key(PROTO_HTTP, host, strlen(host), key) &&
	       strmap_get(r->hosts, url_host(key));
}
