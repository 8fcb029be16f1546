/* The CAs that may vouch for a connection's peer, as PEM text and in a handshake. */
#ifndef COMMON_NET_TLS_CA_H
#define COMMON_NET_TLS_CA_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/err.h"

#define TLS_CA_TEXT (16u << 10) /* bytes of PEM */
#define TLS_CA_MOST 16          /* certificates */
#define TLS_CA_HASH 32

/* Never changed once made, so that any thread may use it. */
struct tls_ca;

/*
 * Certificates, and nothing else that is PEM: a private key would be sent along. Returns owned;
 * NULL: err says what is wrong.
 */
struct tls_ca *tls_ca_read(const char *pem, struct err *err) MUSTCHECK;
/* NULL is fine. */
void tls_ca_free(struct tls_ca *ca);
/* The certificates as PEM, without what stood between them. Returns owned. */
char *tls_ca_text(const struct tls_ca *ca) MUSTCHECK;
/* SHA-256 of the certificates. Borrowed. */
const unsigned char *tls_ca_hash(const struct tls_ca *ca);

/* The name that a ClientHello asks for, in a client_hello callback. False: it asks for none. */
bool tls_hello_name(SSL *ssl, char name[static 256]) MUSTCHECK;
/*
 * There: this handshake fails unless its peer shows a certificate of ca. It resumes nothing and
 * gives no ticket. False: OpenSSL says why.
 */
bool tls_ca_require(const struct tls_ca *ca, SSL *ssl) MUSTCHECK;
/* Has this connection's own handshake, if it is over, verified a certificate that is good now? */
bool tls_ca_shown(SSL *ssl, int64_t now);

#endif
