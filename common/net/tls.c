/* TLS contexts for both ends, who is trusted, and pins. */
#include "common/net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/net/tls_selfsigned.h"

/* The Go server knows only the P curves. */
static const int groups[] = {NID_X25519, NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};

/*
 * The order counts for what we dial: OpenSSL's servers and Go's take the client's first. 128 bits
 * are as safe as the P-256 key they hang on, and cost less than 256.
 */
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

#define N_GROUPS (sizeof groups / sizeof groups[0])
#define PIN_PREFIX "sha256//"
#define PIN_BASE64 44 /* of 32 bytes */
#define HOST_MAX 254  /* 253 and a trailing dot */

static void reason_text(unsigned long e, char *buf, size_t cap)
{
	const char *reason = ERR_reason_error_string(e);
	char why[ERRNO_TEXT];

	if (!e)
		snprintf(buf, cap, "%s", "");
	else if (ERR_SYSTEM_ERROR(e))
		snprintf(buf, cap, "%s", errno_text(ERR_GET_REASON(e), why));
	else if (reason)
		snprintf(buf, cap, "%s", reason);
	else
		ERR_error_string_n(e, buf, cap);
}

void tls_error_text(char *buf, size_t cap)
{
	reason_text(ERR_peek_last_error(), buf, cap);
	ERR_clear_error();
}

/* ---- pins ---- */

static void pin_of(X509 *cert, char pin[static TLS_PIN_TEXT])
{
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	int len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : -1;

	pin[0] = '\0';
	if (len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1) {
		memcpy(pin, PIN_PREFIX, sizeof PIN_PREFIX);
		EVP_EncodeBlock((unsigned char *)pin + strlen(PIN_PREFIX), digest, 32);
	}
	OPENSSL_free(der);
}

void tls_ctx_pin(SSL_CTX *ctx, char pin[static TLS_PIN_TEXT])
{
	pin_of(SSL_CTX_get0_certificate(ctx), pin);
}

/* One of "sha256//...;sha256//..." (curl's form). Its length, 0 if it is none. */
static size_t pin_length(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t prefix = strlen(PIN_PREFIX);
	char end;

	if (strncmp(text, PIN_PREFIX, prefix) != 0)
		return 0;
	if (strspn(text + prefix, digits) != PIN_BASE64 - 1 || text[prefix + PIN_BASE64 - 1] != '=')
		return 0;
	end = text[prefix + PIN_BASE64];
	return end == '\0' || end == ';' ? prefix + PIN_BASE64 : 0;
}

static bool pins_valid(const char *pins)
{
	for (;;) {
		size_t len = pin_length(pins);

		if (!len)
			return false;
		pins += len;
		if (!*pins++)
			return true;
	}
}

static bool pin_among(const char *pin, const char *pins)
{
	size_t len;

	for (; (len = pin_length(pins)); pins += len + 1) {
		if (strlen(pin) == len && strncmp(pin, pins, len) == 0)
			return true;
		if (!pins[len])
			break;
	}
	return false;
}

/* ---- what both ends share ---- */

/* err = "what file: OpenSSL's first reason" (the later ones only say that it failed). */
static void file_error(char err[static 256], const char *what, const char *file)
{
	char why[100];

	reason_text(ERR_peek_error(), why, sizeof why);
	ERR_clear_error();
	snprintf(err, 256, "%s %.120s: %s", what, file, why);
}

/* A key with a password must not make a daemon ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static SSL_CTX *new_ctx(const SSL_METHOD *method, char err[static 256])
{
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = SSL_CTX_new(method);
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, CIPHERS) != 1 ||
	    SSL_CTX_set1_groups(ctx, groups, N_GROUPS) != 1) {
		tls_error_text(err, 256);
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* 32 KiB less for a connection that is idle. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	return ctx;
}

static bool use_files(SSL_CTX *ctx, const char *cert, const char *key, char err[static 256])
{
	if (!cert || !key) {
		snprintf(err, 256, "a certificate and its key are needed, only the %s is given",
			 cert ? "certificate" : "key");
		return false;
	}
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1) {
		file_error(err, "certificate", cert);
		return false;
	}
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		file_error(err, "key", key);
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

static bool require_client_cert(SSL_CTX *ctx, const char *ca, char err[static 256])
{
	STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);

	if (!names || SSL_CTX_load_verify_file(ctx, ca) != 1) {
		file_error(err, "client CA", ca);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return true;
}

static bool use_selfmade(SSL_CTX *ctx, const struct tls_server_conf *c, char note[static 256],
			 char err[static 256])
{
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	bool ok = tls_selfmade(c->state_dir, c->domain, &key, &cert, note, err);

	if (ok &&
	    (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)) {
		tls_error_text(err, 256);
		ok = false;
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return ok;
}

SSL_CTX *tls_server_ctx(const struct tls_server_conf *c, char note[static 256],
			char err[static 256])
{
	static const unsigned char session_id_context[] = "pgrok";
	SSL_CTX *ctx = new_ctx(TLS_server_method(), err);

	note[0] = '\0';
	if (!ctx)
		return NULL;
	if (c->cert || c->key ? !use_files(ctx, c->cert, c->key, err)
			      : !use_selfmade(ctx, c, note, err))
		goto fail;
	if (c->client_ca && !require_client_cert(ctx, c->client_ca, err))
		goto fail;
	/* Tickets carry all there is to know: no table of sessions, no lock around it. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	/* Without it a resumed handshake fails where client certificates are verified. */
	SSL_CTX_set_session_id_context(ctx, session_id_context, sizeof session_id_context);
	ERR_clear_error();
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

SSL *tls_accept_ssl(SSL_CTX *ctx)
{
	SSL *ssl = new_ssl(ctx);

	SSL_set_accept_state(ssl);
	return ssl;
}

/* ---- client: the reason why a certificate was refused, kept with its SSL ---- */

/* Of a handshake that failed OpenSSL keeps no certificate: what it was is noted when it is seen. */
struct refusal {
	char reason[256];
	char pin[TLS_PIN_TEXT];
};

static int refusal_index = -1;

static void refusal_free(void *parent, void *p, CRYPTO_EX_DATA *ad, int index, long argl,
			 void *argp)
{
	free(p);
}

static void refusal_register(void)
{
	refusal_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, refusal_free);
}

static void append(char out[static 256], const char *text, int len)
{
	size_t used = strlen(out);

	snprintf(out + used, 256 - used, "%.*s", len, text);
}

/* "a, b": the certificate's names, or its addresses. */
static void list_names(X509 *cert, int type, char out[static 256])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);
		const unsigned char *bytes;
		char ip[INET6_ADDRSTRLEN];
		int len;

		if (gn->type != type)
			continue;
		if (out[0])
			append(out, ", ", 2);
		bytes = ASN1_STRING_get0_data(gn->d.ia5);
		len = ASN1_STRING_length(gn->d.ia5);
		if (type == GEN_DNS)
			append(out, (const char *)bytes, len);
		else if ((len == 4 || len == 16) &&
			 inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, ip, sizeof ip))
			append(out, ip, (int)strlen(ip));
	}
	GENERAL_NAMES_free(names);
}

/* Go's words, which users search for. host NULL: not known. */
static void name_reason(X509 *cert, const char *host, bool is_ip, char out[static 256])
{
	char names[256];

	list_names(cert, is_ip ? GEN_IPADD : GEN_DNS, names);
	if (names[0])
		snprintf(out, 256, "x509: certificate is valid for %.130s, not %.80s", names, host);
	else if (is_ip)
		snprintf(out, 256,
			 "x509: cannot validate certificate for %.80s because it doesn't contain "
			 "any IP SANs",
			 host);
	else
		snprintf(out, 256,
			 "x509: certificate is not valid for any names, but wanted to match %.80s",
			 host);
}

/* The name or address that param asks for. Returns owned (OPENSSL_free). */
static char *wanted_host(X509_VERIFY_PARAM *param, bool *is_ip)
{
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);
	const char *name;

	*is_ip = ip != NULL;
	if (ip)
		return ip;
	name = X509_VERIFY_PARAM_get0_host(param, 0);
	return OPENSSL_strdup(name ? name : "");
}

static void verify_reason(int code, X509 *cert, X509_VERIFY_PARAM *param, char out[static 256])
{
	bool is_ip;
	char *host;

	switch (code) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		snprintf(out, 256, "x509: certificate signed by unknown authority");
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(out, 256, "x509: certificate has expired or is not yet valid");
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		host = wanted_host(param, &is_ip);
		name_reason(cert, host ? host : "", is_ip, out);
		OPENSSL_free(host);
		break;
	default:
		snprintf(out, 256, "x509: %s", X509_verify_cert_error_string(code));
	}
}

/* Called for each certificate of the chain; a refusal ends the handshake. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct refusal *r;

	if (ok)
		return 1;
	r = SSL_get_ex_data(ssl, refusal_index);
	if (!r) {
		r = xcalloc(1, sizeof *r);
		if (SSL_set_ex_data(ssl, refusal_index, r) != 1)
			fatal("out of memory (TLS connection)");
	}
	verify_reason(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get0_cert(store),
		      X509_STORE_CTX_get0_param(store), r->reason);
	pin_of(X509_STORE_CTX_get0_cert(store), r->pin);
	return 0;
}

/* ---- client ---- */

static bool wants_roots(const struct tls_client_conf *c)
{
	return c->host_roots || c->root_cas;
}

bool tls_client_verifies(const struct tls_client_conf *c)
{
	return wants_roots(c) || c->pin;
}

static bool use_roots(SSL_CTX *ctx, const struct tls_client_conf *c, char err[static 256])
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	if (c->host_roots && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		tls_error_text(err, 256);
		return false;
	}
	if (c->root_cas && SSL_CTX_load_verify_file(ctx, c->root_cas) != 1) {
		file_error(err, "root CAs", c->root_cas);
		return false;
	}
	/* What the user names is trusted, though it may not be self-signed. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
						       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	return true;
}

SSL_CTX *tls_client_ctx(const struct tls_client_conf *c, char err[static 256])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	SSL_CTX *ctx = new_ctx(TLS_client_method(), err);

	if (!ctx)
		return NULL;
	pthread_once(&once, refusal_register);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (c->pin && !pins_valid(c->pin)) {
		snprintf(err, 256, "\"%.80s\" is no pin: \"sha256//\" and 44 characters of base64",
			 c->pin);
		goto fail;
	}
	if (wants_roots(c) && !use_roots(ctx, c, err))
		goto fail;
	if ((c->cert || c->key) && !use_files(ctx, c->cert, c->key, err))
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

static bool set_verified_host(SSL *ssl, const char *host, bool is_ip)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	/* An empty name would mean "any name" to OpenSSL. */
	if (!host[0])
		return false;
	if (is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

SSL *tls_connect_ssl(SSL_CTX *ctx, const struct tls_client_conf *c, const char *host)
{
	SSL *ssl = new_ssl(ctx);
	char plain[HOST_MAX + 1] = "";
	struct addr ignored;
	bool known = plain_host(host, plain), is_ip = addr_numeric(plain, 0, &ignored);

	SSL_set_connect_state(ssl);
	if (wants_roots(c) && !(known && set_verified_host(ssl, plain, is_ip))) {
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

/* What a full handshake has checked, again: a resumed one trusts the session's memory. */
static bool check_chain(SSL *ssl, X509 *cert, char err[static 256])
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	long code = SSL_get_verify_result(ssl);
	unsigned int flags = X509_VERIFY_PARAM_get_hostflags(param);
	bool is_ip, good = true;
	char *host = wanted_host(param, &is_ip);

	if (code == X509_V_OK && X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		code = X509_V_ERR_CERT_HAS_EXPIRED;
	if (code != X509_V_OK) {
		verify_reason((int)code, cert, param, err);
		good = false;
	} else if (!host || !host[0] ||
		   (is_ip ? X509_check_ip_asc(cert, host, flags)
			  : X509_check_host(cert, host, 0, flags, NULL)) != 1) {
		name_reason(cert, host ? host : "", is_ip, err);
		good = false;
	}
	OPENSSL_free(host);
	return good;
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
		      char err[static 256])
{
	const struct refusal *r = refusal_index >= 0 ? SSL_get_ex_data(ssl, refusal_index) : NULL;
	X509 *cert = SSL_get0_peer_certificate(ssl);
	bool good = false;

	err[0] = '\0';
	pin_of(cert, pin);
	if (r) {
		memcpy(pin, r->pin, sizeof r->pin);
		memcpy(err, r->reason, sizeof r->reason);
	} else if (!SSL_is_init_finished(ssl)) {
		/* the handshake failed for another reason, or is not over */
	} else if (!cert) {
		snprintf(err, 256, "the server showed no certificate");
	} else if (c->pin && !pin_among(pin, c->pin)) {
		snprintf(err, 256, "the server's key is %s, not the pinned one", pin);
	} else {
		good = !wants_roots(c) || check_chain(ssl, cert, err);
	}
	ERR_clear_error();
	return good;
}
