/* Frame headers: what they look like, what is one and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/mux/frame.h"

static const struct {
	uint8_t bytes[MUX_HEADER];
	struct mux_frame f;
} good[] = {
	{{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5}, {MUX_DATA, 0, 1, 5}},
	{{0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0}, {MUX_DATA, MUX_SYN, 3, 0}},
	{{0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 1, 0}, {MUX_DATA, MUX_SYN | MUX_FIN, 3, 256}},
	{{0, 0, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8}, {MUX_DATA, MUX_FIN, 0x01020304, 0x05060708}},
	{{0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 0, 0}, {MUX_WINDOW, MUX_SYN, 1, 0x40000}},
	{{0, 1, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0}, {MUX_WINDOW, MUX_ACK, 2, 0}},
	{{0, 1, 0, 6, 0, 0, 0, 2, 0, 0, 0, 0}, {MUX_WINDOW, MUX_ACK | MUX_FIN, 2, 0}},
	{{0, 1, 0, 8, 255, 255, 255, 255, 0, 0, 0, 0}, {MUX_WINDOW, MUX_RST, UINT32_MAX, 0}},
	{{0, 1, 0, 0, 128, 0, 0, 0, 255, 255, 255, 255}, {MUX_WINDOW, 0, 1u << 31, UINT32_MAX}},
	{{0, 2, 0, 1, 0, 0, 0, 0, 222, 173, 190, 239}, {MUX_PING, MUX_SYN, 0, 0xdeadbeef}},
	{{0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1}, {MUX_PING, MUX_ACK, 0, 1}},
	{{0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, {MUX_GOAWAY, 0, 0, 2}},
	{{0, 3, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0}, {MUX_GOAWAY, 0, 0, 0xff000000}},
};

static const struct {
	uint8_t bytes[MUX_HEADER];
	const char *why;
} bad[] = {
	{{1, 0, 0, 0, 0, 0, 0, 1}, "unknown version"},
	{{128, 0, 0, 0, 0, 0, 0, 1}, "unknown version"},
	{{'G', 'E', 'T', ' ', '/'}, "unknown version"},
	{{0, 4, 0, 0, 0, 0, 0, 0}, "unknown frame type"},
	{{0, 255, 0, 0, 0, 0, 0, 1}, "unknown frame type"},
	{{0, 128, 0, 0, 0, 0, 0, 1}, "unknown frame type"},
	{{0, 0, 0, 16, 0, 0, 0, 1}, "unknown flag"},
	{{0, 1, 1, 0, 0, 0, 0, 1}, "unknown flag"},
	{{0, 1, 128, 1, 0, 0, 0, 1}, "unknown flag"},
	{{0, 0, 0, 0, 0, 0, 0, 0}, "stream id does not fit the frame type"},
	{{0, 1, 0, 0, 0, 0, 0, 0}, "stream id does not fit the frame type"},
	{{0, 2, 0, 1, 0, 0, 0, 1}, "stream id does not fit the frame type"},
	{{0, 3, 0, 0, 128, 0, 0, 0}, "stream id does not fit the frame type"},
	{{0, 1, 0, 3, 0, 0, 0, 1}, "contradictory flags"},
	{{0, 0, 0, 9, 0, 0, 0, 1}, "contradictory flags"},
	{{0, 1, 0, 15, 0, 0, 0, 1}, "contradictory flags"},
	{{0, 2, 0, 3, 0, 0, 0, 0}, "contradictory flags"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct mux_frame f;
		uint8_t out[MUX_HEADER];
		const char *why;

		assert_true(mux_frame_get(good[i].bytes, &f, &why));
		assert_string_equal(why, "");
		assert_int_equal(f.type, good[i].f.type);
		assert_int_equal(f.flags, good[i].f.flags);
		assert_int_equal(f.id, good[i].f.id);
		assert_int_equal(f.length, good[i].f.length);
		memset(out, 0xaa, sizeof(out));
		mux_frame_put(out, good[i].f);
		assert_memory_equal(out, good[i].bytes, MUX_HEADER);
	}
}

static void test_bad(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mux_frame f;
		const char *why;

		assert_false(mux_frame_get(bad[i].bytes, &f, &why));
		assert_string_equal(why, bad[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
