/* What a client trusts and what it refuses. */
#include "test/unit/common/tls_rig.h"

/* ---- client: roots ---- */

static void test_roots(void **state)
{
	struct {
		const char *alt_names, *host;
		const struct id *issuer;
		int from_days, to_days;
		const char *err; /* NULL: trusted */
	} row[] = {
		{"DNS:a.example", "a.example", &ca, 0, 1, NULL},
		{"DNS:a.example", "A.Example.", &ca, 0, 1, NULL},
		{"DNS:*.b.example", "a.b.example", &ca, 0, 1, NULL},
		{"IP:127.0.0.1", "127.0.0.1", &ca, 0, 1, NULL},
		{"IP:::1", "::1", &ca, 0, 1, NULL},
		{"DNS:a.example", "a.example", &other_ca, 0, 1, AUTHORITY},
		{"DNS:a.example", "a.example", NULL, 0, 1, AUTHORITY},
		{"DNS:a.example", "a.example", &ca, -2, -1, EXPIRED},
		{"DNS:a.example", "a.example", &ca, 1, 2, EXPIRED},
		{"DNS:a.example,DNS:b.example", "c.example", &ca, 0, 1,
		 "x509: certificate is valid for a.example, b.example, not c.example"},
		{"DNS:*.b.example", "a.c.b.example", &ca, 0, 1,
		 "x509: certificate is valid for *.b.example, not a.c.b.example"},
		{"DNS:f*.b.example", "foo.b.example", &ca, 0, 1,
		 "x509: certificate is valid for f*.b.example, not foo.b.example"},
		{"DNS:a.example", "127.0.0.1", &ca, 0, 1,
		 "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP "
		 "SANs"},
		{"IP:127.0.0.1,IP:::1", "127.0.0.2", &ca, 0, 1,
		 "x509: certificate is valid for 127.0.0.1, ::1, not 127.0.0.2"},
		/* the name in the subject alone is not enough */
		{NULL, "leaf", &ca, 0, 1,
		 "x509: certificate is not valid for any names, but wanted to match leaf"},
	};
	struct tls_client_conf c = {.root_cas = path("ca.pem")};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct seen s =
			visit_id(make_id("leaf", (struct spec){.alt_names = row[i].alt_names,
							       .issuer = row[i].issuer,
							       .from_days = row[i].from_days,
							       .to_days = row[i].to_days}),
				 &c, row[i].host);

		assert_string_equal(s.err.text, row[i].err ? row[i].err : "");
		assert_int_equal(s.good, row[i].err == NULL);
		/* a wrong server is refused within the handshake already */
		assert_int_equal(s.shook, row[i].err == NULL);
		assert_int_equal(strncmp(s.pin, "sha256//", 8), 0);
	}
}

static void test_host_roots(void **state)
{
	struct tls_client_conf c = {.host_roots = true};
	struct spec spec = {.alt_names = "DNS:a.example", .issuer = &ca};
	struct seen s;

	setenv("SSL_CERT_FILE", path("ca.pem"), 1);
	s = visit_id(make_id("leaf", spec), &c, "a.example");
	assert_true(s.good);
	setenv("SSL_CERT_FILE", path("other.pem"), 1);
	s = visit_id(make_id("leaf", spec), &c, "a.example");
	assert_false(s.good);
	assert_string_equal(s.err.text, AUTHORITY);
	unsetenv("SSL_CERT_FILE");
}

/* The self-signed certificate itself as root_cas. */
static void test_leaf_as_root(void **state)
{
	const char *state_dir = path("leafroot");
	char ca_file[256];
	SSL_CTX *ctx = serve_conf(
		&(struct tls_server_conf){.state_dir = state_dir, .domain = "pgrok.example"});
	struct tls_client_conf c = {.root_cas = ca_file};
	struct seen s;

	snprintf(ca_file, sizeof(ca_file), "%s/cert.pem", state_dir);
	s = visit(ctx, &c, "pgrok.example");
	assert_string_equal(s.err.text, "");
	assert_true(s.good);
	assert_true(visit(ctx, &c, "www.pgrok.example").good);
	assert_false(visit(ctx, &c, "other.example").good);
	SSL_CTX_free(ctx);
}

/* What the user names is trusted itself, though another made it. */
static void test_signed_leaf_as_root(void **state)
{
	struct spec spec = {.alt_names = "DNS:a", .issuer = &other_ca};
	struct tls_client_conf c = {.root_cas = path("leaf.pem")};
	SSL_CTX *ctx = serve(make_id("leaf", spec));

	assert_true(visit(ctx, &c, "a").good);
	assert_false(visit(ctx, &c, "b").good);
	SSL_CTX_free(ctx);
}

static void test_no_host(void **state)
{
	struct tls_client_conf strict = {.root_cas = path("ca.pem")}, lax = {0};
	char long_name[400];
	struct err err;
	SSL_CTX *ctx = tls_client_ctx(&strict, &err);
	SSL *ssl;

	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_non_null(ctx);
	assert_null(tls_connect_ssl(ctx, &strict, ""));
	assert_null(tls_connect_ssl(ctx, &strict, long_name));
	SSL_CTX_free(ctx);
	ctx = tls_client_ctx(&lax, &err);
	ssl = tls_connect_ssl(ctx, &lax, "");
	assert_non_null(ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void test_sni(void **state)
{
	struct {
		const char *host, *sni;
	} row[] = {{"a.example", "a.example"},
		   {"a.example.", "a.example"},
		   {"127.0.0.1", NULL},
		   {"::1", NULL},
		   {"", NULL}};
	struct tls_client_conf c = {0};
	struct err err;
	SSL_CTX *cctx = tls_client_ctx(&c, &err);
	SSL_CTX *sctx = serve(make_id("leaf", (struct spec){0}));

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		SSL *client = tls_connect_ssl(cctx, &c, row[i].host);
		SSL *server = tls_accept_ssl(sctx);
		const char *got;

		assert_true(shake(client, server));
		got = SSL_get_servername(server, TLSEXT_NAMETYPE_host_name);
		if (row[i].sni)
			assert_string_equal(got, row[i].sni);
		else
			assert_null(got);
		SSL_free(client);
		SSL_free(server);
	}
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
}

static void add_text(void *arg, const char *name)
{
	char *all = arg;

	strcat(strcat(all, name), " ");
}

static void test_own_names(void **state)
{
	SSL_CTX *ctx = serve(make_id(
		"leaf",
		(struct spec){.alt_names = "DNS:a.b,DNS:*.a.b,email:x@a.b,IP:10.0.0.1,IP:::1"}));
	char all[256] = "";

	tls_ctx_names(ctx, add_text, all);
	assert_string_equal(all, "a.b *.a.b 10.0.0.1 [::1] ");
	SSL_CTX_free(ctx);
	ctx = serve(make_id("leaf", (struct spec){.alt_names = NULL}));
	all[0] = '\0';
	tls_ctx_names(ctx, add_text, all);
	assert_string_equal(all, "");
	SSL_CTX_free(ctx);
}

/* ---- client: pins ---- */

static void test_pin(void **state)
{
	char pin[TLS_PIN_TEXT], wrong[TLS_PIN_TEXT], both[200], text[256];
	struct tls_client_conf c = {.pin = pin};
	SSL_CTX *ctx = serve(make_id("leaf", (struct spec){.from_days = -2, .to_days = -1}));
	struct seen s;

	tls_ctx_pin(ctx, pin);
	assert_int_equal(strlen(pin), 8 + 44);
	s = visit(ctx, &c, "whatever");
	assert_true(s.good);
	assert_string_equal(s.pin, pin);

	strcpy(wrong, pin);
	wrong[8] = wrong[8] == 'A' ? 'B' : 'A';
	c.pin = wrong;
	s = visit(ctx, &c, "whatever");
	assert_false(s.good);
	snprintf(text, sizeof(text), "the server's key is %s, not the pinned one", pin);
	assert_string_equal(s.err.text, text);
	assert_string_equal(s.pin, pin);

	snprintf(both, sizeof(both), "%s;%s", wrong, pin);
	c.pin = both;
	assert_true(visit(ctx, &c, "whatever").good);
	snprintf(both, sizeof(both), "%s;%s", wrong, wrong);
	assert_false(visit(ctx, &c, "whatever").good);
	SSL_CTX_free(ctx);
}

/* Independent of the code under test: SHA-256 of what PEM_write_PUBKEY writes. */
static void test_pin_form(void **state)
{
	struct id id = make_id("leaf", (struct spec){0});
	unsigned char *der = NULL, digest[32], text[64];
	int len = i2d_PUBKEY(id.key, &der);
	char pin[TLS_PIN_TEXT];
	SSL_CTX *ctx;

	assert_true(len > 0);
	assert_int_equal(EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL), 1);
	EVP_EncodeBlock(text, digest, 32);
	OPENSSL_free(der);
	ctx = serve(id);
	tls_ctx_pin(ctx, pin);
	assert_string_equal(pin + 8, (char *)text);
	SSL_CTX_free(ctx);
}

/* With roots and a pin both must be right. */
static void test_pin_and_roots(void **state)
{
	char pin[TLS_PIN_TEXT], root[256];
	struct tls_client_conf c = {.pin = pin, .root_cas = root};
	SSL_CTX *ctx = serve(make_id("leaf", (struct spec){.alt_names = "DNS:a", .issuer = &ca}));

	snprintf(root, sizeof(root), "%s", path("ca.pem"));
	tls_ctx_pin(ctx, pin);
	assert_true(visit(ctx, &c, "a").good);
	assert_false(visit(ctx, &c, "b").good);
	pin[9] ^= pin[9] == 'a' ? 3 : 'a' ^ pin[9]; /* another letter or digit */
	assert_false(visit(ctx, &c, "a").good);
	tls_ctx_pin(ctx, pin);
	snprintf(root, sizeof(root), "%s", path("other.pem"));
	assert_false(visit(ctx, &c, "a").good);
	SSL_CTX_free(ctx);
}

/* The syntax: tls_pin_test. */
static void test_bad_pin(void **state)
{
	struct err err = {""};

	assert_null(tls_client_ctx(&(struct tls_client_conf){.pin = "sha256//AAAA"}, &err));
	assert_string_equal(err.text,
			    "\"sha256//AAAA\" is not a pin: \"sha256//\" and 44 characters "
			    "of base64");
}

/* ---- client: anything goes ---- */

/* The Go server's built-in certificate is like this one (with 4096 bits). */
static void test_legacy_certificate(void **state)
{
	struct tls_client_conf c = {0};
	struct seen s = visit_id(make_id("*.ngrok.com", (struct spec){.v1 = true,
								      .sha1 = true,
								      .from_days = -20,
								      .to_days = -10,
								      .key = EVP_RSA_gen(2048)}),
				 &c, "anything.example");

	assert_string_equal(s.err.text, "");
	assert_true(s.shook);
	assert_true(s.good);
	assert_int_equal(strncmp(s.pin, "sha256//", 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),        cmocka_unit_test(test_host_roots),
		cmocka_unit_test(test_leaf_as_root), cmocka_unit_test(test_signed_leaf_as_root),
		cmocka_unit_test(test_no_host),      cmocka_unit_test(test_sni),
		cmocka_unit_test(test_own_names),    cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pin_form),     cmocka_unit_test(test_pin_and_roots),
		cmocka_unit_test(test_bad_pin),      cmocka_unit_test(test_legacy_certificate),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
