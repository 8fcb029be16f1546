/* Unit tests of common/idmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/idmap.h"

#define MANY 5000

static int values[MANY];

static void ids_come_and_go(void **state)
{
	struct idmap *m = idmap_new();

	assert_null(idmap_get(m, 7));
	assert_null(idmap_del(m, 7));
	assert_int_equal(idmap_count(m), 0);
	for (uint64_t i = 0; i < MANY; i++)
		idmap_put(m, i << 32 | i, &values[i]);
	assert_int_equal(idmap_count(m), MANY);
	for (uint64_t i = 0; i < MANY; i++)
		assert_ptr_equal(idmap_get(m, i << 32 | i), &values[i]);
	assert_null(idmap_get(m, MANY));
	for (uint64_t i = 0; i < MANY; i += 2)
		assert_ptr_equal(idmap_del(m, i << 32 | i), &values[i]);
	assert_null(idmap_get(m, 0));
	assert_null(idmap_del(m, 0));
	assert_ptr_equal(idmap_get(m, 1ULL << 32 | 1), &values[1]);
	assert_int_equal(idmap_count(m), MANY / 2);
	idmap_put(m, UINT64_MAX, &values[0]);
	assert_ptr_equal(idmap_get(m, UINT64_MAX), &values[0]);
	idmap_free(m);
	idmap_free(NULL);
}

struct sum {
	struct idmap *ids;
	struct strmap *strs;
	int calls;
};

static void delete_own_id(void *value, void *arg)
{
	struct sum *s = arg;

	s->calls++;
	assert_ptr_equal(idmap_del(s->ids, (uint64_t)((int *)value - values)), value);
}

static void each_id_may_go(void **state)
{
	struct sum s = {.ids = idmap_new()};

	idmap_each(s.ids, delete_own_id, &s);
	assert_int_equal(s.calls, 0);
	for (uint64_t i = 0; i < 100; i++)
		idmap_put(s.ids, i, &values[i]);
	idmap_each(s.ids, delete_own_id, &s);
	assert_int_equal(s.calls, 100);
	assert_int_equal(idmap_count(s.ids), 0);
	idmap_free(s.ids);
}

/* Keys of every length up to several words of the hash, neighbours differing in one byte. */
static void make_key(char out[64], int i)
{
	snprintf(out, 64, "%.*s%d", i % 40, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", i);
}

static void texts_come_and_go(void **state)
{
	struct strmap *m = strmap_new();
	char key[64];

	assert_null(strmap_get(m, ""));
	assert_null(strmap_del(m, "x"));
	for (int i = 0; i < MANY; i++) {
		make_key(key, i);
		strmap_put(m, key, &values[i]);
	}
	assert_int_equal(strmap_count(m), MANY);
	for (int i = 0; i < MANY; i++) {
		make_key(key, i);
		assert_ptr_equal(strmap_get(m, key), &values[i]);
		if (i % 2)
			assert_ptr_equal(strmap_del(m, key), &values[i]);
	}
	assert_int_equal(strmap_count(m), MANY / 2);
	assert_null(strmap_get(m, "a1"));
	strmap_put(m, "", &values[9]);
	assert_ptr_equal(strmap_get(m, ""), &values[9]);
	strmap_free(m);
	strmap_free(NULL);
}

static void text_put_replaces(void **state)
{
	struct strmap *m = strmap_new();
	char key[] = "http://test.pgrok.me";

	strmap_put(m, key, &values[1]);
	strmap_put(m, key, &values[2]);
	assert_int_equal(strmap_count(m), 1);
	key[7] = 'T'; /* the map has its own copy */
	assert_ptr_equal(strmap_get(m, "http://test.pgrok.me"), &values[2]);
	assert_null(strmap_get(m, key));
	strmap_free(m);
}

static void delete_own_text(const char *key, void *value, void *arg)
{
	struct sum *s = arg;
	char expect[64];

	make_key(expect, (int)((int *)value - values));
	assert_string_equal(key, expect);
	s->calls++;
	assert_ptr_equal(strmap_del(s->strs, key), value);
}

static void each_text_may_go(void **state)
{
	struct sum s = {.strs = strmap_new()};
	char key[64];

	for (int i = 0; i < 100; i++) {
		make_key(key, i);
		strmap_put(s.strs, key, &values[i]);
	}
	strmap_each(s.strs, delete_own_text, &s);
	assert_int_equal(s.calls, 100);
	assert_int_equal(strmap_count(s.strs), 0);
	strmap_free(s.strs);
}

static uint64_t drawn[4][MANY];

static void *draw_ids(void *out)
{
	uint64_t *ids = out;

	for (int i = 0; i < MANY; i++)
		ids[i] = id_next();
	return NULL;
}

static void ids_are_unique_across_threads(void **state)
{
	pthread_t threads[4];
	struct idmap *seen = idmap_new();

	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, draw_ids, drawn[t]), 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	for (int t = 0; t < 4; t++) {
		for (int i = 0; i < MANY; i++) {
			assert_int_not_equal(drawn[t][i], 0);
			assert_null(idmap_get(seen, drawn[t][i]));
			idmap_put(seen, drawn[t][i], &values[i]);
		}
	}
	idmap_free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_come_and_go),
		cmocka_unit_test(each_id_may_go),
		cmocka_unit_test(texts_come_and_go),
		cmocka_unit_test(text_put_replaces),
		cmocka_unit_test(each_text_may_go),
		cmocka_unit_test(ids_are_unique_across_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
