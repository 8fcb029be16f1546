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
	struct route *r = route_new(p, xstrdup(url), "");

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
	struct route *both[2] = {a, b}, *mixed[2] = {d, c}, *taken;

	assert_int_equal(owner(reg, "http://a.x"), 0);
	assert_true(registry_claim(reg, both, 2, &taken));
	assert_null(taken);
	assert_int_equal(owner(reg, "http://a.x"), 1);
	assert_int_equal(owner(reg, "https://a.x"), 2);

	/* All or none: d was free. */
	assert_false(registry_claim(reg, mixed, 2, &taken));
	assert_ptr_equal(taken, a);
	route_unref(taken);
	assert_int_equal(owner(reg, "http://d.x"), 0);

	/* Only the owner's own entry goes. */
	registry_unregister(reg, "http://a.x", 3);
	assert_int_equal(owner(reg, "http://a.x"), 1);
	registry_unregister(reg, "http://a.x", 1);
	assert_int_equal(owner(reg, "http://a.x"), 0);
	assert_true(registry_claim(reg, mixed, 2, &taken));
	registry_unregister(reg, "http://a.x", 1);
	assert_int_equal(owner(reg, "http://a.x"), 3);

	route_unref(a);
	route_unref(b);
	route_unref(c);
	route_unref(d);
	registry_free(reg); /* with the rest still in it */
}

/* A head of one request to check rules with. */
static int judged(const struct route *r, const char *request)
{
	struct http_head h = {0};

	assert_int_equal(http_request_scan(&h, request, strlen(request)), HTTP_OK);
	return route_allows(r, &h, request);
}

static const struct {
	const char *text;
	int status;
} authorizations[] = {
	{"Basic dXNlcjpwYXNz", 0},
	{"basic dXNlcjpwYXNz", 0},
	{"BASIC   dXNlcjpwYXNz  ", 0},
	{"Basic dXNlcjpwYXNzZA==", 401},
	{"Basic dXNlcjpwYXN", 401},
	{"Basic dxNlcjpwYXNz", 401},
	{"Basic dXNlcjpwYXNz x", 401},
	{"BasicdXNlcjpwYXNz", 401},
	{"Basi dXNlcjpwYXNz", 401},
	{"Basics dXNlcjpwYXNz", 401},
	{"dXNlcjpwYXNz", 401},
	{"Basic", 401},
	{"", 401},
};

static void rules(void **state)
{
	struct route *open = make("http://a.x:80", 1);
	struct route *closed = route_new(PROTO_HTTP, xstrdup("http://a.x"), "user:pass");

	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost: A.X:99\r\n\r\n"), 0);
	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost: b.x\r\n\r\n"), 421);
	assert_int_equal(judged(open, "GET / HTTP/1.1\r\nHost:\r\n\r\n"), 421);
	assert_string_equal(closed->auth, "dXNlcjpwYXNz");
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n\r\n"), 401);
	assert_int_equal(judged(closed, "GET / HTTP/1.1\r\nHost: a.x\r\n"
					"Authorization: Basic dXNlcjpwYXNz\r\n\r\n"),
			 0);
	for (size_t i = 0; i < sizeof(authorizations) / sizeof(authorizations[0]); i++) {
		char head[200];

		snprintf(head, sizeof(head),
			 "GET / HTTP/1.1\r\nHost: a.x\r\nAuthorization: %s\r\n\r\n",
			 authorizations[i].text);
		assert_int_equal(judged(closed, head), authorizations[i].status);
	}
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

static void tokens(void **state)
{
	struct token a = token_of("secret"), b = token_of("secret"), c = token_of("Secret");
	struct token none = token_of("");

	assert_true(token_same(&a, &b));
	assert_false(token_same(&a, &c));
	assert_false(token_same(&none, &none)); /* no token is nobody's */
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
		struct route *r = make("http://one.x", me->id), *taken;

		registry_enter(me->reg, "client");
		if (registry_claim(me->reg, &r, 1, &taken)) {
			me->won++;
			if (owner(me->reg, "http://one.x") != me->id)
				abort();
		} else if (taken->tunnel_id == me->id) {
			abort();
		}
		registry_unregister(me->reg, "http://one.x", me->id);
		registry_leave(me->reg, "client");
		route_unref(taken);
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
		cmocka_unit_test(rules),
		cmocka_unit_test(tokens),
		cmocka_unit_test(homes),
		cmocka_unit_test(affinity),
		cmocka_unit_test(affinity_is_bounded),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
