/* names.json in -stateDir: which names are in use and held. */
#include "pgrokd/names/statefile.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/text.h"

struct savefile statefile_of(const char *dir)
{
	if (!dir)
		return savefile_of("-stateDir", NULL);
	(void)mkdir(dir, 0700); /* if that fails, so does writing into it, which is told */
	char *path = xasprintf("%s/names.json", dir);
	struct savefile f = savefile_of("-stateDir", path);

	free(path);
	return f;
}

/* ---- reading ---- */

/*
 * [key, client, token or "", milliseconds, 1: of a token that is checked]; one that is not like
 * this is passed over.
 */
static void load_name(const json_t *e, struct registry *r)
{
	const char *key = json_string_value(json_array_get(e, 0));
	const char *client = json_string_value(json_array_get(e, 1));
	const char *token = json_string_value(json_array_get(e, 2));
	json_int_t left = json_integer_value(json_array_get(e, 3));
	struct owner owner = {.named = json_integer_value(json_array_get(e, 4)) == 1};

	if (!key || strlen(key) >= ROUTE_KEY_MAX || left <= 0 || !token || !client ||
	    !hex_bytes(client, owner.client, OWNER_CLIENT))
		return;
	owner.token.given = *token != '\0';
	if (owner.token.given && !hex_bytes(token, owner.token.hash, TOKEN_HASH))
		return;
	registry_hold(r, key, &owner, (uint64_t)left);
}

/* NULL: it is ours. */
static const char *whose(const json_t *root, const char *domain)
{
	const char *of = json_string_value(json_object_get(root, "domain"));

	if (!of || !json_is_array(json_object_get(root, "names")))
		return "no names in it";
	return strcmp(of, domain) == 0 ? NULL : "it is of a server for another -domain";
}

void statefile_load(struct savefile *f, const char *domain, struct registry *r)
{
	size_t len = 0, i;
	char *text = savefile_read(f, &len);
	json_error_t bad = {.text = ""};
	const json_t *e;

	if (!text)
		return;
	json_t *root = len ? json_loadb(text, len, 0, &bad) : NULL;
	const char *why = root ? whose(root, domain) : bad.text;

	if (len && why)
		savefile_leave(f, why);
	else
		json_array_foreach(json_object_get(root, "names"), i, e) load_name(e, r);
	json_decref(root);
	free(text);
}

/* ---- writing ---- */

static void add_name(struct text *t, const struct saved_name *name)
{
	char client[2 * OWNER_CLIENT + 1], token[2 * TOKEN_HASH + 1] = "";

	const struct owner *owner = &name->name->owner;

	hex_text(client, owner->client, OWNER_CLIENT);
	if (owner->token.given)
		hex_text(token, owner->token.hash, TOKEN_HASH);
	text_comma(t);
	text_put(t, "\n[");
	text_json_str(t, name->name->key);
	text_fmt(t, ",\"%s\",\"%s\",%llu,%d]", client, token, (unsigned long long)name->left_ms,
		 owner->named);
}

void statefile_save(struct savefile *f, const char *domain, struct registry *r)
{
	size_t n = 0;
	struct saved_name *names = savefile_due(f) ? registry_names(r, &n) : NULL;
	struct text t = {0};

	if (!names)
		return;
	text_put(&t, "{\"version\":1,\"domain\":");
	text_json_str(&t, domain);
	text_put(&t, ",\"names\":[");
	for (size_t i = 0; i < n; i++)
		add_name(&t, &names[i]);
	text_put(&t, "\n]}\n");
	if (!savefile_write(f, t.p, t.len))
		registry_names_unsaved(r);
	text_free(&t);
	registry_names_free(names, n);
}
