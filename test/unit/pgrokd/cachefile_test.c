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

	cachefile_load(file, a); /* none there yet: fine */
	remember(a, "one", "abc");
	remember(a, "two", "def");
	cachefile_save(file, a);
	assert_mode(file, 0600);
	assert_int_equal(access(tmp, F_OK), -1);
	cachefile_load(file, b);
	assert_string_equal(recall(b, "one"), "abc");
	assert_string_equal(recall(b, "two"), "def");
	assert_string_equal(recall(b, "three"), "");
	/* Nothing is new: not written again. */
	assert_int_equal(unlink(file), 0);
	cachefile_save(file, a);
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
	cachefile_save(file, r);
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
	cachefile_save(file, r);
	assert_file(other, "precious");
	assert_mode(other, 0666);
	assert_mode(file, 0600);
	/* Neither through a dangling one. */
	unlink(other);
	unlink(tmp);
	assert_int_equal(symlink(other, tmp), 0);
	remember(r, "one", "def");
	cachefile_save(file, r);
	assert_int_equal(access(other, F_OK), -1);
	registry_free(r);
	unlink(file);
	unlink(tmp);
}

static void test_old_format(void **state)
{
	struct registry *r = registry_new(1);

	put(file, "\x0c\xff\x81 gob");
	cachefile_load(file, r);
	assert_file(aside, "\x0c\xff\x81 gob");
	assert_int_equal(access(file, F_OK), -1);
	registry_free(r);
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
		cachefile_load(file, r);
		assert_file(file, bad[i]); /* left alone */
	}
	snprintf(text, sizeof(text), "{\"entries\":[[\"%064d\",\"x\"],[\"n3\",\"y\"]]}", 0);
	put(file, text);
	cachefile_load(file, r);
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
		cmocka_unit_test(test_bad_entries),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
