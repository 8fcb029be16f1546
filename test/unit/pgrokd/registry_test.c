/* Tests of the registry, its affinity, and of route keys. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/loop.h"
#include "pgrokd/names/registry.h"

/* ---- keys ---- */

static void keys(void **state)
{
	static const struct {
		enum proto p;
		const char *host, *key;
	} good[] = {
		{PROTO_HTTP, "test.pgrok.me", "http://test.pgrok.me"},
		{PROTO_HTTP, "TEST.Pgrok.ME", "http://test.pgrok.me"},
		{PROTO_HTTP, "test.pgrok.me:8000", "http://test.pgrok.me"},
		{PROTO_HTTP, "test.pgrok.me:", "http://test.pgrok.me"},
		{PROTO_HTTP, "test.pgrok.me.", "http://test.pgrok.me"},
		{PROTO_HTTPS, "test.pgrok.me.:443", "https://test.pgrok.me"},
		{PROTO_HTTP, "127.0.0.1:80", "http://127.0.0.1"},
		{PROTO_HTTP, "[::1]:80", "http://[::1]"},
		{PROTO_HTTP, "[::1]", "http://[::1]"},
	};
	static const char *const bad[] = {
		"",        ".",    ":",    ":80",    "a b",       "a\tb", "a:8x",
		"a:80:90", "a:-1", "[::1", "[::1]x", "b\xc3\xa9", "\x7f", "a\r\nb",
	};
	char key[ROUTE_KEY_MAX], longest[LIMIT_NAME + 2];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(route_key(good[i].p, good[i].host, strlen(good[i].host), key));
		assert_string_equal(key, good[i].key);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(route_key(PROTO_HTTP, bad[i], strlen(bad[i]), key));
	memset(longest, 'a', sizeof(longest));
	assert_true(route_key(PROTO_HTTPS, longest, LIMIT_NAME, key));
	assert_false(route_key(PROTO_HTTPS, longest, LIMIT_NAME + 1, key));
}

/* ---- routes ---- */

static struct route *make(const char *url, uint64_t tunnel)
{
	enum proto p = strncmp(url, "https", 5) == 0 ? PROTO_HTTPS : PROTO_HTTP;
	struct route *r = route_new(p, xstrdup(url), NULL);

	assert_non_null(r);
	r->tunnel_id = tunnel;
	return r;
}

static uint64_t owner(struct registry *reg, const char *key)
{
	struct route *r = registry_find(reg, key);
	uint64_t id = r ? r->tunnel_id : 0;

	route_unref(r);
	return id;
}

static void claims(void **state)
{
	struct registry *reg = registry_new(2);
	struct route *a = make("http://a.x:80", 1), *b = make("https://a.x:81", 2);
	struct route *c = make("http://A.x.", 3), *d = make("http://d.x", 4);
	struct route *both[2] = {a, b}, *mixed[2] = {d, c};
	struct obstacle why;

	assert_int_equal(owner(reg, "http://a.x"), 0);
	assert_true(registry_claim(reg, both, 2, &why));
	assert_int_equal(owner(reg, "http://a.x"), 1);
	assert_int_equal(owner(reg, "https://a.x"), 2);

	/* All or none: d was free. */
	assert_false(registry_claim(reg, mixed, 2, &why));
	assert_ptr_equal(why.taken, a);
	route_unref(why.taken);
	assert_int_equal(owner(reg, "http://d.x"), 0);

	/* Only the owner's own entry goes. */
	registry_unregister(reg, c, false);
	assert_int_equal(owner(reg, "http://a.x"), 1);
	registry_unregister(reg, a, false);
	assert_int_equal(owner(reg, "http://a.x"), 0);
	assert_true(registry_claim(reg, mixed, 2, &why));
	registry_unregister(reg, a, false);
	assert_int_equal(owner(reg, "http://a.x"), 3);

	route_unref(a);
	route_unref(b);
	route_unref(c);
	route_unref(d);
	registry_free(reg); /* with the rest still in it */
}

/* A route outlives its entry for whoever still looks at it. */
static void references(void **state)
{
	struct registry *reg = registry_new(1);
	struct route *r = make("http://a.x", 7), *again = make("http://a.x", 8);
	struct route *never = make("http://never.x", 7);
	struct obstacle why;

	assert_true(registry_claim(reg, &r, 1, &why));
	route_unref(r);
	struct route *held = registry_find(reg, "http://a.x");

	registry_unregister(reg, held, false);
	registry_unregister(reg, held, true); /* a second time does nothing */
	registry_unregister(reg, never, true);
	assert_null(registry_find(reg, "http://a.x"));
	assert_true(registry_claim(reg, &again, 1, &why));
	assert_int_equal(held->tunnel_id, 7);
	assert_string_equal(held->url, "http://a.x");
	/* A late end of the old tunnel does not take the new one's name. */
	registry_unregister(reg, held, false);
	assert_int_equal(owner(reg, "http://a.x"), 8);
	route_unref(held);
	route_unref(again);
	route_unref(never);
	registry_free(reg);
}

/* A head of one request to check rules with. */
static int judged(const struct route *r, const char *request)
{
	struct http_head h = {0};

	struct addr from = {.len = 0};
	struct visit v = {.from = &from, .tunnel = r->key, .head = &h, .bytes = request};

	assert_int_equal(http_request_scan(&h, request, strlen(request)), HTTP_OK);
	return route_allows(r, &v);
}

/* The host is compared first; the tunnel's rules are asked about its own visitors alone. */
static void visitors(void **state)
{
	struct route *open = make("http://a.x:80", 1);
	unsigned char owner[PASS_HASH] = {0};
	struct rules_conf conf = {.auth = "user:pass", .owner = owner};
	struct rules *rules;
	struct err err;

	assert_true(rules_make(&conf, &rules, &err));
	struct route *closed = route_new(PROTO_HTTP, xstrdup("http://a.x"), rules);

	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost: A.X:99\r\n\r\n"), 0);
	assert_int_equal(judged(open, "GET http://a.x/ HTTP/1.1\r\nHost: a.x\r\n\r\n"), 0);
	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost: b.x\r\n\r\n"), 421);
	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost:\r\n\r\n"), 421);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: b.x\r\n\r\n"), 421);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n\r\n"), 401);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n"
					"Authorization: Basic dXNlcjpwYXNz\r\n\r\n"),
			 0);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n"
					"Authorization: basic dXNlcjpwYXNz\r\n\r\n"),
			 0);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n"
					"Authorization: Basic dXNlcjpwYXNzZA==\r\n\r\n"),
			 401);
	/* an offer of h2c is only an offer */
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\nUpgrade: h2c\r\n"
					"Authorization: Basic dXNlcjpwYXNz\r\n\r\n"),
			 0);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\nUpgrade: h2c\r\n\r\n"),
			 401);
	assert_true(route_guarded(closed) && !route_guarded(open));
	route_unref(open);
	route_unref(closed);
}

/* ---- held names, ports ---- */

static struct owner owner_named(const char *id, const char *token)
{
	struct addr a;
	struct token t = token_of(token);

	assert_true(addr_numeric("10.0.0.1", 1, &a));
	return owner_of(id, &t, &a);
}

static bool claim(struct registry *reg, struct route *r, unsigned *held_s)
{
	struct obstacle why = {0};
	bool ok = registry_claim(reg, &r, 1, &why);

	*held_s = ok ? 0 : why.held_s;
	route_unref(why.taken);
	return ok;
}

/* After a cut the name is its owner's alone; what is given back is free. */
static void names_are_held(void **state)
{
	struct registry *reg = registry_new(1);
	struct route *mine = make("http://shop.x", 1), *back = make("http://SHOP.x:80", 2);
	struct route *theirs = make("http://shop.x.", 3), *friends = make("http://shop.x", 4);
	unsigned s, full = (unsigned)loop_scaled(LIMIT_NAME_HELD_MS) / 1000;

	mine->owner = back->owner = owner_named("me", "t");
	theirs->owner = owner_named("you", "");
	friends->owner = owner_named("friend", "t");
	assert_true(claim(reg, mine, &s));
	assert_false(claim(reg, theirs, &s));
	assert_int_equal(s, 0); /* taken, not held */
	registry_unregister(reg, mine, true);
	for (int i = 0; i < 1000; i++)
		assert_false(claim(reg, theirs, &s));
	assert_true(s >= full - 2 && s <= full);
	assert_true(claim(reg, back, &s));
	registry_unregister(reg, back, true);
	assert_true(claim(reg, friends, &s)); /* by token */
	registry_unregister(reg, friends, false);
	assert_true(claim(reg, theirs, &s));
	route_unref(mine);
	route_unref(back);
	route_unref(theirs);
	route_unref(friends);
	registry_free(reg);
}

static struct route *tcp(uint16_t port, uint64_t tunnel, const char *id)
{
	struct route *r = route_new_tcp(xstrdup("tcp://x:1"), port, NULL);

	r->tunnel_id = tunnel;
	r->owner = owner_named(id, "");
	return r;
}

static void ports_are_names(void **state)
{
	struct registry *reg = registry_new(1);
	struct route *a = tcp(7000, 1, "a"), *b = tcp(7001, 2, "b"), *other = tcp(7000, 3, "b");
	unsigned s;

	registry_set_ports(reg, 7000, 7001);
	assert_true(claim(reg, a, &s));
	assert_false(claim(reg, other, &s));
	for (int i = 0; i < 20; i++)
		assert_int_equal(registry_free_port(reg), 7001);
	assert_true(claim(reg, b, &s));
	assert_int_equal(registry_free_port(reg), 0);
	registry_unregister(reg, a, true);
	assert_int_equal(registry_free_port(reg), 0); /* held */
	assert_false(claim(reg, other, &s));
	assert_true(s > 0);
	assert_true(claim(reg, a, &s));
	registry_unregister(reg, a, false);
	assert_int_equal(registry_free_port(reg), 7000);
	registry_port_failed(reg, 7000);
	assert_int_equal(registry_free_port(reg), 0);
	assert_true(claim(reg, other, &s)); /* who asks for it may still try */
	route_unref(a);
	route_unref(b);
	route_unref(other);
	registry_free(reg);
}

/* ---- homes ---- */

static void homes(void **state)
{
	struct registry *reg = registry_new(3);

	assert_int_equal(registry_home(reg, "one"), -1);
	int one = registry_enter(reg, "one");

	assert_int_equal(registry_enter(reg, "one"), one);
	assert_int_equal(registry_home(reg, "one"), one);
	/* The next clients go to the other workers. */
	int two = registry_enter(reg, "two"), three = registry_enter(reg, "three");

	assert_true(one != two && two != three && one != three);
	/* Joined visitors weigh more than clients. */
	registry_joined(reg, one, 5);
	registry_joined(reg, two, 5);
	assert_int_equal(registry_enter(reg, "four"), three);
	registry_leave(reg, "one");
	assert_int_equal(registry_home(reg, "one"), one);
	registry_leave(reg, "one");
	assert_int_equal(registry_home(reg, "one"), -1);
	registry_leave(reg, "one"); /* of nobody: does nothing */
	/* Its worker is free again, and nobody is joined on the third. */
	registry_joined(reg, one, -5);
	assert_int_equal(registry_enter(reg, "five"), one);
	registry_free(reg);
}

/* ---- affinity ---- */

static struct addr address(const char *ip)
{
	struct addr a;

	assert_true(addr_numeric(ip, 1000, &a));
	return a;
}

static void affinity(void **state)
{
	struct registry *reg = registry_new(1);
	struct token none = token_of(""), mine = token_of("mine");
	struct addr here = address("10.0.0.1"), there = address("10.0.0.2");
	struct affinity_keys k;
	char value[AFFINITY_VALUE];
	size_t len;

	affinity_keys(&k, AFFINITY_NAME, "id", &mine, &here, "default");
	assert_int_equal(k.n, 2);
	assert_false(registry_recall(reg, &k, value));
	registry_remember(reg, &k, "abc");
	char *dump = registry_changes(reg, &len);

	assert_non_null(dump);
	free(dump);
	registry_remember(reg, &k, "abc"); /* nothing new: nothing to be saved */
	assert_null(registry_changes(reg, &len));

	affinity_keys(&k, AFFINITY_NAME, "id", &none, &there, "default");
	assert_true(registry_recall(reg, &k, value));
	affinity_keys(&k, AFFINITY_NAME, "other", &mine, &there, "default");
	assert_true(registry_recall(reg, &k, value));
	assert_string_equal(value, "abc");
	/* Never by address, and each tunnel its own. */
	affinity_keys(&k, AFFINITY_NAME, "other", &none, &here, "default");
	assert_false(registry_recall(reg, &k, value));
	affinity_keys(&k, AFFINITY_NAME, "id", &mine, &here, "second");
	assert_false(registry_recall(reg, &k, value));
	/* Ports: by address, too. */
	affinity_keys(&k, AFFINITY_PORT, "id", &none, &here, "default");
	assert_false(registry_recall(reg, &k, value));
	registry_remember(reg, &k, "5000");
	affinity_keys(&k, AFFINITY_PORT, "other", &none, &here, "default");
	assert_true(registry_recall(reg, &k, value));
	assert_string_equal(value, "5000");
	affinity_keys(&k, AFFINITY_PORT, "other", &none, &there, "default");
	assert_false(registry_recall(reg, &k, value));
	registry_free(reg);
}

static void affinity_is_bounded(void **state)
{
	struct affinity *a = affinity_new(10 * (AFFINITY_KEY + AFFINITY_VALUE));
	char key[AFFINITY_KEY], value[AFFINITY_VALUE];
	struct affinity_keys k = {.n = 1};

	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		affinity_load(a, key, "v");
		affinity_load(a, "k0", "v"); /* used again and again: never the oldest */
	}
	assert_int_equal(affinity_count(a), 10);
	snprintf(k.key[0], sizeof(k.key[0]), "k0");
	assert_true(affinity_get(a, &k, value));
	snprintf(k.key[0], sizeof(k.key[0]), "k10");
	assert_false(affinity_get(a, &k, value));
	snprintf(k.key[0], sizeof(k.key[0]), "k11");
	assert_true(affinity_get(a, &k, value));
	affinity_free(a);
}

/* One that asks for ever more names loses its own: others are not forgotten for it. */
static void one_can_not_flush_others(void **state)
{
	struct affinity *a = affinity_new(LIMIT_AFFINITY);
	struct token none = token_of("");
	struct addr here = address("10.0.0.1"), there = address("10.0.0.2");
	struct affinity_keys k, victim;
	char category[32], id[32], value[AFFINITY_VALUE];

	affinity_keys(&victim, AFFINITY_NAME, "victim", &none, &there, "x");
	assert_true(affinity_put(a, &victim, "shop"));
	for (int i = 0; i < 30000; i++) {
		snprintf(category, sizeof(category), "%d", i);
		affinity_keys(&k, AFFINITY_NAME, "one", &none, &here, category);
		affinity_put(a, &k, "v");
	}
	assert_int_equal(affinity_count(a), 1 + LIMIT_AFFINITY_CLIENT);
	for (int i = 0; i < 30000; i++) {
		snprintf(id, sizeof(id), "id%d", i);
		affinity_keys(&k, AFFINITY_NAME, id, &none, &here, "x");
		affinity_put(a, &k, "v");
	}
	assert_int_equal(affinity_count(a), 1 + LIMIT_AFFINITY_ADDRESS);
	assert_true(affinity_get(a, &k, value));
	assert_true(affinity_get(a, &victim, value));
	affinity_free(a);
}

/* What the next load left out, oldest first: of one client's keys the least sure. */
static void the_surest_key_stays_longest(void **state)
{
	struct affinity *a = affinity_new(AFFINITY_KEYS * (AFFINITY_KEY + AFFINITY_VALUE));
	struct token token = token_of("mine"), none = token_of("");
	struct addr here = address("10.0.0.1"), there = address("10.0.0.2");
	struct affinity_keys all, by_id, by_token, by_addr;
	char value[AFFINITY_VALUE];

	affinity_keys(&all, AFFINITY_PORT, "id", &token, &here, "x");
	affinity_keys(&by_id, AFFINITY_PORT, "id", &none, &there, "x");
	affinity_keys(&by_token, AFFINITY_PORT, "other", &token, &there, "x");
	affinity_keys(&by_addr, AFFINITY_PORT, "other", &none, &here, "x");
	assert_int_equal(all.n, AFFINITY_KEYS);
	assert_true(affinity_put(a, &all, "5000"));
	assert_true(affinity_get(a, &by_addr, value));
	affinity_load(a, "k1", "v");
	assert_false(affinity_get(a, &by_addr, value));
	assert_true(affinity_get(a, &by_token, value));
	affinity_load(a, "k2", "v");
	assert_false(affinity_get(a, &by_token, value));
	assert_true(affinity_get(a, &by_id, value));
	assert_string_equal(value, "5000");
	affinity_load(a, "k3", "v");
	assert_false(affinity_get(a, &by_id, value));
	affinity_free(a);
}

/* What was used last comes last, with its new value, and is read back in the same order. */
static void affinity_is_dumped_by_age(void **state)
{
	static const char expected[] = "b\0"
				       "2\0"
				       "a\0"
				       "3";
	struct affinity *a = affinity_new(10 * (AFFINITY_KEY + AFFINITY_VALUE));
	size_t len;

	affinity_load(a, "a", "1");
	affinity_load(a, "b", "2");
	affinity_load(a, "a", "3");
	char *dump = affinity_dump(a, &len);

	assert_int_equal(len, sizeof(expected));
	assert_memory_equal(dump, expected, len);
	free(dump);
	affinity_free(a);
}

/* ---- threads ---- */

struct racer {
	pthread_t thread;
	struct registry *reg;
	uint64_t id;
	int won;
};

/* Claims one name over and over; whoever has it may give it back, and nobody else. */
static void *race(void *arg)
{
	struct racer *me = arg;

	for (int i = 0; i < 2000; i++) {
		struct route *r = make("http://one.x", me->id);
		struct obstacle why = {0};

		registry_enter(me->reg, "client");
		if (registry_claim(me->reg, &r, 1, &why)) {
			me->won++;
			if (owner(me->reg, "http://one.x") != me->id)
				abort();
		} else if (why.taken->tunnel_id == me->id) {
			abort();
		}
		registry_unregister(me->reg, r, false);
		registry_leave(me->reg, "client");
		route_unref(why.taken);
		route_unref(r);
	}
	return NULL;
}

static void threads(void **state)
{
	struct registry *reg = registry_new(2);
	struct racer racers[2] = {{.reg = reg, .id = 1}, {.reg = reg, .id = 2}};

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	/* On a busy machine one of them may never find the name free. */
	assert_true(racers[0].won + racers[1].won > 0);
	assert_int_equal(owner(reg, "http://one.x"), 0);
	assert_int_equal(registry_home(reg, "client"), -1);
	registry_free(reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(claims),
		cmocka_unit_test(references),
		cmocka_unit_test(visitors),
		cmocka_unit_test(names_are_held),
		cmocka_unit_test(ports_are_names),
		cmocka_unit_test(homes),
		cmocka_unit_test(affinity),
		cmocka_unit_test(affinity_is_bounded),
		cmocka_unit_test(one_can_not_flush_others),
		cmocka_unit_test(the_surest_key_stays_longest),
		cmocka_unit_test(affinity_is_dumped_by_age),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
