/* Certificates made for a test, and handshakes over BIO pairs. */
#ifndef TEST_UNIT_COMMON_TLS_RIG_H
#define TEST_UNIT_COMMON_TLS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net/tls.h"

static char dir[64];

/* A file in the test's folder; the same name gives the same pointer, for the whole run. */
static inline const char *path(const char *name)
{
	static char known[32][128];
	char whole[128];
	int i = 0;

	snprintf(whole, sizeof(whole), "%s/%s", dir, name);
	while (known[i][0] && strcmp(known[i], whole) != 0)
		assert_true(++i < 32);
	strcpy(known[i], whole);
	return known[i];
}

/* ---- certificates ---- */

struct id {
	EVP_PKEY *key;
	X509 *cert;
};

struct spec {
	const char *alt_names;   /* "DNS:a,IP:b"; NULL: none */
	const struct id *issuer; /* NULL: self-signed */
	bool ca, v1, sha1;
	int from_days, to_days; /* 0, 0: now to tomorrow */
	EVP_PKEY *key;          /* taken; NULL: a new P-256 one */
};

static inline void add_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static inline struct id make_id(const char *cn, struct spec s)
{
	static long serial;
	struct id id = {s.key ? s.key : EVP_EC_gen("P-256"), X509_new()};
	const struct id *by = s.issuer ? s.issuer : &id;
	X509_NAME *name = X509_get_subject_name(id.cert);

	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), ++serial);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(id.cert, X509_get_subject_name(by->cert));
	X509_time_adj_ex(X509_getm_notBefore(id.cert), s.from_days, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(id.cert), s.to_days ? s.to_days : 1, 0, NULL);
	X509_set_pubkey(id.cert, id.key);
	if (!s.v1) {
		X509_set_version(id.cert, X509_VERSION_3);
		add_ext(id.cert, NID_basic_constraints, s.ca ? "critical,CA:TRUE" : "CA:FALSE");
		if (s.alt_names)
			add_ext(id.cert, NID_subject_alt_name, s.alt_names);
	}
	assert_true(X509_sign(id.cert, by->key, s.sha1 ? EVP_sha1() : EVP_sha256()) > 0);
	return id;
}

static inline void save_id(const struct id *id, const char *cert, const char *key)
{
	FILE *f = fopen(cert, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, id->cert), 1);
	fclose(f);
	f = fopen(key, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static inline void free_id(struct id *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

static struct id ca, other_ca;

static inline int setup(void **state)
{
	strcpy(dir, "/tmp/tls_test.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	ca = make_id("ca", (struct spec){.ca = true});
	other_ca = make_id("other ca", (struct spec){.ca = true});
	save_id(&ca, path("ca.pem"), path("ca.key"));
	save_id(&other_ca, path("other.pem"), path("other.key"));
	return 0;
}

static inline int teardown(void **state)
{
	char cmd[128];

	free_id(&ca);
	free_id(&other_ca);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) ? -1 : 0;
}

/* ---- handshakes ---- */

static inline void join_bios(SSL *a, SSL *b)
{
	BIO *x, *y;

	assert_int_equal(BIO_new_bio_pair(&x, 0, &y, 0), 1);
	SSL_set_bio(a, x, x);
	SSL_set_bio(b, y, y);
}

static inline bool stuck(SSL *ssl, int rc)
{
	int e = SSL_get_error(ssl, rc);

	return e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
}

/* Both handshakes over? */
static inline bool shake(SSL *client, SSL *server)
{
	join_bios(client, server);
	for (int i = 0; i < 50; i++) {
		int c, s;

		ERR_clear_error();
		c = SSL_do_handshake(client);
		if (c != 1 && stuck(client, c))
			return false;
		ERR_clear_error();
		s = SSL_do_handshake(server);
		if (s != 1 && stuck(server, s))
			return false;
		if (c == 1 && s == 1)
			return true;
	}
	return false;
}

struct seen {
	bool shook, good;
	char pin[TLS_PIN_TEXT];
	struct err err;
};

/* The client's view of a handshake with a server that uses this certificate. */
static inline struct seen visit(SSL_CTX *sctx, const struct tls_client_conf *c, const char *host)
{
	struct seen seen = {0};
	SSL_CTX *cctx = tls_client_ctx(c, &seen.err);
	SSL *client, *server;

	if (!cctx)
		fail_msg("client: %s", seen.err.text);
	client = tls_connect_ssl(cctx, c, host);
	assert_non_null(client);
	server = tls_accept_ssl(sctx);
	seen.shook = shake(client, server);
	seen.good = tls_check_server(client, c, seen.pin, &seen.err);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cctx);
	return seen;
}

static inline SSL_CTX *serve_conf(const struct tls_server_conf *c)
{
	char note[256];
	struct err err;
	SSL_CTX *ctx = tls_server_ctx(c, note, &err);

	if (!ctx)
		fail_msg("server: %s", err.text);
	return ctx;
}

/* Takes id. */
static inline SSL_CTX *serve(struct id id)
{
	const char *cert = path("leaf.pem"), *key = path("leaf.key");
	SSL_CTX *ctx;

	save_id(&id, cert, key);
	ctx = serve_conf(&(struct tls_server_conf){.cert = cert, .key = key});
	free_id(&id);
	return ctx;
}

static inline struct seen visit_id(struct id id, const struct tls_client_conf *c, const char *host)
{
	SSL_CTX *ctx = serve(id);
	struct seen seen = visit(ctx, c, host);

	SSL_CTX_free(ctx);
	return seen;
}

#define AUTHORITY "x509: certificate signed by unknown authority"
#define EXPIRED "x509: certificate has expired or is not yet valid"

#endif
