/* A server's handshakes, the resumed ones too, and its files. */
#include "test/unit/common/tls_rig.h"

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

/* Its own certificate, as others will see it. */
static void test_good_today(void **state)
{
	static const struct {
		struct spec spec;
		const char *domain, *why; /* NULL: it is good */
	} row[] = {
		{{.alt_names = "DNS:a.example,DNS:*.a.example"}, "a.example", NULL},
		{{.alt_names = "DNS:*.a.example"}, "a.example", NULL},
		{{.alt_names = "DNS:a.example"}, "a.example", "is not for names below a.example"},
		{{.alt_names = "DNS:a.example"}, NULL, NULL},
		{{.from_days = 0}, "a.example", "is not for names below a.example"},
		{{.alt_names = "DNS:*.a.example", .from_days = -9, .to_days = -1},
		 "a.example",
		 "has expired (20"},
		{{.alt_names = "DNS:*.a.example", .from_days = 2, .to_days = 9},
		 "a.example",
		 "is not valid yet (20"},
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct id id = make_id("a.example", row[i].spec);
		SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
		struct err why = {""};

		assert_int_equal(SSL_CTX_use_certificate(ctx, id.cert), 1);
		assert_int_equal(tls_ctx_good(ctx, row[i].domain, &why), !row[i].why);
		if (row[i].why)
			assert_memory_equal(why.text, row[i].why, strlen(row[i].why));
		SSL_CTX_free(ctx);
		free_id(&id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_today),
		cmocka_unit_test(test_server_handshake),
		cmocka_unit_test(test_no_renegotiation),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_resumed_is_checked),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
