/* Names held for their owner: who may have them, how long, how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "pgrokd/names/held.h"

static struct owner owner(const char *id, const char *token, const char *ip)
{
	struct token t = token_of(token);
	struct addr a;

	assert_true(addr_numeric(ip, 1, &a));
	return owner_of(id, &t, &a);
}

static void test_owner(void **state)
{
	struct owner a = owner("a", "", "10.0.0.1"), a2 = owner("a", "t", "10.0.0.2");
	struct owner b = owner("b", "t", "10.0.0.1"), c = owner("c", "", "::ffff:10.0.0.1");

	assert_true(owner_same(&a, &a2)); /* the id */
	assert_true(owner_same(&a2, &b)); /* the token */
	assert_false(owner_same(&a, &b));
	assert_false(owner_same(&a, &c)); /* two without a token have none in common */
	/* An address is one in both its forms; a household of IPv6 is a /64; loopback is none. */
	assert_string_equal(owner_shares(&a).from, owner_shares(&c).from);
	assert_string_not_equal(owner_shares(&a).from, owner_shares(&a2).from);
	a = owner("a", "", "2001:db8:0:1::1");
	b = owner("a", "", "2001:db8:0:1:ffff::2");
	c = owner("a", "", "2001:db8:0:2::1");
	assert_string_equal(owner_shares(&a).from, owner_shares(&b).from);
	assert_string_not_equal(owner_shares(&a).from, owner_shares(&c).from);
	a = owner("a", "", "127.0.0.1");
	b = owner("a", "", "::1");
	assert_string_equal(owner_shares(&a).from, "");
	assert_string_equal(owner_shares(&b).from, "");
}

/* Asking again and again neither prolongs nor shortens. */
static void test_time(void **state)
{
	struct held *h = held_new(10, 10, 10);
	struct owner mine = owner("me", "", "10.0.0.1"), other = owner("you", "", "10.0.0.1");

	assert_int_equal(held_against(h, "shop", &other, 0), 0);
	held_add(h, "shop", &mine, 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(held_against(h, "shop", &other, 100), 900);
	assert_int_equal(held_against(h, "shop", &mine, 100), 0);
	assert_int_equal(held_against(h, "blog", &other, 100), 0);
	assert_int_equal(held_against(h, "shop", &other, 999), 1);
	assert_int_equal(held_against(h, "shop", &other, 1000), 0);
	assert_int_equal(held_against(h, "shop", &other, 1500), 0); /* not swept yet */
	held_sweep(h, 999);
	assert_int_equal(held_count(h), 1);
	held_sweep(h, 1000);
	assert_int_equal(held_count(h), 0);
	/* In use again. */
	held_add(h, "shop", &mine, 2000);
	held_drop(h, "shop");
	held_drop(h, "shop");
	assert_int_equal(held_against(h, "shop", &other, 1000), 0);
	held_free(h);
}

static char gone[128];

static void note(void *arg, const char *key)
{
	size_t len = strlen(gone);

	assert_ptr_equal(arg, gone);
	snprintf(gone + len, sizeof(gone) - len, "%s ", key);
}

static void test_order(void **state)
{
	struct held *h = held_new(10, 10, 10);
	struct owner mine = owner("me", "", "10.0.0.1");

	gone[0] = '\0';
	held_on_gone(h, note, gone);
	held_add(h, "third", &mine, 30);
	held_add(h, "first", &mine, 10);
	held_add(h, "second", &mine, 20);
	held_add(h, "fourth", &mine, 30);
	held_sweep(h, 20);
	assert_string_equal(gone, "first second ");
	/* Held again: what was before is gone first. */
	held_add(h, "third", &mine, 50);
	assert_string_equal(gone, "first second third ");
	held_sweep(h, 49);
	assert_string_equal(gone, "first second third fourth ");
	held_free(h);
	assert_string_equal(gone, "first second third fourth ");
}

static int count_held(struct held *h, const char *prefix, int n, const struct owner *other)
{
	char key[32];
	int sum = 0;

	for (int i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "%s%d", prefix, i);
		sum += held_against(h, key, other, 0) > 0;
	}
	return sum;
}

/* Who has too many loses his own oldest, never another's. */
static void test_bounds(void **state)
{
	struct held *h = held_new(20, 4, 8);
	struct owner victim = owner("v", "", "10.0.0.1"), other = owner("x", "", "10.9.9.9");
	char key[32], id[32];

	held_add(h, "v0", &victim, 1000);
	for (int i = 0; i < 10; i++) {
		struct owner one = owner("one", "", "10.0.0.2");

		snprintf(key, sizeof(key), "c%d", i);
		held_add(h, key, &one, 1000);
	}
	assert_int_equal(count_held(h, "c", 10, &other), 4);
	assert_int_equal(held_against(h, "c9", &other, 0), 1000);
	/* With a new id each time it is the address. */
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "id%d", i);
		struct owner many = owner(id, "", "10.0.0.2");

		snprintf(key, sizeof(key), "a%d", i);
		held_add(h, key, &many, 1000);
	}
	assert_int_equal(count_held(h, "a", 100, &other), 8);
	assert_int_equal(count_held(h, "c", 10, &other), 0);
	assert_int_equal(count_held(h, "v", 1, &other), 1);
	/* In all it is bounded, too. */
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "10.1.0.%d", i);
		struct owner far = owner(id, "", id);

		snprintf(key, sizeof(key), "f%d", i);
		held_add(h, key, &far, 1000);
		assert_true(held_count(h) <= 20);
	}
	held_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
