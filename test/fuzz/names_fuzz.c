/*
 * Fuzzes the server's two files of names, REGISTRY_CACHE_FILE and names.json: whatever they hold,
 * they are read or left alone, and what was read and is written again is read as the same. Input: 1
 * byte (which file), then its text.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/cachefile.h"
#include "pgrokd/names/statefile.h"

/* Room for 64 MiB at each reading is what a sanitizer takes longest for. */
#undef LIMIT_CACHE_FILE
#define LIMIT_CACHE_FILE (64u << 10)
#include "pgrokd/names/savefile.c" /* instead of the library's */

#define DOMAIN "t.test"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* In memory, where there is such a place; it stays empty behind us. */
static const char *folder(void)
{
	static char dir[64];
	struct err err;

	if (*dir)
		return dir;
	strcpy(dir, "/dev/shm/names-fuzz-XXXXXX");
	if (!mkdtemp(dir)) {
		strcpy(dir, "/tmp/names-fuzz-XXXXXX");
		check(mkdtemp(dir) != NULL);
	}
	check(log_open("none", "ERROR", &err));
	return dir;
}

static void remove_folder(void)
{
	rmdir(folder());
}

static void put_file(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* ---- the cache ---- */

static struct registry *read_cache(const char *path, bool *foreign)
{
	struct registry *r = registry_new(1);
	struct savefile f = savefile_of("REGISTRY_CACHE_FILE", path);

	cachefile_load(&f, r);
	*foreign = f.foreign;
	savefile_free(&f);
	return r;
}

static void play_cache(const char *path)
{
	bool foreign, again;
	struct registry *r = read_cache(path, &foreign), *s;
	size_t len, len2;
	char *dump = registry_changes(r, &len), *dump2;

	if (!dump || foreign) {
		check(!dump || !len);
		free(dump);
		registry_free(r);
		return;
	}
	registry_unsaved(r);
	struct savefile f = savefile_of("REGISTRY_CACHE_FILE", path);

	cachefile_save(&f, r);
	savefile_free(&f);
	s = read_cache(path, &again);
	dump2 = registry_changes(s, &len2);
	check(!again && dump2 && len == len2 && memcmp(dump, dump2, len) == 0);
	free(dump2);
	free(dump);
	registry_free(s);
	registry_free(r);
}

/* ---- the state ---- */

static struct registry *read_state(const char *path, bool *foreign)
{
	struct registry *r = registry_new(1);
	struct savefile f = savefile_of("-stateDir", path);

	statefile_load(&f, DOMAIN, r);
	*foreign = f.foreign;
	savefile_free(&f);
	return r;
}

static void play_state(const char *path)
{
	bool foreign, again;
	struct registry *r = read_state(path, &foreign), *s;
	size_t n = 0, n2 = 0;
	struct saved_name *names = registry_names(r, &n), *names2;

	check(!foreign || !n);
	if (names && n) {
		registry_names_unsaved(r);
		struct savefile f = savefile_of("-stateDir", path);

		statefile_save(&f, DOMAIN, r);
		savefile_free(&f);
		s = read_state(path, &again);
		names2 = registry_names(s, &n2);
		check(!again && n == n2);
		for (size_t i = 0; i < n; i++) {
			check(strlen(names[i].name->key) < ROUTE_KEY_MAX);
			check(names[i].left_ms <= LIMIT_NAME_KEPT_MS);
		}
		registry_names_free(names2, n2);
		registry_free(s);
	}
	if (names)
		registry_names_free(names, n);
	registry_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool begun;
	char path[128], aside[140];

	if (size < 1)
		return 0;
	snprintf(path, sizeof(path), "%s/names", folder());
	snprintf(aside, sizeof(aside), "%s.gob", path);
	if (!begun)
		atexit(remove_folder);
	begun = true;
	put_file(path, data + 1, size - 1);
	if (data[0] & 1)
		play_state(path);
	else
		play_cache(path);
	unlink(path);
	unlink(aside);
	return 0;
}
