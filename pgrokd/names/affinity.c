/* What was given to whom: random names and TCP ports, in a bounded LRU. */
#include "pgrokd/names/affinity.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct remembered {
	char key[AFFINITY_KEY];
	char value[AFFINITY_VALUE];
	UT_hash_handle
		hh; /* its order of insertion is the order of use: used = taken out, put in */
};

struct affinity {
	struct remembered *all;
	size_t max;
};

/* One key: the kind's letter and 32 hex digits of a hash of everything that matters. */
static void make_key(struct affinity_keys *out, enum affinity_kind kind, char scope,
		     const void *who, size_t who_len, const char *category)
{
	char *key = out->key[out->n];
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) && EVP_DigestUpdate(md, &scope, 1) &&
	    EVP_DigestUpdate(md, who, who_len) && EVP_DigestUpdate(md, "", 1) &&
	    EVP_DigestUpdate(md, category, strlen(category)) &&
	    EVP_DigestFinal_ex(md, hash, NULL)) {
		key[0] = kind == AFFINITY_NAME ? 'n' : 'p';
		for (int i = 0; i < 16; i++)
			snprintf(key + 1 + 2 * i, 3, "%02x", hash[i]);
		out->n++;
	}
	EVP_MD_CTX_free(md);
}

void affinity_keys(struct affinity_keys *out, enum affinity_kind kind, const char *client_id,
		   const struct token *token, const struct addr *peer, const char *category)
{
	char ip[ADDR_TEXT];

	out->n = 0;
	make_key(out, kind, 'i', client_id, strlen(client_id), category);
	if (token->given)
		make_key(out, kind, 't', token->hash, TOKEN_HASH, category);
	if (kind == AFFINITY_PORT && peer->len) {
		addr_ip_text(peer, ip);
		make_key(out, kind, 'a', ip, strlen(ip), category);
	}
}

struct affinity *affinity_new(size_t max)
{
	struct affinity *a = xcalloc(1, sizeof(*a));

	a->max = max / (AFFINITY_KEY + AFFINITY_VALUE);
	return a;
}

static void forget(struct affinity *a, struct remembered *r)
{
	HASH_DEL(a->all, r);
	free(r);
}

void affinity_free(struct affinity *a)
{
	if (!a)
		return;
	while (a->all)
		forget(a, a->all);
	free(a);
}

bool affinity_get(struct affinity *a, const struct affinity_keys *keys,
		  char value[static AFFINITY_VALUE])
{
	struct remembered *r = NULL;

	for (int i = 0; i < keys->n && !r; i++)
		HASH_FIND_STR(a->all, keys->key[i], r);
	if (!r)
		return false;
	memcpy(value, r->value, AFFINITY_VALUE);
	return true;
}

void affinity_load(struct affinity *a, const char *key, const char *value)
{
	struct remembered *r;

	HASH_FIND_STR(a->all, key, r);
	if (r) {
		HASH_DEL(a->all, r);
	} else {
		r = xcalloc(1, sizeof(*r));
		snprintf(r->key, sizeof(r->key), "%s", key);
	}
	snprintf(r->value, sizeof(r->value), "%s", value);
	HASH_ADD_STR(a->all, key, r);
	while (HASH_COUNT(a->all) > a->max)
		forget(a, a->all);
}

bool affinity_put(struct affinity *a, const struct affinity_keys *keys, const char *value)
{
	bool changed = false;

	/* Backwards, so that the surest key is the youngest entry. */
	for (int i = keys->n - 1; i >= 0; i--) {
		struct remembered *r;

		HASH_FIND_STR(a->all, keys->key[i], r);
		if (!r || strcmp(r->value, value) != 0)
			changed = true;
		affinity_load(a, keys->key[i], value);
	}
	return changed;
}

size_t affinity_count(const struct affinity *a)
{
	return HASH_COUNT(a->all);
}

char *affinity_dump(const struct affinity *a, size_t *len)
{
	char *out = xmalloc((AFFINITY_KEY + AFFINITY_VALUE) * (size_t)HASH_COUNT(a->all) + 1);
	char *p = out;

	for (const struct remembered *r = a->all; r; r = r->hh.next) {
		p = stpcpy(p, r->key) + 1;
		p = stpcpy(p, r->value) + 1;
	}
	*len = (size_t)(p - out);
	return out;
}
