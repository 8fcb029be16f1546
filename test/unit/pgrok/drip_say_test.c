/* What is said to a Drip server, what it says of itself, and how many sessions a load wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "msg/drip/frame.h"
#include "pgrok/uplink/drip_discovery.h"
#include "pgrok/uplink/drip_pool.h"
#include "pgrok/uplink/drip_say.h"

static struct config_tunnel *make(struct config *c, const char *protos, const char *addr)
{
	struct config_tunnel *t = config_add_tunnel(c, "web");
	struct err err;

	assert_true(config_set_protos(t, protos, addr, "web", &err));
	return t;
}

static void add_rule(struct config_tunnel *t, enum access_list which, const char *text)
{
	struct err err;

	assert_true(config_add_rule(t, which, text, &err));
}

/* The JSON in the Register. Returns owned. */
static char *said(const struct config *c, const struct config_tunnel *t, enum proto p)
{
	struct text out = {.secret = true};
	char name[DRIP_NAME], *json;
	enum drip_type type;
	struct err err;
	size_t n;

	assert_true(drip_say_register(&out, c, t, p, drip_say_name(t, p, name), &err));
	assert_int_equal(drip_scan(out.p, out.len, &type, &n), DRIP_OK);
	assert_int_equal(type, DRIP_REGISTER);
	assert_int_equal(n, out.len - DRIP_HEADER);
	json = strndup(out.p + DRIP_HEADER, n);
	text_free(&out);
	return json;
}

static void assert_said(const struct config *c, const struct config_tunnel *t, enum proto p,
			const char *want)
{
	char *json = said(c, t, p);

	assert_string_equal(json, want);
	free(json);
}

#define POOL                                                                            \
	"\"connection_type\":\"primary\",\"pool_capabilities\":{\"max_data_conns\":31," \
	"\"version\":1}"

static void test_register(void **state)
{
	struct config *c = config_new();
	struct config_tunnel *t = make(c, "http+https+tcp", "127.0.0.1:8080");

	assert_said(c, t, PROTO_HTTP,
		    "{\"token\":\"\",\"custom_subdomain\":\"\",\"tunnel_type\":\"http\","
		    "\"local_port\":8080," POOL "}");
	c->auth_token = strdup("sekrit");
	t->subdomain = strdup("myapp");
	assert_said(c, t, PROTO_HTTP,
		    "{\"token\":\"sekrit\",\"custom_subdomain\":\"myapp\",\"tunnel_type\":"
		    "\"http\",\"local_port\":8080," POOL "}");
	assert_said(c, t, PROTO_HTTPS,
		    "{\"token\":\"sekrit\",\"custom_subdomain\":\"myapp\",\"tunnel_type\":"
		    "\"http\",\"local_port\":8080," POOL "}");
	/* A name is for http and https, a port for tcp. */
	assert_said(c, t, PROTO_TCP,
		    "{\"token\":\"sekrit\",\"custom_subdomain\":\"\",\"tunnel_type\":\"tcp\","
		    "\"local_port\":8080," POOL "}");
	t->remote_port = 21007;
	assert_said(c, t, PROTO_TCP,
		    "{\"token\":\"sekrit\",\"custom_subdomain\":\"tcp-21007\",\"tunnel_type\":"
		    "\"tcp\",\"local_port\":8080," POOL "}");
	config_free(c);
}

static void test_rules(void **state)
{
	struct config *c = config_new();
	struct config_tunnel *t = make(c, "https", "https://127.0.0.1:8443");

	add_rule(t, ACCESS_DENY_IPS, "10.0.0.1");
	assert_said(c, t, PROTO_HTTPS,
		    "{\"token\":\"\",\"custom_subdomain\":\"\",\"tunnel_type\":\"https\","
		    "\"local_port\":8443," POOL ",\"ip_access\":{\"deny_ips\":[\"10.0.0.1\"]}}");
	add_rule(t, ACCESS_DENY_IPS, "10.0.0.2");
	add_rule(t, ACCESS_ALLOW_IPS, "127.0.0.0/8");
	t->password = strdup("p\"<");
	assert_said(c, t, PROTO_HTTPS,
		    "{\"token\":\"\",\"custom_subdomain\":\"\",\"tunnel_type\":\"https\","
		    "\"local_port\":8443," POOL ",\"ip_access\":{\"allow_ips\":[\"127.0.0.0/8\"],"
		    "\"deny_ips\":[\"10.0.0.1\",\"10.0.0.2\"]},\"proxy_auth\":{\"enabled\":true,"
		    "\"type\":\"password\",\"password\":\"p\\\"\\u003c\"}}");
	config_clear_rules(t, ACCESS_ALLOW_IPS);
	config_clear_rules(t, ACCESS_DENY_IPS);
	free(t->password);
	t->password = NULL;
	add_rule(t, ACCESS_BEARER, "b.t");
	assert_said(c, t, PROTO_HTTPS,
		    "{\"token\":\"\",\"custom_subdomain\":\"\",\"tunnel_type\":\"https\","
		    "\"local_port\":8443," POOL ",\"proxy_auth\":{\"enabled\":true,"
		    "\"type\":\"bearer\",\"token\":\"b.t\"}}");
	config_free(c);
}

static void test_data(void **state)
{
	static const char want[] = "{\"tunnel_id\":\"c41f\",\"token\":\"sekrit\","
				   "\"connection_id\":\"data-12\"}";
	struct config *c = config_new();
	struct text out = {.secret = true};
	struct err err;

	c->auth_token = strdup("sekrit");
	assert_true(drip_say_data(&out, c, "c41f", 12, &err));
	assert_int_equal(out.len, DRIP_HEADER + sizeof(want) - 1);
	assert_int_equal(out.p[4], DRIP_DATA_CONNECT);
	assert_memory_equal(out.p + DRIP_HEADER, want, sizeof(want) - 1);
	text_free(&out);
	config_free(c);
}

static void test_what_can_not_be_said(void **state)
{
	struct config *c = config_new();
	struct config_tunnel *t = make(c, "http", "8080");
	struct text out = {.secret = true};
	struct err err;

	c->auth_token = strdup("\xff");
	assert_false(drip_say_register(&out, c, t, PROTO_HTTP, "", &err));
	assert_string_equal(err.text, "Register: a text is not UTF-8");
	text_free(&out);
	config_free(c);
}

/* ---- discovery ---- */

#define BODY "{\"preferred\":\"tcp\",\"transports\":[\"tcp\",\"wss\"],\"version\":\"1\"}"

static void test_discovery(void **state)
{
	static const struct {
		const char *answer, *preferred; /* NULL: it says nothing */
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" BODY, "tcp"},
		{"HTTP/1.1 200 OK\r\n\r\n" BODY, "tcp"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" BODY "more", "tcp"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"preferred\":\"wss\"}", "wss"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 61\r\n\r\n" BODY, NULL}, /* cut */
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", NULL},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", NULL},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 60\r\n\r\n" BODY, NULL},
		{"HTTP/1.1 200 OK\r\n", NULL},
		{"", NULL},
		{"nonsense", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct drip_msg m;
		bool good = drip_discovery_read(cases[i].answer, strlen(cases[i].answer), &m);

		if (good != !!cases[i].preferred)
			fail_msg("%s", cases[i].answer);
		if (good) {
			assert_string_equal(m.discover.preferred, cases[i].preferred);
			drip_free(&m);
		}
	}
}

/* ---- the pool's size ---- */

static void test_size(void **state)
{
	static const struct {
		unsigned n, streams;
		bool quiet;
		unsigned want;
	} cases[] = {
		{3, 0, false, 3},      {3, 0, true, 2},      {2, 0, true, 1},    {1, 0, true, 1},
		{3, 460, false, 3},    {3, 461, false, 4},   {3, 461, true, 4},  {3, 691, false, 4},
		{3, 692, false, 7},    {3, 768, false, 7},   {1, 153, false, 1}, {1, 154, false, 2},
		{30, 7680, false, 31}, {31, 9999, true, 31},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned got = drip_pool_size(cases[i].n, cases[i].streams, cases[i].quiet);

		if (got != cases[i].want)
			fail_msg("%u sessions, %u streams: %u", cases[i].n, cases[i].streams, got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),  cmocka_unit_test(test_rules),
		cmocka_unit_test(test_data),      cmocka_unit_test(test_what_can_not_be_said),
		cmocka_unit_test(test_discovery), cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
