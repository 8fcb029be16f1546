/* Tokens that were taken back: their file, and what it does to a list of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "pgrokd/access/revoked.h"

/* SHA-256 of "ta" and "tb". */
#define TA "sha256:76592b9de6d38238a52a3651867871e5c670e6320a8ef46a84b5590f8933f33e"
#define TB        \
	"sha256:" \
	"7aa5ae9ecf82f6fc5208ecd0940fd71d50cd4ac596fccac2ede05af806a87b6e"

static struct tokens *team(void)
{
	static const char text[] =
		"tokens:\n- {name: alice, token: ta}\n- {name: bob, token: tb}\n";
	struct err err;
	struct tokens *t = tokens_parse("test", text, strlen(text), &err);

	assert_non_null(t);
	return t;
}

static const struct {
	const char *text;
	size_t left; /* of the team */
} good[] = {
	{"", 2},
	{"# bob " TB "\n\n", 2},
	{"bob " TB, 1},
	{"bob " TB "\r\nbob " TB "\n", 1},
	{"bob " TB "\nalice " TA "\n", 0},
	{"whoever " TA "\n", 1}, /* the name is for people */
};

static const struct {
	const char *text, *why;
} bad[] = {
	{"bob", "line 1: OWNER sha256:HEX is wanted"},
	{"\n\n " TB, "line 3: OWNER sha256:HEX is wanted"},
	{"bob tb", "line 1: OWNER sha256:HEX is wanted"},
	{"bob sha256:12", "line 1: "},
	{"bob " TB " ", "line 1: "},
	{"bob  " TB, "line 1: OWNER"},
	{"0123456789012345678901234567890123456789012345678901234567890123456789 " TB, "line 1: "},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct revoked *r = revoked_new(), *again = revoked_new();
		struct tokens *t = team(), *left;
		struct err err;

		assert_true(revoked_parse(r, good[i].text, &err));
		left = revoked_apply(r, t);
		assert_int_equal(tokens_count(left), good[i].left);
		assert_true((left == t) == (good[i].left == 2));
		char *text = revoked_text(r), *same;

		assert_true(revoked_parse(again, text, &err));
		same = revoked_text(again);
		assert_string_equal(text, same);
		free(text);
		free(same);
		tokens_unref(left);
		tokens_unref(t);
		revoked_free(r);
		revoked_free(again);
	}
}

static void test_bad(void **state)
{
	struct revoked *r = revoked_new();
	struct err err;

	assert_true(revoked_parse(r, "bob " TB "\n", &err));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(revoked_parse(r, bad[i].text, &err));
		assert_non_null(strstr(err.text, bad[i].why));
	}
	char *text = revoked_text(r);

	assert_non_null(strstr(text, "\nbob " TB "\n"));
	free(text);
	revoked_free(r);
}

static void test_add(void **state)
{
	struct revoked *r = revoked_new();
	struct tokens *t = team(), *left;

	assert_false(revoked_add(r, t, "carol"));
	assert_false(revoked_add(r, t, ""));
	assert_true(revoked_add(r, t, "alice"));
	left = revoked_apply(r, t);
	assert_int_equal(tokens_count(left), 1);
	assert_string_equal(tokens_at(left, 0)->owner, "bob");
	assert_ptr_equal(tokens_at(left, 0), tokens_at(t, 1));
	assert_false(revoked_add(r, left, "alice"));
	assert_null(revoked_apply(r, NULL));
	tokens_unref(left);
	tokens_unref(t);
	revoked_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_add),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
