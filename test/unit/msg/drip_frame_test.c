/* Drip's frames: MORE, OK and BAD at every split, and the sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "msg/drip/frame.h"

#define ERROR_JSON \
	"{\"code\":\"authentication_failed\",\"message\":\"Invalid authentication token\"}"

static void test_every_split(void **state)
{
	static const unsigned char frame[] = "\0\0\0\x49\x06" ERROR_JSON;
	size_t len = sizeof(frame) - 1, n;
	enum drip_type type;

	assert_int_equal(len, DRIP_HEADER + 0x49);
	for (size_t have = 0; have < len; have++) {
		unsigned char *part = malloc(have + 1); /* of its own: an overread is seen */

		assert_non_null(part);
		memcpy(part, frame, have);
		assert_int_equal(drip_scan(part, have, &type, &n), DRIP_MORE);
		assert_int_equal(n, have < DRIP_HEADER ? 0 : 0x49);
		free(part);
	}
	assert_int_equal(drip_scan(frame, len, &type, &n), DRIP_OK);
	assert_int_equal(type, DRIP_ERROR);
	assert_int_equal(n, 0x49);
}

static void test_what_follows_is_not_read(void **state)
{
	static const unsigned char two[] = "\0\0\0\2\1{}\0\1\0\1\0\0\0\1\0\4\0\0";
	enum drip_type type;
	size_t n;

	assert_int_equal(drip_scan(two, sizeof(two) - 1, &type, &n), DRIP_OK);
	assert_int_equal(type, DRIP_REGISTER);
	assert_int_equal(n, 2);
}

static void test_headers(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum drip_scan want;
	} cases[] = {
		{"", 0, DRIP_MORE},
		{"\0", 1, DRIP_MORE},
		{"\0\x10\0\0\1", 5, DRIP_MORE}, /* exactly 1 MiB */
		{"\0\x10\0\1\1", 5, DRIP_BAD},
		{"\0\x10\0\1", 4, DRIP_BAD}, /* as soon as it can be known */
		{"\0\x10\1", 3, DRIP_BAD},
		{"\0\x11", 2, DRIP_BAD},
		{"\1", 1, DRIP_BAD},
		{"G", 1, DRIP_BAD},
		{"\xff\xff\xff\xff\1", 5, DRIP_BAD},
		{"\0\0\0\0\1", 5, DRIP_OK}, /* an empty body is a frame, but no JSON */
		{"\0\0\0\2\0{}", 7, DRIP_BAD},
		{"\0\0\0\2\2{}", 7, DRIP_OK},
		{"\0\0\0\2\3{}", 7, DRIP_BAD}, /* Heartbeat, HeartbeatAck, Close */
		{"\0\0\0\2\4{}", 7, DRIP_BAD},
		{"\0\0\0\2\5{}", 7, DRIP_BAD},
		{"\0\0\0\2\6{}", 7, DRIP_OK},
		{"\0\0\0\2\7{}", 7, DRIP_OK},
		{"\0\0\0\2\x08{}", 7, DRIP_OK},
		{"\0\0\0\2\x09{}", 7, DRIP_BAD},
		{"\0\0\0\2\xff{}", 7, DRIP_BAD},
		{"\0\1\0\0\0\0\0\0{", 9, DRIP_BAD}, /* a pgrok message of 256 bytes */
	};
	enum drip_type type;
	size_t n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum drip_scan got = drip_scan(cases[i].bytes, cases[i].len, &type, &n);

		if (got != cases[i].want)
			fail_msg("case %zu: %d instead of %d", i, (int)got, (int)cases[i].want);
	}
}

static void test_make(void **state)
{
	struct drip_msg m = drip_new(DRIP_ERROR);
	struct err err;
	size_t len;
	char *frame;

	m.error.code = DRIP_CODE_TOKEN;
	m.error.message = "Invalid authentication token";
	frame = drip_frame_make(&m, &len, &err);
	assert_non_null(frame);
	assert_int_equal(len, DRIP_HEADER + 0x49);
	assert_memory_equal(frame, "\0\0\0\x49\x06" ERROR_JSON, len);
	free(frame);

	m.error.message = "\xff";
	assert_null(drip_frame_make(&m, &len, &err));
	assert_string_equal(err.text, "Error: a text is not UTF-8");
}

/* An Error whose body has exactly this size. */
static char *make_sized(size_t size, size_t *len, struct err *err)
{
	static const size_t empty = sizeof("{\"code\":\"\",\"message\":\"\"}") - 1;
	struct drip_msg m = drip_new(DRIP_ERROR);
	char *fill = malloc(size), *frame;

	assert_non_null(fill);
	memset(fill, 'a', size);
	fill[size - empty] = '\0';
	m.error.message = fill;
	frame = drip_frame_make(&m, len, err);
	free(fill);
	return frame;
}

static void test_sizes(void **state)
{
	static const size_t good[] = {25, 255, 256, 65535, 65536, DRIP_BODY_MAX};
	enum drip_type type;
	struct err err;
	size_t len, n;
	char *frame;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		frame = make_sized(good[i], &len, &err);
		assert_non_null(frame);
		assert_int_equal(len, DRIP_HEADER + good[i]);
		assert_int_equal(drip_scan(frame, len, &type, &n), DRIP_OK);
		assert_int_equal(n, good[i]);
		assert_int_equal(drip_scan(frame, len - 1, &type, &n), DRIP_MORE);
		free(frame);
	}
	assert_null(make_sized(DRIP_BODY_MAX + 1, &len, &err));
	assert_non_null(strstr(err.text, "too large"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_what_follows_is_not_read),
		cmocka_unit_test(test_headers),     cmocka_unit_test(test_make),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
