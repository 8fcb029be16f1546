/* Unit tests of common/http/text: the codings of texts in HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_base64(void **state)
{
	static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
					   "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};

	for (size_t len = 0; len < COUNT(want); len++) {
		for (size_t cut = 0; cut <= len; cut++) {
			struct text t = {0};
			struct text_base64 b = {0};

			text_put(&t, "");
			text_base64_add(&t, &b, "foobar", cut);
			text_base64_add(&t, &b, "foobar" + cut, len - cut);
			text_base64_end(&t, &b);
			assert_string_equal(t.p, want[len]);
			text_free(&t);
		}
	}
}

static void test_base64_back(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: not base64 */
	} table[] = {
		{"", ""},         {"Zg==", "f"},          {"Zg", "f"},
		{"Zm8=", "fo"},   {"Zm9vYmFy", "foobar"}, {"-_", NULL}, /* of the other alphabet */
		{"Zm9v\n", NULL}, {"Zm9vY", NULL},        {"\xc3\xa9", NULL},
		{" Zg==", NULL},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct text t = {0};

		assert_int_equal(text_base64_decode(&t, table[i].in), table[i].want != NULL);
		if (table[i].want)
			assert_string_equal(t.p ? t.p : "", table[i].want);
		text_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_base64_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
