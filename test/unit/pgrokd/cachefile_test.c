/* The cache file: read and written, private, never through a link. */
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

#include "pgrokd/names/cachefile.h"

static char dir[64], file[96], tmp[96], aside[96], other[96];

/* A server begins with load(). */
static struct savefile now;

static int make_dir(void **state)
{
	umask(0); /* the mode is the file's own business */
	snprintf(dir, sizeof(dir), "/tmp/cachefile_test.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/names", dir);
	snprintf(tmp, sizeof(tmp), "%s/names.tmp", dir);
	snprintf(aside, sizeof(aside), "%s/names.gob", dir);
	snprintf(other, sizeof(other), "%s/other", dir);
	return 0;
}

static int remove_dir(void **state)
{
	const char *const all[] = {file, tmp, aside, other};

	savefile_free(&now);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		unlink(all[i]);
	return rmdir(dir);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void assert_file(const char *path, const char *text)
{
	char got[1024] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, text);
}

static void assert_mode(const char *path, mode_t mode)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, mode);
}

static void load(struct registry *r)
{
	savefile_free(&now);
	now = savefile_of("REGISTRY_CACHE_FILE", file);
	cachefile_load(&now, r);
}

static void save(struct registry *r)
{
	if (!now.path)
		now = savefile_of("REGISTRY_CACHE_FILE", file);
	savefile_hurry(&now);
	cachefile_save(&now, r);
}

static void remember(struct registry *r, const char *who, const char *name)
{
	struct token none = token_of("");
	struct addr peer = {0};
	struct affinity_keys k;

	affinity_keys(&k, AFFINITY_NAME, who, &none, &peer, "");
	registry_remember(r, &k, name);
}

/* What `who` had, "" if nothing is known. */
static const char *recall(struct registry *r, const char *who)
{
	static char value[AFFINITY_VALUE];
	struct token none = token_of("");
	struct addr peer = {0};
	struct affinity_keys k;

	affinity_keys(&k, AFFINITY_NAME, who, &none, &peer, "");
	return registry_recall(r, &k, value) ? value : "";
}

static void test_round_trip(void **state)
{
	struct registry *a = registry_new(1), *b = registry_new(1);

	load(a); /* none there yet: fine */
	remember(a, "one", "abc");
	remember(a, "two", "def");
	save(a);
	assert_mode(file, 0600);
	assert_int_equal(access(tmp, F_OK), -1);
	load(b);
	assert_string_equal(recall(b, "one"), "abc");
	assert_string_equal(recall(b, "two"), "def");
	assert_string_equal(recall(b, "three"), "");
	/* Nothing is new: not written again. */
	assert_int_equal(unlink(file), 0);
	save(a);
	assert_int_equal(access(file, F_OK), -1);
	registry_free(a);
	registry_free(b);
}

/* Whatever stood at FILE, what comes out is 0600; a FILE.tmp is not ours to touch. */
static void test_mode(void **state)
{
	struct registry *r = registry_new(1);

	put(file, "{\"version\":1,\"entries\":[]}");
	put(tmp, "left over");
	assert_mode(tmp, 0666);
	remember(r, "one", "abc");
	save(r);
	assert_mode(file, 0600);
	assert_file(tmp, "left over");
	registry_free(r);
	unlink(file);
	unlink(tmp);
}

/* Who may write the folder must not get another file of ours overwritten. */
static void test_link(void **state)
{
	struct registry *r = registry_new(1);

	put(other, "precious");
	assert_int_equal(symlink(other, tmp), 0);
	remember(r, "one", "abc");
	save(r);
	assert_file(other, "precious");
	assert_mode(other, 0666);
	assert_mode(file, 0600);
	/* Neither through a dangling one. */
	unlink(other);
	unlink(tmp);
	assert_int_equal(symlink(other, tmp), 0);
	remember(r, "one", "def");
	save(r);
	assert_int_equal(access(other, F_OK), -1);
	registry_free(r);
	unlink(file);
	unlink(tmp);
}

static const char gob[] = "\x1d\xff\x81\x02\x01\x01\x0a[]cacheItem\x01\xff\x82";

static void test_old_format(void **state)
{
	struct registry *r = registry_new(1);

	put(file, gob);
	load(r);
	assert_file(aside, gob);
	assert_int_equal(access(file, F_OK), -1);
	remember(r, "one", "abc");
	save(r);
	assert_int_equal(access(file, F_OK), 0);
	registry_free(r);
	unlink(file);
}

/* Another program's file stays where and what it is. */
static void test_not_ours(void **state)
{
	static const char *const others[] = {
		"#!/bin/sh\n",
		"\x7f"
		"ELF",
		"{\"entries\":7}",
		"[1,2]",
		"null",
		"\x0c\xff\x81 no gob",
		"\x1d\xff",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct registry *r = registry_new(1);

		unlink(aside);
		put(file, others[i]);
		load(r);
		remember(r, "one", "abc");
		save(r);
		assert_file(file, others[i]);
		assert_int_equal(access(aside, F_OK), -1);
		registry_free(r);
	}
	unlink(file);
}

/* What could not be written is written the next time, though nothing new came. */
static void test_after_a_failure(void **state)
{
	struct registry *r = registry_new(1);

	load(r);
	remember(r, "one", "abc");
	assert_int_equal(mkdir(file, 0700), 0); /* no file can take its place */
	save(r);
	save(r);
	assert_int_equal(rmdir(file), 0);
	save(r);
	assert_mode(file, 0600);
	registry_free(r);
	unlink(file);
}

/* What can't be used is passed over, the rest is read. */
static void test_bad_entries(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"{}",
		"[]",
		"{\"entries\":7}",
		"{\"entries\":[[\"n1\"],[1,2],7,[\"n2\",null],{}]}",
	};
	struct registry *r = registry_new(1);
	size_t len;
	char text[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(file, bad[i]);
		load(r);
		assert_file(file, bad[i]); /* left alone */
	}
	snprintf(text, sizeof(text), "{\"entries\":[[\"%064d\",\"x\"],[\"n3\",\"y\"]]}", 0);
	put(file, text);
	load(r);
	remember(r, "one", "abc");
	char *dump = registry_changes(r, &len);

	assert_non_null(dump);
	assert_memory_equal(dump, "n3\0y\0n", 6); /* then the one just remembered */
	free(dump);
	registry_free(r);
	unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_mode),
		cmocka_unit_test(test_link),        cmocka_unit_test(test_old_format),
		cmocka_unit_test(test_not_ours),    cmocka_unit_test(test_after_a_failure),
		cmocka_unit_test(test_bad_entries),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
