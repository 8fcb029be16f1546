/* Files of lines: each is its own, with its own bound and name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/logfile.h"

static char dir[64], path[2][96];

static int setup(void **state)
{
	strcpy(dir, "/tmp/pgrok-logfile-test.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%c.log", dir, 'a' + i);
	return 0;
}

static int teardown(void **state)
{
	char name[256];

	for (int i = 0; i < 2; i++) {
		unlink(path[i]);
		for (int k = 1; k < 9; k++) {
			snprintf(name, sizeof(name), "%s.%d", path[i], k);
			unlink(name);
		}
	}
	return rmdir(dir);
}

static const char *slurp(const char *name)
{
	static char text[8192];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void say(struct logfile *f, const char *text)
{
	assert_true(logfile_write(f, text, strlen(text)));
}

static void must_open(struct logfile *f, const char *name, enum logfile_begin begin)
{
	struct err err;

	assert_true(logfile_open(f, name, begin, &err));
}

static void two_at_once(void **state)
{
	struct logfile a = LOGFILE_INIT, b = LOGFILE_INIT;
	char kept[256];
	struct err err;

	must_open(&a, path[0], LOGFILE_FRESH);
	must_open(&b, path[1], LOGFILE_FRESH);
	logfile_set_max(&b, 4);
	say(&a, "one\n");
	say(&b, "longer than four\n");
	say(&a, "two\n");
	say(&b, "new\n");
	assert_string_equal(slurp(path[0]), "one\ntwo\n");
	assert_string_equal(slurp(path[1]), "new\n");
	snprintf(kept, sizeof(kept), "%s.1", path[1]);
	assert_string_equal(slurp(kept), "longer than four\n");
	logfile_close(&a);
	assert_false(logfile_write(&a, "lost\n", 5));
	assert_true(logfile_reopen(&a, &err)); /* there is nothing to open */
	say(&b, "b\n");
	assert_string_equal(slurp(path[1]), "");
	assert_string_equal(slurp(kept), "new\nb\n");
	logfile_close(&b);
	logfile_close(&b);
}

/* What is there goes on, and counts. */
static void appended_to(void **state)
{
	struct logfile a = LOGFILE_INIT;
	char kept[256];

	must_open(&a, path[0], LOGFILE_APPEND);
	say(&a, "one\n");
	logfile_close(&a);
	must_open(&a, path[0], LOGFILE_APPEND);
	logfile_set_max(&a, 6);
	assert_string_equal(slurp(path[0]), "one\n");
	say(&a, "two\n");
	say(&a, "three\n");
	snprintf(kept, sizeof(kept), "%s.1", path[0]);
	assert_string_equal(slurp(kept), "one\ntwo\n");
	assert_string_equal(slurp(path[0]), "three\n");
	logfile_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(appended_to, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
