/* Words of a list in one text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "common/base/words.h"

static void test_words(void **state)
{
	static const struct {
		const char *list, *words[4];
	} good[] = {
		{"", {NULL}},
		{" ,\t\r\n", {NULL}},
		{"one", {"one"}},
		{"one,two", {"one", "two"}},
		{", one ,, two\n", {"one", "two"}},
		{"10.0.0.0/8 2001:db8::/32,http://a.b/c?d=e;f",
		 {"10.0.0.0/8", "2001:db8::/32", "http://a.b/c?d=e;f"}},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		const char *list = good[i].list;

		for (int n = 0;; n++) {
			char *word = words_next(&list);

			if (!word) {
				assert_null(good[i].words[n]);
				break;
			}
			assert_non_null(good[i].words[n]);
			assert_string_equal(word, good[i].words[n]);
			free(word);
		}
		assert_int_equal(*list, '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
