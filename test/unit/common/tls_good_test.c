/* A server's own certificate, as others will see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/x509v3.h>

#include "common/net/tls.h"

static void set_names(X509 *cert, const char *names)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

	assert_int_equal(X509_add_ext(cert, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* Its subject is no name that counts. */
static SSL_CTX *context(const char *names, int from_days, int to_days)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_set_version(cert, X509_VERSION_3);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
				   (const unsigned char *)"*.a.example", -1, -1, 0);
	X509_time_adj_ex(X509_getm_notBefore(cert), from_days, 0, NULL);
	X509_time_adj_ex(X509_getm_notAfter(cert), to_days, 0, NULL);
	X509_set_pubkey(cert, key);
	if (names)
		set_names(cert, names);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static void test_good_today(void **state)
{
	static const struct {
		const char *names;
		int from_days, to_days;
		const char *domain, *why; /* NULL: it is good */
	} row[] = {
		{"DNS:a.example,DNS:*.a.example", -1, 1, "a.example", NULL},
		{"DNS:*.a.example", -1, 1, "a.example", NULL},
		{"DNS:a.example", -1, 1, "a.example", "is not for names below a.example"},
		{"DNS:a.example", -1, 1, NULL, NULL},
		{NULL, -1, 1, "a.example", "is not for names below a.example"},
		{"DNS:*.a.example", -9, -1, "a.example", "has expired (20"},
		{"DNS:*.a.example", 2, 9, "a.example", "is not valid yet (20"},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		SSL_CTX *ctx = context(row[i].names, row[i].from_days, row[i].to_days);
		struct err why = {""};

		assert_int_equal(tls_ctx_good(ctx, row[i].domain, &why), !row[i].why);
		if (row[i].why)
			assert_memory_equal(why.text, row[i].why, strlen(row[i].why));
		SSL_CTX_free(ctx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good_today)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
