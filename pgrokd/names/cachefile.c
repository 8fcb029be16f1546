/* REGISTRY_CACHE_FILE: the affinity as a JSON file, so that names survive a restart. */
#include "pgrokd/names/cachefile.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/*
 * A gob begins with the description of its first type: its length, the type's number (the first of
 * a program is 65, written as -65: FF 81), then which kind of type it is (1 to 4).
 */
static bool is_gob(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	return len > 4 && p[0] < 0x80 && p[1] == 0xff && p[2] == 0x81 && p[3] >= 1 && p[3] <= 4;
}

static void put_aside(struct savefile *f)
{
	char *aside = xasprintf("%s.gob", f->path);

	if (rename(f->path, aside) == 0)
		log_warn("registry", "%s is the Go server's: kept as %s", f->path, aside);
	else
		savefile_leave(f, strerror(errno));
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

void cachefile_load(struct savefile *f, struct registry *r)
{
	size_t len = 0;
	char *text = savefile_read(f, &len);
	json_error_t why = {.text = "no entries in it"};

	if (!text)
		return;
	if (is_gob(text, len)) {
		put_aside(f);
	} else if (len) {
		json_t *root = json_loadb(text, len, 0, &why);

		if (!load_entries(root, r))
			savefile_leave(f, why.text);
		json_decref(root);
	}
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

void cachefile_save(struct savefile *f, struct registry *r)
{
	size_t dump_len, len;
	char *dump = savefile_due(f) ? registry_changes(r, &dump_len) : NULL;

	if (!dump)
		return;
	char *text = as_json(dump, dump_len, &len);

	if (!text || !savefile_write(f, text, len))
		registry_unsaved(r);
	free(text);
	free(dump);
}
