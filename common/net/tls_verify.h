/*
 * Whom a client trusts by its roots: chain and name, and why not, in Go's words, which users search
 * for.
 */
#ifndef COMMON_NET_TLS_VERIFY_H
#define COMMON_NET_TLS_VERIFY_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/base/err.h"
#include "common/net/tls_pin.h"

/*
 * From here on a handshake of ctx fails unless the server's chain leads to the system's roots or to
 * those in the PEM file (NULL: none), which messages call name. False: err names the file.
 */
bool tls_verify_roots(SSL_CTX *ctx, bool host_roots, const char *root_cas, const char *name,
		      struct err *err) MUSTCHECK;
/* The name or numeric address to be verified. False: it can't be. */
bool tls_verify_host(SSL *ssl, const char *host, bool is_ip) MUSTCHECK;
/* Did the handshake refuse the certificate? Then why, and what its pin was. */
bool tls_verify_refused(SSL *ssl, char pin[static TLS_PIN_TEXT], struct err *err) MUSTCHECK;
/*
 * What a full handshake has checked, checked again: a resumed one trusts the session's memory.
 * False: the reason is in err.
 */
bool tls_verify_again(SSL *ssl, X509 *cert, struct err *err) MUSTCHECK;

#endif
