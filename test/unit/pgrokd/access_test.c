/* Tokens are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens),
					   cmocka_unit_test(test_hash)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
