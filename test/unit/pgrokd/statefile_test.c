/* names.json: what is in use and held, over a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/loop.h"
#include "pgrokd/names/statefile.h"

static char top[64], dir[96], file[128];

static int make_dir(void **state)
{
	snprintf(top, sizeof(top), "/tmp/statefile_test.XXXXXX");
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/state", top); /* the server makes it */
	snprintf(file, sizeof(file), "%s/names.json", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(file);
	rmdir(dir);
	return rmdir(top);
}

static struct owner owner(const char *id, const char *token)
{
	struct addr a;
	struct token t = token_of(token);

	assert_true(addr_numeric("10.0.0.1", 1, &a));
	return owner_of(id, &t, &a);
}

static struct route *make(const char *url, const char *id, const char *token)
{
	uint16_t port = strncmp(url, "tcp", 3) == 0 ? 7000 : 0;
	struct route *r = port ? route_new_tcp(xstrdup(url), port, NULL)
			       : route_new(PROTO_HTTP, xstrdup(url), NULL);

	assert_non_null(r);
	r->tunnel_id = 1;
	r->owner = owner(id, token);
	return r;
}

/* Is it this client's? Leaves everything as it was. */
static bool may_have(struct registry *reg, const char *url, const char *id, const char *token)
{
	struct route *r = make(url, id, token);
	struct obstacle why = {0};
	bool ok = registry_claim(reg, &r, 1, &why);

	if (ok)
		registry_unregister(reg, r, true);
	route_unref(why.taken);
	route_unref(r);
	return ok;
}

static void take(struct registry *reg, const char *url, const char *id, const char *token,
		 bool lost)
{
	struct route *r = make(url, id, token);
	struct obstacle why;

	assert_true(registry_claim(reg, &r, 1, &why));
	if (lost)
		registry_unregister(reg, r, true);
	route_unref(r);
}

static void save(struct registry *reg)
{
	struct savefile f = statefile_of(dir);

	statefile_save(&f, "pgrok.me", reg);
	savefile_free(&f);
}

static void load(struct registry *reg, const char *domain, bool ours)
{
	struct savefile f = statefile_of(dir);

	statefile_load(&f, domain, reg);
	assert_int_equal(f.foreign, !ours);
	savefile_free(&f);
}

static char *text(void)
{
	static char got[4096];
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	return got;
}

static void put(const char *content)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_restart(void **state)
{
	struct registry *a = registry_new(1), *b = registry_new(1);
	struct stat st;

	take(a, "http://shop.x", "secret-id", "", false);
	take(a, "http://blog.x", "other-id", "secret-token", true);
	take(a, "tcp://x:7000", "secret-id", "", false);
	save(a);
	registry_free(a);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_null(strstr(text(), "secret")); /* hashes only */

	load(b, "pgrok.me", true);
	assert_false(may_have(b, "http://shop.x", "stranger", ""));
	assert_false(may_have(b, "http://blog.x", "stranger", "token"));
	assert_false(may_have(b, "tcp://x:7000", "stranger", ""));
	assert_true(may_have(b, "http://free.x", "stranger", ""));
	registry_set_ports(b, 7000, 7000);
	assert_int_equal(registry_free_port(b), 0);
	assert_true(may_have(b, "http://shop.x", "secret-id", ""));
	assert_true(may_have(b, "http://blog.x", "new-id", "secret-token"));
	assert_true(may_have(b, "tcp://x:7000", "secret-id", ""));
	registry_free(b);
}

/* Restarts do not prolong: what is left is what was left. */
static void test_time_left(void **state)
{
	struct registry *a = registry_new(1);
	struct owner me = owner("me", "");
	struct obstacle why;
	struct route *r = make("http://shop.x", "you", "");

	registry_hold(a, "http://shop.x", &me, 60000);
	take(a, "http://changed.x", "me", "", false);
	save(a);
	registry_free(a);
	a = registry_new(1);
	load(a, "pgrok.me", true);
	assert_false(registry_claim(a, &r, 1, &why));
	if (loop_scaled(1000) == 1000)
		assert_true(why.held_s > 50 && why.held_s <= 60);
	registry_free(a);
	/* More than it can be is not believed. */
	put("{\"version\":1,\"domain\":\"pgrok.me\",\"names\":[[\"http://shop.x\","
	    "\"00112233445566778899aabbccddeeff\",\"\",999999999999]]}");
	a = registry_new(1);
	load(a, "pgrok.me", true);
	assert_false(registry_claim(a, &r, 1, &why));
	assert_true(why.held_s <= LIMIT_NAME_HELD_MS / 1000);
	registry_free(a);
	route_unref(r);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"{",
		"[]",
		"{\"domain\":\"pgrok.me\"}",
		"{\"names\":[]}",
		"{\"domain\":\"pgrok.me\",\"names\":7}",
		"{\"domain\":\"other.me\",\"names\":[]}",
		"key: value\n",
	};
	static const char entries[] =
		"{\"domain\":\"pgrok.me\",\"names\":[7,[],[1,2,3,4],[\"http://a.x\",\"\",\"\",1000],"
		"[\"http://b.x\",\"00112233445566778899aabbccddeeff\",\"xx\",1000],"
		"[\"http://c.x\",\"00112233445566778899aabbccddeeff\",\"\",-1],"
		"[\"http://d.x\",\"00112233445566778899aabbccddeeff\",\"\",1000]]}";
	struct registry *r = registry_new(1);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(bad[i]);
		load(r, "pgrok.me", false);
		assert_string_equal(text(), bad[i]);
	}
	put("");
	load(r, "pgrok.me", true);
	put(entries);
	load(r, "pgrok.me", true);
	assert_true(may_have(r, "http://a.x", "x", ""));
	assert_true(may_have(r, "http://b.x", "x", ""));
	assert_true(may_have(r, "http://c.x", "x", ""));
	assert_false(may_have(r, "http://d.x", "x", ""));
	registry_free(r);
}

/* A failed write is repeated, an unchanged state is not. */
static void test_again(void **state)
{
	struct registry *r = registry_new(1);
	struct savefile f = statefile_of(dir);

	unlink(file);
	take(r, "http://shop.x", "me", "", false);
	assert_int_equal(mkdir(file, 0700), 0);
	statefile_save(&f, "pgrok.me", r);
	assert_true(f.failing);
	assert_int_equal(rmdir(file), 0);
	statefile_save(&f, "pgrok.me", r); /* too soon */
	assert_int_equal(access(file, F_OK), -1);
	savefile_hurry(&f);
	statefile_save(&f, "pgrok.me", r);
	assert_non_null(strstr(text(), "http://shop.x"));
	assert_int_equal(unlink(file), 0);
	savefile_hurry(&f);
	statefile_save(&f, "pgrok.me", r);
	assert_int_equal(access(file, F_OK), -1);
	savefile_free(&f);
	registry_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_time_left),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_again),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
