/* Unit tests of common/base/file and common/base/err. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/file.h"

static char dir[] = "/tmp/pgrok-file-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

static size_t count_files(void)
{
	DIR *d = opendir(".");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void test_round_trip(void **state)
{
	static const char bytes[] = "one\0two\nthree";
	struct err err = {""};
	struct stat st;
	size_t len;
	char *text;

	umask(077);
	assert_true(file_write("f", bytes, sizeof(bytes) - 1, 0644));
	assert_int_equal(stat("f", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644); /* whatever the umask is */
	text = file_read("f", sizeof(bytes) - 1, &len, &err);
	assert_non_null(text);
	assert_int_equal(len, sizeof(bytes) - 1);
	assert_memory_equal(text, bytes, sizeof(bytes)); /* with a NUL behind */
	assert_string_equal(err.text, "");
	free(text);
	assert_true(file_write("f", "", 0, 0600));
	text = file_read("f", 10, &len, &err);
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
	free(text);
	assert_int_equal(count_files(), 1);
	assert_int_equal(unlink("f"), 0);
}

static void test_large(void **state)
{
	size_t size = 3u << 20, len;
	char *data = malloc(size), *back;
	struct err err = {""};

	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 7 >> 5);
	assert_true(file_write("big", data, size, 0600));
	back = file_read("big", size, &len, &err);
	assert_int_equal(len, size);
	assert_memory_equal(back, data, size);
	free(back);
	assert_null(file_read("big", size - (1u << 20), &len, &err));
	assert_int_equal(errno, EFBIG);
	assert_string_equal(err.text, "read big: larger than 2 MiB");
	assert_null(file_read("big", 1000, &len, &err));
	assert_string_equal(err.text, "read big: larger than 1000 bytes");
	free(data);
	unlink("big");
}

static void test_cannot_read(void **state)
{
	struct err err = {""};
	size_t len;

	assert_null(file_read("absent", 10, &len, &err));
	assert_int_equal(errno, ENOENT);
	assert_string_equal(err.text, "open absent: no such file or directory");
	assert_null(file_read(".", 10, &len, &err));
	assert_int_equal(errno, EISDIR);
	assert_string_equal(err.text, "read .: is a directory");
}

/* What is there stays, and nothing half-written is left. */
static void test_cannot_write(void **state)
{
	assert_false(file_write("no/such/folder", "x", 1, 0600));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_false(file_write("folder", "x", 1, 0600));
	assert_int_equal(errno, EISDIR);
	assert_int_equal(count_files(), 1);
	assert_int_equal(rmdir("folder"), 0);
}

static void test_link_is_replaced(void **state)
{
	struct err err = {""};
	struct stat st;
	size_t len;
	char *text;

	assert_true(file_write("target", "mine", 4, 0600));
	assert_int_equal(symlink("target", "link"), 0);
	assert_true(file_write("link", "other", 5, 0600));
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISREG(st.st_mode));
	text = file_read("target", 10, &len, &err);
	assert_string_equal(text, "mine");
	free(text);
	unlink("link");
	unlink("target");
}

static void test_err(void **state)
{
	struct err e;
	char longer[2 * ERR_TEXT];

	assert_false(err_set(&e, "%s: %d", "seven", 7));
	assert_string_equal(e.text, "seven: 7");
	assert_false(err_set(&e, "file:3: %s", e.text));
	assert_string_equal(e.text, "file:3: seven: 7");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_false(err_set(&e, "%s", longer));
	assert_int_equal(strlen(e.text), ERR_TEXT - 1);
	assert_false(err_set(&e, "more: %s", e.text));
	assert_int_equal(strlen(e.text), ERR_TEXT - 1);
	assert_memory_equal(e.text, "more: xx", 8);
}

static void test_errno(void **state)
{
	char buf[ERRNO_TEXT];

	assert_string_equal(errno_text(ECONNREFUSED, buf), "connection refused");
	assert_string_equal(errno_text(EADDRINUSE, buf), "address already in use");
	assert_string_equal(errno_text(ENOENT, buf), "no such file or directory");
	assert_string_equal(errno_text(ERFKILL, buf), "operation not possible due to RF-kill");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_cannot_read),
		cmocka_unit_test(test_cannot_write),
		cmocka_unit_test(test_link_is_replaced),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_errno),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
