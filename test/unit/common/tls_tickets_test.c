/* The keys of session tickets change, and old ones open what they made for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/net/tls_tickets.h"

#define HOUR (3600ull * 1000)

static struct ticket_key key_at(struct tickets *t, uint64_t now)
{
	struct ticket_key k;

	assert_true(tickets_key(t, now, &k));
	return k;
}

static bool same(const struct ticket_key *a, const struct ticket_key *b)
{
	return memcmp(a->name, b->name, sizeof(a->name)) == 0 &&
	       memcmp(a->aes, b->aes, sizeof(a->aes)) == 0 &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

static void test_rotates(void **state)
{
	struct tickets *t = tickets_new();
	uint64_t start = 12345;
	struct ticket_key first = key_at(t, start), later = key_at(t, start + 6 * HOUR - 1);

	assert_true(same(&first, &later));
	later = key_at(t, start + 6 * HOUR);
	assert_false(same(&first, &later));
	assert_memory_not_equal(first.name, later.name, sizeof(first.name));
	assert_memory_not_equal(first.aes, later.aes, sizeof(first.aes));
	assert_memory_not_equal(first.mac, later.mac, sizeof(first.mac));
	tickets_free(t);
}

static void test_old_ones_open(void **state)
{
	struct tickets *t = tickets_new();
	struct ticket_key first = key_at(t, 0), got;
	bool renew = true;

	assert_true(tickets_find(t, HOUR, first.name, &got, &renew));
	assert_true(same(&first, &got));
	assert_false(renew);
	for (uint64_t h = 6; h < 18; h += 6) {
		struct ticket_key next = key_at(t, h * HOUR);

		assert_true(tickets_find(t, (h + 5) * HOUR, first.name, &got, &renew));
		assert_true(same(&first, &got));
		assert_true(renew);
		assert_true(tickets_find(t, (h + 5) * HOUR, next.name, &got, &renew));
		assert_false(renew);
	}
	/* Whether others have come meanwhile or not. */
	assert_false(tickets_find(t, 18 * HOUR, first.name, &got, &renew));
	(void)key_at(t, 18 * HOUR);
	assert_false(tickets_find(t, 18 * HOUR, first.name, &got, &renew));
	first.name[0] ^= 1;
	assert_false(tickets_find(t, HOUR, first.name, &got, &renew));
	tickets_free(t);
	tickets_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rotates),
		cmocka_unit_test(test_old_ones_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
