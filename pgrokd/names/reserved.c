/* Host names that are no tunnel's. */
#include "pgrokd/names/reserved.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"
#include "pgrokd/names/name.h"

struct reserved {
	struct strmap *hosts; /* as they stand in a route's key */
};

const char *reserved_word(const char **list, size_t *len)
{
	const char *word = *list + strspn(*list, ", ");

	*len = strcspn(word, ", ");
	*list = word + *len;
	return *len ? word : NULL;
}

/* Below host, or host itself for a word of no length. */
static void add_below(struct reserved *r, const char *word, size_t len, const char *host)
{
	char *whole = xasprintf("%.*s%s%s", (int)len, word, len ? "." : "", host);

	reserved_add(r, whole);
	free(whole);
}

bool reserved_wants_cert(const char *words)
{
	const char *word;
	size_t len;

	while ((word = reserved_word(&words, &len)))
		if (len == strlen(RESERVED_CERT) && strncmp(word, RESERVED_CERT, len) == 0)
			return true;
	return false;
}

struct reserved *reserved_new(const char *words, const char *domain, const char *vhost)
{
	struct reserved *r = xcalloc(1, sizeof(*r));
	const char *word = "";
	size_t len = 0;

	r->hosts = strmap_new();
	/* The empty word first: the domain itself. */
	for (; word; word = reserved_word(&words, &len)) {
		if (*word == '@')
			continue;
		add_below(r, word, len, domain);
		if (vhost)
			add_below(r, word, len, vhost);
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
