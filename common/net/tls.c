/* TLS contexts for both ends. */
#include "common/net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/addr.h"
#include "common/base/log.h"
#include "common/net/tls_error.h"
#include "common/net/tls_selfsigned.h"
#include "common/net/tls_tickets.h"
#include "common/net/tls_verify.h"

/* The Go server knows only the P curves. */
static const int groups[] = {NID_X25519, NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};

/*
 * The order counts for what we dial: OpenSSL's servers and Go's take the client's first. 128 bits
 * are as safe as the P-256 key they hang on, and cost less than 256.
 */
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* Of TLS 1.2, for who dials us: a key that is stolen later opens nothing that was recorded. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+HIGH:!aNULL:!PSK:!SRP"

#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))
#define HOST_MAX 254 /* 253 and a trailing dot */

/* ---- what both ends share ---- */

/* A key with a password must not make a daemon ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method, struct err *err)
{
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = SSL_CTX_new(method);
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, CIPHERS) != 1 ||
	    SSL_CTX_set1_groups(ctx, groups, N_GROUPS) != 1) {
		tls_error_text(err);
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* 32 KiB less for a connection that is idle. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	return ctx;
}

static const char *name_or(const char *name, const char *otherwise)
{
	return name ? name : otherwise;
}

static bool use_files(SSL_CTX *ctx, const char *cert, const char *key,
		      const struct tls_names *names, struct err *err)
{
	if (!cert || !key)
		return err_set(err, "a certificate and its key are needed, only the %s is given",
			       cert ? "certificate" : "key");
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
		tls_file_error(err, name_or(names->cert, "certificate"), cert);
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		tls_file_error(err, name_or(names->key, "key"), key);
		return false;
	}
	return true;
}

static SSL *new_ssl(SSL_CTX *ctx)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl)
		fatal("out of memory (TLS connection)");
	return ssl;
}

/* ---- server ---- */

static bool require_client_cert(SSL_CTX *ctx, const char *ca, const char *name, struct err *err)
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);

	if (!names || SSL_CTX_load_verify_file(ctx, ca) != 1) {
		tls_file_error(err, name_or(name, "client CA"), ca);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return true;
}

static bool use_selfsigned(SSL_CTX *ctx, const struct tls_server_conf *c, char note[static 256],
			   struct err *err)
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	bool ok = tls_selfsigned(c->state_dir, c->domain, &key, &cert, note, err);

	if (ok &&
	    (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
		tls_error_text(err);
		ok = false;
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

SSL_CTX *tls_server_ctx(const struct tls_server_conf *c, char note[static 256], struct err *err)
{
	static const unsigned char session_id_context[] = "pgrok";
	SSL_CTX *ctx = new_ctx(TLS_server_method(), err);

	note[0] = '\0';
	if (!ctx)
		return NULL;
	if (c->cert || c->key ? !use_files(ctx, c->cert, c->key, &c->names, err)
			      : !use_selfsigned(ctx, c, note, err))
		goto fail;
	if (c->client_ca && !require_client_cert(ctx, c->client_ca, c->names.ca, err))
		goto fail;
	/* Tickets carry all there is to know: no table of sessions, no lock around it. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	if (SSL_CTX_set_cipher_list(ctx, CIPHERS_12) != 1 || !tickets_use(ctx)) {
		tls_error_text(err);
		goto fail;
	}
	/* Without it a resumed handshake fails where client certificates are verified. */
	SSL_CTX_set_session_id_context(ctx, session_id_context, sizeof(session_id_context));
	ERR_clear_error();
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

void tls_ctx_pin(SSL_CTX *ctx, char pin[static TLS_PIN_TEXT])
{
	tls_pin_of(SSL_CTX_get0_certificate(ctx), pin);
}

SSL *tls_accept_ssl(SSL_CTX *ctx)
{
	SSL *ssl = new_ssl(ctx);

	SSL_set_accept_state(ssl);
	return ssl;
}

/* "" for other kinds than names and addresses. */
static void alt_name(const GENERAL_NAME *gn, char out[static 256])
{
	const unsigned char *bytes;
	char ip[INET6_ADDRSTRLEN];
	int len;

	out[0] = '\0';
	if (gn->type != GEN_DNS && gn->type != GEN_IPADD)
		return;
	bytes = ASN1_STRING_get0_data(gn->d.ia5);
	len = ASN1_STRING_length(gn->d.ia5);
	if (gn->type == GEN_DNS)
		snprintf(out, 256, "%.*s", len, (const char *)bytes);
	else if (len == 4 && inet_ntop(AF_INET, bytes, ip, sizeof(ip)))
		snprintf(out, 256, "%s", ip);
	else if (len == 16 && inet_ntop(AF_INET6, bytes, ip, sizeof(ip)))
		snprintf(out, 256, "[%s]", ip);
}

void tls_ctx_names(SSL_CTX *ctx, void (*fn)(void *arg, const char *name), void *arg)
{
	X509 *cert = SSL_CTX_get0_certificate(ctx);
	GENERAL_NAMES *names =
		cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
	char name[256];

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		alt_name(sk_GENERAL_NAME_value(names, i), name);
		if (*name)
			fn(arg, name);
	}
	GENERAL_NAMES_free(names);
}

static const char *day_of(const ASN1_TIME *t, char buf[static 16])
{
	struct tm tm;

	buf[0] = '\0';
	if (ASN1_TIME_to_tm(t, &tm) == 1)
		strftime(buf, 16, "%F", &tm);
	return buf;
}

bool tls_ctx_good(SSL_CTX *ctx, const char *domain, struct err *why)
{
	X509 *cert = SSL_CTX_get0_certificate(ctx);
	char day[16];
	struct err name;

	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return err_set(why, "has expired (%s)", day_of(X509_get0_notAfter(cert), day));
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
		return err_set(why, "is not valid yet (%s)",
			       day_of(X509_get0_notBefore(cert), day));
	err_set(&name, "any-name.%s", domain ? domain : "");
	if (!domain ||
	    X509_check_host(cert, name.text, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1)
		return true;
	return err_set(why, "is not for names below %s", domain);
}

/* ---- client ---- */

static bool wants_roots(const struct tls_client_conf *c)
{
	return c->host_roots || c->root_cas;
}

SSL_CTX *tls_client_ctx(const struct tls_client_conf *c, struct err *err)
{
	SSL_CTX *ctx = new_ctx(TLS_client_method(), err);

	if (!ctx)
		return NULL;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (c->pin && !tls_pins_valid(c->pin)) {
		err_set(err, "\"%.80s\" is not a pin: \"sha256//\" and 44 characters of base64",
			c->pin);
		goto fail;
	}
	if (wants_roots(c) && !tls_verify_roots(ctx, c->host_roots, c->root_cas,
						name_or(c->names.ca, "root CAs"), err))
		goto fail;
	if ((c->cert || c->key) && !use_files(ctx, c->cert, c->key, &c->names, err))
		goto fail;
	ERR_clear_error();
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

/* host as certificates name it: no trailing dot, no zone. False: too long to be one. */
static bool plain_host(const char *host, char out[static HOST_MAX + 1])
{
	size_t len = strcspn(host, "%");

	if (len > 1 && host[len - 1] == '.')
		len--;
	if (len > HOST_MAX)
		return false;
	memcpy(out, host, len);
	out[len] = '\0';
	return true;
}

SSL *tls_connect_ssl(SSL_CTX *ctx, const struct tls_client_conf *c, const char *host)
{
	SSL *ssl = new_ssl(ctx);
	char plain[HOST_MAX + 1] = "";
	struct addr ignored;
	bool known = plain_host(host, plain), is_ip = addr_numeric(plain, 0, &ignored);

	SSL_set_connect_state(ssl);
	if (wants_roots(c) && !(known && tls_verify_host(ssl, plain, is_ip))) {
		SSL_free(ssl);
		return NULL;
	}
	/*
	 * RFC 6066 section 3: no addresses. That it can't be sent matters to nobody who verifies.
	 */
	if (known && plain[0] && !is_ip)
		(void)SSL_set_tlsext_host_name(ssl, plain);
	ERR_clear_error();
	return ssl;
}

int tls_group(SSL *ssl)
{
	return (int)SSL_get_negotiated_group(ssl);
}

void tls_first_group(SSL *ssl, int group)
{
	int list[N_GROUPS] = {group};
	size_t n = 1;

	for (size_t i = 0; i < N_GROUPS; i++) {
		if (groups[i] == group)
			continue;
		if (n == N_GROUPS)
			return; /* none of ours */
		list[n++] = groups[i];
	}
	/* In vain: the groups stay in their usual order. */
	(void)!SSL_set1_groups(ssl, list, N_GROUPS);
	ERR_clear_error();
}

bool tls_check_server(SSL *ssl, const struct tls_client_conf *c, char pin[static TLS_PIN_TEXT],
		      struct err *err)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	bool good = false;

	err->text[0] = '\0';
	tls_pin_of(cert, pin);
	if (tls_verify_refused(ssl, pin, err) || !SSL_is_init_finished(ssl)) {
		/* that was it; or the handshake failed for another reason, or is not over */
	} else if (!cert) {
		err_set(err, "the server showed no certificate");
	} else if (c->pin && !tls_pin_among(pin, c->pin)) {
		err_set(err, "the server's key is %s, not the pinned one", pin);
	} else {
		good = !wants_roots(c) || tls_verify_again(ssl, cert, err);
	}
	ERR_clear_error();
	return good;
}
