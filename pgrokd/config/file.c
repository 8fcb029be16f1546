/* The configuration file: every flag under its own name, and tokens. */
#include "pgrokd/config/file.h"

#include <stdlib.h>

#include "common/base/file.h"
#include "common/base/yaml.h"

static bool set_bool(const struct yaml_value *v, char **text)
{
	bool yes;

	if (!yaml_set_bool(v, &yes))
		return false;
	*text = xstrdup(yes ? "true" : "false");
	return true;
}

static bool set_number(const struct yaml_value *v, char **text)
{
	int n;
	const struct flag flag = {.type = FLAG_INT, .value = &n};
	const char *digits;

	if (!yaml_text(v, &digits))
		return false;
	if (flag_set(&flag, digits))
		return yaml_bad(v, "%.40s is not a whole number", digits);
	*text = xstrdup(digits);
	return true;
}

static bool set_row(const struct yaml_value *v, void *member)
{
	struct file_row *row = member;

	xfree_secret_str(row->text); /* of a merge, which counts less */
	row->text = NULL;
	row->line = yaml_line(v);
	switch (row->type) {
	case FLAG_BOOL:
		return set_bool(v, &row->text);
	case FLAG_INT:
		return set_number(v, &row->text);
	case FLAG_STRING:
		return yaml_set_text(v, &row->text);
	}
	return false;
}

/* The rows that stand at the top, or those below `limits`, and room for more. Owned. */
static struct yaml_field *make_rows(const struct config_file *f, bool limits, size_t *n)
{
	struct yaml_field *fields = xcalloc(f->n + 3, sizeof(*fields));
	size_t k = 0;

	for (size_t i = 0; i < f->n; i++)
		if (f->row[i].name && f->row[i].is_limit == limits)
			fields[k++] = (struct yaml_field){
				.name = f->row[i].name,
				.set = set_row,
				.offset = offsetof(struct config_file, row) + i * sizeof(*f->row)};
	*n = k;
	return fields;
}

static bool set_limits(const struct yaml_value *v, void *object)
{
	size_t n;
	struct yaml_field *fields = make_rows(object, true, &n);
	const struct yaml_table table = {.fields = fields};
	bool ok = yaml_fields(v, &table, object);

	free(fields);
	return ok;
}

/* What yaml_read() wants. Owned. */
static struct yaml_field *make_fields(const struct config_file *f)
{
	size_t n;
	struct yaml_field *fields = make_rows(f, false, &n);

	fields[n++] = (struct yaml_field){.name = "tokens",
					  .set = tokens_set,
					  .offset = offsetof(struct config_file, tokens)};
	fields[n] = (struct yaml_field){.name = "limits", .set = set_limits};
	return fields;
}

bool config_file_read(const char *path, struct config_file *f, struct err *err)
{
	size_t len = 0;
	char *text = file_read(path, YAML_BYTES, &len, err);

	if (!text)
		return err_set(err, "-config: %s", err->text);
	struct yaml_field *fields = make_fields(f);
	const struct yaml_table table = {.fields = fields};
	const struct yaml_conf conf = {.file = path, .table = &table, .object = f, .strict = true};
	bool ok = yaml_read(&conf, text, len, err);

	free(fields);
	xfree_secret(text, len);
	return ok;
}

void config_file_free(struct config_file *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		xfree_secret_str(f->row[i].text);
	tokens_unref(f->tokens);
	free(f);
}
