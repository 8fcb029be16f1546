/* Frames: MORE, OK and BAD at every split, and the sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "msg/pgrok/frame.h"

static void put_length(unsigned char head[FRAME_HEADER], uint64_t n)
{
	for (int i = 0; i < FRAME_HEADER; i++)
		head[i] = (unsigned char)(n >> (8 * i));
}

static void test_every_split(void **state)
{
	static const unsigned char ping[] = "\x1c\0\0\0\0\0\0\0{\"Type\":\"Ping\",\"Payload\":{}}";
	static const unsigned char two[] = "\x01\0\0\0\0\0\0\0x\x02\0\0\0\0\0\0\0yy";
	size_t len = sizeof(ping) - 1, n;

	for (size_t have = 0; have < len; have++) {
		unsigned char *part = malloc(have + 1); /* of its own: an overread is seen */

		assert_non_null(part);
		memcpy(part, ping, have);
		assert_int_equal(frame_parse(part, have, &n), FRAME_MORE);
		assert_int_equal(n, have < FRAME_HEADER ? 0 : 28);
		free(part);
	}
	assert_int_equal(frame_parse(ping, len, &n), FRAME_OK);
	assert_int_equal(n, 28);
	assert_int_equal(frame_parse(two, sizeof(two) - 1, &n), FRAME_OK);
	assert_int_equal(n, 1);
	assert_int_equal(frame_parse(two + 9, sizeof(two) - 10, &n), FRAME_OK);
	assert_int_equal(n, 2);
}

static void test_lengths(void **state)
{
	static const uint64_t bad[] = {
		0,           FRAME_BODY_MAX + 1, 200u << 20,       1ull << 32, (1ull << 32) + 28,
		1ull << 40,  1ull << 48,         (1ull << 48) + 1, 1ull << 62, 1ull << 63,
		28ull << 56, /* big-endian */
		UINT64_MAX,
	};
	static const uint64_t good[] = {1, 28, 255, 256, 16376, 16384, FRAME_BODY_MAX};
	unsigned char head[FRAME_HEADER];
	size_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put_length(head, bad[i]);
		assert_int_equal(frame_parse(head, 7, &n), FRAME_MORE);
		assert_int_equal(frame_parse(head, 8, &n), FRAME_BAD);
		assert_int_equal(n, 0);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		put_length(head, good[i]);
		assert_int_equal(frame_parse(head, 8, &n), FRAME_MORE);
		assert_int_equal(n, good[i]);
	}
}

static void test_make(void **state)
{
	struct msg m = msg_new(MSG_PING);
	struct err err;
	size_t len;
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, &err);

	assert_non_null(frame);
	assert_int_equal(len, 36);
	assert_memory_equal(frame, "\x1c\0\0\0\0\0\0\0{\"Type\":\"Ping\",\"Payload\":{}}", 36);
	free(frame);

	m = msg_new(MSG_AUTH);
	m.auth.user = "\xff";
	assert_null(frame_make(&m, FRAME_GO_MAX, &len, &err));
	assert_string_equal(err.text, "Auth: a text is not UTF-8");
}

/* A RegProxy whose frame has exactly this size. */
static char *make_sized(size_t size, size_t max, size_t *len, struct err *err)
{
	struct msg m = msg_new(MSG_REG_PROXY);
	size_t empty, fill;
	char *frame = frame_make(&m, max, &empty, err), *id;

	assert_non_null(frame);
	free(frame);
	fill = size - empty;
	id = malloc(fill + 1);
	assert_non_null(id);
	memset(id, 'a', fill);
	id[fill] = '\0';
	m.reg_proxy.client_id = id;
	frame = frame_make(&m, max, len, err);
	free(id);
	return frame;
}

static void test_sizes(void **state)
{
	static const struct {
		size_t size, max;
		bool fits;
	} cases[] = {
		{16383, FRAME_GO_MAX, true},
		{16384, FRAME_GO_MAX, true},
		{16385, FRAME_GO_MAX, false},
		{16385, FRAME_HEADER + FRAME_BODY_MAX, true},
		{FRAME_HEADER + FRAME_BODY_MAX, FRAME_HEADER + FRAME_BODY_MAX, true},
		{FRAME_HEADER + FRAME_BODY_MAX + 1, FRAME_HEADER + FRAME_BODY_MAX, false},
		{FRAME_HEADER + FRAME_BODY_MAX + 1, SIZE_MAX, false}, /* no reader would take it */
	};
	struct err err;
	size_t len, n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *frame = make_sized(cases[i].size, cases[i].max, &len, &err);

		if (!cases[i].fits) {
			assert_null(frame);
			assert_non_null(strstr(err.text, "too large for this peer"));
			continue;
		}
		assert_non_null(frame);
		assert_int_equal(len, cases[i].size);
		assert_int_equal(frame_parse(frame, len, &n), FRAME_OK);
		assert_int_equal(n, len - FRAME_HEADER);
		assert_int_equal(frame_parse(frame, len - 1, &n), FRAME_MORE);
		free(frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
