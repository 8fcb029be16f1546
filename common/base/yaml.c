/* A file of settings in YAML: a libyaml document walked with one table per mapping. */
#include "common/base/yaml.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/nearest.h"
#include "common/base/xalloc.h"

#define PATH_CAP 160

struct yaml {
	const struct yaml_conf *conf;
	yaml_document_t doc;
	struct err *err;
	unsigned merges;
};

/* ---- messages ---- */

static unsigned line_of(const yaml_mark_t *mark)
{
	return (unsigned)mark->line + 1;
}

unsigned yaml_line(const struct yaml_value *v)
{
	return line_of(&v->node->start_mark);
}

bool yaml_bad(const struct yaml_value *v, const char *fmt, ...)
{
	struct err why;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&why, fmt, ap);
	va_end(ap);
	return err_set(v->y->err, "%s:%u: %s%s%s", v->y->conf->file, yaml_line(v), v->path,
		       *v->path ? ": " : "", why.text);
}

PRINTF_LIKE(3, 4)
static void warn(const struct yaml *y, unsigned line, const char *fmt, ...)
{
	struct err whole;
	va_list ap;

	va_start(ap, fmt);
	err_vset(&whole, fmt, ap);
	va_end(ap);
	err_set(&whole, "%s:%u: %s", y->conf->file, line, whole.text);
	if (y->conf->warn)
		y->conf->warn(y->conf->warn_arg, whole.text);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++) {
		if (strcmp(text, *words) == 0)
			return true;
	}
	return false;
}

static const char *scalar(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

static bool is_plain(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};

	return is_plain(node) && is_one_of(scalar(node), nulls);
}

static const char *kind_of(const struct yaml_value *v)
{
	return v->node->type == YAML_MAPPING_NODE ? "a mapping" : "a list";
}

bool yaml_is_null(const struct yaml_value *v)
{
	return is_null(v->node);
}

bool yaml_is_scalar(const struct yaml_value *v)
{
	return v->node->type == YAML_SCALAR_NODE;
}

bool yaml_is(const struct yaml_value *v, const char *word)
{
	return yaml_is_scalar(v) && strcmp(scalar(v->node), word) == 0;
}

bool yaml_text(const struct yaml_value *v, const char **out)
{
	*out = "";
	if (!yaml_is_scalar(v))
		return yaml_bad(v, "%s where a text is wanted", kind_of(v));
	if (strlen(scalar(v->node)) != v->node->data.scalar.length)
		return yaml_bad(v, "the text contains a NUL character");
	*out = scalar(v->node);
	return true;
}

bool yaml_set_text(const struct yaml_value *v, void *member)
{
	char **out = member;
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	xfree_secret_str(*out);
	*out = xstrdup(text);
	return true;
}

bool yaml_set_bool(const struct yaml_value *v, void *member)
{
	static const char *const yes[] = {"true", "True", "TRUE", "y",  "Y",  "yes",
					  "Yes",  "YES",  "on",   "On", "ON", NULL};
	static const char *const no[] = {"false", "False", "FALSE", "n",   "N",   "no",
					 "No",    "NO",    "off",   "Off", "OFF", NULL};
	bool *out = member;

	if (!is_plain(v->node) ||
	    (!is_one_of(scalar(v->node), yes) && !is_one_of(scalar(v->node), no)))
		return yaml_bad(v, "true or false is wanted");
	*out = is_one_of(scalar(v->node), yes);
	return true;
}

/* An integer, quoted or not, as YAML 1.1 spells it (0x, 0 in front); *rest is what follows it. */
static bool read_number(const yaml_node_t *node, unsigned long long *out, const char **rest)
{
	char *end;

	if (scalar(node)[0] < '0' || scalar(node)[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(scalar(node), &end, 0);
	*rest = end;
	return errno == 0;
}

/* what: how the sentence that refuses it ends. */
static bool read_at_most(const struct yaml_value *v, unsigned long long most, const char *what,
			 unsigned long long *n)
{
	const char *rest;

	if (!yaml_is_scalar(v))
		return yaml_bad(v, "%s%s", kind_of(v), what);
	if (!read_number(v->node, n, &rest) || *rest || *n > most)
		return yaml_bad(v, "%.40s%s", scalar(v->node), what);
	return true;
}

bool yaml_set_port(const struct yaml_value *v, void *member)
{
	uint16_t *out = member;
	unsigned long long n = 0;

	if (!read_at_most(v, 65535, " is not a port (0-65535)", &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

bool yaml_set_count(const struct yaml_value *v, void *member)
{
	int *out = member;
	unsigned long long n = 0;

	if (!read_at_most(v, 1000000, " is not a number from 0 to 1000000", &n))
		return false;
	*out = (int)n;
	return true;
}

/* How far the unit behind a number shifts it; -1: not a unit. */
static int shift_of(const char *unit)
{
	static const char units[] = "KMG";
	const char *at = *unit ? strchr(units, *unit) : NULL;

	if (!*unit)
		return 0;
	return at && !unit[1] ? 10 * (int)(at - units + 1) : -1;
}

bool yaml_set_size(const struct yaml_value *v, void *member)
{
	uint64_t *out = member;
	unsigned long long n;
	const char *rest;
	int shift = -1;

	if (!yaml_is_scalar(v))
		return yaml_bad(v, "%s is not a size", kind_of(v));
	if (read_number(v->node, &n, &rest))
		shift = shift_of(rest);
	if (shift < 0 || n > (1ull << 50) >> shift)
		return yaml_bad(v, "%.40s is not a size in bytes (such as 65536, 64K, 16M, 1G)",
				scalar(v->node));
	*out = n << shift;
	return true;
}

/* ---- lists and mappings ---- */

static struct yaml_value at(const struct yaml_value *v, int node, const char *path)
{
	return (struct yaml_value){v->y, yaml_document_get_node(&v->y->doc, node), path};
}

bool yaml_texts(const struct yaml_value *v, const char *what, yaml_text_fn *fn, void *arg)
{
	const char *text;

	if (v->node->type == YAML_MAPPING_NODE)
		return yaml_bad(v, "a mapping where a list of %s is wanted", what);
	if (yaml_is_scalar(v))
		return yaml_text(v, &text) && fn(v, text, arg);

	yaml_node_item_t *first = v->node->data.sequence.items.start;
	yaml_node_item_t *end = v->node->data.sequence.items.top;

	if (end - first > YAML_KEYS)
		return yaml_bad(v, "more than %d %s", YAML_KEYS, what);
	for (yaml_node_item_t *i = first; i < end; i++) {
		struct yaml_value item = at(v, *i, v->path);

		if (!yaml_text(&item, &text) || !fn(&item, text, arg))
			return false;
	}
	return true;
}

bool yaml_items(const struct yaml_value *v, const char *what, int most, yaml_item_fn *fn, void *arg)
{
	char path[PATH_CAP];
	int n = 0;

	if (v->node->type != YAML_SEQUENCE_NODE)
		return yaml_bad(v, "a list of %s is wanted", what);
	for (yaml_node_item_t *i = v->node->data.sequence.items.start;
	     i < v->node->data.sequence.items.top; i++) {
		struct yaml_value item = at(v, *i, path);

		snprintf(path, sizeof(path), "%s[%d]", v->path, n);
		if (++n > most)
			return yaml_bad(&item, "more than %d %s", most, what);
		if (!fn(&item, arg))
			return false;
	}
	return true;
}

static bool each_key(const struct yaml_value *map, int depth, yaml_key_fn *fn, void *object);

static bool merge_one(const struct yaml_value *v, int depth, yaml_key_fn *fn, void *object)
{
	if (v->node->type != YAML_MAPPING_NODE)
		return yaml_bad(v, "<< wants a mapping");
	return each_key(v, depth + 1, fn, object);
}

/* "<<: *other" or "<<: [*a, *b]": what they say counts less than the mapping's own keys. */
static bool each_merged(const struct yaml_value *v, int depth, yaml_key_fn *fn, void *object)
{
	if (depth >= YAML_MERGES_NESTED || ++v->y->merges > YAML_MERGES)
		return yaml_bad(v, "too many merges (<<)");
	if (v->node->type != YAML_SEQUENCE_NODE)
		return merge_one(v, depth, fn, object);
	/* The first of the list counts most, so it comes last. */
	yaml_node_item_t *first = v->node->data.sequence.items.start;
	for (yaml_node_item_t *i = v->node->data.sequence.items.top; i-- > first;) {
		struct yaml_value map = at(v, *i, v->path);

		if (++v->y->merges > YAML_MERGES)
			return yaml_bad(&map, "too many merges (<<)");
		if (!merge_one(&map, depth, fn, object))
			return false;
	}
	return true;
}

static bool is_merge(const yaml_node_t *key)
{
	return is_plain(key) && strcmp(scalar(key), "<<") == 0;
}

static void join_path(char path[static PATH_CAP], const char *map, const char *key)
{
	snprintf(path, PATH_CAP, "%s%s%s", map, *map ? "." : "", key);
}

static bool repeated(const struct yaml_value *map, const struct yaml_value *key, const char *text)
{
	char path[PATH_CAP];
	struct yaml_value named = *key;

	join_path(path, map->path, text);
	named.path = path;
	if (map->y->conf->strict)
		return yaml_bad(&named, "this key came before");
	warn(map->y, yaml_line(key), "%s: this key came before; the last one counts", path);
	return true;
}

/* Keys are texts; one that came before is warned of. */
static bool check_keys(const struct yaml_value *map)
{
	yaml_node_pair_t *first = map->node->data.mapping.pairs.start;
	yaml_node_pair_t *end = map->node->data.mapping.pairs.top;
	const char *text;

	if (end - first > YAML_KEYS)
		return yaml_bad(map, "more than %d keys", YAML_KEYS);
	for (yaml_node_pair_t *p = first; p < end; p++) {
		struct yaml_value key = at(map, p->key, map->path);

		if (!yaml_text(&key, &text))
			return false;
		for (yaml_node_pair_t *q = first; q < p; q++) {
			if (strcmp(scalar(yaml_document_get_node(&map->y->doc, q->key)), text) != 0)
				continue;
			if (!repeated(map, &key, text))
				return false;
			break;
		}
	}
	return true;
}

static bool each_key(const struct yaml_value *map, int depth, yaml_key_fn *fn, void *object)
{
	yaml_node_pair_t *end = map->node->data.mapping.pairs.top;
	char path[PATH_CAP];

	if (!check_keys(map))
		return false;
	for (int merges = 1; merges >= 0; merges--) {
		for (yaml_node_pair_t *p = map->node->data.mapping.pairs.start; p < end; p++) {
			yaml_node_t *key = yaml_document_get_node(&map->y->doc, p->key);
			struct yaml_value v = at(map, p->value, path);

			if (is_merge(key) != (merges == 1))
				continue;
			join_path(path, map->path, scalar(key));
			v.path = merges ? map->path : path;
			if (!(merges ? each_merged(&v, depth, fn, object)
				     : fn(&v, scalar(key), object)))
				return false;
		}
	}
	return true;
}

bool yaml_keys(const struct yaml_value *v, yaml_key_fn *fn, void *object)
{
	if (is_null(v->node))
		return true;
	if (v->node->type == YAML_MAPPING_NODE)
		return each_key(v, 0, fn, object);
	return yaml_bad(v, "a mapping (key: value) is wanted");
}

/* ---- fields ---- */

struct fields {
	const struct yaml_table *table;
	void *object;
};

static bool take_unknown(const struct yaml_value *v, const struct yaml_table *table,
			 const char *key)
{
	const char *hint = table->hint ? table->hint(key) : NULL;
	struct nearest n = {.word = key};
	char more[200] = "";

	for (const struct yaml_field *f = table->fields; f->name && !hint; f++)
		nearest_try(&n, f->name);
	if (hint)
		snprintf(more, sizeof(more), "; %s", hint);
	else if (n.best)
		snprintf(more, sizeof(more), "; did you mean %s?", n.best);
	if (v->y->conf->strict)
		return yaml_bad(v, "unknown key%s", more);
	warn(v->y, yaml_line(v), "%s: unknown key, ignored%s", v->path, more);
	return true;
}

static bool take_field(const struct yaml_value *v, const char *key, void *object)
{
	const struct fields *all = object;

	for (const struct yaml_field *f = all->table->fields; f->name; f++) {
		if (strcmp(f->name, key) != 0)
			continue;
		if (!is_null(v->node))
			return f->set(v, (char *)all->object + f->offset);
		return !v->y->conf->strict || yaml_bad(v, "a value is wanted");
	}
	return take_unknown(v, all->table, key);
}

bool yaml_fields(const struct yaml_value *v, const struct yaml_table *table, void *object)
{
	return yaml_keys(v, take_field, &(struct fields){table, object});
}

/* ---- faults of its form ---- */

static bool parse_fault(const struct yaml *y, const yaml_parser_t *p)
{
	const char *problem = p->problem ? p->problem : "out of memory";
	char line[32] = "";

	if (p->error != YAML_READER_ERROR && p->error != YAML_MEMORY_ERROR)
		snprintf(line, sizeof(line), "line %u: ", line_of(&p->problem_mark));
	return err_set(y->err, "Error parsing configuration file %s: YAML error: %s%s",
		       y->conf->file, line, problem);
}

static bool count_event(struct yaml *y, const yaml_event_t *e, unsigned *depth, unsigned *docs)
{
	if (e->type == YAML_DOCUMENT_START_EVENT && ++*docs == 2)
		warn(y, line_of(&e->start_mark), "a second document, ignored");
	if (e->type == YAML_MAPPING_END_EVENT || e->type == YAML_SEQUENCE_END_EVENT)
		--*depth;
	if (e->type != YAML_MAPPING_START_EVENT && e->type != YAML_SEQUENCE_START_EVENT)
		return true;
	if (++*depth <= YAML_NESTING)
		return true;
	return err_set(y->err, "%s:%u: lists and mappings nested more than %d deep", y->conf->file,
		       line_of(&e->start_mark), YAML_NESTING);
}

/* ---- secrets: libyaml frees what it copied as it is ---- */

static void wipe_event(const yaml_event_t *e)
{
	if (e->type == YAML_SCALAR_EVENT)
		OPENSSL_cleanse(e->data.scalar.value, e->data.scalar.length);
}

static void wipe_document(const yaml_document_t *doc)
{
	for (yaml_node_t *n = doc->nodes.start; n < doc->nodes.top; n++)
		if (n->type == YAML_SCALAR_NODE)
			OPENSSL_cleanse(n->data.scalar.value, n->data.scalar.length);
}

static void delete_parser(yaml_parser_t *p)
{
	OPENSSL_cleanse(p->raw_buffer.start, (size_t)(p->raw_buffer.end - p->raw_buffer.start));
	OPENSSL_cleanse(p->buffer.start, (size_t)(p->buffer.end - p->buffer.start));
	yaml_parser_delete(p);
}

/* ---- the document ---- */

/* What yaml_parser_load() does not look at. A fault of the file's form is left to it. */
static bool survey(struct yaml *y, const char *text, size_t len)
{
	unsigned depth = 0, docs = 0;
	bool ok = true, more = true;
	yaml_parser_t parser;
	yaml_event_t e;

	if (!yaml_parser_initialize(&parser))
		return true;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (ok && more && docs < 2 && yaml_parser_parse(&parser, &e)) {
		ok = count_event(y, &e, &depth, &docs);
		more = e.type != YAML_STREAM_END_EVENT;
		wipe_event(&e);
		yaml_event_delete(&e);
	}
	delete_parser(&parser);
	return ok;
}

static bool read_document(struct yaml *y)
{
	struct yaml_value root = {y, yaml_document_get_root_node(&y->doc), ""};

	return !root.node || yaml_fields(&root, y->conf->table, y->conf->object);
}

bool yaml_read(const struct yaml_conf *conf, const char *text, size_t len, struct err *err)
{
	struct yaml y = {.conf = conf, .err = err};
	yaml_parser_t parser;
	bool ok;

	if (len > YAML_BYTES)
		return err_set(err, "%s: larger than %u MiB", conf->file, YAML_BYTES >> 20);
	if (!survey(&y, text, len))
		return false;
	if (!yaml_parser_initialize(&parser))
		return err_set(err, "%s: out of memory", conf->file);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (yaml_parser_load(&parser, &y.doc)) {
		ok = read_document(&y);
		wipe_document(&y.doc);
		yaml_document_delete(&y.doc);
	} else {
		ok = parse_fault(&y, &parser);
	}
	delete_parser(&parser);
	return ok;
}
