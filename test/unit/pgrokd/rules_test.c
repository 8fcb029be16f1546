/* Visitors' requests are judged: by address, method, path, credentials, cookie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrokd/access/login.h"
#include "pgrokd/access/rules.h"

#define TUNNEL "https://a.x"
#define NOW 1700000000

static const unsigned char alice[PASS_HASH] = {1}, bob[PASS_HASH] = {2};

static struct rules *make_for(const unsigned char *owner, const char *auth,
			      const struct msg_access *a)
{
	struct rules_conf conf = {.auth = auth, .access = a, .owner = owner};
	struct rules *r;
	struct err err;

	if (!rules_make(&conf, &r, &err))
		fail_msg("%s", err.text);
	return r;
}

static struct rules *make(const char *auth, const struct msg_access *a)
{
	return make_for(alice, auth, a);
}

/* A request: its line, then fields, each with its CRLF. */
struct ask {
	const char *line, *fields, *from, *tunnel;
	const struct vouch *vouch;
	bool plain;
	int64_t now;
};

static int judge(const struct rules *r, const struct ask *ask)
{
	struct http_head h = {0};
	char text[8192];
	struct addr from;
	struct visit v = {.from = &from,
			  .tunnel = ask->tunnel ? ask->tunnel : TUNNEL,
			  .secure = !ask->plain,
			  .vouch = ask->vouch,
			  .now = ask->now ? ask->now : NOW,
			  .head = &h,
			  .bytes = text};

	assert_true(addr_numeric(ask->from ? ask->from : "203.0.113.9", 4711, &from));
	snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: a.x\r\n%s\r\n",
		 ask->line ? ask->line : "GET /", ask->fields ? ask->fields : "");
	if (http_request_scan(&h, text, strlen(text)) != HTTP_OK)
		fail_msg("%s: %s", text, h.error);
	return rules_allow(r, &v);
}

static int judged(const struct rules *r, const char *fields)
{
	return judge(r, &(struct ask){.fields = fields});
}

static int asked(const struct rules *r, const char *line, const char *fields)
{
	return judge(r, &(struct ask){.line = line, .fields = fields});
}

static int from(const struct rules *r, const char *ip)
{
	return judge(r, &(struct ask){.from = ip});
}

/* ---- HttpAuth alone ---- */

static void test_basic(void **state)
{
	static const struct {
		const char *fields;
		int status;
	} cases[] = {
		{"Authorization: Basic dXNlcjpwYXNz\r\n", 0},
		{"authorization:Basic dXNlcjpwYXNz \r\n", 0},
		{"", 401},
		{"Authorization:\r\n", 401},
		{"Authorization: Basic\r\n", 401},
		{"Authorization: basic dXNlcjpwYXNz\r\n", 0},
		{"Authorization: BASIC   dXNlcjpwYXNz  \r\n", 0},
		{"Authorization: BasicdXNlcjpwYXNz\r\n", 401},
		{"Authorization: Basi dXNlcjpwYXNz\r\n", 401},
		{"Authorization: Basics dXNlcjpwYXNz\r\n", 401},
		{"Authorization: Bearer dXNlcjpwYXNz\r\n", 401},
		{"Authorization: dXNlcjpwYXNz\r\n", 401},
		{"Authorization: Basic dXNlcjpwYXNz x\r\n", 401},
		{"Authorization: Basic dxNlcjpwYXNz\r\n", 401},
		{"Authorization: Basic dXNlcjpwYXN\r\n", 401},
		{"Authorization: Basic dXNlcjpwYXNzZA==\r\n", 401},
		{"Authorization: Basic dXNlcjpwYXNZ\r\n", 401},
		{"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n", 401},
		{"Upgrade: h2c\r\nAuthorization: Basic dXNlcjpwYXNz\r\n", 0},
		{"Upgrade: h2c\r\n", 401},
		{"Upgrade: websocket\r\nAuthorization: Basic dXNlcjpwYXNz\r\n", 0},
		{"Upgrade: websocket\r\n", 401},
	};
	struct rules *r = make("user:pass", NULL);

	assert_non_null(r);
	assert_int_equal(rules_offers(r), RULES_BASIC);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(judged(r, cases[i].fields), cases[i].status);
	rules_unref(r);
}

static void test_no_rules(void **state)
{
	struct rules *none = make("", &(struct msg_access){.list = {[ACCESS_BEARER] = ""}});

	assert_null(none);
	assert_null(make("", NULL));
	assert_int_equal(judged(none, ""), 0);
	assert_int_equal(judged(none, "Authorization: Basic dXNlcjpwYXNz\r\n"), 0);
	assert_int_equal(judged(none, "Upgrade: h2c\r\n"), 0);
	assert_true(rules_admit(none, &(struct addr){.len = 0}));
	assert_int_equal(rules_offers(none), 0);
	rules_unref(none);
}

/* One without a colon is compared as it is; the longest has no part cut off. */
static void test_odd_credentials(void **state)
{
	char auth[1026] = {0};
	struct rules *r = make("user", NULL);
	struct rules_conf conf = {.auth = auth, .owner = alice};
	struct err err;

	assert_int_equal(judged(r, "Authorization: Basic dXNlcg==\r\n"), 0);
	assert_int_equal(asked(r, "POST " RULES_LOGIN_PATH, ""), 401);
	assert_int_equal(judged(r, "Authorization: Basic dXNlcjo=\r\n"), 401);
	rules_unref(r);
	memset(auth, 'a', sizeof(auth) - 1);
	assert_false(rules_make(&conf, &r, &err));
	auth[1024] = '\0';
	r = make(auth, NULL);
	assert_int_equal(judged(r, "Authorization: Basic YWFh\r\n"), 401);
	rules_unref(r);
}

/* ---- the others ---- */

static void test_users_and_tokens(void **state)
{
	const struct msg_access a = {
		.list = {[ACCESS_USERS] = "ann:1\nben:2:3", [ACCESS_BEARER] = "t0ken\nYWJj=="}};
	static const struct {
		const char *fields;
		int status;
	} cases[] = {
		{"", 401},
		{"Authorization: Basic dXNlcjpwYXNz\r\n", 0}, /* user:pass */
		{"Authorization: Basic YW5uOjE=\r\n", 0},
		{"Authorization: Basic YmVuOjI6Mw==\r\n", 0},
		{"Authorization: Basic YmVuOjI=\r\n", 401},
		{"Authorization: Basic YW5uOjEKYmVuOjI6Mw==\r\n", 401}, /* the list itself */
		{"Authorization: Bearer t0ken\r\n", 0},
		{"Authorization: bearer  t0ken\r\n", 0},
		{"Authorization: Bearer YWJj==\r\n", 0},
		{"Authorization: Bearer T0ken\r\n", 401},
		{"Authorization: Bearer t0ke\r\n", 401},
		{"Authorization: Bearer t0ken2\r\n", 401},
		{"Authorization: Bearer t0ken, Basic YW5uOjE=\r\n", 401},
		{"Authorization: Basic t0ken\r\n", 401},
		{"Authorization: Bearer YW5uOjE=\r\n", 401},
		{"Authorization: t0ken\r\n", 401},
		{"Cookie: Authorization=t0ken\r\n", 401},
	};
	struct rules *r = make("user:pass", &a);

	assert_int_equal(rules_offers(r), RULES_BASIC | RULES_BEARER);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (judged(r, cases[i].fields) != cases[i].status)
			fail_msg("%s", cases[i].fields);
	}
	rules_unref(r);
}

static void test_addresses(void **state)
{
	const struct msg_access a = {.list = {[ACCESS_ALLOW_IPS] = "10.0.0.0/8\n2001:db8::/32",
					      [ACCESS_DENY_IPS] = "10.6.6.0/24\n2001:db8:6::/48"}};
	const struct msg_access deny = {.list = {[ACCESS_DENY_IPS] = "10.6.6.6"}};
	struct rules *r = make("", &a);

	assert_int_equal(from(r, "10.1.2.3"), 0);
	assert_int_equal(from(r, "::ffff:10.1.2.3"), 0);
	assert_int_equal(from(r, "::10.1.2.3"), 403);
	assert_int_equal(from(r, "11.1.2.3"), 403);
	assert_int_equal(from(r, "10.6.6.1"), 403);
	assert_int_equal(from(r, "::ffff:10.6.6.1"), 403);
	assert_int_equal(from(r, "2001:db8::1"), 0);
	assert_int_equal(from(r, "2001:db8:6::1"), 403);
	assert_int_equal(from(r, "::1"), 403);
	assert_false(rules_admit(r, &(struct addr){.len = 0}));
	/* what a visitor says of itself does not count */
	assert_int_equal(judged(r, "X-Forwarded-For: 10.1.2.3\r\nForwarded: for=10.1.2.3\r\n"),
			 403);
	rules_unref(r);
	r = make("", &deny);
	assert_int_equal(from(r, "10.6.6.5"), 0);
	assert_int_equal(from(r, "10.6.6.6"), 403);
	assert_int_equal(from(r, "::ffff:a06:606"), 403);
	rules_unref(r);
}

static void test_methods_and_paths(void **state)
{
	const struct msg_access a = {
		.list = {[ACCESS_METHODS] = "DELETE\nput", [ACCESS_PATHS] = "/admin\n/.git"}};
	static const struct {
		const char *line, *fields;
		int status;
	} cases[] = {
		{"GET /", "", 0},
		{"POST /x", "", 0},
		{"DELETE /", "", 403},
		{"delete /", "", 403},
		{"PUT /", "", 403},
		{"PUTS /", "", 0},
		{"POST /", "X-HTTP-Method-Override: DELETE\r\n", 403},
		{"POST /", "x-method-override: x\r\n", 403},
		{"GET /admin", "", 403},
		{"GET /x/../%61dmin/", "", 403},
		{"GET http://a.x/admin", "", 403},
		{"GET http://a.x//.git/config", "", 403},
		{"GET /", "X-Original-URL: /admin\r\n", 403},
		{"GET /.gitignore", "", 0},
		{"OPTIONS *", "", 0},
	};
	struct rules *r = make("", &a);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (asked(r, cases[i].line, cases[i].fields) != cases[i].status)
			fail_msg("%s %s", cases[i].line, cases[i].fields);
	}
	rules_unref(r);
	/* Where only the one is asked for, the other's fields do not matter. */
	const struct msg_access methods = {.list = {[ACCESS_METHODS] = "DELETE"}};

	r = make("", &methods);
	assert_int_equal(asked(r, "GET /admin", "X-Original-URL: /x\r\n"), 0);
	rules_unref(r);
}

static void test_preflight(void **state)
{
	const struct msg_access a = {
		.list = {[ACCESS_DENY_IPS] = "10.0.0.0/8", [ACCESS_PATHS] = "/admin"},
		.preflight = 1};
	static const char good[] = "Origin: https://b.x\r\nAccess-Control-Request-Method: PUT\r\n";
	struct rules *r = make("user:pass", &a);

	assert_int_equal(asked(r, "OPTIONS /api", good), 0);
	assert_int_equal(asked(r, "OPTIONS /admin", good), 403);
	assert_int_equal(asked(r, "GET /api", good), 401);
	assert_int_equal(asked(r, "options /api", good), 401);
	assert_int_equal(asked(r, "OPTIONS /api", "Origin: https://b.x\r\n"), 401);
	assert_int_equal(asked(r, "OPTIONS /api", "Access-Control-Request-Method: PUT\r\n"), 401);
	assert_int_equal(
		judge(r, &(struct ask){.line = "OPTIONS /api", .fields = good, .from = "10.1.1.1"}),
		403);
	rules_unref(r);
	r = make("user:pass", NULL);
	assert_int_equal(asked(r, "OPTIONS /api", good), 401);
	rules_unref(r);
}

/* Two CAs, made for this test. */
static const char ca_a[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBcDCCARWgAwIBAgIUXHF/3D6KCd+97KTm7wyWpfRUZGswCgYIKoZIzj0EAwIw\n"
			   "DDEKMAgGA1UEAwwBYTAgFw0yNjExMjkxMjQwNTZaGA8yMTI2MTEwNTEyNDA1Nlow\n"
			   "DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB7JipaYmRoX\n"
			   "BiBRHcs0eybcGNsHMOW0sWfGHXEWZw9Lx/XiLjEgF31z2py1mJI4Jp5I4SsYAZ1k\n"
			   "Q2WT9mqLIAKjUzBRMB0GA1UdDgQWBBTOl4OA73qQI/EOORjjSDHGB+KmBjAfBgNV\n"
			   "HSMEGDAWgBTOl4OA73qQI/EOORjjSDHGB+KmBjAPBgNVHRMBAf8EBTADAQH/MAoG\n"
			   "CCqGSM49BAMCA0kAMEYCIQCff22DMFQOG6orjsyQgFyzxs6ZL0zuP0DrTR1lnwQr\n"
			   "UQIhALSXFO0YTIz7VwS5c52u8iZMgKw6KONrt5DbrphdA+wm\n"
			   "-----END CERTIFICATE-----\n";
static const char ca_b[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBbzCCARWgAwIBAgIUdowC01jzzFPEBmvjZgtEGINIRpcwCgYIKoZIzj0EAwIw\n"
			   "DDEKMAgGA1UEAwwBYjAgFw0yNjExMjkxMjQwNTZaGA8yMTI2MTEwNTEyNDA1Nlow\n"
			   "DDEKMAgGA1UEAwwBYjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEbNhpbIuKtn\n"
			   "qG1sbrtRYJsw2cYvedZnXby9KCqEezKV9ob1IVt9e9wJfgpla+sAWzWQMSoUyNBa\n"
			   "eDvn+fmY+W6jUzBRMB0GA1UdDgQWBBSRjlKtN6Jl4OnYnCW/MQAcoVIfTTAfBgNV\n"
			   "HSMEGDAWgBSRjlKtN6Jl4OnYnCW/MQAcoVIfTTAPBgNVHRMBAf8EBTADAQH/MAoG\n"
			   "CCqGSM49BAMCA0gAMEUCIQCtQJUDuA9EC63O/e0MjIZEoHRpkoXoXJ/GMjDlUTRG\n"
			   "KAIgewdVMnMxQ/d5dZafiXl4MjTeYWYHPs3w39izLqGZEnY=\n"
			   "-----END CERTIFICATE-----\n";

/* The connection was made for this tunnel, and its CA has vouched for it; the other rules hold. */
static void test_certificates(void **state)
{
	const struct msg_access a = {
		.mtls_ca = ca_a,
		.list = {[ACCESS_DENY_IPS] = "10.0.0.0/8", [ACCESS_PATHS] = "/admin"}};
	const struct msg_access b = {.mtls_ca = ca_b};
	struct rules *r = make("", &a), *other = make("", &b), *both = make("u:p", &b);
	struct vouch v = {.tunnel = TUNNEL};

	memcpy(v.ca, tls_ca_hash(rules_ca(r)), sizeof(v.ca));
	assert_int_equal(judge(r, &(struct ask){.vouch = &v}), 0);
	assert_int_equal(judge(r, &(struct ask){.vouch = NULL}), 421);
	assert_int_equal(judge(other, &(struct ask){.vouch = &v}), 421);
	assert_int_equal(judge(r, &(struct ask){.vouch = &v, .tunnel = "https://b.x"}), 421);
	assert_int_equal(judge(r, &(struct ask){.vouch = &v, .from = "10.1.1.1"}), 403);
	assert_int_equal(judge(r, &(struct ask){.vouch = &v, .line = "GET /admin"}), 403);
	memcpy(v.ca, tls_ca_hash(rules_ca(other)), sizeof(v.ca));
	assert_int_equal(judge(both, &(struct ask){.vouch = &v}), 401);
	assert_null(rules_ca(NULL));
	rules_unref(r);
	rules_unref(other);
	rules_unref(both);
}

/* A client is a stranger: nothing it may have forgotten to check gets in. */
static void test_bad_rules(void **state)
{
	static const struct msg_access bad[] = {
		{.list = {[ACCESS_ALLOW_IPS] = "10.0.0.0/8\nnonsense"}},
		{.list = {[ACCESS_DENY_IPS] = "10.0.0.0/8\n\n::1"}},
		{.list = {[ACCESS_BEARER] = "a b"}},
		{.list = {[ACCESS_USERS] = "nobody"}},
		{.list = {[ACCESS_METHODS] = "GET /"}},
		{.list = {[ACCESS_PATHS] = "admin"}},
		{.password = "a\tb"},
		{.mtls_ca = "nonsense"},
		{.preflight = -1},
	};
	struct rules *r;
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rules_conf conf = {.auth = "", .access = &bad[i], .owner = alice};

		if (rules_make(&conf, &r, &err))
			fail_msg("%zu", i);
		assert_null(r);
		assert_true(*err.text);
	}
}

/* ---- the password ---- */

#define FORM "POST " RULES_LOGIN_PATH

/* "name=value" of the cookie that a login as this visitor gives; owned. */
static char *cookie(const struct rules *r, const char *tunnel, bool plain, int64_t now,
		    const char *form, int status)
{
	struct addr addr = {.len = 0};
	struct visit v = {.from = &addr, .tunnel = tunnel, .secure = !plain, .now = now};
	struct login l = {0};
	char *value = NULL;

	assert_int_equal(login_judge(r, &v, form, strlen(form), &l), status);
	if (status == 303) {
		const char *at = strstr(l.fields.p, "Set-Cookie: ");

		assert_non_null(at);
		assert_non_null(strstr(at, "; HttpOnly; SameSite=Lax"));
		assert_non_null(strstr(at, "; Path=/;"));
		assert_true(plain == !strstr(at, "; Secure\r\n"));
		assert_null(strstr(at, "Domain"));
		at += strlen("Set-Cookie: ");
		value = xstrndup(at, strcspn(at, ";"));
	}
	text_free(&l.fields);
	text_free(&l.to);
	return value;
}

static char *log_in(const struct rules *r)
{
	return cookie(r, TUNNEL, false, NOW, "password=open+sesame&to=%2F", 303);
}

static int with_cookie(const struct rules *r, const char *value, struct ask ask)
{
	char *fields = xasprintf("Cookie: a=b; %s; c=d\r\n", value);

	ask.fields = fields;
	int status = judge(r, &ask);

	free(fields);
	return status;
}

static void test_password(void **state)
{
	const struct msg_access a = {.password = "open sesame"}, other = {.password = "open sesam"};
	struct rules *r = make("", &a), *changed = make("", &other), *bobs = make_for(bob, "", &a);
	struct rules *again = make("", &a);
	char *value = log_in(r);

	assert_int_equal(rules_offers(r), RULES_PASSWORD);
	assert_int_equal(judged(r, ""), 401);
	assert_int_equal(asked(r, FORM, ""), RULES_LOGIN);
	assert_int_equal(asked(r, "GET " RULES_LOGIN_PATH, ""), 401);
	assert_int_equal(asked(r, "POST /.pgrok/../.pgrok/login", ""), 401);
	assert_int_equal(with_cookie(r, value, (struct ask){.line = "GET /x"}), 0);
	assert_int_equal(with_cookie(again, value, (struct ask){.line = "GET /x"}), 0);
	/* another's, or another time's */
	assert_int_equal(with_cookie(changed, value, (struct ask){.line = "GET /x"}), 401);
	assert_int_equal(with_cookie(bobs, value, (struct ask){.line = "GET /x"}), 401);
	assert_int_equal(with_cookie(r, value, (struct ask){.tunnel = "https://b.x"}), 401);
	assert_int_equal(with_cookie(r, value, (struct ask){.tunnel = "http://a.x", .plain = true}),
			 401);
	assert_int_equal(with_cookie(r, value, (struct ask){.now = NOW + 86399}), 0);
	assert_int_equal(with_cookie(r, value, (struct ask){.now = NOW + 86400}), 401);
	free(value);
	rules_unref(r);
	rules_unref(changed);
	rules_unref(bobs);
	rules_unref(again);
}

static void test_forged_cookies(void **state)
{
	const struct msg_access a = {.password = "open sesame"};
	struct rules *r = make("", &a);
	char *value = log_in(r), *text;
	const char *mac = strchr(value, '.'), *at = strchr(value, '=');
	char *bad[] = {
		xasprintf("__Host-pgrok=%d%s", NOW + 90000, mac),
		xasprintf("__Host-pgrok=99999999999999999999%s", mac),
		xasprintf("__Host-pgrok=%s", mac),
		xasprintf("__Host-pgrok=%s0", at + 1),
		xasprintf("__Host-pgrok=%.*s", (int)strlen(at + 1) - 1, at + 1),
		xasprintf("__Host-pgrok=\"%s\"", at + 1),
		xasprintf("pgrok-visit=%s", at + 1),
		xasprintf("x__Host-pgrok=%s", at + 1),
		xasprintf("__host-pgrok=%s", at + 1),
		xasprintf("__Host-pgrok="),
		xasprintf("__Host-pgrok"),
	};

	assert_int_equal(with_cookie(r, value, (struct ask){.line = "GET /"}), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (with_cookie(r, bad[i], (struct ask){.line = "GET /"}) != 401)
			fail_msg("%s", bad[i]);
		free(bad[i]);
	}
	/* One that another site of the domain has set does not keep the visitor out; many do. */
	text = xasprintf("__Host-pgrok=1.2; __Host-pgrok=x; %s", value);
	assert_int_equal(with_cookie(r, text, (struct ask){.line = "GET /"}), 0);
	free(text);
	text = xasprintf("%s; %s",
			 "__Host-pgrok=a; __Host-pgrok=a; __Host-pgrok=a; __Host-pgrok=a; "
			 "__Host-pgrok=a; __Host-pgrok=a; __Host-pgrok=a; __Host-pgrok=a",
			 value);
	assert_int_equal(with_cookie(r, text, (struct ask){.line = "GET /"}), 401);
	free(text);
	free(value);
	rules_unref(r);
}

static void test_forms(void **state)
{
	const struct msg_access a = {.password = "open sesame"};
	struct rules *r = make("", &a);
	static const struct {
		const char *form;
		int status;
	} cases[] = {
		{"password=open+sesame", 303},
		{"to=/&password=open%20sesame", 303},
		{"password=Open+sesame&to=/", 401},
		{"password=open+sesame+", 401},
		{"password=", 401},
		{"password=x&password=open+sesame", 401}, /* the first counts */
		{"password", 401},
		{"to=/", 400},
		{"", 400},
		{"{\"password\":\"open sesame\"}", 400},
		{"password=open+sesame%00", 400},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		free(cookie(r, TUNNEL, false, NOW, cases[i].form, cases[i].status));
	rules_unref(r);
}

/* Where a visitor goes afterwards: a path of this host, whatever the form says. */
static void test_no_open_redirect(void **state)
{
	static const struct {
		const char *to, *goes;
	} cases[] = {
		{"/", "/"},
		{"/a/b?c=d&e=%2F#f", "/a/b?c=d&e=%2F#f"},
		{"", "/"},
		{"a", "/"},
		{"//evil.example", "/"},
		{"///evil.example", "/"},
		{"/\\evil.example", "/"},
		{"\\evil.example", "/"},
		{"\\\\evil.example", "/"},
		{"https://evil.example", "/"},
		{"/\t/evil.example", "/"},
		{"\t//evil.example", "/"},
		{" //evil.example", "/"},
		{"/\r\nSet-Cookie: a=b", "/"},
		{"/a\r\n\r\n<script>", "/"},
		{"/a\nb", "/"},
		{"/a\x7f", "/"},
		{"/a\\b", "/a%5Cb"},
		{"/a b\"<>", "/a%20b%22%3C%3E"},
		{"/\xc3\xa9", "/%C3%A9"},
		{"/@evil.example", "/@evil.example"},
		{"/:80", "/:80"},
		{RULES_LOGIN_PATH, "/"},
		{RULES_LOGIN_PATH "/x", RULES_LOGIN_PATH "/x"},
	};
	static char longest[LOGIN_TO + 2];
	struct text t = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		login_to(&t, cases[i].to, strlen(cases[i].to));
		assert_string_equal(t.p, cases[i].goes);
		text_free(&t);
		t = (struct text){0};
	}
	memset(longest, 'a', LOGIN_TO + 1);
	longest[0] = '/';
	login_to(&t, longest, LOGIN_TO + 1);
	assert_string_equal(t.p, "/");
	text_drop(&t, 1);
	login_to(&t, longest, LOGIN_TO);
	assert_int_equal(t.len, LOGIN_TO);
	text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_odd_credentials),
		cmocka_unit_test(test_users_and_tokens),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_methods_and_paths),
		cmocka_unit_test(test_preflight),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_forged_cookies),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_no_open_redirect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
