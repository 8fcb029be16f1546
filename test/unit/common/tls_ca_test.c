/* The CAs that may vouch for a peer, as PEM: what is taken, and what is kept of it. */
#include "common/net/tls_ca.h"

#include "common/base/xalloc.h"
#include "test/unit/common/tls_rig.h"

static char *pem_of(const struct id *id)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;

	assert_int_equal(PEM_write_bio_X509(bio, id->cert), 1);
	long len = BIO_get_mem_data(bio, &bytes);
	char *text = xstrndup(bytes, (size_t)len);

	BIO_free(bio);
	return text;
}

/* The certificates alone, in their order; the same ones have the same hash. */
static void test_good(void **state)
{
	struct id a = make_id("a", (struct spec){.ca = true});
	struct id b = make_id("b", (struct spec){.ca = true});
	char *pem_a = pem_of(&a), *pem_b = pem_of(&b);
	char *loose = xasprintf("Subject: a\n%s\nand another\n%s\n\n", pem_a, pem_b);
	char *both = xasprintf("%s%s", pem_a, pem_b);
	struct err err;
	struct tls_ca *x = tls_ca_read(loose, &err), *y = tls_ca_read(both, &err);
	struct tls_ca *z = tls_ca_read(pem_b, &err);
	char *text = tls_ca_text(x);

	assert_string_equal(text, both);
	assert_memory_equal(tls_ca_hash(x), tls_ca_hash(y), TLS_CA_HASH);
	assert_memory_not_equal(tls_ca_hash(x), tls_ca_hash(z), TLS_CA_HASH);
	free(text);
	tls_ca_free(x);
	tls_ca_free(y);
	tls_ca_free(z);
	tls_ca_free(NULL);
	free(pem_a);
	free(pem_b);
	free(loose);
	free(both);
	free_id(&a);
	free_id(&b);
}

static void refused(char *pem, const char *says)
{
	struct err err;

	assert_null(tls_ca_read(pem, &err));
	if (!strstr(err.text, says))
		fail_msg("%s", err.text);
	free(pem);
}

static void test_bad(void **state)
{
	struct id a = make_id("a", (struct spec){.ca = true});
	char *pem = pem_of(&a), *many = xstrdup(pem), *text;

	refused(xstrdup(""), "no certificate");
	refused(xstrdup("nonsense\n"), "no certificate");
	refused(xasprintf("%s-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n", pem),
		"a private key");
	refused(xasprintf("%s-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n", pem),
		"can't be read");
	refused(xstrndup(pem, strlen(pem) - 30), "can't be read");
	for (int i = 0; i < TLS_CA_MOST; i++) {
		text = xasprintf("%s%s", many, pem);
		free(many);
		many = text;
	}
	refused(many, "more than");
	many = xcalloc(1, TLS_CA_TEXT + 2);
	memset(many, '\n', TLS_CA_TEXT + 1);
	refused(many, "bytes");
	free(pem);
	free_id(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
