/* Which tunnel's CA has vouched for a visitor. */
#include "pgrokd/core/certs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

static int slot; /* of a connection's struct vouch */
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;

static void free_vouch(void *parent, void *vouch, CRYPTO_EX_DATA *ad, int idx, long argl,
		       void *argp)
{
	free(vouch);
}

static void make_slot(void)
{
	slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_vouch);
	if (slot < 0)
		fatal("out of memory (TLS)");
}

/* It holds once the handshake has succeeded. */
static bool require(SSL *ssl, const struct route *route)
{
	const struct tls_ca *ca = rules_ca(route->rules);

	if (!ca)
		return true;
	struct vouch *v = xcalloc(1, sizeof(*v));

	free(SSL_get_ex_data(ssl, slot));
	snprintf(v->tunnel, sizeof(v->tunnel), "%s", route->key);
	memcpy(v->ca, tls_ca_hash(ca), sizeof(v->ca));
	if (SSL_set_ex_data(ssl, slot, v) != 1)
		fatal("out of memory (TLS)");
	return tls_ca_require(ca, ssl);
}

/* On any worker. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	char name[256], key[ROUTE_KEY_MAX];
	struct route *route = NULL;

	if (tls_hello_name(ssl, name) && route_key(PROTO_HTTPS, name, strlen(name), key))
		route = registry_find(arg, key);
	bool ok = !route || require(ssl, route);

	route_unref(route);
	return ok ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

void certs_watch(SSL_CTX *ctx, struct registry *r)
{
	pthread_once(&slot_once, make_slot);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, r);
}

const struct vouch *certs_vouch(SSL *ssl, int64_t now)
{
	pthread_once(&slot_once, make_slot);
	const struct vouch *v = ssl ? SSL_get_ex_data(ssl, slot) : NULL;

	return v && tls_ca_shown(ssl, now) ? v : NULL;
}
