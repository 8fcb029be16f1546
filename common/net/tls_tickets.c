/* The keys of session tickets. */
#include "common/net/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

#define KEYS (1 + TICKET_KEPT_MS / TICKET_KEY_MS)

struct tickets {
	pthread_mutex_t lock;
	struct ticket_key key[KEYS]; /* the newest first */
};

struct tickets *tickets_new(void)
{
	struct tickets *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void tickets_free(struct tickets *t)
{
	if (!t)
		return;
	pthread_mutex_destroy(&t->lock);
	xfree_secret(t, sizeof(*t));
}

static bool make_key(struct ticket_key *k, uint64_t now)
{
	k->born = now;
	k->made = RAND_bytes(k->name, sizeof(k->name)) == 1 &&
		  RAND_priv_bytes(k->aes, sizeof(k->aes)) == 1 &&
		  RAND_priv_bytes(k->mac, sizeof(k->mac)) == 1;
	return k->made;
}

bool tickets_key(struct tickets *t, uint64_t now, struct ticket_key *out)
{
	struct ticket_key fresh;
	bool ok = true;

	pthread_mutex_lock(&t->lock);
	if (!t->key[0].made || now - t->key[0].born >= TICKET_KEY_MS) {
		ok = make_key(&fresh, now);
		if (ok) {
			memmove(&t->key[1], &t->key[0], sizeof(t->key) - sizeof(t->key[0]));
			t->key[0] = fresh;
		}
		OPENSSL_cleanse(&fresh, sizeof(fresh));
	}
	*out = t->key[0];
	pthread_mutex_unlock(&t->lock);
	return ok;
}

bool tickets_find(struct tickets *t, uint64_t now, const unsigned char name[static TICKET_NAME],
		  struct ticket_key *out, bool *renew)
{
	bool found = false;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < KEYS && !found; i++) {
		const struct ticket_key *k = &t->key[i];

		found = k->made && memcmp(k->name, name, TICKET_NAME) == 0 &&
			now - k->born < TICKET_KEY_MS + TICKET_KEPT_MS;
		if (found) {
			*out = *k;
			*renew = now - k->born >= TICKET_KEY_MS;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* ---- OpenSSL's hook ---- */

static int slot = -1; /* of the keys in a context */

static void slot_free(void *parent, void *keys, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	tickets_free(keys);
}

static void slot_make(void)
{
	slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, slot_free);
}

static bool set_keys(struct ticket_key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int enc)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex2(cipher, EVP_aes_256_cbc(), k->aes, iv, enc, NULL) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* -1: a fault; 0: no key, a handshake in full; 1: done; 2: done, and a new ticket is to follow. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int enc)
{
	struct tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slot);
	struct ticket_key k;
	uint64_t now = clock_coarse_ms();
	bool renew = false;
	int rc = -1;

	if (!enc) {
		if (!tickets_find(t, now, name, &k, &renew))
			return 0;
		/* There a ticket is for one use (RFC 8446 appendix C.4). */
		renew = renew || SSL_version(ssl) == TLS1_3_VERSION;
	} else {
		if (!tickets_key(t, now, &k) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
		memcpy(name, k.name, TICKET_NAME);
	}
	if (set_keys(&k, iv, cipher, mac, enc))
		rc = renew ? 2 : 1;
	OPENSSL_cleanse(&k, sizeof(k));
	return rc;
}

bool tickets_use(SSL_CTX *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct tickets *t = tickets_new();

	pthread_once(&once, slot_make);
	if (slot < 0 || SSL_CTX_set_ex_data(ctx, slot, t) != 1) {
		tickets_free(t);
		return false;
	}
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}
