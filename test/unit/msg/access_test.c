/* Rules for visitors as they are sent: what may be among them, how they are written and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "msg/pgrok/access.h"

static void test_entries(void **state)
{
	static const struct {
		enum access_list which;
		const char *good[7], *bad[9];
	} rows[] = {
		{ACCESS_USERS,
		 {"a:b", ":", "a:", "a:b:c", "\xc3\xa9:x"},
		 {"", "a", "a:b\nc:d", "a:\t"}},
		{ACCESS_BEARER,
		 {"x", "abc-._~+/", "YWJj==", "a,\"b", "b<t>&", "\xc3\xa9"},
		 {"", " ", "a b", "a\nb", "a\t", "a\x7f", "\x01"}},
		{ACCESS_ALLOW_IPS,
		 {"10.0.0.0/8", "::1"},
		 {"", "x", "10.0.0.0/8,::1", "10.0.0.1/8"}},
		{ACCESS_DENY_IPS, {"10.0.0.0/8", "::1"}, {"", "x", "10.0.0.0/99"}},
		{ACCESS_METHODS,
		 {"GET", "delete", "M-SEARCH"},
		 {"", "A B", "GET,PUT", "GET\n", "\xc3\xa9"}},
		{ACCESS_PATHS,
		 {"/", "/a/b", "/a%20b"},
		 {"", "a", "/a?b", "/a\n/b", "/*", "/a/../b"}},
	};
	struct err err;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (const char *const *t = rows[i].good; *t; t++) {
			if (!access_entry_valid(rows[i].which, *t, &err))
				fail_msg("%s: %s", *t, err.text);
		}
		for (const char *const *t = rows[i].bad; *t; t++) {
			if (access_entry_valid(rows[i].which, *t, &err))
				fail_msg("%s: %s", access_key(rows[i].which), *t);
		}
	}
	assert_false(access_password_valid("", &err));
	assert_false(access_password_valid("a\nb", &err));
	assert_true(access_password_valid("a b \xc3\xa9", &err));
}

/* What is refused says so without what may be a secret. */
static void test_no_secret(void **state)
{
	struct err err;

	assert_false(access_entry_valid(ACCESS_USERS, "hunter2", &err));
	assert_null(strstr(err.text, "hunter2"));
	assert_false(access_entry_valid(ACCESS_BEARER, "hunter2 x", &err));
	assert_null(strstr(err.text, "hunter2"));
	assert_false(access_password_valid("hunter2\t", &err));
	assert_null(strstr(err.text, "hunter2"));
}

static void test_lists(void **state)
{
	static const struct {
		const char *list, *says;
	} bad[] = {
		{"\n", "an empty entry"},
		{"\n10.0.0.0/8", "an empty entry"},
		{"10.0.0.0/8\n\nx", "an empty entry"},
		{"10.0.0.0/8\nx", "allow_ips: 'x'"},
		{"10.0.0.0/8\n10.0.0.0/8 ", "allow_ips: '10.0.0.0/8 '"},
	};
	struct msg_access a = {.list = {[ACCESS_ALLOW_IPS] = "10.0.0.0/8\n::1"}};
	struct err err;

	assert_true(access_valid(&a, &err));
	assert_string_equal(access_any(&a), "allow_ips");
	assert_null(access_any_http(&a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a.list[ACCESS_ALLOW_IPS] = bad[i].list;
		assert_false(access_valid(&a, &err));
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s", err.text);
	}
}

static char *many(const char *entry, size_t n)
{
	struct text t = {0};

	for (size_t i = 0; i < n; i++)
		text_fmt(&t, "%s%s", i ? "\n" : "", entry);
	return t.p;
}

static void test_bounds(void **state)
{
	struct msg_access a = {.preflight = 2};
	struct err err;
	char *list;

	assert_false(access_valid(&a, &err));
	a.preflight = 1;
	assert_true(access_valid(&a, &err));
	assert_string_equal(access_any(&a), "auth_preflight");
	for (int i = 0; i < ACCESS_LISTS; i++) {
		static const char *const entry[] = {"a:b", "t", "::1", "::1", "GET", "/a"};
		size_t most = (size_t)access_most((enum access_list)i);

		for (size_t n = most; n <= most + 1; n++) {
			a.list[i] = list = many(entry[i], n);
			assert_int_equal(access_valid(&a, &err), n == most);
			a.list[i] = NULL;
			free(list);
		}
	}
	a.list[ACCESS_BEARER] = list =
		many("0123456789012345678901234567890123456789012345678901234"
		     "567890123456789012345678901234567890123456789012345678",
		     64);
	assert_true(access_valid(&a, &err));
	a.list[ACCESS_PATHS] =
		"/0123456789012345678901234567890123456789012345678901234567890"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789";
	char *users =
		many("0123456789012345678901234567890:01234567890123456789012345678901234", 64);

	a.list[ACCESS_USERS] = users;
	assert_false(access_valid(&a, &err));
	free(users);
	free(list);
}

/* Written only if there are any, so that a Go server sees what it always saw. */
static void test_message(void **state)
{
	struct msg m = msg_new(MSG_REQ_TUNNEL), got;
	struct err err;
	size_t len;
	char *text = msg_encode(&m, &len);

	assert_null(strstr(text, "Users"));
	assert_null(strstr(text, "Preflight"));
	free(text);
	m.req_tunnel.access.list[ACCESS_PATHS] = "/a\n/b";
	m.req_tunnel.access.password = "p\"w";
	m.req_tunnel.access.preflight = 1;
	text = msg_encode(&m, &len);
	assert_non_null(strstr(text, "\"DenyPaths\":\"/a\\n/b\",\"VisitPassword\":\"p\\\"w\","
				     "\"AuthPreflight\":1"));
	assert_int_equal(msg_decode(text, len, &got, &err), MSG_OK);
	assert_string_equal(got.req_tunnel.access.list[ACCESS_PATHS], "/a\n/b");
	assert_string_equal(got.req_tunnel.access.list[ACCESS_USERS], "");
	assert_string_equal(got.req_tunnel.access.password, "p\"w");
	assert_int_equal(got.req_tunnel.access.preflight, 1);
	free(text);
	msg_free(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries), cmocka_unit_test(test_no_secret),
		cmocka_unit_test(test_lists),   cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
