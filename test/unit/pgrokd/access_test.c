/* Tokens are compared, visitors' requests are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "pgrokd/access/rules.h"
#include "pgrokd/access/token.h"

static void test_tokens(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"secret", "secret", true},
		{"secret", "Secret", false},
		{"secret", "secret ", false},
		{"secret", "", false},
		{"", "secret", false},
		{"", "", false}, /* without a token everyone would be the same */
		{"\xc3\xa9", "\xc3\xa9", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct token a = token_of(cases[i].a), b = token_of(cases[i].b);

		assert_int_equal(token_same(&a, &b), cases[i].same);
	}
}

/* "secret" as others hash it, so that it may be written to a file of tokens one day. */
static void test_hash(void **state)
{
	static const unsigned char first[] = {0x2b, 0xb8, 0x0d, 0x53};
	struct token t = token_of("secret");
	char text[TOKEN_TEXT];

	assert_true(t.given);
	assert_memory_equal(t.hash, first, sizeof(first));
	token_text(&t, text);
	assert_string_equal(text,
			    "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf5"
			    "27a25b");
}

/* A GET with these fields. */
static int judged(const struct rules *r, const char *fields)
{
	struct http_head h = {0};
	char text[512];

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a.x\r\n%s\r\n", fields);
	assert_int_equal(http_request_scan(&h, text, strlen(text)), HTTP_OK);
	return rules_allow(r, &h, text);
}

static void test_rules(void **state)
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
	struct rules *r = rules_new("user:pass");

	assert_non_null(r);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(judged(r, cases[i].fields), cases[i].status);
	rules_free(r);
}

static void test_no_rules(void **state)
{
	struct rules *none = rules_new("");

	assert_null(none);
	assert_int_equal(judged(none, ""), 0);
	assert_int_equal(judged(none, "Authorization: Basic dXNlcjpwYXNz\r\n"), 0);
	assert_int_equal(judged(none, "Upgrade: h2c\r\n"), 0);
	rules_free(none);
}

/* One without a colon is compared as it is; the longest has no part cut off. */
static void test_odd_credentials(void **state)
{
	char auth[1025] = {0};
	struct rules *r = rules_new("user");

	assert_int_equal(judged(r, "Authorization: Basic dXNlcg==\r\n"), 0);
	assert_int_equal(judged(r, "Authorization: Basic dXNlcjo=\r\n"), 401);
	rules_free(r);
	memset(auth, 'a', sizeof(auth) - 1);
	r = rules_new(auth);
	assert_int_equal(judged(r, "Authorization: Basic YWFh\r\n"), 401);
	rules_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),          cmocka_unit_test(test_hash),
		cmocka_unit_test(test_rules),           cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_odd_credentials),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
