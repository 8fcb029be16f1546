/* Who was let in lately. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pgrokd/front/verdicts.h"

static struct http_fields fields(const char *value)
{
	struct http_fields f = {0};
	struct err err;

	assert_true(http_fields_set(&f, "Remote-User", value, true, &err));
	return f;
}

static void test_verdicts(void **state)
{
	struct verdicts *v = verdicts_new(100);
	unsigned char a[VERDICT_KEY] = {1}, b[VERDICT_KEY] = {2}, same_slot[VERDICT_KEY] = {1, 4};
	struct http_fields f = fields("ann");

	assert_null(verdicts_find(v, a, 1000));
	verdicts_add(v, a, 1000, &f);
	assert_int_equal(f.n, 0);
	assert_string_equal(verdicts_find(v, a, 1099)->list[0].value, "ann");
	assert_null(verdicts_find(v, b, 1000));
	a[VERDICT_KEY - 1] = 1;
	assert_null(verdicts_find(v, a, 1000));
	a[VERDICT_KEY - 1] = 0;
	f = fields("bob");
	verdicts_add(v, same_slot, 1050, &f);
	assert_null(verdicts_find(v, a, 1050));
	assert_string_equal(verdicts_find(v, same_slot, 1149)->list[0].value, "bob");
	assert_null(verdicts_find(v, same_slot, 1150));
	assert_null(verdicts_find(v, same_slot, 1050)); /* forgotten for good */
	f = fields("eve");
	verdicts_add(v, b, 1000, &f);
	verdicts_free(v);
	verdicts_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
