/*
 * What an owner adds to a pair: a last word behind what passed, and an end before its time. With
 * both engines, plain and TLS.
 */
#include "test/unit/common/pair_rig.h"

static void *say_all(void *arg)
{
	struct job *j = arg;

	j->ok = far_send(j->f, j->data, j->len);
	far_half_close(j->f);
	return NULL;
}

/* The service has ended: that is said in another way. */
static bool says_more(void *arg, enum side from)
{
	struct rig *r = arg;

	if (from == SIDE_VISITOR)
		return true;
	pair_say(r->pair, SIDE_SERVICE, "la", 2);
	pair_say(r->pair, SIDE_SERVICE, "st", 2);
	pair_cut(r->pair);
	return false;
}

/* However much of it waits for a slow visitor. */
static void test_last_word(void **state)
{
	struct rig *r = rig_new();
	struct job job = {.f = &r->far[1], .data = random_data(BIG), .len = BIG};
	char *got = xmalloc(BIG + 4), c;
	pthread_t t;

	r->hooks.eof = says_more;
	rig_go(r);
	pthread_create(&t, NULL, say_all, &job);
	assert_true(far_recv_all(&r->far[0], got, BIG + 4));
	assert_memory_equal(got, job.data, BIG);
	assert_memory_equal(got + BIG, "last", 4);
	assert_int_equal(far_recv(&r->far[0], &c, 1), 0);
	pthread_join(t, NULL);
	assert_true(job.ok);
	assert_int_equal(rig_end(r), PAIR_CUT);
	assert_int_equal(r->bytes[SIDE_SERVICE], BIG);
	free(got);
	free(job.data);
	rig_free(r);
}

static enum judge keeps_it(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct rig *r = arg;

	*pass = from == SIDE_SERVICE && buf[len - 1] != '?' ? len : 0;
	if (from == SIDE_VISITOR)
		pair_say(r->pair, SIDE_SERVICE, "wait ", 5);
	return JUDGE_PASS;
}

/* From inside the other side's judge; in front of what has not passed. */
static void test_word_between(void **state)
{
	struct rig *r = rig_new();
	char got[16] = "";

	r->hooks.judge = keeps_it;
	rig_go(r);
	assert_true(far_send(&r->far[1], "now?", 4));
	assert_true(far_send(&r->far[0], "x", 1));
	assert_true(far_recv_all(&r->far[0], got, 5));
	assert_true(far_send(&r->far[1], "!", 1));
	assert_true(far_recv_all(&r->far[0], got + 5, 5));
	assert_string_equal(got, "wait now?!");
	rig_free(r);
}

static void break_off(struct rig *r)
{
	pair_fail(r->pair);
}

static void test_fails(void **state)
{
	struct rig *r = rig_new();
	char c;

	rig_go(r);
	assert_true(far_send(&r->far[0], "x", 1));
	assert_int_equal(far_recv(&r->far[1], &c, 1), 1);
	rig_run(r, break_off);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_int_equal(far_recv(&r->far[0], &c, 1), -1);
	assert_int_equal(far_recv(&r->far[1], &c, 1), -1);
	rig_free(r);
}

static bool ends_and_fails(void *arg, enum side from)
{
	pair_fail(((struct rig *)arg)->pair);
	return false;
}

static void test_fails_at_an_end(void **state)
{
	struct rig *r = rig_new();
	char c;

	r->hooks.eof = ends_and_fails;
	rig_go(r);
	far_half_close(&r->far[0]);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_int_equal(far_recv(&r->far[1], &c, 1), -1);
	rig_free(r);
}

static enum judge holds_visitor(void *arg, enum side from, const char *buf, size_t len,
				size_t *pass)
{
	*pass = from == SIDE_SERVICE ? len : 0;
	return from == SIDE_SERVICE ? JUDGE_PASS : JUDGE_HOLD;
}

/* It is not read, and what is written to it tells that it has gone. */
static void test_unheard(void **state)
{
	struct rig *r = rig_new();
	char c;

	r->hooks.judge = holds_visitor;
	r->hooks.ends_unheard = true;
	rig_go(r);
	assert_true(far_send(&r->far[0], "x", 1));
	assert_true(far_send(&r->far[1], "y", 1));
	assert_int_equal(far_recv(&r->far[0], &c, 1), 1);
	far_close(&r->far[0], true);
	struct pollfd over = {.fd = r->done_pipe[0], .events = POLLIN};

	for (int i = 0; i < 10 && !poll(&over, 1, 50); i++)
		(void)!far_send(&r->far[1], "y", 1);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_int_equal(far_recv(&r->far[1], &c, 1), -1);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_word), cmocka_unit_test(test_word_between),
		cmocka_unit_test(test_fails),     cmocka_unit_test(test_fails_at_an_end),
		cmocka_unit_test(test_unheard),
	};

	return run_all("pair_say", tests, sizeof(tests) / sizeof(tests[0]));
}
