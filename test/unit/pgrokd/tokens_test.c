/* The list of tokens: what is read, what is refused, and what each owner may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrokd/access/tokens.h"
#include "pgrokd/limits.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define HASH "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" /* secret */

static struct tokens *read_list(const char *text, struct err *err)
{
	err->text[0] = '\0';
	return tokens_parse("t.yml", text, strlen(text), err);
}

static struct tokens *must_read(const char *text)
{
	struct err err;
	struct tokens *t = read_list(text, &err);

	if (!t)
		fail_msg("%s\n%s", text, err.text);
	return t;
}

/* The owner of a token in clear; "": nobody. */
static void owner_is(const struct tokens *t, const char *token, const char *owner)
{
	struct token given = token_of(token);
	struct grant *g = tokens_find(t, &given);

	assert_string_equal(grant_owner(g), owner);
	grant_unref(g);
}

static void test_found(void **state)
{
	struct tokens *t = must_read("tokens:\n"
				     "- {name: alice, token: " HASH "}\n"
				     "- name: bob@example.com\n"
				     "  token: '0123'\n"
				     "- {name: carol, token: 0777}\n");

	assert_int_equal(tokens_count(t), 3);
	owner_is(t, "secret", "alice");
	owner_is(t, "0123", "bob@example.com");
	owner_is(t, "0777", "carol"); /* as it is spelt */
	owner_is(t, "", "");
	owner_is(t, "Secret", "");
	owner_is(t, "secret ", "");
	owner_is(t, HASH, ""); /* what is in the file is no credential */
	tokens_unref(t);
	t = must_read("tokens: []\n");
	assert_int_equal(tokens_count(t), 0);
	owner_is(t, "", "");
	owner_is(t, "secret", "");
	tokens_unref(t);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *err;
	} bad[] = {
		{"", "t.yml: no tokens: a list is wanted"},
		{"tokens:\n", "t.yml:1: tokens: a value is wanted"},
		{"tokens: ~\n", "t.yml:1: tokens: a value is wanted"},
		{"tokens: {}\n", "t.yml:1: tokens: a list of tokens is wanted"},
		{"tokens: secret\n", "t.yml:1: tokens: a list of tokens is wanted"},
		{"tokens: [secret]\n", "t.yml:1: tokens[0]: a mapping (key: value) is wanted"},
		{"tokenz: []\n", "t.yml:1: tokenz: unknown key; did you mean tokens?"},
		{"domain: x.me\ntokens: []\n", "t.yml:1: domain: unknown key"},
		{"tokens:\n- {name: a}\n", "t.yml:2: tokens[0]: no token"},
		{"tokens:\n- {token: secret}\n", "t.yml:2: tokens[0]: no name"},
		{"tokens:\n- \n", "t.yml:2: tokens[0]: no name"},
		{"tokens:\n- {name: a, token: ''}\n", "tokens[0].token: a token may not be empty"},
		{"tokens:\n- {name: a, token: 'sha256:12'}\n",
		 "tokens[0].token: behind sha256: 64"},
		{"tokens:\n- {name: a, token: '" HASH "0'}\n",
		 "tokens[0].token: behind sha256: 64"},
		{"tokens:\n- {name: a b, token: x}\n", "tokens[0].name: 1 to 64"},
		{"tokens:\n- {name: '', token: x}\n", "tokens[0].name: 1 to 64"},
		{"tokens:\n- {name: a, token: x}\n- {name: a, token: y}\n",
		 "t.yml:3: tokens[1]: the name a came before"},
		{"tokens:\n- {name: a, token: secret}\n- {name: b, token: '" HASH "'}\n",
		 "t.yml:3: tokens[1]: a has the same token"},
		{"tokens:\n- {name: a, token: x, subdomain: b}\n",
		 "tokens[0].subdomain: unknown key; did you mean subdomains?"},
		{"tokens:\n- {name: a, token: x, bandwidth: fast}\n",
		 "tokens[0].bandwidth: 'fast' is not a bandwidth"},
		/* what is left empty is neither nothing nor everything */
		{"tokens:\n- {name: a, token: x, subdomains: }\n", "subdomains: a value is wanted"},
		{"tokens:\n- {name: a, token: x, subdomains: ['']}\n", "a name may not be empty"},
		{"tokens:\n- {name: a, token: x, subdomains: [\xc3\xa9]}\n", "xn-- form"},
		{"tokens:\n- {name: a, token: x, hostnames: ['a:80']}\n",
		 "only lower-case letters"},
		{"tokens:\n- {name: a, token: x, hostnames: ['a..b']}\n", "empty part"},
		{"tokens:\n- {name: a, token: x, hostnames: [.b]}\n", "empty part"},
		{"tokens:\n- {name: a, token: x, hostnames: ['b..']}\n", "empty part"},
		{"tokens:\n- {name: a, token: x, tcp_ports: [0]}\n", "'0' is neither a port nor"},
		{"tokens:\n- {name: a, token: x, tcp_ports: 5-4}\n", "'5-4' is neither"},
		{"tokens:\n- {name: a, token: x, tcp_ports: 5-}\n", "'5-' is neither"},
		{"tokens:\n- {name: a, token: x, tcp_ports: 1-65536}\n", "is neither"},
		{"tokens:\n- {name: a, token: x, tcp_ports: 1-2-3}\n", "is neither"},
		{"tokens:\n- {name: a, token: x, protos: [HTTP]}\n", "'HTTP' is none of"},
		{"tokens:\n- {name: a, token: x, tunnels: -1}\n", "tunnels: -1 is not a number"},
		{"tokens:\n- {name: a, token: x, visitors: many}\n", "visitors: many is not"},
		{"tokens:\n- {name: a, token: x, expires: soon}\n", "expires: 'soon' is neither"},
		{"tokens:\n- {name: a, token: x, expires: 2027-02-29}\n", "expires: "},
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err err;
		struct tokens *t = read_list(bad[i].text, &err);

		if (t || !strstr(err.text, bad[i].err) || strstr(err.text, "secret"))
			fail_msg("%s\ngives: %s", bad[i].text, t ? "no error" : err.text);
	}
}

/* One entry with these keys. */
static struct tokens *entry(const char *keys)
{
	char text[512];

	snprintf(text, sizeof(text), "tokens:\n- {name: a, token: x, %s}\n", keys);
	return must_read(text);
}

static enum refusal ask(const struct tokens *t, enum proto p, const char *host, bool below,
			uint16_t port, struct err *why)
{
	struct wish w = {.proto = p, .host = host, .below = below, .port = port};

	return grant_tunnel(tokens_at(t, 0), &w, why);
}

static void test_names(void **state)
{
	static const struct {
		const char *keys, *below, *host; /* one of the two; none: a name by chance */
		bool allowed;
	} cases[] = {
		{"tunnels: 3", "any", NULL, true},
		{"tunnels: 3", NULL, "any.example.com", true},
		{"tunnels: 3", NULL, NULL, true},
		{"subdomains: shop", "shop", NULL, true},
		{"subdomains: [SHOP.]", "shop", NULL, true},
		{"subdomains: shop", "shops", NULL, false},
		{"subdomains: shop", "sho", NULL, false},
		{"subdomains: shop", "a.shop", NULL, false},
		{"subdomains: shop", "shop.a", NULL, false},
		{"subdomains: shop", NULL, NULL, false},
		/* with one of the two keys, the other is empty */
		{"subdomains: shop", NULL, "shop", false},
		{"hostnames: a.com", NULL, "a.com", true},
		{"hostnames: a.com", "a.com", NULL, false},
		{"hostnames: a.com", NULL, NULL, false},
		{"hostnames: [a.com], subdomains: [b]", "b", NULL, true},
		{"subdomains: []", "b", NULL, false},
		{"subdomains: []", NULL, NULL, false},
		{"subdomains: 'a-*'", "a-", NULL, true},
		{"subdomains: 'a-*'", "a-x", NULL, true},
		{"subdomains: 'a-*'", "a-x.y", NULL, false},
		{"subdomains: 'a-*'", "a", NULL, false},
		{"subdomains: '*-a'", "x-a-a", NULL, true},
		{"subdomains: '*-a'", "x-a-b", NULL, false},
		{"subdomains: 'x*y*z'", "xyyz", NULL, true},
		{"subdomains: 'x*y*z'", "xyyzy", NULL, false},
		{"subdomains: '*'", "abc", NULL, true},
		{"subdomains: '*'", "a.b", NULL, false},
		{"subdomains: '*'", NULL, NULL, true},
		{"subdomains: '*.*'", "a.b", NULL, true},
		{"subdomains: '*.*'", NULL, NULL, false},
		{"subdomains: '**'", "a.b", NULL, false},
		{"hostnames: '*.a.com'", NULL, "b.a.com", true},
		{"hostnames: '*.a.com'", NULL, "a.com", false},
		{"hostnames: '*.a.com'", NULL, "c.b.a.com", false},
		{"hostnames: '*.a.com'", NULL, "b.a.com.evil.org", false},
		{"hostnames: '*b*.a.com'", NULL, "abc.a.com", true},
		{"hostnames: '*b*.a.com'", NULL, "a.b.a.com", false},
		/* a digit is no other spelling of an address */
		{"hostnames: 127.0.0.1", NULL, "127.1", false},
		{"hostnames: 127.0.0.1", NULL, "127.0.0.01", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tokens *t = entry(cases[i].keys);
		const char *host = cases[i].below ? cases[i].below : cases[i].host;
		struct err why = {""};
		enum refusal r = ask(t, PROTO_HTTPS, host, cases[i].below != NULL, 0, &why);

		if (r != (cases[i].allowed ? ALLOWED : REFUSED_NAME) || !*why.text != !r)
			fail_msg("%s: %s gives %d, %s", cases[i].keys, host, r, why.text);
		tokens_unref(t);
	}
}

static void test_ports_and_protos(void **state)
{
	static const struct {
		const char *keys;
		enum proto proto;
		uint16_t port;
		enum refusal want;
	} cases[] = {
		{"tunnels: 3", PROTO_TCP, 1, ALLOWED},
		{"tunnels: 3", PROTO_TCP, 0, ALLOWED},
		{"subdomains: shop", PROTO_TCP, 5, ALLOWED},
		{"tcp_ports: [5, 20-22]", PROTO_TCP, 5, ALLOWED},
		{"tcp_ports: [5, 20-22]", PROTO_TCP, 22, ALLOWED},
		{"tcp_ports: [5, 20-22]", PROTO_TCP, 0, ALLOWED},
		{"tcp_ports: [5, 20-22]", PROTO_TCP, 23, REFUSED_PORT},
		{"tcp_ports: [5, 20-22]", PROTO_TCP, 6, REFUSED_PORT},
		{"tcp_ports: []", PROTO_TCP, 5, REFUSED_PORT},
		{"tcp_ports: []", PROTO_TCP, 0, REFUSED_PORT},
		{"tcp_ports: 5", PROTO_HTTP, 0, ALLOWED},
		{"protos: [http, https]", PROTO_TCP, 5, REFUSED_PROTO},
		{"protos: [http, https]", PROTO_HTTPS, 0, ALLOWED},
		{"protos: tcp", PROTO_HTTP, 0, REFUSED_PROTO},
		{"protos: []", PROTO_TCP, 5, REFUSED_PROTO},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tokens *t = entry(cases[i].keys);
		struct err why = {""};
		enum refusal r = ask(t, cases[i].proto, NULL, false, cases[i].port, &why);

		if (r != cases[i].want || !*why.text != !r)
			fail_msg("%s: port %u gives %d, %s", cases[i].keys, cases[i].port, r,
				 why.text);
		tokens_unref(t);
	}
}

/* The client is told what it could have. */
static void test_words(void **state)
{
	struct tokens *t = entry("subdomains: [a, b-*], hostnames: [c.org], tcp_ports: 20-22");
	struct err why;

	assert_int_equal(ask(t, PROTO_HTTP, "x", true, 0, &why), REFUSED_NAME);
	assert_string_equal(why.text, "The name x is not one of your token's: subdomain a, b-*; "
				      "hostname c.org");
	assert_int_equal(ask(t, PROTO_TCP, NULL, false, 5, &why), REFUSED_PORT);
	assert_string_equal(why.text, "Port 5 is not one of your token's: 20-22");
	tokens_unref(t);
}

/* What a merge brings counts less than the entry's own keys, and is not added to it. */
static void test_merges(void **state)
{
	struct err why;
	struct tokens *t = must_read("tokens:\n"
				     "- &a {name: a, token: x, subdomains: [a], protos: [http]}\n"
				     "- {<<: *a, name: b, token: y, subdomains: [b]}\n");
	struct wish w = {.proto = PROTO_HTTP, .host = "a", .below = true};

	assert_int_equal(grant_tunnel(tokens_at(t, 1), &w, &why), REFUSED_NAME);
	w.host = "b";
	assert_int_equal(grant_tunnel(tokens_at(t, 1), &w, &why), ALLOWED);
	w.proto = PROTO_HTTPS;
	assert_int_equal(grant_tunnel(tokens_at(t, 1), &w, &why), REFUSED_PROTO);
	tokens_unref(t);
}

static void test_limits(void **state)
{
	struct tokens *t = entry("tunnels: 2, visitors: 0, expires: 2027-01-31");
	const struct grant *g = tokens_at(t, 0);

	assert_int_equal(g->tunnels, 2);
	assert_int_equal(g->visitors, 0);
	assert_false(grant_expired(g, 1801439999)); /* 2027-01-31T23:59:59Z */
	assert_true(grant_expired(g, 1801440000));
	assert_false(grant_expired(NULL, INT64_MAX));
	struct tally *has = g->tally;

	assert_true(tally_enter(has, &has->tunnels, 1, g->tunnels));
	assert_false(tally_enter(has, &has->tunnels, 2, g->tunnels));
	assert_true(tally_enter(has, &has->tunnels, 1, g->tunnels));
	assert_false(tally_enter(has, &has->tunnels, 1, g->tunnels));
	assert_false(tally_enter(has, &has->visitors, 1, g->visitors));
	assert_false(tally_leave_over(has, &has->tunnels, 2));
	assert_true(tally_leave_over(has, &has->tunnels, 1));
	assert_false(tally_leave_over(has, &has->tunnels, 1));
	assert_true(tally_enter(has, &has->tunnels, 1, g->tunnels));
	assert_false(tally_leave_over(NULL, NULL, 0));
	/* Another list: who stays keeps what he has, by his name and not by his token. */
	struct tokens *next = must_read("tokens:\n- {name: b, token: x}\n- {name: a, token: z}\n");

	tokens_inherit(next, t);
	tokens_unref(t);
	assert_ptr_equal(tokens_at(next, 1)->tally, has);
	assert_ptr_not_equal(tokens_at(next, 0)->tally, has);
	assert_int_equal(atomic_load(&has->tunnels), 2);
	assert_int_equal(tokens_at(next, 1)->tunnels, INT_MAX);
	tokens_unref(next);
}

static void test_many(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct err err;

	fputs("tokens:\n", f);
	for (int i = 0; i < LIMIT_TOKENS; i++)
		fprintf(f, "- {name: n%d, token: t%d}\n", i, i);
	fflush(f);
	struct tokens *t = must_read(text);

	assert_int_equal(tokens_count(t), LIMIT_TOKENS);
	owner_is(t, "t0", "n0");
	owner_is(t, "t1023", "n1023");
	tokens_unref(t);
	fputs("- {name: more, token: more}\n", f);
	fclose(f);
	assert_null(read_list(text, &err));
	assert_non_null(strstr(err.text, "more than 1024 tokens"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),  cmocka_unit_test(test_bad),
		cmocka_unit_test(test_names),  cmocka_unit_test(test_ports_and_protos),
		cmocka_unit_test(test_words),  cmocka_unit_test(test_merges),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
