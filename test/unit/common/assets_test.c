/* The embedded files are those in assets/, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assets/assets.h"
#include "common/base/xalloc.h"

static size_t seen;
static char trouble[256];

static bool same_bytes(const char *path, const struct asset *a)
{
	char *bytes = xmalloc(a->len + 1);
	FILE *f = fopen(path, "rb");
	bool same = f && fread(bytes, 1, a->len + 1, f) == a->len &&
		    memcmp(bytes, a->bytes, a->len) == 0;

	if (f)
		fclose(f);
	free(bytes);
	return same && a->bytes[a->len] == 0;
}

/* What is in the folders but for words and pictures about them. Not 0: stop, there is trouble. */
static int check_file(const char *path, const struct stat *st, int type)
{
	const char *name = path + strlen("assets/"), *dot = strrchr(path, '.');
	const struct asset *a;

	if (type != FTW_F || !strchr(name, '/') || !dot || !strcmp(dot, ".md") ||
	    !strcmp(dot, ".png"))
		return 0;
	struct assets *set = strncmp(name, "admin/", 6) ? &inspect_assets : &admin_assets;

	a = asset_find(set, name);
	if (!a)
		snprintf(trouble, sizeof(trouble), "%s is not in its folder's .inc", name);
	else if (!same_bytes(path, a))
		snprintf(trouble, sizeof(trouble), "%s is not what was embedded", name);
	seen++;
	return *trouble != '\0';
}

/* A page may use files of another one's folder. */
static size_t own_files(struct assets *set, const char *folder)
{
	const struct asset *a;
	size_t n = 0;

	for (size_t i = 0; (a = asset_at(set, i)); i++)
		n += strncmp(a->path, folder, strlen(folder)) == 0;
	return n;
}

static void test_all_files(void **state)
{
	int rc = ftw("assets", check_file, 8);

	if (rc < 0)
		skip(); /* not run from the project's folder */
	assert_string_equal(trouble, "");
	assert_int_equal(
		own_files(&inspect_assets, "inspect/") + own_files(&admin_assets, "admin/"), seen);
}

static void test_find(void **state)
{
	const struct asset *a = asset_find(&inspect_assets, "inspect/index.html");

	assert_non_null(a);
	assert_ptr_equal(a, asset_find(&inspect_assets, "inspect/index.html"));
	assert_string_equal(a->mime, "text/html; charset=utf-8");
	assert_int_equal(strlen(a->etag), 18);
	assert_int_equal(a->etag[0], '"');
	assert_int_equal(a->etag[17], '"');
	assert_null(asset_find(&inspect_assets, "inspect/none.html"));
	assert_null(asset_find(&inspect_assets, ""));
	assert_null(asset_find(&inspect_assets, "inspect/"));
	assert_null(asset_find(&inspect_assets, "../Makefile"));
}

static void test_etags_differ(void **state)
{
	const struct asset *a, *b;

	for (size_t i = 0; (a = asset_at(&inspect_assets, i)); i++)
		for (size_t k = i + 1; (b = asset_at(&inspect_assets, k)); k++)
			assert_string_not_equal(a->etag, b->etag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_files),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_etags_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
