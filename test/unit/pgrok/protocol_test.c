/* What the server speaks: which protocol is picked, and what its tunnels can't have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/config/load.h"
#include "pgrok/config/protocol.h"

static struct config *parse_ok(const char *text)
{
	struct config *c = config_new();
	struct err err;

	if (!config_parse(c, "x.yml", text, strlen(text), NULL, NULL, &err))
		fail_msg("refused: %s\n%s", err.text, text);
	return c;
}

/* A tunnel as one line of text. */
static void dump(const struct config_tunnel *t, char *out, size_t cap)
{
	size_t used = (size_t)snprintf(out, cap, "%s(", t->name);

	if (t->subdomain && *t->subdomain)
		used += (size_t)snprintf(out + used, cap - used, "sub=%s ", t->subdomain);
	if (t->remote_port)
		used += (size_t)snprintf(out + used, cap - used, "port=%u ", t->remote_port);
	for (int p = 0; p < PROTOS; p++) {
		if (t->local[p].text)
			used += (size_t)snprintf(out + used, cap - used, "%s=%s ",
						 proto_name((enum proto)p), t->local[p].text);
	}
	snprintf(out + used - 1, cap - used + 1, ")");
}

static void picks_the_protocol(void **state)
{
	static const struct {
		const char *text, *protocol, *transport, *result;
	} cases[] = {
		{"", NULL, NULL, "pgrok auto"},
		{"protocol: pgrok", NULL, NULL, "pgrok auto"},
		{"protocol: drip", NULL, NULL, "drip auto"},
		{"transport: tcp\nprotocol: drip", NULL, NULL, "drip tcp"},
		{"protocol: drip\ntransport: tcp", "", "auto", "drip auto"},
		{"protocol: drip", "pgrok", NULL, "pgrok auto"},
		{"", "drip", "tcp", "drip tcp"},
		{"", "frp", NULL, "-protocol: 'frp' is neither pgrok nor drip"},
		{"", "drip", "quic", "-transport: 'quic' is neither auto, tcp nor wss"},
		{"protocol: drip\ntransport: wss", NULL, NULL, "drip wss"},
		{"", NULL, "tcp", "-transport: only a Drip server has transports (protocol: drip)"},
		{"\ntransport: tcp", NULL, NULL,
		 "x.yml:2: transport: only a Drip server has transports (protocol: drip)"},
	};

	static const char *const transports[] = {"unset", "auto", "tcp", "wss"};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err;
		struct config *c = parse_ok(cases[i].text);
		struct config_flags f = {.protocol = cases[i].protocol,
					 .transport = cases[i].transport};
		char got[32];
		bool ok = config_finish(c, &f, &err);

		snprintf(got, sizeof(got), "%s %s", protocol_name(c->protocol),
			 transports[c->transport]);
		assert_string_equal(ok ? got : err.text, cases[i].result);
		config_free(c);
	}
}

/* The one tunnel of the text, fit for its server: as dump() has it, or the error. */
static void fit(const char *text, char *out, size_t cap)
{
	struct config *c = parse_ok(text);
	const char *which;
	struct err err;

	assert_true(config_finish(c, &(struct config_flags){0}, &err));
	for (size_t i = 0; i < c->tunnels_n; i++)
		c->tunnels[i].start = true;
	if (protocol_fit_all(c, &which, &err)) {
		dump(&c->tunnels[0], out, cap);
	} else {
		assert_null(which);
		snprintf(out, cap, "%s", err.text);
	}
	config_free(c);
}

static void fits_drip(void **state)
{
	static const struct {
		const char *tunnels, *result;
	} cases[] = {
		{"{x: {proto: {http: 1}}}", "x(sub=x https=127.0.0.1:1)"},
		{"{x: {transport: tcp, remote_port: 5, proto: {tcp: 1}}}",
		 "x(sub=x port=5 tcp=127.0.0.1:1)"},
		/* one URL for both */
		{"{x: {proto: {http+https: 1}}}", "x(sub=x https=127.0.0.1:1)"},
		{"{x: {proto: {http: 1, https: '127.0.0.1:1', tcp: 2}}}",
		 "x(sub=x https=127.0.0.1:1 tcp=127.0.0.1:2)"},
		{"{x: {proto: {http: 1, https: 2}}}",
		 "x.yml:3: tunnels.x.proto: a Drip server has one URL for http and https, which "
		 "leads to one address"},
		{"{x: {proto: {https: 1}}}", "x(sub=x https=127.0.0.1:1)"},
		{"{x: {proto: {http: 'https://a:1'}}}", "x(sub=x https=https://a:1)"},
		{"{x: {proto: {http: 'unix:/a'}}}", "x(sub=x https=unix:/a)"},
		/* rules */
		{"{x: {bearer: a, allow_ips: 10.0.0.0/8, deny_ips: [10.0.0.1], proto: {http: 1}}}",
		 "x(sub=x https=127.0.0.1:1)"},
		{"{x: {password: a, proto: {http: 1}}}", "x(sub=x https=127.0.0.1:1)"},
		{"{x: {proto: {http: 1},\n bearer: [a,\n b]}}",
		 "x.yml:4: tunnels.x.bearer: a Drip server knows one token a tunnel"},
		{"{x: {bearer: a, password: b, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.password: a Drip server asks for a password or for a token, "
		 "not for both"},
		{"{x: {proto: {http: 1},\n\n hostname: a.b}}",
		 "x.yml:5: tunnels.x.hostname: a Drip server has names below its own domain only"},
		{"{y.z: {proto: {http: 1}}}",
		 "x.yml:3: tunnels.y.z: a Drip server has names below its own domain only"},
		{"{x: {auth: 'u:p', proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.auth: a Drip server knows no users: password or bearer is "
		 "what it can ask for"},
		{"{x: {auth_preflight: true, bearer: a, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.auth_preflight: a Drip server asks for credentials in every "
		 "request"},
		{"{x: {forward_auth: 'http://a/', proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.forward_auth: a Drip server asks no other service"},
		{"{x: {methods: PUT, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.methods: a Drip server lets every method pass"},
		{"{x: {paths: /a, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.paths: a Drip server lets every path pass"},
		{"{x: {proxy_proto: 1, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.proxy_proto: a Drip server does not say who the visitor is"},
		{"{x: {x_forwarded: true, proto: {http: 1}}}",
		 "x.yml:3: tunnels.x.x_forwarded: a Drip server does not say who the visitor is"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = xasprintf("protocol: drip\n\ntunnels: %s", cases[i].tunnels);
		char got[ERR_TEXT];

		fit(text, got, sizeof(got));
		assert_string_equal(got, cases[i].result);
		free(text);
	}
}

static void fits_pgrok(void **state)
{
	char got[ERR_TEXT];

	fit("tunnels: {x: {transport: tcp, proto: {http: 1}}}", got, sizeof(got));
	assert_string_equal(got, "x.yml:1: tunnels.x.transport: only a Drip server has transports "
				 "(protocol: drip)");
}

/* A tunnel that is not started may be anything. */
static void fits_what_starts(void **state)
{
	struct config *c =
		parse_ok("protocol: drip\ntunnels: {x: {hostname: a.b, proto: {http: 1}}, "
			 "y: {proto: {http: 1}}}");
	struct config_tunnel *y = config_find_tunnel(c, "y");
	const char *which;
	struct err err;

	y->start = true;
	assert_true(protocol_fit_all(c, &which, &err));
	assert_true(protocol_fit_all(c, &which, &err)); /* again: nothing changes */
	assert_null(y->local[PROTO_HTTP].text);
	assert_string_equal(y->local[PROTO_HTTPS].text, "127.0.0.1:1");
	config_free(c);

	/* Of the command line: the key alone. */
	c = parse_ok("protocol: drip");
	struct config_tunnel *t = config_add_tunnel(c, "default");

	assert_true(config_set_protos(t, "http", "1", "default", &err));
	t->hostname = xstrdup("a.b");
	t->start = true;
	assert_false(protocol_fit_all(c, &which, &err));
	assert_string_equal(which, "hostname");
	assert_string_equal(err.text, "a Drip server has names below its own domain only");
	config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(picks_the_protocol),
		cmocka_unit_test(fits_drip),
		cmocka_unit_test(fits_pgrok),
		cmocka_unit_test(fits_what_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
