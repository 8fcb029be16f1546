/* Objects as JSON by a table of their fields. */
#include "msg/json/fields.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "msg/json/lenient.h"

/* What texts and lists of a read object live in: pointers first, then bytes. */
struct fields_owner {
	size_t size;
	const char **list; /* the next free one */
	char *text;        /* the same */
	max_align_t block[];
};

/* What an object needs of it. */
struct need {
	size_t pointers, bytes;
};

static void *member(void *object, const struct field *f)
{
	return (char *)object + f->offset;
}

static const void *member_of(const void *object, const struct field *f)
{
	return (const char *)object + f->offset;
}

/* Members by value. */
#define GET(object, f, value) memcpy(&(value), member_of(object, f), sizeof(value))
#define SET(object, f, value) memcpy(member(object, f), &(value), sizeof(value))

static const char *text_of(const void *object, const struct field *f)
{
	const char *s;

	GET(object, f, s);
	return s ? s : "";
}

static int64_t number_of(const void *object, const struct field *f)
{
	uint16_t port;
	int64_t n;

	if (f->kind == FIELD_PORT) {
		GET(object, f, port);
		return port;
	}
	GET(object, f, n);
	return n;
}

static void set_number(void *object, const struct field *f, int64_t n)
{
	uint16_t port = (uint16_t)n;

	if (f->kind == FIELD_PORT)
		SET(object, f, port);
	else
		SET(object, f, n);
}

static void set_default(void *object, const struct field *f)
{
	static const char *const empty = "";
	const struct field_texts none = {NULL, 0};
	const bool no = false;

	switch (f->kind) {
	case FIELD_TEXT:
		SET(object, f, empty);
		break;
	case FIELD_TEXTS:
		SET(object, f, none);
		break;
	case FIELD_BOOL:
		SET(object, f, no);
		break;
	case FIELD_PORT:
	case FIELD_NUMBER:
		set_number(object, f, f->def);
		break;
	case FIELD_OBJECT:
		SET(object, f, no);
		fields_init(f->inner, member(object, f));
		break;
	}
}

void fields_init(const struct fields *f, void *object)
{
	assert(f->n <= FIELDS_ROWS);
	for (size_t i = 0; i < f->n; i++)
		set_default(object, &f->row[i]);
}

/* ---- writing ---- */

static bool at_default(const void *object, const struct field *f)
{
	struct field_texts list;
	bool yes;

	switch (f->kind) {
	case FIELD_TEXT:
		return !*text_of(object, f);
	case FIELD_TEXTS:
		GET(object, f, list);
		return !list.n;
	case FIELD_PORT:
	case FIELD_NUMBER:
		return number_of(object, f) == f->def;
	case FIELD_BOOL:
	case FIELD_OBJECT:
		break;
	}
	GET(object, f, yes);
	return !yes;
}

static bool put_text(struct text *out, const char *s)
{
	size_t len = strlen(s);

	text_json(out, s, len);
	return utf8_valid(s, len);
}

static bool put_value(struct text *out, const void *object, const struct field *f)
{
	struct field_texts list;
	bool good = true, yes;

	switch (f->kind) {
	case FIELD_TEXT:
		return put_text(out, text_of(object, f));
	case FIELD_TEXTS:
		GET(object, f, list);
		text_put(out, "[");
		for (size_t i = 0; i < list.n; i++) {
			text_comma(out);
			good = put_text(out, list.text[i]) && good;
		}
		text_put(out, "]");
		return good;
	case FIELD_BOOL:
		GET(object, f, yes);
		text_put(out, yes ? "true" : "false");
		return true;
	case FIELD_PORT:
	case FIELD_NUMBER:
		text_fmt(out, "%lld", (long long)number_of(object, f));
		return true;
	case FIELD_OBJECT:
		return fields_put(out, f->inner, member_of(object, f));
	}
	return false;
}

bool fields_put(struct text *out, const struct fields *f, const void *object)
{
	bool good = true;

	text_put(out, "{");
	for (size_t i = 0; i < f->n; i++) {
		const struct field *row = &f->row[i];

		if ((row->omit || row->kind == FIELD_OBJECT) && at_default(object, row))
			continue;
		text_key(out, row->name);
		good = put_value(out, object, row) && good;
	}
	text_put(out, "}");
	return good;
}

/* ---- reading: first all is checked and counted, then nothing can fail ---- */

static bool check_object(const struct fields *f, json_t *from, struct need *need, struct err *err);

static bool check_text(const char *where, const char *name, const json_t *v, struct need *need,
		       struct err *err)
{
	if (!json_is_string(v))
		return err_set(err, "%s: %s is not a string", where, name);
	/* In Go a character like others; here it could make two texts equal. */
	if (strlen(json_string_value(v)) != json_string_length(v))
		return err_set(err, "%s: %s contains a NUL", where, name);
	need->bytes += json_string_length(v) + 1;
	return true;
}

static bool check_texts(const char *where, const char *name, const json_t *v, struct need *need,
			struct err *err)
{
	if (!json_is_array(v))
		return err_set(err, "%s: %s is not an array", where, name);
	for (size_t i = 0; i < json_array_size(v); i++) {
		if (!check_text(where, name, json_array_get(v, i), need, err))
			return false;
	}
	need->pointers += json_array_size(v) + 1;
	return true;
}

static bool check_number(const char *where, const struct field *f, const json_t *v, struct err *err)
{
	if (!json_is_integer(v)) /* nor may it be 80.0 or 8e1 */
		return err_set(err, "%s: %s is not an integer", where, f->name);
	if (f->kind == FIELD_PORT &&
	    (json_integer_value(v) < 0 || json_integer_value(v) > UINT16_MAX))
		return err_set(err, "%s: %s is not in 0-65535", where, f->name);
	return true;
}

static bool check_value(const char *where, const struct field *f, json_t *v, struct need *need,
			struct err *err)
{
	switch (f->kind) {
	case FIELD_TEXT:
		return check_text(where, f->name, v, need, err);
	case FIELD_TEXTS:
		return check_texts(where, f->name, v, need, err);
	case FIELD_BOOL:
		return json_is_boolean(v) ||
		       err_set(err, "%s: %s is not true or false", where, f->name);
	case FIELD_PORT:
	case FIELD_NUMBER:
		return check_number(where, f, v, err);
	case FIELD_OBJECT:
		if (!json_is_object(v))
			return err_set(err, "%s: %s is not an object", where, f->name);
		return check_object(f->inner, v, need, err);
	}
	return false;
}

static const struct field *row_of(const struct fields *f, const char *key)
{
	for (size_t i = 0; i < f->n; i++) {
		if (lenient_key(key, f->row[i].name))
			return &f->row[i];
	}
	return NULL;
}

static bool check_object(const struct fields *f, json_t *from, struct need *need, struct err *err)
{
	for (void *it = json_object_iter(from); it; it = json_object_iter_next(from, it)) {
		const struct field *row = row_of(f, json_object_iter_key(it));
		json_t *v = json_object_iter_value(it);

		/* null changes nothing, in Go */
		if (row && !json_is_null(v) && !check_value(f->name, row, v, need, err))
			return false;
	}
	return true;
}

/*
 * Of keys that differ in case the last one's (of keys that are equal to the byte jansson has kept
 * the last alone); NULL: missing.
 */
static json_t *value_of(json_t *from, const struct field *row)
{
	json_t *found = NULL;

	for (void *it = json_object_iter(from); it; it = json_object_iter_next(from, it)) {
		json_t *v = json_object_iter_value(it);

		if (!json_is_null(v) && lenient_key(json_object_iter_key(it), row->name))
			found = v;
	}
	return found;
}

static const char *keep_text(struct fields_owner *owner, const json_t *v)
{
	char *kept = owner->text;
	size_t size = json_string_length(v) + 1;

	memcpy(kept, json_string_value(v), size);
	owner->text += size;
	return kept;
}

static struct field_texts keep_texts(struct fields_owner *owner, const json_t *v)
{
	struct field_texts list = {owner->list, json_array_size(v)};

	for (size_t i = 0; i < list.n; i++)
		*owner->list++ = keep_text(owner, json_array_get(v, i));
	*owner->list++ = NULL;
	return list;
}

static void fill_object(const struct fields *f, json_t *from, void *object,
			struct fields_owner *owner);

static void fill_value(const struct field *f, json_t *v, void *object, struct fields_owner *owner)
{
	struct field_texts list;
	const char *text;
	bool yes;

	switch (f->kind) {
	case FIELD_TEXT:
		text = keep_text(owner, v);
		SET(object, f, text);
		break;
	case FIELD_TEXTS:
		list = keep_texts(owner, v);
		SET(object, f, list);
		break;
	case FIELD_BOOL:
		yes = json_is_true(v);
		SET(object, f, yes);
		break;
	case FIELD_PORT:
	case FIELD_NUMBER:
		set_number(object, f, json_integer_value(v));
		break;
	case FIELD_OBJECT:
		fill_object(f->inner, v, member(object, f), owner);
		yes = true;
		SET(object, f, yes);
		break;
	}
}

static void fill_object(const struct fields *f, json_t *from, void *object,
			struct fields_owner *owner)
{
	fields_init(f, object);
	for (size_t i = 0; i < f->n; i++) {
		json_t *v = value_of(from, &f->row[i]);

		if (v)
			fill_value(&f->row[i], v, object, owner);
	}
}

bool fields_get(const struct fields *f, json_t *from, void *object, struct fields_owner **owner,
		struct err *err)
{
	struct need need = {0};
	struct fields_owner *o;
	size_t size;

	*owner = NULL;
	if (!check_object(f, from, &need, err))
		return false;
	size = need.pointers * sizeof(char *) + need.bytes;
	o = xmalloc(sizeof(*o) + size);
	o->size = size;
	o->list = (const char **)o->block;
	o->text = (char *)(o->list + need.pointers);
	fill_object(f, from, object, o);
	*owner = o;
	return true;
}

void fields_free(struct fields_owner *owner)
{
	if (owner)
		xfree_secret(owner, sizeof(*owner) + owner->size);
}
