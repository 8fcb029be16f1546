/* Drip's messages: what was captured from the Go programs, Go's leniency and strictness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "msg/drip/drip.h"

static bool decode(enum drip_type type, const char *json, struct drip_msg *m)
{
	struct err err = {""};
	bool good = drip_decode(type, json, strlen(json), m, &err);

	assert_int_equal(good, !*err.text);
	return good;
}

/* ---- captured: decoded and encoded again they are the same bytes ---- */

static void test_captured(void **state)
{
	static const struct {
		enum drip_type type;
		const char *json;
	} lines[] = {
		{DRIP_REGISTER,
		 "{\"token\":\"sekrit\",\"custom_subdomain\":\"myapp\",\"tunnel_type\":\"http\","
		 "\"local_port\":33875,\"connection_type\":\"primary\",\"pool_capabilities\":"
		 "{\"max_data_conns\":31,\"version\":1},\"ip_access\":{\"allow_ips\":"
		 "[\"127.0.0.0/8\"],\"deny_ips\":[\"10.0.0.1\",\"10.0.0.2\"]},\"proxy_auth\":"
		 "{\"enabled\":true,\"type\":\"bearer\",\"token\":\"b\\u003ct\\u003e\\u0026\"}}"},
		{DRIP_REGISTER,
		 "{\"token\":\"sekrit\",\"custom_subdomain\":\"web\",\"tunnel_type\":\"http\","
		 "\"local_port\":33875,\"connection_type\":\"primary\",\"pool_capabilities\":"
		 "{\"max_data_conns\":31,\"version\":1}}"},
		{DRIP_REGISTER, "{\"token\":\"\",\"custom_subdomain\":\"\",\"tunnel_type\":\"tcp\","
				"\"local_port\":22}"},
		{DRIP_REGISTER_ACK,
		 "{\"subdomain\":\"myapp\",\"url\":\"https://myapp.drip.test:36805\",\"message\":"
		 "\"Tunnel registered successfully\",\"tunnel_id\":"
		 "\"c41f214af8d24077659fee25189a0ba0\",\"supports_data_conn\":true,"
		 "\"recommended_conns\":4}"},
		{DRIP_REGISTER_ACK,
		 "{\"subdomain\":\"tcp-21007\",\"port\":21007,\"url\":\"tcp://drip.test:21007\","
		 "\"message\":\"Tunnel registered successfully\",\"tunnel_id\":"
		 "\"0b137a4fc5d92fd1dc3e27c04873dc08\",\"supports_data_conn\":true,"
		 "\"recommended_conns\":4}"},
		{DRIP_REGISTER_ACK, "{\"subdomain\":\"a1b2c3\",\"url\":\"https://a1b2c3.x\","
				    "\"message\":\"Tunnel registered successfully\"}"},
		{DRIP_ERROR, "{\"code\":\"registration_failed\",\"message\":"
			     "\"tunnel registration failed: subdomain is already taken\"}"},
		{DRIP_DATA_CONNECT, "{\"tunnel_id\":\"c41f214af8d24077659fee25189a0ba0\","
				    "\"token\":\"sekrit\",\"connection_id\":\"data-1\"}"},
		{DRIP_DATA_CONNECT_ACK, "{\"accepted\":true,\"connection_id\":\"data-1\","
					"\"message\":\"Data connection accepted\"}"},
		{DRIP_DATA_CONNECT_ACK, "{\"accepted\":false,\"connection_id\":\"\",\"message\":"
					"\"join_failed: Tunnel not found\"}"},
		{DRIP_DISCOVER, "{\"preferred\":\"tcp\",\"transports\":[\"tcp\",\"wss\"],"
				"\"tunnel_types\":[\"http\",\"https\",\"tcp\"],\"version\":\"1\"}"},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct drip_msg m;
		size_t len;
		char *again;

		assert_true(decode(lines[i].type, lines[i].json, &m));
		again = drip_encode(&m, &len);
		assert_non_null(again);
		assert_string_equal(again, lines[i].json);
		assert_int_equal(len, strlen(again));
		free(again);
		drip_free(&m);
	}
}

static void test_all_fields(void **state)
{
	struct drip_msg m;

	assert_true(
		decode(DRIP_REGISTER,
		       "{\"token\":\"t\",\"custom_subdomain\":\"s\",\"tunnel_type\":\"https\","
		       "\"local_port\":3000,\"connection_type\":\"primary\",\"tunnel_id\":\"i\","
		       "\"pool_capabilities\":{\"max_data_conns\":31,\"version\":1},"
		       "\"ip_access\":{\"allow_ips\":[\"a\",\"b\"],\"deny_ips\":[\"c\"]},"
		       "\"proxy_auth\":{\"enabled\":true,\"type\":\"password\","
		       "\"password\":\"p\",\"token\":\"q\"}}",
		       &m));
	assert_string_equal(m.reg.token, "t");
	assert_string_equal(m.reg.custom_subdomain, "s");
	assert_string_equal(m.reg.tunnel_type, "https");
	assert_int_equal(m.reg.local_port, 3000);
	assert_string_equal(m.reg.connection_type, DRIP_PRIMARY);
	assert_string_equal(m.reg.tunnel_id, "i");
	assert_true(m.reg.pool_capabilities.there);
	assert_int_equal(m.reg.pool_capabilities.max_data_conns, 31);
	assert_int_equal(m.reg.pool_capabilities.version, 1);
	assert_true(m.reg.ip_access.there);
	assert_int_equal(m.reg.ip_access.allow_ips.n, 2);
	assert_string_equal(m.reg.ip_access.allow_ips.text[1], "b");
	assert_int_equal(m.reg.ip_access.deny_ips.n, 1);
	assert_string_equal(m.reg.ip_access.deny_ips.text[0], "c");
	assert_true(m.reg.proxy_auth.there && m.reg.proxy_auth.enabled);
	assert_string_equal(m.reg.proxy_auth.type, DRIP_PASSWORD);
	assert_string_equal(m.reg.proxy_auth.password, "p");
	assert_string_equal(m.reg.proxy_auth.token, "q");
	drip_free(&m);
	assert_null(m.owner);
}

/* ---- lenient, and strict ---- */

static void test_good(void **state)
{
	static const char *const good[] = {
		"{}",
		"null",
		" \r\n\tnull \n",
		" {\"token\":\"t\"}\r\n",
		"{\"TOKEN\":\"t\",\"Local_Port\":1}",
		"{\"unknown\":{\"deep\":[1,2,{\"x\":null}]}}",
		"{\"token\":null,\"local_port\":null,\"ip_access\":null,\"proxy_auth\":null}",
		"{\"ip_access\":{\"allow_ips\":null,\"x\":1}}",
		"{\"token\":\"\\u0062\\ud83d\\ude00\"}",
		"{\"token\":\"\xff\"}", /* U+FFFD */
		"{\"local_port\":-1}",
	};
	struct drip_msg m;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!decode(DRIP_REGISTER, good[i], &m))
			fail_msg("%s", good[i]);
		drip_free(&m);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"nul",
		"nullx",
		"null null",
		"[]",
		"\"x\"",
		"1",
		"true",
		"{",
		"{}x",
		"{} {}",
		"\xef\xbb\xbf{}",
		"{\"token\":1}",
		"{\"local_port\":\"80\"}",
		"{\"local_port\":1.5}",
		"{\"local_port\":80.0}",
		"{\"ip_access\":[]}",
		"{\"ip_access\":{\"allow_ips\":\"10.0.0.1\"}}",
		"{\"ip_access\":{\"allow_ips\":[1]}}",
		"{\"proxy_auth\":{\"enabled\":\"true\"}}",
		"{\"proxy_auth\":{\"enabled\":1}}",
		"{\"pool_capabilities\":true}",
		"{\"custom_subdomain\":\"a\\u0000b\"}",
	};
	struct drip_msg m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (decode(DRIP_REGISTER, bad[i], &m))
			fail_msg("%s", bad[i]);
		assert_null(m.owner);
	}
}

static void test_last_of_equal_keys(void **state)
{
	struct drip_msg m;

	assert_true(decode(DRIP_REGISTER, "{\"token\":\"a\",\"token\":\"b\",\"Token\":\"c\"}", &m));
	assert_string_equal(m.reg.token, "c");
	drip_free(&m);
}

static void test_missing_is_default(void **state)
{
	struct drip_msg m;

	assert_true(decode(DRIP_REGISTER, "null", &m));
	assert_string_equal(m.reg.token, "");
	assert_string_equal(m.reg.tunnel_type, "");
	assert_string_equal(m.reg.proxy_auth.password, "");
	assert_false(m.reg.ip_access.there || m.reg.proxy_auth.there ||
		     m.reg.pool_capabilities.there);
	drip_free(&m);
	assert_true(decode(DRIP_REGISTER, "{\"ip_access\":{}}", &m));
	assert_true(m.reg.ip_access.there);
	assert_int_equal(m.reg.ip_access.allow_ips.n, 0);
	drip_free(&m);
}

/* err never quotes what may hold a token. */
static void test_error_quotes_nothing(void **state)
{
	static const char *const bad[] = {"{\"token\":\"sekrit\"", "sekrit", "{\"sekrit\":x}",
					  "{\"token\":[\"sekrit\"]}"};
	struct drip_msg m;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(drip_decode(DRIP_REGISTER, bad[i], strlen(bad[i]), &m, &err));
		assert_string_not_equal(err.text, "");
		assert_null(strstr(err.text, "sekrit"));
	}
}

/* ---- who is told for good ---- */

static void test_fatal(void **state)
{
	static const struct {
		const char *code, *message;
		bool fatal;
	} cases[] = {
		{"authentication_failed", "Invalid authentication token", true},
		{"registration_failed", "tunnel registration failed: subdomain is already taken",
		 true},
		{"registration_failed", "tunnel registration failed: subdomain is reserved", true},
		{"registration_failed", "tunnel registration failed: invalid subdomain format",
		 true},
		{"x", "Needs authentication please", true},
		{"x", "server only supports [wss] transport(s)", true},
		{"registration_failed", "Subdomain is already taken", false},
		{"registration_failed", "tunnel registration failed: maximum tunnel limit reached",
		 false},
		{"registration_failed",
		 "tunnel registration failed: rate limit exceeded, try again later", false},
		{"registration_failed",
		 "failed to allocate requested port 1: requested port 1 outside range 20000-40000",
		 false},
		{"tunnel_type_not_allowed", "Tunnel type 'tcp' is not allowed on this server",
		 false},
		{"", "", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct drip_error e = {cases[i].code, cases[i].message};

		if (drip_fatal(&e) != cases[i].fatal)
			fail_msg("%s", cases[i].message);
	}
}

static void test_types(void **state)
{
	static const bool known[256] = {
		[DRIP_DISCOVER] = true, [DRIP_REGISTER] = true,     [DRIP_REGISTER_ACK] = true,
		[DRIP_ERROR] = true,    [DRIP_DATA_CONNECT] = true, [DRIP_DATA_CONNECT_ACK] = true,
	};

	for (unsigned t = 0; t < 256; t++)
		assert_int_equal(drip_known(t), known[t]);
	assert_string_equal(drip_type_name(DRIP_REGISTER), "Register");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured),
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_last_of_equal_keys),
		cmocka_unit_test(test_missing_is_default),
		cmocka_unit_test(test_error_quotes_nothing),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
