/* Names that are no tunnel's, in every spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pgrokd/names/reserved.h"

static void test_spellings(void **state)
{
	static const char *const yes[] = {
		"pgrok.me",        "PGROK.me.",     "pgrok.me:80",       "pgrok.me.:443",
		"www.pgrok.me",    "WWW.pgrok.me.", "www.pgrok.me:8080", "mx.pgrok.me",
		"a.b.pgrok.me",    "v.example",     "www.v.example",     "198.51.100.7",
		"198.51.100.7:80", "[2001:db8::7]", "srv.example.org",
	};
	static const char *const no[] = {
		"shop.pgrok.me", "www.shop.pgrok.me", "wwww.pgrok.me", "me",           "www",
		"pgrok.me.evil", "@cert.pgrok.me",    "cert.pgrok.me", "198.51.100.8", "",
		"x.w.example",   "w.example",
	};
	struct reserved *r = reserved_new("@cert,www, mx,,a.b", "pgrok.me", "v.example:77");

	reserved_add(r, "198.51.100.7");
	reserved_add(r, "[2001:db8::7]");
	reserved_add(r, "srv.example.ORG");
	reserved_add(r, "*.w.example");
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!reserved_has(r, yes[i]))
			fail_msg("%s is not reserved", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (reserved_has(r, no[i]))
			fail_msg("%s is reserved", no[i]);
	reserved_free(r);
}

static void test_words(void **state)
{
	struct reserved *r = reserved_new("", "pgrok.me", NULL);

	assert_true(reserved_has(r, "pgrok.me"));
	assert_false(reserved_has(r, "www.pgrok.me"));
	reserved_free(r);
	assert_true(reserved_wants_cert(RESERVED_DEFAULT));
	assert_true(reserved_wants_cert("a,@cert"));
	assert_false(reserved_wants_cert(""));
	assert_false(reserved_wants_cert("@certs,cert,x@cert"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
