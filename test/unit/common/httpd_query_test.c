/* Queries and forms, decoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/http/query.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_query(void **state)
{
	static const struct {
		const char *text, *want; /* name=value pairs, each with a ';' */
	} good[] = {
		{"", ""},
		{"a=1", "a=1;"},
		{"a=1&b=2&a=3", "a=1;b=2;a=3;"},
		{"a", "a=;"},
		{"a=", "a=;"},
		{"=v", "=v;"},
		{"&&a=1&", "a=1;"},
		{"a=b=c", "a=b=c;"},
		{"a+b=c+d", "a b=c d;"},
		{"%61%3d=%26%3D", "a==&=;"},
		{"a=%2B%e2%82%AC", "a=+\xe2\x82\xac;"},
		{"a=%&b=%4&c=%zz&d=%", "a=%;b=%4;c=%zz;d=%;"},
		{"a;b=1", "a;b=1;"},
	};
	static const char *const bad[] = {"a=%00", "%00", "a=1&b=x%00y"};
	struct query q;
	char got[256], many[4 * QUERY_PAIRS_MAX];
	long n;

	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(query_parse(&q, good[i].text, strlen(good[i].text)));
		*got = '\0';
		for (size_t k = 0; k < q.n; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s=%s;",
				 q.pairs[k].name, q.pairs[k].value);
		assert_string_equal(got, good[i].want);
		query_free(&q);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_false(query_parse(&q, bad[i], strlen(bad[i])));
		assert_int_equal(q.n, 0);
	}
	assert_false(query_parse(&q, "a=\0", 3));
	for (size_t i = 0; i < sizeof(many); i++)
		many[i] = i % 2 ? '&' : 'a';
	assert_true(query_parse(&q, many, 2 * QUERY_PAIRS_MAX));
	assert_int_equal(q.n, QUERY_PAIRS_MAX);
	query_free(&q);
	assert_false(query_parse(&q, many, 2 * QUERY_PAIRS_MAX + 1));

	assert_true(query_parse(&q, "limit=50&zero=0&bad=5x&big=99999999999&empty=", 45));
	assert_string_equal(query_get(&q, "limit"), "50");
	assert_null(query_get(&q, "none"));
	assert_true(query_number(&q, "limit", 1, 50, 7, &n) && n == 50);
	assert_true(query_number(&q, "none", 1, 50, 7, &n) && n == 7);
	assert_false(query_number(&q, "zero", 1, 50, 7, &n));
	assert_false(query_number(&q, "limit", 1, 49, 7, &n));
	assert_false(query_number(&q, "bad", 1, 50, 7, &n));
	assert_false(query_number(&q, "big", 1, 50, 7, &n));
	assert_false(query_number(&q, "empty", 0, 50, 7, &n));
	query_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
