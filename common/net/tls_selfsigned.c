/* Makes, keeps and loads the certificate of a server that was given none. */
#include "common/net/tls_selfsigned.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/err.h"
#include "common/base/xalloc.h"
#include "common/net/tls_error.h"

#define LIFETIME_DAYS 3650
#define SERIAL_BYTES 16
#define CN_MAX 64 /* RFC 5280, ub-common-name */

/* ---- making ---- */

static bool set_serial(X509 *x)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool ok = false;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and always of full length */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	return ok;
}

static bool set_names(X509 *x, const char *domain)
{
	X509_NAME *name = X509_get_subject_name(x);
	const char *cn = strlen(domain) <= CN_MAX ? domain : "pgrokd";

	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
					  -1, 0) == 1 &&
	       X509_set_issuer_name(x, name) == 1;
}

static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
	GENERAL_NAME *gn = GENERAL_NAME_new();

	if (!gn || !value || sk_GENERAL_NAME_push(names, gn) <= 0) {
		GENERAL_NAME_free(gn);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(gn, type, value);
	return true;
}

static ASN1_STRING *ia5(const char *prefix, const char *text)
{
	ASN1_STRING *s = ASN1_STRING_type_new(V_ASN1_IA5STRING);
	char *whole = xasprintf("%s%s", prefix, text);

	if (s && !ASN1_STRING_set(s, whole, -1)) {
		ASN1_STRING_free(s);
		s = NULL;
	}
	free(whole);
	return s;
}

/* Built by hand: the text form of OpenSSL's configuration would give commas a meaning. */
static bool add_alt_names(X509 *x, const char *domain)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(domain);
	bool ok = false;

	if (!names)
		goto done;
	if (ip)
		ok = push_name(names, GEN_IPADD, ip);
	else
		ok = push_name(names, GEN_DNS, ia5("", domain)) &&
		     push_name(names, GEN_DNS, ia5("*.", domain));
	ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
done:
	GENERAL_NAMES_free(names);
	return ok;
}

static bool add_ext(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* Valid from a day ago, for clients whose clock is behind. */
static X509 *make_cert(EVP_PKEY *key, const char *domain)
{
	X509 *x = X509_new();

	if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
	    set_names(x, domain) && X509_time_adj_ex(X509_getm_notBefore(x), -1, 0, NULL) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), LIFETIME_DAYS, 0, NULL) &&
	    X509_set_pubkey(x, key) == 1 && add_alt_names(x, domain) &&
	    add_ext(x, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_ext(x, NID_key_usage, "critical,digitalSignature") &&
	    add_ext(x, NID_ext_key_usage, "serverAuth") &&
	    add_ext(x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

/* ---- keeping ---- */

/* On disk before it has its name. */
static bool write_pem(const char *path, BIO *pem, mode_t mode)
{
	char *data;
	long len = BIO_get_mem_data(pem, &data);

	return file_write(path, data, (size_t)len, mode);
}

static bool save_key(const char *path, EVP_PKEY *key)
{
	/* Secure memory is wiped when it is freed. */
	BIO *pem = BIO_new(BIO_s_secmem());
	bool ok = pem && PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1 &&
		  write_pem(path, pem, 0600);

	BIO_free(pem);
	return ok;
}

static bool save_cert(const char *path, X509 *cert)
{
	BIO *pem = BIO_new(BIO_s_mem());
	bool ok = pem && PEM_write_bio_X509(pem, cert) == 1 && write_pem(path, pem, 0644);

	BIO_free(pem);
	return ok;
}

/* ---- loading ---- */

/* A file that asks for a password must not make a daemon ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static EVP_PKEY *load_key(const char *path)
{
	BIO *in = BIO_new_file(path, "r");
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, no_password, NULL) : NULL;

	BIO_free(in);
	return key;
}

static X509 *load_cert(const char *path)
{
	BIO *in = BIO_new_file(path, "r");
	X509 *cert = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;

	BIO_free(in);
	return cert;
}

static bool cert_is_good(X509 *cert, EVP_PKEY *key)
{
	return cert && X509_check_private_key(cert, key) == 1 &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

static bool cert_is_for(X509 *cert, const char *domain)
{
	return X509_check_host(cert, domain, 0, 0, NULL) == 1 ||
	       X509_check_ip_asc(cert, domain, 0) == 1;
}

/* ---- all together ---- */

struct pair {
	const char *dir, *domain;
	char *key_path, *cert_path; /* NULL: nowhere to keep it */
	EVP_PKEY *key;
	X509 *cert;
	bool bad_key; /* key.pem was there, but is no key that could be read */
	bool made;    /* something is new */
	int unsaved;  /* errno: why it could not be kept; 0: it is */
};

/* Two servers that start at once make one pair. Returns a descriptor to close, or -1. */
static int open_and_lock(const char *dir)
{
	int fd;

	(void)mkdir(dir, 0700);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Where locks don't work (some network file systems) the pair is still kept. */
	if (fd >= 0)
		(void)flock(fd, LOCK_EX);
	return fd;
}

static void load_pair(struct pair *p)
{
	p->key_path = xasprintf("%s/key.pem", p->dir);
	p->cert_path = xasprintf("%s/cert.pem", p->dir);
	p->key = load_key(p->key_path);
	p->cert = load_cert(p->cert_path);
	p->bad_key = !p->key && access(p->key_path, F_OK) == 0;
	if (p->bad_key) {
		/* Perhaps the operator's key, with a password: not ours to destroy. */
		char *aside = xasprintf("%s.old", p->key_path);

		(void)rename(p->key_path, aside);
		free(aside);
	}
}

/* False: OpenSSL failed. */
static bool make_missing(struct pair *p)
{
	if (!p->key) {
		p->made = true;
		p->key = EVP_EC_gen("P-256");
		if (!p->key)
			return false;
		/* The key first: after a crash in between only the certificate is remade. */
		if (p->key_path && !save_key(p->key_path, p->key))
			p->unsaved = errno ? errno : EIO;
	}
	if (cert_is_good(p->cert, p->key))
		return true;
	p->made = true;
	X509_free(p->cert);
	p->cert = make_cert(p->key, p->domain);
	if (!p->cert)
		return false;
	if (p->cert_path && !p->unsaved && !save_cert(p->cert_path, p->cert))
		p->unsaved = errno ? errno : EIO;
	return true;
}

static void explain(const struct pair *p, char note[static 256])
{
	char why[ERRNO_TEXT];

	note[0] = '\0';
	if (!p->dir)
		snprintf(
			note, 256,
			"no folder to keep the self-signed certificate in: its pin will change with "
			"the next start");
	else if (p->unsaved)
		snprintf(
			note, 256,
			"the self-signed certificate can't be kept in %s (%s): its pin will change "
			"with the next start",
			p->dir, errno_text(p->unsaved, why));
	else if (p->bad_key)
		snprintf(
			note, 256,
			"%s was unusable, it is now key.pem.old: a new pair was made, with a new pin",
			p->key_path);
	else if (!p->made && !cert_is_for(p->cert, p->domain))
		snprintf(note, 256,
			 "%s is for another domain than %s: remove it, and the next start makes "
			 "one for this domain (key and pin stay)",
			 p->cert_path, p->domain);
}

bool tls_selfsigned(const char *dir, const char *domain, EVP_PKEY **key, X509 **cert,
		    char note[static 256], struct err *err)
{
	struct pair p = {.dir = dir, .domain = domain && *domain ? domain : "localhost"};
	int lock = -1;
	bool ok;

	err->text[0] = '\0';
	if (dir) {
		lock = open_and_lock(dir);
		if (lock < 0)
			p.unsaved = errno;
		else
			load_pair(&p);
	}
	ok = make_missing(&p);
	if (lock >= 0)
		close(lock);
	if (ok)
		explain(&p, note);
	else
		tls_error_text(err);
	ERR_clear_error();
	free(p.key_path);
	free(p.cert_path);
	*key = p.key;
	*cert = p.cert;
	return ok;
}
