/* Whose a name is: who may have it back, and against whose share it counts. */
#include "pgrokd/names/owner.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text.h"

/* Two that could not be told apart would have each other's names. */
static void hash_client(struct owner *o, const char *text)
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	if (!EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL))
		fatal("no SHA-256");
	memcpy(o->client, hash, OWNER_CLIENT);
}

struct owner owner_of(const char *client_id, const struct token *token, const struct addr *peer)
{
	struct owner o = {.token = *token};

	hash_client(&o, client_id);
	if (!addr_is_loopback(peer))
		o.from = addr_household(peer);
	return o;
}

void owner_name(struct owner *o, const char *client_id, const char *name)
{
	char text[256];

	if (!*name)
		return;
	/* A ClientId has no blanks: these are nobody else's. */
	snprintf(text, sizeof(text), "%s of %s", client_id, name);
	hash_client(o, text);
	snprintf(text, sizeof(text), "the owner %s", name);
	o->token = token_of(text);
	o->named = true;
}

bool owner_same(const struct owner *a, const struct owner *b)
{
	return CRYPTO_memcmp(a->client, b->client, OWNER_CLIENT) == 0 ||
	       token_same(&a->token, &b->token);
}

struct owner_shares owner_shares(const struct owner *o)
{
	struct owner_shares s = {.from = ""};

	s.client[0] = 'c';
	hex_text(s.client + 1, o->named ? o->token.hash : o->client, OWNER_CLIENT);
	if (o->from)
		snprintf(s.from, sizeof(s.from), "a%" PRIx64, o->from);
	return s;
}
