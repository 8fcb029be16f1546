/* The configuration file: every flag under its own name. */
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

/* The n rows as yaml_read() wants them. Owned. */
static struct yaml_field *make_fields(const struct file_row *rows, size_t n)
{
	struct yaml_field *fields = xcalloc(n + 1, sizeof(*fields));
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i].name)
			fields[k++] = (struct yaml_field){
				.name = rows[i].name, .set = set_row, .offset = i * sizeof(*rows)};
	return fields;
}

bool config_file_read(const char *path, struct file_row *rows, size_t n, struct err *err)
{
	size_t len = 0;
	char *text = file_read(path, YAML_BYTES, &len, err);

	if (!text)
		return err_set(err, "-config: %s", err->text);
	struct yaml_field *fields = make_fields(rows, n);
	const struct yaml_table table = {.fields = fields};
	const struct yaml_conf conf = {
		.file = path, .table = &table, .object = rows, .strict = true};
	bool ok = yaml_read(&conf, text, len, err);

	free(fields);
	xfree_secret(text, len);
	return ok;
}

void config_file_free(struct file_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		xfree_secret_str(rows[i].text);
}
