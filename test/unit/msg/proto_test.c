/* The names of protocols: exactly these three words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "msg/pgrok/proto.h"

static void test_names(void **state)
{
	for (int i = 0; i < PROTOS; i++) {
		const char *name = proto_name((enum proto)i);
		enum proto p = PROTOS;

		assert_true(proto_parse(name, strlen(name), &p));
		assert_int_equal(p, i);
	}
	assert_string_equal(proto_name(PROTO_HTTPS), "https");
}

static void test_bad(void **state)
{
	static const char *const bad[] = {"", "htt", "httpx", "HTTP", "https ", "udp"};
	enum proto p = PROTOS;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(proto_parse(bad[i], strlen(bad[i]), &p));
	assert_int_equal(p, PROTOS); /* untouched */
	assert_true(proto_parse("http+tcp", 4, &p));
	assert_int_equal(p, PROTO_HTTP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
