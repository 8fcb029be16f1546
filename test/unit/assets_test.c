/* The embedded files are those in assets/, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assets/assets.h"
#include "common/xalloc.h"

static size_t seen;

/* What is in the folder but for sources and words about it. */
static int check_file(const char *path, const struct stat *st, int type)
{
	const char *name = path + strlen("assets/"), *dot = strrchr(name, '.');
	const struct asset *a;
	char *bytes;
	FILE *f;

	if (type != FTW_F || !dot || !strchr(name, '/') || strcmp(dot, ".md") == 0)
		return 0;
	a = asset_find(name);
	if (!a)
		fail_msg("%s is not in assets/list.inc", name);
	assert_int_equal(a->len, st->st_size);
	bytes = xmalloc(a->len + 1);
	f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fread(bytes, 1, a->len + 1, f), a->len);
	fclose(f);
	if (memcmp(bytes, a->bytes, a->len) != 0)
		fail_msg("%s is not what was embedded", name);
	free(bytes);
	assert_int_equal(a->bytes[a->len], 0);
	seen++;
	return 0;
}

static void test_all_files(void **state)
{
	size_t n = 0;

	if (ftw("assets", check_file, 8) != 0)
		skip(); /* not run from the project's folder */
	while (asset_at(n))
		n++;
	assert_int_equal(n, seen);
}

static void test_find(void **state)
{
	const struct asset *a = asset_find("inspect/index.html");

	assert_non_null(a);
	assert_ptr_equal(a, asset_find("inspect/index.html"));
	assert_string_equal(a->mime, "text/html; charset=utf-8");
	assert_int_equal(strlen(a->etag), 18);
	assert_int_equal(a->etag[0], '"');
	assert_int_equal(a->etag[17], '"');
	assert_null(asset_find("inspect/none.html"));
	assert_null(asset_find(""));
	assert_null(asset_find("inspect/"));
	assert_null(asset_find("../Makefile"));
}

static void test_etags_differ(void **state)
{
	const struct asset *a, *b;

	for (size_t i = 0; (a = asset_at(i)); i++)
		for (size_t k = i + 1; (b = asset_at(k)); k++)
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
