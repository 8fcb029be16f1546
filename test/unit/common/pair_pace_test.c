/* A pair whose owner says how much may be read. */
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
	size_t budget[2];
	int asked, ends;
	enum pair_end how;
};

static size_t budget(void *arg, enum side from)
{
	struct rig *r = arg;

	r->asked++;
	return r->budget[from];
}

static void on_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct rig *r = arg;

	assert_true(len <= r->budget[from]);
	r->budget[from] -= len;
}

static void on_done(void *arg, enum pair_end how)
{
	struct rig *r = arg;

	r->ends++;
	r->how = how;
}

static const struct pair_hooks hooks = {.tap = on_tap, .done = on_done};

static void begin(struct rig *r)
{
	struct fake *visitor[2], *service[2];

	*r = (struct rig){.loop = loop_new()};
	fake_pair(r->loop, NULL, &r->open, visitor);
	fake_pair(r->loop, NULL, &r->open, service);
	r->visitor = visitor[1];
	r->service = service[1];
	r->pair = pair_new(&visitor[0]->s, &service[0]->s, &hooks, r);
	pair_pace(r->pair, budget);
	pair_start(r->pair);
}

static void end(struct rig *r)
{
	pair_close(r->pair, true);
	stream_close(&r->visitor->s, false);
	stream_close(&r->service->s, false);
	turns(r->loop, 4);
	loop_free(r->loop);
	assert_int_equal(r->open, 0);
}

static void say(struct rig *r, struct fake *f, size_t len)
{
	static const char bytes[50000];
	size_t n;

	assert_int_equal(stream_write(&f->s, bytes, len, &n), STREAM_OK);
	assert_int_equal(n, len);
	turns(r->loop, 6);
}

static void resume(struct rig *r, enum side from, size_t bytes)
{
	r->budget[from] = bytes;
	pair_resume(r->pair, from);
	turns(r->loop, 6);
}

static void test_bytes_that_may_pass(void **state)
{
	struct rig r;

	begin(&r);
	say(&r, r.visitor, 30000);
	assert_int_equal(r.service->in_len, 0);
	resume(&r, SIDE_VISITOR, 1000);
	assert_int_equal(r.service->in_len, 1000);
	int asked = r.asked;

	/* Whatever else happens, it is not asked for before it is resumed. */
	r.budget[SIDE_VISITOR] = 5000;
	say(&r, r.visitor, 1);
	r.budget[SIDE_SERVICE] = 20;
	say(&r, r.service, 20);
	assert_int_equal(r.visitor->in_len, 0); /* that side had asked before, in vain */
	assert_int_equal(r.asked, asked);
	resume(&r, SIDE_SERVICE, 20);
	assert_int_equal(r.visitor->in_len, 20);
	resume(&r, SIDE_VISITOR, 5000);
	assert_int_equal(r.service->in_len, 6000);
	resume(&r, SIDE_VISITOR, 100000);
	assert_int_equal(r.service->in_len, 30001);
	end(&r);
}

/* An end is read like bytes; one that ends meanwhile may be resumed. */
static void test_end(void **state)
{
	struct rig r;

	begin(&r);
	assert_int_equal(stream_finish(&r.visitor->s), STREAM_OK);
	turns(r.loop, 6);
	assert_false(pair_ended(r.pair, SIDE_VISITOR));
	resume(&r, SIDE_VISITOR, 1);
	assert_true(pair_ended(r.pair, SIDE_VISITOR));
	assert_int_equal(r.ends, 0);
	resume(&r, SIDE_SERVICE, 1);
	assert_int_equal(stream_finish(&r.service->s), STREAM_OK);
	turns(r.loop, 6);
	assert_int_equal(r.ends, 1);
	assert_int_equal(r.how, PAIR_DONE);
	pair_resume(r.pair, SIDE_VISITOR);
	end(&r);
}

/* Limits that come to a pair that moves, and go again. */
static void test_on_and_off(void **state)
{
	struct rig r;

	begin(&r);
	pair_pace(r.pair, NULL);
	resume(&r, SIDE_VISITOR, 100000);
	say(&r, r.visitor, 3000);
	assert_int_equal(r.service->in_len, 3000);
	r.budget[SIDE_VISITOR] = 0;
	pair_pace(r.pair, budget);
	say(&r, r.visitor, 3000);
	assert_int_equal(r.service->in_len, 3000);
	resume(&r, SIDE_VISITOR, 3000);
	assert_int_equal(r.service->in_len, 6000);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_that_may_pass),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_on_and_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
