/* Handshakes over BIO pairs: what is trusted and what is refused. */
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
static const char *path(const char *name)
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

static void add_ext(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

static struct id make_id(const char *cn, struct spec s)
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

static void save_id(const struct id *id, const char *cert, const char *key)
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

static void free_id(struct id *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

static struct id ca, other_ca;

static int setup(void **state)
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

static int teardown(void **state)
{
	char cmd[128];

	free_id(&ca);
	free_id(&other_ca);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) ? -1 : 0;
}

/* ---- handshakes ---- */

static void join_bios(SSL *a, SSL *b)
{
	BIO *x, *y;

	assert_int_equal(BIO_new_bio_pair(&x, 0, &y, 0), 1);
	SSL_set_bio(a, x, x);
	SSL_set_bio(b, y, y);
}

static bool stuck(SSL *ssl, int rc)
{
	int e = SSL_get_error(ssl, rc);

	return e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
}

/* Both handshakes over? */
static bool shake(SSL *client, SSL *server)
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
static struct seen visit(SSL_CTX *sctx, const struct tls_client_conf *c, const char *host)
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

static SSL_CTX *serve_conf(const struct tls_server_conf *c)
{
	char note[256];
	struct err err;
	SSL_CTX *ctx = tls_server_ctx(c, note, &err);

	if (!ctx)
		fail_msg("server: %s", err.text);
	return ctx;
}

/* Takes id. */
static SSL_CTX *serve(struct id id)
{
	const char *cert = path("leaf.pem"), *key = path("leaf.key");
	SSL_CTX *ctx;

	save_id(&id, cert, key);
	ctx = serve_conf(&(struct tls_server_conf){.cert = cert, .key = key});
	free_id(&id);
	return ctx;
}

static struct seen visit_id(struct id id, const struct tls_client_conf *c, const char *host)
{
	SSL_CTX *ctx = serve(id);
	struct seen seen = visit(ctx, c, host);

	SSL_CTX_free(ctx);
	return seen;
}

#define AUTHORITY "x509: certificate signed by unknown authority"
#define EXPIRED "x509: certificate has expired or is not yet valid"

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

/* ---- server ---- */

static void test_server_handshake(void **state)
{
	SSL_CTX *sctx = serve(make_id("leaf", (struct spec){0})), *cctx;
	struct {
		int version;
		const char *groups;
		bool ok;
	} row[] = {
		{TLS1_3_VERSION, "X25519", true}, {TLS1_3_VERSION, "P-521", true},
		{TLS1_3_VERSION, "X448", false},  {TLS1_2_VERSION, "P-256", true},
		{TLS1_1_VERSION, "P-256", false},
	};

	/* whatever the system's openssl.cnf says */
	assert_int_equal(SSL_CTX_get_min_proto_version(sctx), TLS1_2_VERSION);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		SSL *client, *server;

		cctx = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_security_level(cctx, 0);
		SSL_CTX_set_min_proto_version(cctx, row[i].version);
		SSL_CTX_set_max_proto_version(cctx, row[i].version);
		SSL_CTX_set1_groups_list(cctx, row[i].groups);
		client = SSL_new(cctx);
		SSL_set_connect_state(client);
		server = tls_accept_ssl(sctx);
		assert_int_equal(shake(client, server), row[i].ok);
		if (row[i].ok)
			assert_int_equal(SSL_version(server), row[i].version);
		SSL_free(client);
		SSL_free(server);
		SSL_CTX_free(cctx);
	}
	SSL_CTX_free(sctx);
}

/* One side asks for a new handshake inside the connection. Does it begin? */
static bool renegotiates(SSL *asks, SSL *other)
{
	unsigned char before[SSL3_RANDOM_SIZE], after[SSL3_RANDOM_SIZE];
	char byte;

	SSL_get_client_random(asks, before, sizeof(before));
	assert_int_equal(SSL_renegotiate(asks), 1);
	for (int i = 0; i < 4; i++) {
		(void)SSL_do_handshake(asks);
		(void)SSL_read(other, &byte, 1);
		ERR_clear_error();
	}
	SSL_get_client_random(other, after, sizeof(after));
	return memcmp(before, after, sizeof(after)) != 0;
}

/* It costs the server most, and changes who it is with: neither end of ours does it. */
static void test_no_renegotiation(void **state)
{
	struct tls_client_conf lax = {0};
	struct err err;

	for (int ours = 0; ours < 2; ours++) {
		SSL_CTX *sctx = serve(make_id("leaf", (struct spec){0}));
		SSL_CTX *cctx =
			ours ? tls_client_ctx(&lax, &err) : SSL_CTX_new(TLS_client_method());

		if (ours) /* then the server is another's */
			SSL_CTX_clear_options(sctx, SSL_OP_NO_RENEGOTIATION);
		SSL_CTX_set_max_proto_version(cctx, TLS1_2_VERSION);
		SSL *client = SSL_new(cctx), *server = tls_accept_ssl(sctx);

		SSL_set_connect_state(client);
		assert_true(shake(client, server));
		assert_false(ours ? renegotiates(server, client) : renegotiates(client, server));
		SSL_free(client);
		SSL_free(server);
		SSL_CTX_free(cctx);
		SSL_CTX_free(sctx);
	}
}

static int sessions_seen;
static SSL_SESSION *last_session;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	sessions_seen++;
	SSL_SESSION_free(last_session);
	last_session = session;
	return 1;
}

/* One ticket a handshake, and it is good: with and without client certificates, 1.2 and 1.3. */
static void one_resumption(SSL_CTX *sctx, const struct tls_client_conf *c, int version)
{
	char pin[TLS_PIN_TEXT], byte;
	struct err err;
	SSL_CTX *cctx = tls_client_ctx(c, &err);

	assert_non_null(cctx);
	SSL_CTX_set_max_proto_version(cctx, version);
	SSL_CTX_set_session_cache_mode(cctx,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(cctx, on_session);
	for (int i = 0; i < 2; i++) {
		SSL *client = tls_connect_ssl(cctx, c, "a"), *server = tls_accept_ssl(sctx);

		if (i == 1)
			assert_int_equal(SSL_set_session(client, last_session), 1);
		sessions_seen = 0;
		assert_true(shake(client, server));
		assert_true(SSL_read(client, &byte, 1) < 0);
		assert_int_equal(SSL_session_reused(client), i);
		assert_true(tls_check_server(client, c, pin, &err));
		if (version == TLS1_3_VERSION)
			assert_int_equal(sessions_seen, 1);
		SSL_set_shutdown(client, SSL_SENT_SHUTDOWN);
		SSL_free(client);
		SSL_free(server);
	}
	SSL_SESSION_free(last_session);
	last_session = NULL;
	SSL_CTX_free(cctx);
}

static void test_resumption(void **state)
{
	struct id leaf = make_id("leaf", (struct spec){.alt_names = "DNS:a", .issuer = &ca});
	struct id visitor = make_id("visitor", (struct spec){.issuer = &ca});
	const char *ca_file = path("ca.pem");
	struct tls_client_conf c = {.root_cas = ca_file};
	char cert[256], key[256];
	SSL_CTX *sctx = serve(leaf);

	one_resumption(sctx, &c, TLS1_3_VERSION);
	one_resumption(sctx, &c, TLS1_2_VERSION);
	SSL_CTX_free(sctx);

	snprintf(cert, sizeof(cert), "%s", path("visitor.pem"));
	snprintf(key, sizeof(key), "%s", path("visitor.key"));
	save_id(&visitor, cert, key);
	free_id(&visitor);
	c.cert = cert;
	c.key = key;
	ca_file = path("ca.pem");
	sctx = serve_conf(&(struct tls_server_conf){
		.cert = path("leaf.pem"), .key = path("leaf.key"), .client_ca = ca_file});
	c.root_cas = ca_file;
	one_resumption(sctx, &c, TLS1_3_VERSION);
	one_resumption(sctx, &c, TLS1_2_VERSION);
	SSL_CTX_free(sctx);
}

/* A session says what was verified then; it is asked again for this host and this moment. */
static void test_resumed_is_checked(void **state)
{
	struct tls_client_conf lax = {0}, strict = {.root_cas = path("ca.pem")};
	char pin[TLS_PIN_TEXT], byte;
	struct err err;
	SSL_CTX *sctx = serve(make_id("leaf", (struct spec){.alt_names = "DNS:a", .issuer = NULL}));
	SSL_CTX *loose = tls_client_ctx(&lax, &err), *tight = tls_client_ctx(&strict, &err);
	SSL *client = tls_connect_ssl(loose, &lax, "a"), *server = tls_accept_ssl(sctx);

	SSL_CTX_set_session_cache_mode(loose,
				       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(loose, on_session);
	assert_true(shake(client, server));
	assert_true(SSL_read(client, &byte, 1) < 0);
	assert_true(tls_check_server(client, &lax, pin, &err));
	assert_non_null(last_session);
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN);
	SSL_free(client);
	SSL_free(server);

	client = tls_connect_ssl(tight, &strict, "a");
	server = tls_accept_ssl(sctx);
	SSL_set_session(client, last_session);
	assert_true(shake(client, server));
	assert_true(SSL_session_reused(client));
	assert_false(tls_check_server(client, &strict, pin, &err));
	assert_string_equal(err.text, AUTHORITY);
	SSL_free(client);
	SSL_free(server);
	SSL_SESSION_free(last_session);
	last_session = NULL;
	SSL_CTX_free(loose);
	SSL_CTX_free(tight);
	SSL_CTX_free(sctx);
}

/* Is this client let in? In TLS 1.3 it learns so from its first read only. */
static bool let_in(SSL_CTX *sctx, const struct tls_client_conf *c)
{
	struct err err;
	SSL_CTX *cctx = tls_client_ctx(c, &err);
	SSL *client, *server;
	bool shook;

	if (!cctx)
		fail_msg("client: %s", err.text);
	client = tls_connect_ssl(cctx, c, "a");
	server = tls_accept_ssl(sctx);
	shook = shake(client, server);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cctx);
	return shook;
}

static void test_client_certificates(void **state)
{
	struct id good = make_id("good", (struct spec){.issuer = &ca});
	struct id bad = make_id("bad", (struct spec){.issuer = &other_ca});
	struct tls_server_conf conf = {.domain = "a"};
	struct tls_client_conf c = {0};
	char cert[256], key[256];
	SSL_CTX *sctx;

	conf.client_ca = path("ca.pem");
	sctx = serve_conf(&conf);
	assert_false(let_in(sctx, &c));
	snprintf(cert, sizeof(cert), "%s", path("c.pem"));
	snprintf(key, sizeof(key), "%s", path("c.key"));
	c.cert = cert;
	c.key = key;
	save_id(&bad, cert, key);
	assert_false(let_in(sctx, &c));
	save_id(&good, cert, key);
	assert_true(let_in(sctx, &c));
	free_id(&good);
	free_id(&bad);
	SSL_CTX_free(sctx);
}

static void test_bad_files(void **state)
{
	char ca_pem[256], ca_key[256], none[256], note[256];
	struct err err = {""};

	snprintf(ca_pem, sizeof(ca_pem), "%s", path("ca.pem"));
	snprintf(ca_key, sizeof(ca_key), "%s", path("ca.key"));
	snprintf(none, sizeof(none), "%s", path("none.pem"));
	struct tls_server_conf server[] = {
		{.cert = none, .key = ca_key},
		{.cert = ca_pem, .key = none},
		{.cert = ca_pem, .key = ca_pem},
		{.cert = ca_pem, .key = path("other.key")},
		{.cert = ca_pem},
		{.key = ca_key},
		{.client_ca = none},
		{.client_ca = ca_key},
	};
	struct tls_client_conf client[] = {
		{.root_cas = none},
		{.root_cas = ca_key},
		{.cert = none, .key = ca_key},
		{.cert = ca_pem},
	};

	for (size_t i = 0; i < sizeof(server) / sizeof(server[0]); i++) {
		err.text[0] = '\0';
		assert_null(tls_server_ctx(&server[i], note, &err));
		assert_true(err.text[0] != '\0');
	}
	for (size_t i = 0; i < sizeof(client) / sizeof(client[0]); i++) {
		err.text[0] = '\0';
		assert_null(tls_client_ctx(&client[i], &err));
		assert_true(err.text[0] != '\0');
	}
	assert_null(tls_client_ctx(&client[0], &err));
	assert_non_null(strstr(err.text, "none.pem: no such file or directory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_host_roots),
		cmocka_unit_test(test_leaf_as_root),
		cmocka_unit_test(test_signed_leaf_as_root),
		cmocka_unit_test(test_no_host),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_own_names),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pin_form),
		cmocka_unit_test(test_pin_and_roots),
		cmocka_unit_test(test_bad_pin),
		cmocka_unit_test(test_legacy_certificate),
		cmocka_unit_test(test_server_handshake),
		cmocka_unit_test(test_no_renegotiation),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_resumed_is_checked),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
