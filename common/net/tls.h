/* TLS contexts and connections for both ends. */
#ifndef COMMON_NET_TLS_H
#define COMMON_NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/err.h"
#include "common/net/tls_pin.h"

/* What messages call the files; NULL: what they are. */
struct tls_names {
	const char *cert, *key, *ca;
};

struct tls_server_conf {
	const char *cert, *key; /* PEM files (chain in cert); both NULL: the pair in state_dir */
	const char *client_ca;  /* PEM file: a client certificate of this CA is required; or NULL */
	const char *state_dir;  /* where the self-signed pair lives; NULL: in memory only */
	const char *domain;     /* the self-signed certificate is for it and *.domain */
	struct tls_names names;
};

/*
 * TLS 1.2 (with ECDHE) and 1.3, X25519 before the P curves, one ticket (tls_tickets.h),
 * SSL_MODE_RELEASE_BUFFERS, no renegotiation, no compression. Returns owned, or NULL with the file
 * named in err (the options' names are the caller's to add). Without cert and key: loads
 * state_dir/cert.pem and key.pem, or makes a P-256 pair (tls_selfsigned.h). *note (256 bytes) is
 * "", or says that the pair could not be kept, was replaced, or is for another domain.
 */
SSL_CTX *tls_server_ctx(const struct tls_server_conf *c, char note[static 256],
			struct err *err) MUSTCHECK;
/* A server-side SSL in accept state. Returns owned. */
SSL *tls_accept_ssl(SSL_CTX *ctx) MUSTCHECK;
/* The pin of the context's own certificate ("sha256//..." of its SubjectPublicKeyInfo). */
void tls_ctx_pin(SSL_CTX *ctx, char pin[static TLS_PIN_TEXT]);

/* fn(arg, name) for each name of the context's own certificate; addresses as text, IPv6 in []. */
void tls_ctx_names(SSL_CTX *ctx, void (*fn)(void *arg, const char *name), void *arg);
/*
 * Is its own certificate good today, and (domain not NULL) for names below domain? False: why says
 * what others will object to ("has expired (2026-11-30)").
 */
bool tls_ctx_good(SSL_CTX *ctx, const char *domain, struct err *why) MUSTCHECK;

struct tls_client_conf {
	bool host_roots;        /* trust_host_root_certs: the system's roots, name verified */
	const char *root_cas;   /* PEM file of trusted certificates, name verified; or NULL */
	const char *pin;        /* "sha256//...": this key (one of several, ';' between); or NULL */
	const char *cert, *key; /* own certificate for mutual TLS; or NULL */
	struct tls_names names; /* ca: root_cas */
};

/*
 * With none of host_roots, root_cas and pin any certificate is accepted (as pgrok always did). With
 * a pin alone the key decides; with roots the chain and the name must be right; with both, both.
 * host_roots honours SSL_CERT_FILE and SSL_CERT_DIR. Names are looked for in subjectAltName only,
 * as in Go; a certificate in root_cas is trusted itself, a CA's or not.
 */
SSL_CTX *tls_client_ctx(const struct tls_client_conf *c, struct err *err) MUSTCHECK;
/*
 * A client-side SSL in connect state; host is verified if roots are, and sent as SNI if a name.
 * NULL: the roots are to be verified, but host is empty or no possible name.
 */
SSL *tls_connect_ssl(SSL_CTX *ctx, const struct tls_client_conf *c, const char *host) MUSTCHECK;
/* The key exchange group that this handshake chose (OpenSSL's number for it), 0 if none. */
int tls_group(SSL *ssl);
/*
 * Before the handshake of a client: offers this group's key first. A server that wants another one
 * answers with a HelloRetryRequest, which costs a round trip (RFC 8446 section 4.1.4).
 */
void tls_first_group(SSL *ssl, int group);
/*
 * After the handshake, resumed or not: is this peer the one that c asks for? False: the reason in
 * err ("x509: certificate signed by unknown authority", "the server's key is sha256//..., not the
 * pinned one"). pin receives the peer's pin in any case ("": no certificate was seen).
 * With roots a wrong peer fails the handshake itself. Called after a failed handshake this is false
 * too, with the reason if it was the certificate, with err "" if it was something else.
 */
bool tls_check_server(SSL *ssl, const struct tls_client_conf *c, char pin[static TLS_PIN_TEXT],
		      struct err *err) MUSTCHECK;
#endif
