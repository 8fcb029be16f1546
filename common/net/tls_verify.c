/* Whom a client trusts by its roots. */
#include "common/net/tls_verify.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/net/tls_error.h"

/* ---- the reason why a certificate was refused, kept with its SSL ---- */

/* Of a handshake that failed OpenSSL keeps no certificate: what it was is noted when it is seen. */
struct refusal {
	struct err reason;
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
			 inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, ip, sizeof(ip)))
			append(out, ip, (int)strlen(ip));
	}
	GENERAL_NAMES_free(names);
}

/* Go's words, which users search for. host NULL: not known. */
static void name_reason(X509 *cert, const char *host, bool is_ip, struct err *out)
{
	char names[256];

	list_names(cert, is_ip ? GEN_IPADD : GEN_DNS, names);
	if (names[0])
		err_set(out, "x509: certificate is valid for %s, not %s", names, host);
	else if (is_ip)
		err_set(out,
			"x509: cannot validate certificate for %s because it doesn't contain "
			"any IP SANs",
			host);
	else
		err_set(out, "x509: certificate is not valid for any names, but wanted to match %s",
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

static void verify_reason(int code, X509 *cert, X509_VERIFY_PARAM *param, struct err *out)
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
		err_set(out, "x509: certificate signed by unknown authority");
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		err_set(out, "x509: certificate has expired or is not yet valid");
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		host = wanted_host(param, &is_ip);
		name_reason(cert, host ? host : "", is_ip, out);
		OPENSSL_free(host);
		break;
	default:
		err_set(out, "x509: %s", X509_verify_cert_error_string(code));
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
		r = xcalloc(1, sizeof(*r));
		if (SSL_set_ex_data(ssl, refusal_index, r) != 1)
			fatal("out of memory (TLS connection)");
	}
	verify_reason(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get0_cert(store),
		      X509_STORE_CTX_get0_param(store), &r->reason);
	tls_pin_of(X509_STORE_CTX_get0_cert(store), r->pin);
	return 0;
}

bool tls_verify_refused(SSL *ssl, char pin[static TLS_PIN_TEXT], struct err *err)
{
	const struct refusal *r = refusal_index >= 0 ? SSL_get_ex_data(ssl, refusal_index) : NULL;

	if (!r)
		return false;
	memcpy(pin, r->pin, sizeof(r->pin));
	*err = r->reason;
	return true;
}

/* ---- what is checked ---- */

bool tls_verify_roots(SSL_CTX *ctx, bool host_roots, const char *root_cas, const char *name,
		      struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	pthread_once(&once, refusal_register);
	if (host_roots && SSL_CTX_set_default_verify_paths(ctx) != 1) {
		tls_error_text(err);
		return false;
	}
	if (root_cas && SSL_CTX_load_verify_file(ctx, root_cas) != 1) {
		tls_file_error(err, name, root_cas);
		return false;
	}
	/* What the user names is trusted, though it may not be self-signed. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
						       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	return true;
}

bool tls_verify_host(SSL *ssl, const char *host, bool is_ip)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	/* An empty name would mean "any name" to OpenSSL. */
	if (!host[0])
		return false;
	if (is_ip)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

bool tls_verify_again(SSL *ssl, X509 *cert, struct err *err)
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
