/* The census: one row for each worker, and their sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "pgrokd/core/census.h"
#include "test/unit/pgrokd/crew.h"

static struct crew crew;
static struct loop *home;
static struct census got;
static struct loop_timer guard; /* so that an answer that does not come fails the test */
static int calls, wanted;

/* No number twice, so that none is taken for another. */
static void fill(void)
{
	for (int i = 0; i < CREW; i++) {
		struct worker *w = &crew.worker[i];
		uint64_t *count = (uint64_t *)&w->count;

		for (size_t k = 0; k < sizeof(w->count) / sizeof(*count); k++)
			count[k] = 1000 * (uint64_t)(i + 1) + k;
		w->n_guests = 7 * (i + 1);
		for (int k = 0; k < 2 * (i + 1); k++)
			idmap_put(w->clients, id_next(), w);
		for (int k = 0; k < 3 * (i + 1); k++)
			idmap_put(w->tunnels, id_next(), w);
	}
}

static void done(void *arg, const struct census *c)
{
	assert_ptr_equal(arg, &crew);
	got = *c;
	if (++calls == wanted)
		loop_stop(home);
}

static void give_up(void *arg)
{
	(void)arg;
	fail_msg("no answer came");
}

static void ask(void)
{
	calls = 0;
	wanted = 1;
	memset(&got, 0, sizeof(got));
	home = loop_new();
	loop_timer_init(&guard, home, give_up, NULL);
	loop_after(&guard, 60000);
	crew_make(&crew, NULL);
	fill();
	census_ask(&crew.core, home, done, &crew);
}

static void end(void)
{
	crew_free(&crew);
	loop_timer_stop(&guard);
	loop_free(home);
}

static void test_rows_and_sum(void **state)
{
	ask();
	crew_run(&crew);
	assert_int_equal(calls, 0); /* on this loop, when it runs */
	loop_run(home);
	assert_int_equal(calls, 1);
	assert_int_equal(got.n_workers, CREW);
	for (int i = 0; i < CREW; i++) {
		assert_int_equal(got.row[i].half_open, 7 * (i + 1));
		assert_int_equal(got.row[i].clients, 2 * (i + 1));
		assert_int_equal(got.row[i].tunnels, 3 * (i + 1));
		assert_memory_equal(&got.row[i].count, &crew.worker[i].count,
				    sizeof(struct counters));
	}
	assert_int_equal(got.total.half_open, 7 * 6);
	assert_int_equal(got.total.clients, 2 * 6);
	assert_int_equal(got.total.tunnels, 3 * 6);
	assert_int_equal(got.total.count.moved, crew.worker[0].count.moved +
							crew.worker[1].count.moved +
							crew.worker[2].count.moved);
	assert_int_equal(got.total.count.bytes[1], crew.worker[0].count.bytes[1] +
							   crew.worker[1].count.bytes[1] +
							   crew.worker[2].count.bytes[1]);
	end();
}

/* Two at once do not mix. */
static void test_twice(void **state)
{
	ask();
	wanted = 2;
	census_ask(&crew.core, home, done, &crew);
	crew_run(&crew);
	loop_run(home);
	assert_int_equal(calls, 2);
	assert_int_equal(got.total.half_open, 7 * 6);
	end();
}

/* A worker that ended before its turn has nothing, and the answer comes all the same. */
static void test_ended_workers(void **state)
{
	ask();
	for (int i = 0; i < CREW; i++)
		worker_free(&crew.worker[i]);
	loop_run(home);
	assert_int_equal(calls, 1);
	assert_int_equal(got.total.half_open, 0);
	assert_int_equal(got.total.count.moved, 0);
	loop_timer_stop(&guard);
	loop_free(home);
	registry_free(crew.core.registry);
}

/* At the end of the program: the question is forgotten, its memory freed. */
static void test_nobody_listens(void **state)
{
	ask();
	end();
	assert_int_equal(calls, 0);
}

static void test_log(void **state)
{
	char path[] = "/tmp/census_test.XXXXXX", text[8192] = "";
	struct err err;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path); /* the log makes it, and would put an older one aside */
	close(fd);
	assert_true(log_open(path, "INFO", &err));
	ask();
	crew_run(&crew);
	loop_run(home);
	census_log(NULL, &got);
	log_close();
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	unlink(path);
	assert_non_null(strstr(text, "[census] worker:0: now half-open 7, clients 2, tunnels 3, "
				     "visitors waiting 1000, joined 1001; since the start "
				     "accepted http 1002, https 1003, tunnel 1004, shed 8068, "
				     "moved 1013, clients 1037, tunnels 1038, visitors 1029, "
				     "pages 15315, bytes in 1035, out 1036, "
				     "access log lines lost 1061\n"));
	assert_non_null(strstr(text, "[census] worker:2: now half-open 21, clients 6, "));
	assert_non_null(strstr(text, "[census] total: now half-open 42, clients 12, tunnels 18, "
				     "visitors waiting 6000, joined 6003; "));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_and_sum),  cmocka_unit_test(test_twice),
		cmocka_unit_test(test_ended_workers), cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
