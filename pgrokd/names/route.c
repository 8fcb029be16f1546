/* A route: who serves a public URL. Immutable and counted, so that any thread may look at it. */
#include "pgrokd/names/route.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

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

static char *basic_of(const char *auth)
{
	size_t len = strlen(auth);
	char *out = xmalloc(sizeof("Basic ") + (len + 2) / 3 * 4);

	memcpy(out, "Basic ", 6);
	EVP_EncodeBlock((unsigned char *)out + 6, (const unsigned char *)auth, (int)len);
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
	r->auth = *auth ? basic_of(auth) : NULL;
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

int route_allows(const struct route *r, const struct http_head *h, const char *head)
{
	char key[ROUTE_KEY_MAX];

	if (!route_key(r->proto, head + h->authority.off, h->authority.len, key) ||
	    strcmp(key, r->key) != 0)
		return 421;
	if (!r->auth)
		return 0;
	/* Byte for byte, as the Go server compares; the length is no secret. */
	if (h->authorization.len != strlen(r->auth) ||
	    CRYPTO_memcmp(head + h->authorization.off, r->auth, h->authorization.len) != 0)
		return 401;
	return 0;
}
