/* What was given to whom: random names and TCP ports, in a bounded LRU. */
#include "pgrokd/names/affinity.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"
#include "common/base/text.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/quota.h"

struct remembered {
	TAILQ_ENTRY(remembered) link;
	struct quota_seat by_client, by_address;
	char key[AFFINITY_KEY];
	char value[AFFINITY_VALUE];
};

struct affinity {
	struct strmap *all;                            /* key -> struct remembered */
	TAILQ_HEAD(remembered_list, remembered) order; /* by use, the oldest first */
	struct quota *clients, *addresses;
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
		hex_text(key + 1, hash, 16);
		out->n++;
	}
	EVP_MD_CTX_free(md);
}

void affinity_keys(struct affinity_keys *out, enum affinity_kind kind, const char *client_id,
		   const struct token *token, const struct addr *peer, const char *category)
{
	struct owner owner = owner_of(client_id, token, peer);
	char ip[ADDR_TEXT];

	out->n = 0;
	out->shares = owner_shares(&owner);
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

	a->all = strmap_new();
	TAILQ_INIT(&a->order);
	a->clients = quota_new(LIMIT_AFFINITY_CLIENT);
	a->addresses = quota_new(LIMIT_AFFINITY_ADDRESS);
	a->max = max / (AFFINITY_KEY + AFFINITY_VALUE);
	return a;
}

static void leave_quotas(struct affinity *a, struct remembered *r)
{
	quota_leave(a->clients, &r->by_client);
	quota_leave(a->addresses, &r->by_address);
}

/* NULL is fine. */
static void forget(struct affinity *a, struct remembered *r)
{
	if (!r)
		return;
	leave_quotas(a, r);
	strmap_del(a->all, r->key);
	TAILQ_REMOVE(&a->order, r, link);
	free(r);
}

void affinity_free(struct affinity *a)
{
	if (!a)
		return;
	while (!TAILQ_EMPTY(&a->order))
		forget(a, TAILQ_FIRST(&a->order));
	strmap_free(a->all);
	quota_free(a->clients);
	quota_free(a->addresses);
	free(a);
}

bool affinity_get(struct affinity *a, const struct affinity_keys *keys,
		  char value[static AFFINITY_VALUE])
{
	struct remembered *r = NULL;

	for (int i = 0; i < keys->n && !r; i++)
		r = strmap_get(a->all, keys->key[i]);
	if (!r)
		return false;
	memcpy(value, r->value, AFFINITY_VALUE);
	return true;
}

/* The entry of this key, made if there is none, the youngest of all, in no quota. */
static struct remembered *youngest(struct affinity *a, const char *key)
{
	struct remembered *r = strmap_get(a->all, key);

	if (r) {
		leave_quotas(a, r);
		TAILQ_REMOVE(&a->order, r, link);
	} else {
		r = xcalloc(1, sizeof(*r));
		snprintf(r->key, sizeof(r->key), "%s", key);
		strmap_put(a->all, key, r);
	}
	TAILQ_INSERT_TAIL(&a->order, r, link);
	return r;
}

static void load(struct affinity *a, const char *key, const char *value,
		 const struct owner_shares *shares)
{
	struct remembered *r = youngest(a, key);

	snprintf(r->value, sizeof(r->value), "%s", value);
	forget(a, quota_full(a->clients, shares->client));
	forget(a, quota_full(a->addresses, shares->from));
	quota_enter(a->clients, shares->client, &r->by_client, r);
	quota_enter(a->addresses, shares->from, &r->by_address, r);
	while (strmap_count(a->all) > a->max)
		forget(a, TAILQ_FIRST(&a->order));
}

void affinity_load(struct affinity *a, const char *key, const char *value)
{
	static const struct owner_shares none;

	load(a, key, value, &none);
}

bool affinity_put(struct affinity *a, const struct affinity_keys *keys, const char *value)
{
	bool changed = false;

	/* Backwards, so that the surest key is the youngest entry. */
	for (int i = keys->n - 1; i >= 0; i--) {
		const struct remembered *r = strmap_get(a->all, keys->key[i]);

		if (!r || strcmp(r->value, value) != 0)
			changed = true;
		load(a, keys->key[i], value, &keys->shares);
	}
	return changed;
}

size_t affinity_count(const struct affinity *a)
{
	return strmap_count(a->all);
}

char *affinity_dump(const struct affinity *a, size_t *len)
{
	char *out = xmalloc((AFFINITY_KEY + AFFINITY_VALUE) * strmap_count(a->all) + 1);
	const struct remembered *r;
	char *p = out;

	TAILQ_FOREACH(r, &a->order, link)
	{
		p = stpcpy(p, r->key) + 1;
		p = stpcpy(p, r->value) + 1;
	}
	*len = (size_t)(p - out);
	return out;
}
