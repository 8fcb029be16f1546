/* What the process may use, when it is short, and that what was freed goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/memory.h"

#define MB (1u << 20)
#define BLOCKS 16384
#define BLOCK 1000

static uint64_t resident(void)
{
	unsigned long size, pages;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make(const char *dir, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

/* The least one of a group and those above it; none is none. */
static void test_cgroup(void **state)
{
	char dir[] = "/tmp/pgrok-memory-XXXXXX", self[64], cmd[80];

	assert_non_null(mkdtemp(dir));
	snprintf(self, sizeof(self), "%s/self", dir);
	make(dir, "a");
	make(dir, "a/b");
	put(dir, "self", "0::/a/b\n");
	assert_true(memory_of_cgroup(self, dir) == UINT64_MAX);
	put(dir, "a/b/memory.max", "max\n");
	assert_true(memory_of_cgroup(self, dir) == UINT64_MAX);
	put(dir, "a/memory.max", "123456789\n");
	assert_int_equal(memory_of_cgroup(self, dir), 123456789);
	put(dir, "a/b/memory.max", "999999999\n");
	assert_int_equal(memory_of_cgroup(self, dir), 123456789);
	put(dir, "a/b/memory.max", "5000\n");
	assert_int_equal(memory_of_cgroup(self, dir), 5000);
	/* Version 1; in a container the path may be of another's view. */
	make(dir, "memory");
	put(dir, "self", "12:cpu,cpuacct:/x\n4:memory:/docker/0123\n1:name=systemd:/y\n");
	assert_true(memory_of_cgroup(self, dir) == UINT64_MAX);
	put(dir, "memory/memory.limit_in_bytes", "777777\n");
	assert_int_equal(memory_of_cgroup(self, dir), 777777);
	assert_true(memory_of_cgroup("/nope", dir) == UINT64_MAX);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

static bool short_soon(void)
{
	const struct timespec ms20 = {.tv_nsec = 20000000};

	nanosleep(&ms20, NULL);
	return memory_short();
}

static void test_short(void **state)
{
	assert_false(memory_short()); /* nothing is known yet */
	memory_set_max(0);
	assert_in_range(memory_max(), 16 * MB, UINT64_MAX / 2);
	assert_false(short_soon());
	memory_set_max(resident() / 2);
	assert_true(short_soon());
	memory_set_max(resident() + 16 * MB);
	assert_false(short_soon());
#ifdef __SANITIZE_ADDRESS__
	skip(); /* whose malloc keeps what is freed */
#endif

	char *big = malloc(24 * MB);

	assert_non_null(big);
	memset(big, 1, 24 * MB);
	assert_true(short_soon());
	free(big);
	assert_false(short_soon());
}

/* Of many small blocks the last one stays: without a word malloc keeps them all. */
static void test_tidy(void **state)
{
	static char *block[BLOCKS];
	uint64_t before;

	memory_set_max(0);
	memory_tidy();
	memory_tidy();
	before = resident();
	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK);
		memset(block[i], 1, BLOCK);
	}
	memory_tidy();
	memory_tidy();
	assert_true(resident() > before + BLOCKS * BLOCK * 9 / 10);
	for (int i = 0; i < BLOCKS - 1; i++)
		free(block[i]);
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	assert_true(resident() > before + BLOCKS * BLOCK / 2);
	/* It must not be needed for a while. */
	memory_tidy();
	assert_true(resident() > before + BLOCKS * BLOCK / 2);
	memory_tidy();
	assert_true(resident() < before + 4 * MB);
	free(block[BLOCKS - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_tidy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
