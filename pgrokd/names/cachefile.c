/* REGISTRY_CACHE_FILE: the affinity as a JSON file, so that names survive a restart. */
#include "pgrokd/names/cachefile.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "pgrokd/limits.h"

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
	struct err err;
	char *text = file_read(path, LIMIT_CACHE_FILE, &len, &err);
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

void cachefile_save(const char *path, struct registry *r)
{
	size_t dump_len, len;
	char *dump = registry_changes(r, &dump_len);

	if (!dump)
		return;
	char *text = as_json(dump, dump_len, &len);

	if (!text || !file_write(path, text, len, 0600))
		log_error("registry", "REGISTRY_CACHE_FILE %s: %s", path, strerror(errno));
	free(text);
	free(dump);
}
