/* Unit tests of common/base/loop: what other threads hand over, ticks, and how a loop ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"

#define MANY 10000

struct said {
	struct loop_msg msg;
	struct rig *rig;
	unsigned thread, number;
	bool last;
};

struct rig {
	struct loop *loop;
	unsigned next[2]; /* by thread: the number that is to come */
	unsigned delivered, dropped, last;
	char ran[32];
};

static int set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->loop = loop_new();
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	loop_free(r->loop);
	free(r);
	return 0;
}

static void deliver(struct loop_msg *m, struct loop *l)
{
	struct said *s = (struct said *)m;
	struct rig *r = s->rig;

	assert_ptr_equal(l, r->loop);
	assert_int_equal(s->number, r->next[s->thread]++);
	r->delivered++;
	if (s->last && ++r->last == 2)
		loop_stop(l);
	free(s);
}

static void drop(struct loop_msg *m)
{
	((struct said *)m)->rig->dropped++;
	free(m);
}

static void say(struct rig *r, unsigned thread, unsigned number, bool last)
{
	struct said *s = xcalloc(1, sizeof(*s));

	*s = (struct said){{.deliver = deliver, .drop = drop}, r, thread, number, last};
	loop_post(r->loop, &s->msg);
}

static void *talk(void *arg)
{
	for (unsigned i = 0; i < MANY; i++)
		say(arg, 1, i, i == MANY - 1);
	return NULL;
}

static void delivers_in_the_order_of_each_thread(void **state)
{
	struct rig *r = *state;
	pthread_t other;

	assert_int_equal(pthread_create(&other, NULL, talk, r), 0);
	for (unsigned i = 0; i < MANY; i++)
		say(r, 0, i, i == MANY - 1);
	loop_run(r->loop);
	pthread_join(other, NULL);
	assert_int_equal(r->delivered, 2 * MANY);
	assert_int_equal(r->dropped, 0);
}

/* What it is meant for has been closed by the message that stops the loop. */
static void drops_what_is_behind_its_end(void **state)
{
	struct rig *r = *state;

	r->last = 1;
	say(r, 0, 0, false);
	say(r, 0, 1, true);
	say(r, 0, 2, false);
	say(r, 1, 0, false);
	loop_run(r->loop);
	assert_int_equal(r->delivered, 2);
	assert_int_equal(r->dropped, 2);
}

static void drops_what_is_never_read(void **state)
{
	struct rig *r = *state;

	say(r, 0, 0, false);
	say(r, 0, 1, false);
	loop_free(r->loop);
	r->loop = NULL;
	assert_int_equal(r->delivered, 0);
	assert_int_equal(r->dropped, 2);
}

struct step {
	struct loop_tick tick;
	struct rig *rig;
	struct step *next;
	char letter;
};

static void run_step(void *arg)
{
	struct step *s = arg;
	size_t len = strlen(s->rig->ran);

	s->rig->ran[len] = s->letter;
	if (s->next)
		loop_next_tick(s->rig->loop, &s->next->tick);
	else
		loop_stop(s->rig->loop);
}

/* Each in the turn after it was queued, once however often, not at all when it is taken back. */
static void ticks_take_turns(void **state)
{
	struct rig *r = *state;
	struct step c = {{.fn = run_step, .arg = &c}, r, NULL, 'c'};
	struct step b = {{.fn = run_step, .arg = &b}, r, &c, 'b'};
	struct step a = {{.fn = run_step, .arg = &a}, r, &b, 'a'};
	struct step never = {{.fn = run_step, .arg = &never}, r, &b, 'x'};

	loop_next_tick(r->loop, &never.tick);
	loop_next_tick(r->loop, &a.tick);
	loop_next_tick(r->loop, &a.tick);
	loop_tick_cancel(r->loop, &never.tick);
	loop_run(r->loop);
	assert_string_equal(r->ran, "abc");
}

struct leaver {
	struct loop_exit hook;
	struct rig *rig;
};

static void leave(void *arg)
{
	struct leaver *l = arg;

	loop_exit_del(l->rig->loop, &l->hook);
	say(l->rig, 0, 0, false); /* goes as well */
	loop_free_later(l->rig->loop, l, NULL);
}

static void its_end_takes_along_who_has_no_owner(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		struct leaver *l = xcalloc(1, sizeof(*l));

		*l = (struct leaver){{.fn = leave, .arg = l}, r};
		loop_exit_add(r->loop, &l->hook);
	}
	loop_free(r->loop);
	r->loop = NULL;
	assert_int_equal(r->dropped, 3);
}

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	uint64_t from, late_us; /* clock_us() */
};

static void rings(void *arg)
{
	struct alarm *a = arg;

	if (a->from) {
		a->late_us = clock_us() - a->from;
		loop_stop(a->loop);
		return;
	}
	usleep(30000); /* a long turn */
	a->from = clock_us();
	loop_after(&a->timer, 20);
}

static void a_timer_counts_from_now(void **state)
{
	struct rig *r = *state;
	struct alarm a = {.loop = r->loop};

	loop_timer_init(&a.timer, r->loop, rings, &a);
	loop_after(&a.timer, 1);
	loop_run(r->loop);
	assert_true(a.late_us >= 20000 - 1000);
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(delivers_in_the_order_of_each_thread),
		test(drops_what_is_behind_its_end),
		test(drops_what_is_never_read),
		test(ticks_take_turns),
		test(a_timer_counts_from_now),
		test(its_end_takes_along_who_has_no_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
