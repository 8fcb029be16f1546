/* A WebSocket whose peer does not do its part: reads nothing, never says that it closes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/httpd/ws.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE "0.05" /* WS_CLOSE_MS are 100 ms, WS_PING_MS 1.5 s */

struct rig {
	struct loop *loop;
	struct httpd_ws *ws; /* NULL: over */
	struct fake *near, *far;
	unsigned open;
	char why[64];
};

static void on_closed(void *arg, struct httpd_ws *ws, const char *why)
{
	struct rig *r = arg;

	r->ws = NULL;
	strncpy(r->why, why, sizeof(r->why) - 1);
}

static const struct httpd_ws_hooks hooks = {.closed = on_closed};

static int set_up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct fake *end[2];

	r->loop = loop_new();
	fake_pair(r->loop, NULL, &r->open, end);
	r->near = end[0];
	r->far = end[1];
	r->ws = ws_new(&r->near->s, "", 0, "", 0, &hooks, r, NULL, NULL);
	turns(r->loop, 2);
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	if (r->ws)
		ws_end(r->ws, "the test ends");
	stream_close(&r->far->s, false);
	turns(r->loop, 4);
	loop_free(r->loop);
	assert_int_equal(r->open, 0);
	free(r);
	return 0;
}

/* Its close frame is waited for, but not as long as silence is borne with. */
static void test_never_says_close(void **state)
{
	struct rig *r = *state;

	httpd_ws_close(r->ws, 1000, "done");
	turns(r->loop, 4);
	assert_true(r->far->in_len > 0);
	assert_non_null(r->ws);
	turns_for(r->loop, (int)loop_scaled(WS_CLOSE_MS) * 3);
	assert_null(r->ws);
	assert_string_equal(r->why, "closed");
}

/* What it asks is not even read, while it takes no answers. */
static void test_pings_and_reads_nothing(void **state)
{
	static const char ping[6] = "\x89\x80";
	struct rig *r = *state;

	r->far->room = 0;
	for (int i = 0; i < 5000; i++)
		fake_put(r->near, ping, sizeof(ping));
	turns(r->loop, 10);
	assert_in_range(r->near->in_len, 10000, 29999);
	/* Once it reads, it is answered. */
	r->far->room = SIZE_MAX;
	fake_poke(r->near);
	turns(r->loop, 5000);
	assert_int_equal(r->near->in_len, 0);
	assert_int_equal(r->far->in_len, 5000 * 2);
	assert_non_null(r->ws);
}

int main(void)
{
	setenv("PGROK_TIME_SCALE", SCALE, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_never_says_close),
		TEST(test_pings_and_reads_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
