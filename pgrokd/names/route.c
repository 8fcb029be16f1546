/* A route: who serves a public URL. Immutable and counted, so that any thread may look at it. */
#include "pgrokd/names/route.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct token token_of(const char *text)
{
	struct token t = {.given = *text != '\0'};

	if (t.given && !EVP_Digest(text, strlen(text), t.hash, NULL, EVP_sha256(), NULL))
		t.given = false;
	return t;
}

bool token_same(const struct token *a, const struct token *b)
{
	return a->given && b->given && CRYPTO_memcmp(a->hash, b->hash, TOKEN_HASH) == 0;
}

static char *base64_of(const char *text)
{
	size_t len = strlen(text);
	char *out = xmalloc((len + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
	return out;
}

struct route *route_new(enum proto p, char *url, const char *auth)
{
	const char *host = url_host(url);
	char key[ROUTE_KEY_MAX];

	if (!route_key(p, host, strlen(host), key)) {
		free(url);
		return NULL;
	}
	struct route *r = xcalloc(1, sizeof(*r));

	atomic_init(&r->refs, 1);
	r->proto = p;
	r->url = url;
	r->key = xstrdup(key);
	r->auth = *auth ? base64_of(auth) : NULL;
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
	xfree_secret_str(r->auth);
	xfree_secret(r, sizeof(*r));
}

bool route_guarded(const struct route *r)
{
	return r->auth;
}

/*
 * "Basic" in any case, blanks, then exactly these credentials: compared in constant time, though
 * their length is no secret.
 */
static bool has_credentials(const char *given, size_t len, const char *want)
{
	size_t at = strlen("Basic");

	if (len <= at || strncasecmp(given, "Basic", at) != 0 || given[at] != ' ')
		return false;
	while (at < len && given[at] == ' ')
		at++;
	return len - at == strlen(want) && CRYPTO_memcmp(given + at, want, len - at) == 0;
}

int route_allows(const struct route *r, const struct http_head *h, const char *head)
{
	char key[ROUTE_KEY_MAX];

	if (!route_key(r->proto, head + h->authority.off, h->authority.len, key) ||
	    strcmp(key, r->key) != 0)
		return 421;
	if (r->auth && !has_credentials(head + h->authorization.off, h->authorization.len, r->auth))
		return 401;
	return 0;
}
