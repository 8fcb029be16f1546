/* The CAs that may vouch for a connection's peer. */
#include "common/net/tls_ca.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/xalloc.h"

struct tls_ca {
	X509_STORE *store;
	STACK_OF(X509) * certs;
	unsigned char hash[TLS_CA_HASH];
};

static void add_to_hash(EVP_MD_CTX *md, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len < 0 || EVP_DigestUpdate(md, der, (size_t)len) != 1)
		fatal("no SHA-256 of a certificate");
	OPENSSL_free(der);
}

static void make_hash(struct tls_ca *ca)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		fatal("no SHA-256");
	for (int i = 0; i < sk_X509_num(ca->certs); i++)
		add_to_hash(md, sk_X509_value(ca->certs, i));
	if (EVP_DigestFinal_ex(md, ca->hash, NULL) != 1)
		fatal("no SHA-256");
	EVP_MD_CTX_free(md);
}

/* Takes cert. */
static bool add_cert(struct tls_ca *ca, X509 *cert, struct err *err)
{
	bool ok = sk_X509_num(ca->certs) < TLS_CA_MOST;

	if (!ok)
		err_set(err, "more than %d certificates", TLS_CA_MOST);
	else if (X509_STORE_add_cert(ca->store, cert) != 1)
		ok = err_set(err, "a certificate that can't be used");
	if (ok && sk_X509_push(ca->certs, cert) > 0)
		return true;
	X509_free(cert);
	return false;
}

static bool read_certs(struct tls_ca *ca, BIO *bio, struct err *err)
{
	X509 *cert;

	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (!add_cert(ca, cert, err))
			return false;
	}
	bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	ERR_clear_error();
	if (!end)
		return err_set(err, "a certificate that can't be read");
	return sk_X509_num(ca->certs) > 0 || err_set(err, "no certificate in it");
}

struct tls_ca *tls_ca_read(const char *pem, struct err *err)
{
	size_t len = strlen(pem);

	if (len > TLS_CA_TEXT) {
		err_set(err, "more than %u bytes", TLS_CA_TEXT);
		return NULL;
	}
	if (strstr(pem, "PRIVATE KEY-----")) {
		err_set(err, "a private key in it: certificates alone are wanted");
		return NULL;
	}
	struct tls_ca *ca = xcalloc(1, sizeof(*ca));
	BIO *bio = BIO_new_mem_buf(pem, (int)len);

	ca->store = X509_STORE_new();
	ca->certs = sk_X509_new_null();
	if (!bio || !ca->store || !ca->certs)
		fatal("out of memory (certificates)");
	bool ok = read_certs(ca, bio, err);

	BIO_free(bio);
	if (ok) {
		make_hash(ca);
		return ca;
	}
	tls_ca_free(ca);
	return NULL;
}

void tls_ca_free(struct tls_ca *ca)
{
	if (!ca)
		return;
	X509_STORE_free(ca->store);
	sk_X509_pop_free(ca->certs, X509_free);
	free(ca);
}

char *tls_ca_text(const struct tls_ca *ca)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *text;

	for (int i = 0; bio && i < sk_X509_num(ca->certs); i++) {
		if (PEM_write_bio_X509(bio, sk_X509_value(ca->certs, i)) != 1)
			fatal("out of memory (certificates)");
	}
	long len = bio ? BIO_get_mem_data(bio, &bytes) : 0;

	if (len <= 0)
		fatal("out of memory (certificates)");
	text = xstrndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}

const unsigned char *tls_ca_hash(const struct tls_ca *ca)
{
	return ca->hash;
}

/* ---- in a handshake ---- */

/* RFC 6066 section 3: a list of names, of which there is only one, of type 0. */
bool tls_hello_name(SSL *ssl, char name[static 256])
{
	const unsigned char *ext;
	size_t len, n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len) != 1 || len < 5)
		return false;
	n = (size_t)ext[3] << 8 | ext[4];
	if (ext[2] != TLSEXT_NAMETYPE_host_name || n != len - 5 || n > 255 || memchr(ext + 5, 0, n))
		return false;
	memcpy(name, ext + 5, n);
	name[n] = '\0';
	return true;
}

static STACK_OF(X509_NAME) * names_of(const struct tls_ca *ca)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();

	for (int i = 0; names && i < sk_X509_num(ca->certs); i++) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(ca->certs, i)));

		if (!name || sk_X509_NAME_push(names, name) <= 0)
			fatal("out of memory (names of CAs)");
	}
	return names;
}

bool tls_ca_require(const struct tls_ca *ca, SSL *ssl)
{
	SSL_set_options(ssl, SSL_OP_NO_TICKET);
	SSL_set_client_CA_list(ssl, names_of(ca));
	SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return SSL_set_num_tickets(ssl, 0) == 1 && SSL_set1_verify_cert_store(ssl, ca->store) == 1;
}

bool tls_ca_shown(SSL *ssl, int64_t now)
{
	const X509 *cert = SSL_get0_peer_certificate(ssl);
	time_t t = now;

	return cert && SSL_is_init_finished(ssl) && !SSL_session_reused(ssl) &&
	       SSL_get_verify_result(ssl) == X509_V_OK &&
	       X509_cmp_time(X509_get0_notAfter(cert), &t) > 0;
}
