/* A judge that never decides: what is kept for it has an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream/pair.h"
#include "test/unit/common/mux_pipe.h"

struct rig {
	struct loop *loop;
	struct pair *pair;
	struct fake *visitor, *service; /* far ends */
	unsigned open;
	size_t most; /* bytes that the judge saw at once */
	int ends;
	enum pair_end how;
};

static enum judge undecided(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct rig *r = arg;

	*pass = 0;
	if (r->most < len)
		r->most = len;
	return JUDGE_PASS;
}

static void on_done(void *arg, enum pair_end how)
{
	struct rig *r = arg;

	r->ends++;
	r->how = how;
}

static const struct pair_hooks hooks = {.judge = undecided, .done = on_done};

static void test_held_has_an_end(void **state)
{
	static char piece[40000];
	struct rig r = {.loop = loop_new()};
	struct fake *visitor[2], *service[2];
	size_t n;

	fake_pair(r.loop, NULL, &r.open, visitor);
	fake_pair(r.loop, NULL, &r.open, service);
	r.pair = pair_new(&visitor[0]->s, &service[0]->s, &hooks, &r);
	pair_start(r.pair);
	for (int i = 0; i < 10 && !r.ends; i++) {
		assert_int_equal(stream_write(&visitor[1]->s, piece, sizeof(piece), &n), STREAM_OK);
		turns(r.loop, 4);
	}
	assert_int_equal(r.ends, 1);
	assert_int_equal(r.how, PAIR_ABORT);
	assert_in_range(r.most, PAIR_HELD / 2, PAIR_HELD + PAIR_READ);
	assert_int_equal(service[1]->in_len, 0);
	pair_close(r.pair, true);
	stream_close(&visitor[1]->s, false);
	stream_close(&service[1]->s, false);
	turns(r.loop, 4);
	loop_free(r.loop);
	assert_int_equal(r.open, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_held_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
