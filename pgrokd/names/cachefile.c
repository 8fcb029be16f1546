/* REGISTRY_CACHE_FILE: the affinity as a JSON file, so that names survive a restart. */
#include "pgrokd/names/cachefile.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "pgrokd/limits.h"

/* The whole file, owned; NULL: errno says why. */
static char *read_all(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t cap = 0, n;

	*len = 0;
	if (!f)
		return NULL;
	do {
		text = xrealloc(text, cap += 64u << 10);
		n = fread(text + *len, 1, cap - *len, f);
		*len += n;
	} while (n > 0 && *len < LIMIT_CACHE_FILE);
	fclose(f);
	return text;
}

static void put_aside(const char *path)
{
	char *aside = xasprintf("%s.gob", path);

	if (rename(path, aside) == 0)
		log_warn("registry", "%s is not a JSON file: kept as %s", path, aside);
	else
		log_error("registry", "rename %s to %s: %s", path, aside, strerror(errno));
	free(aside);
}

static bool load_entries(const json_t *root, struct registry *r)
{
	const json_t *entries = json_object_get(root, "entries");
	const json_t *e;
	size_t i;

	if (!json_is_array(entries))
		return false;
	json_array_foreach(entries, i, e)
	{
		const char *key = json_string_value(json_array_get(e, 0));
		const char *value = json_string_value(json_array_get(e, 1));

		if (key && value && strlen(key) < AFFINITY_KEY && strlen(value) < AFFINITY_VALUE)
			registry_load(r, key, value);
	}
	return true;
}

void cachefile_load(const char *path, struct registry *r)
{
	size_t len;
	char *text = read_all(path, &len);
	json_error_t why = {.text = "no entries in it"};

	if (!text) {
		if (errno != ENOENT)
			log_error("registry", "REGISTRY_CACHE_FILE %s: %s", path, strerror(errno));
		return;
	}
	if (len && text[0] != '{' && text[0] != '[') {
		put_aside(path);
		free(text);
		return;
	}
	json_t *root = json_loadb(text, len, 0, &why);

	if (len && !load_entries(root, r))
		log_error("registry", "REGISTRY_CACHE_FILE %s: %s", path, why.text);
	json_decref(root);
	free(text);
}

static char *as_json(const char *dump, size_t len, size_t *out_len)
{
	json_t *entries = json_array();
	json_t *root = json_pack("{s:i, s:o}", "version", 1, "entries", entries);

	for (const char *p = dump; p < dump + len;) {
		const char *key = p, *value = key + strlen(key) + 1;

		json_array_append_new(entries, json_pack("[ss]", key, value));
		p = value + strlen(value) + 1;
	}
	char *text = json_dumps(root, JSON_COMPACT);

	*out_len = text ? strlen(text) : 0;
	json_decref(root);
	return text;
}

/* A new file, readable by its owner only, whatever was there before: a left-over, a link. */
static bool write_all(const char *path, const char *text, size_t len)
{
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		text += n;
		len -= (size_t)n;
	}
	bool ok = len == 0 && fsync(fd) == 0;

	return close(fd) == 0 && ok;
}

void cachefile_save(const char *path, struct registry *r)
{
	size_t dump_len, len;
	char *dump = registry_changes(r, &dump_len);

	if (!dump)
		return;
	char *text = as_json(dump, dump_len, &len);
	char *tmp = xasprintf("%s.tmp", path);

	if (!text || !write_all(tmp, text, len) || rename(tmp, path) != 0)
		log_error("registry", "REGISTRY_CACHE_FILE %s: %s", path, strerror(errno));
	free(tmp);
	free(text);
	free(dump);
}
