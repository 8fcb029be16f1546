/* One path and its spellings: a rule for it holds for all of them, and for no other path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/path.h"

static bool reaches(const char *target, const char *rule)
{
	struct err err;
	char *path = http_path_make(rule, &err);

	if (!path)
		fail_msg("%s: %s", rule, err.text);
	bool yes = http_path_reaches(target, strlen(target), (const char *const *)&path, 1);

	free(path);
	return yes;
}

static void test_spellings(void **state)
{
	static const struct {
		const char *rule, *target;
	} rows[] = {
		{"/admin", "/admin"},
		{"/admin", "/admin/"},
		{"/admin/", "/admin"},
		{"/admin", "/admin/users?x=1"},
		{"/admin", "/admin?x=/y"},
		{"/admin", "/admin#x"},
		{"/admin", "//admin"},
		{"/admin", "///admin//users"},
		{"/admin", "/./admin"},
		{"/admin", "/x/../admin"},
		{"/admin", "/x/y/../../admin"},
		{"/admin", "/../admin"},
		{"/admin", "/x/./.././admin/."},
		{"/admin", "/%61dmin"},
		{"/admin", "/%61%64%6D%69%6e"},
		{"/admin", "/%2e/admin"},
		{"/admin", "/x/%2e%2E/admin"},
		{"/admin", "/x/.%2e/admin"},
		{"/admin", "/%2fadmin"},
		{"/admin", "/x/%2e%2e%2fadmin"},
		{"/admin", "/x%2f..%2fadmin"},
		{"/admin", "/x/..%2fadmin"},
		{"/admin", "/admin%2fusers"},
		{"/admin", "/a%2fb/../admin"}, /* to Node's URL */
		{"/x/admin", "/x//../admin"},  /* likewise */
		{"/admin", "/x//../../admin"}, /* to nginx */
		{"/admin", "/%2561dmin"},      /* decoded twice */
		{"/admin", "/x/%252e%252e/admin"},
		{"/admin", "/x%252f..%252fadmin"},
		{"/admin", "/x\\../admin"},
		{"/admin", "/\\admin"},
		{"/admin", "/x\\..\\admin"},
		{"/admin", "/x/..%5cadmin"},
		{"/admin", "/x%255c..%255cadmin"},
		{"/admin", "/admin;x=1"}, /* to Tomcat */
		{"/admin", "/admin;/users"},
		{"/admin", "/x/..;/admin"},
		{"/admin", "/;x/admin"},
		{"/admin", "/x/..;a=b/admin"},
		{"/admin", "/admin%3bx"},
		{"/admin", "/admin%23"},
		{"/admin", "/admin%3fx"},
		{"/admin", "/admin/../x"}, /* to Express, which does not resolve it */
		{"/admin", "/admin/%2e%2e/x"},
		{"/admin", "/admin%00.css"},
		{"/admin", "/x%0d%0a"},
		{"/admin", "/%2500"},
		{"/admin", "http://h/admin"},
		{"/admin", "HTTPS://h:80//admin"},
		{"/admin", "http://h#/../admin"},
		{"/", "/"},
		{"/", "/x"},
		{"/", "http://h"},
		{"/", "http://h?x"},
		{"/a b", "/a%20b"},
		{"/a%20b", "/a%20b"},
		{"/a%25b", "/a%25b"},
		{"/a;b", "/a;b"},
		{"/v1/keys", "/v1/./keys/3"},
		{"/v1//keys", "/v1/keys"},
		{"/v1%2Fkeys", "/v1/keys"},
		{"/\xc3\xa9", "/%C3%A9"},
		{"/%c3%a9", "/\xc3\xa9"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!reaches(rows[i].target, rows[i].rule))
			fail_msg("%s avoids %s", rows[i].target, rows[i].rule);
	}
}

static void test_others(void **state)
{
	static const struct {
		const char *rule, *target;
	} rows[] = {
		{"/admin", "/"},
		{"/admin", "/Admin"},
		{"/admin", "/administrator"},
		{"/admin", "/x/admin"},
		{"/admin", "/admi"},
		{"/admin", "/x?to=/admin"},
		{"/admin", "/x?to=../admin"},
		{"/admin", "/a%20dmin"},
		{"/admin", "/.admin"},
		{"/admin", "/x.admin/a..b"},
		{"/admin", "/style.css"},
		{"/admin", "/api/v4/projects/a%2Fb/issues"},
		{"/admin", "/100%"},
		{"/admin", "/100%zz/%4"},
		{"/admin", "http://admin/"},
		{"/admin", "http://h/x"},
		{"/admin", "*"},
		{"/", "*"},
		{"/admin/users", "/admin"},
		{"/a+b", "/a%20b"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (reaches(rows[i].target, rows[i].rule))
			fail_msg("%s is taken for %s", rows[i].target, rows[i].rule);
	}
	assert_false(http_path_reaches("/", 1, NULL, 0));
}

/* Work and memory are bounded: what is longer is not read, but refused. */
static void test_long(void **state)
{
	static char target[PATH_MAX_READ + 64];

	memset(target, 'a', PATH_MAX_READ);
	target[0] = '/';
	assert_false(reaches(target, "/admin"));
	target[PATH_MAX_READ] = 'a';
	assert_true(reaches(target, "/admin"));
	target[5] = '?';
	assert_false(reaches(target, "/admin"));
	/* Occasion for all readings at once. */
	for (size_t i = 0; i + 12 <= PATH_MAX_READ; i += 12)
		memcpy(target + i, "/..;%2f\\x#%25", 12);
	target[480] = '\0';
	assert_true(reaches(target, "/"));
	assert_false(reaches(target, "/admin"));
	memcpy(target + 480, "/..;", 4);
	target[PATH_MAX_READ - 12] = '\0';
	assert_true(reaches(target, "/admin"));
	/* Few occasions: all of its length. */
	for (size_t i = 0; i + 8 <= PATH_MAX_READ; i += 8)
		memcpy(target + i, "/a.b%20c", 8);
	target[PATH_MAX_READ] = '\0';
	assert_false(reaches(target, "/admin"));
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = {"",      "admin",  "*",       "/a?b",
					  "/a#b",  "/a*",    "/a/..",   "/../a",
					  "/./a",  "/a/.",   "/%2e%2e", "/a/%2e/b",
					  "/a\nb", "/a%00b", "/a%0ab",  "http://h/a"};
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *path = http_path_make(bad[i], &err);

		if (path)
			fail_msg("%s is %s", bad[i], path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_bad_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
