/*
 * Unit tests of common/base/yaml: each kind of value, merges, limits, and what is said of faults.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/yaml.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct settings {
	char *name;
	bool on;
	uint16_t port;
	uint64_t size;
	unsigned line;
	struct text list, inner;
};

static bool add_item(const struct yaml_value *v, const char *text, void *arg)
{
	text_fmt(arg, "%s;", text);
	return strcmp(text, "evil") != 0 || yaml_bad(v, "%s is not wanted", text);
}

static bool set_list(const struct yaml_value *v, void *member)
{
	return yaml_texts(v, "words", add_item, member);
}

/* Numbers of the items, and the item itself if it is a text. */
static bool take_item(const struct yaml_value *v, void *arg)
{
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	text_fmt(arg, "%s=%s;", v->path, text);
	return true;
}

static bool set_items(const struct yaml_value *v, void *member)
{
	return yaml_items(v, "words", 3, take_item, member);
}

static bool take_inner(const struct yaml_value *v, const char *key, void *object)
{
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	text_fmt(object, "%s=%s;", key, text);
	return true;
}

static bool set_inner(const struct yaml_value *v, void *member)
{
	return yaml_keys(v, take_inner, member);
}

static bool set_line(const struct yaml_value *v, void *object)
{
	struct settings *s = object;

	s->line = yaml_line(v);
	return yaml_is(v, "here") || yaml_bad(v, "here is wanted");
}

static const char *hint(const char *key)
{
	return strcmp(key, "nom") == 0 ? "write name" : NULL;
}

#define OF(member) offsetof(struct settings, member)
static const struct yaml_field fields[] = {
	{"inner", set_inner, OF(inner)},
	{"line", set_line, 0},
	{"items", set_items, OF(list)},
	{"list", set_list, OF(list)},
	{"name", yaml_set_text, OF(name)},
	{"on", yaml_set_bool, OF(on)},
	{"port", yaml_set_port, OF(port)},
	{"size", yaml_set_size, OF(size)},
	{NULL, NULL, 0},
};
static const struct yaml_table table = {fields, hint};

static void on_warning(void *arg, const char *text)
{
	text_fmt(arg, "%s\n", text);
}

/* What was read as one line, or the error; the warnings into *warnings. */
static char *read_as(const char *text, size_t len, struct text *warnings, bool strict)
{
	struct settings s = {.size = 7};
	struct yaml_conf conf = {"f.yml", &table, &s, on_warning, warnings, strict};
	struct err err = {""};
	char *out = NULL;
	size_t out_len;
	FILE *f = open_memstream(&out, &out_len);

	text_put(warnings, "");
	if (yaml_read(&conf, text, len, &err))
		fprintf(f, "%s|%d|%d|%d|%u|%s|%s", s.name ? s.name : "-", s.on, (int)s.port,
			(int)s.size, s.line, s.list.p ? s.list.p : "", s.inner.p ? s.inner.p : "");
	else
		fputs(err.text, f);
	fclose(f);
	free(s.name);
	text_free(&s.list);
	text_free(&s.inner);
	return out;
}

static char *read_text(const char *text, size_t len, struct text *warnings)
{
	return read_as(text, len, warnings, false);
}

static const struct {
	const char *text, *want, *warnings;
} rows[] = {
	{"", "-|0|0|7|0||", ""},
	{"name: a b\non: yes\nport: 0x50\nsize: 2K\n", "a b|1|80|2048|0||", ""},
	{"name: 0123\nport: '8080'\nsize: '1M'\n", "0123|0|8080|1048576|0||", ""},
	{"name:\non: ~\nport: null\nlist:\ninner:\n", "-|0|0|7|0||", ""},
	{"name: ''\n", "|0|0|7|0||", ""},
	{"\n\nline: here\n", "-|0|0|7|3||", ""},
	{"list: [a, 2, 'c d']\n", "-|0|0|7|0|a;2;c d;|", ""},
	{"list: a\n", "-|0|0|7|0|a;|", ""},
	{"inner: {x: 1, y: two}\n", "-|0|0|7|0||x=1;y=two;", ""},
	{"items: []\n", "-|0|0|7|0||", ""},
	{"items: [a, b]\n", "-|0|0|7|0|items[0]=a;items[1]=b;|", ""},
	{"items:\n- a\n- [b]\n", "f.yml:3: items[1]: a list where a text is wanted", ""},
	{"items: a\n", "f.yml:1: items: a list of words is wanted", ""},
	{"items: [a, b, c, d]\n", "f.yml:1: items[3]: more than 3 words", ""},
	/* merges come first, the first of a list last */
	{"inner: {<<: [{a: 1}, {b: 2}], c: 3}\n", "-|0|0|7|0||b=2;a=1;c=3;", ""},
	{"inner: {c: 3, <<: {a: 1}}\n", "-|0|0|7|0||a=1;c=3;", ""},
	{"list: &l [x]\nname: *n\n",
	 "Error parsing configuration file f.yml: YAML error: line 2: "
	 "found undefined alias",
	 ""},
	/* what is odd */
	{"name: a\nname: b\n", "b|0|0|7|0||",
	 "f.yml:2: name: this key came before; the last one counts\n"},
	{"nmae: a\n", "-|0|0|7|0||", "f.yml:1: nmae: unknown key, ignored; did you mean name?\n"},
	{"nom: a\n", "-|0|0|7|0||", "f.yml:1: nom: unknown key, ignored; write name\n"},
	{"unheard_of: {a: [b]}\n", "-|0|0|7|0||", "f.yml:1: unheard_of: unknown key, ignored\n"},
	{"on: y\n---\non: n\n", "-|1|0|7|0||", "f.yml:2: a second document, ignored\n"},
	/* faults */
	{"- a\n", "f.yml:1: a mapping (key: value) is wanted", ""},
	{"name: [a]\n", "f.yml:1: name: a list where a text is wanted", ""},
	{"name: \"a\\0b\"\n", "f.yml:1: name: the text contains a NUL character", ""},
	{"on: 'yes'\n", "f.yml:1: on: true or false is wanted", ""},
	{"\nport: 65536\n", "f.yml:2: port: 65536 is not a port (0-65535)", ""},
	{"port: {a: b}\n", "f.yml:1: port: a mapping is not a port (0-65535)", ""},
	{"port: 80x\n", "f.yml:1: port: 80x is not a port (0-65535)", ""},
	{"size: 1KM\n", "f.yml:1: size: 1KM is not a size in bytes (such as 65536, 64K, 16M, 1G)",
	 ""},
	{"size: 9999999G\n",
	 "f.yml:1: size: 9999999G is not a size in bytes (such as 65536, 64K, 16M, 1G)", ""},
	{"size: []\n", "f.yml:1: size: a list is not a size", ""},
	{"list: {a: b}\n", "f.yml:1: list: a mapping where a list of words is wanted", ""},
	{"list:\n- a\n- evil\n", "f.yml:3: list: evil is not wanted", ""},
	{"inner:\n  x: {}\n", "f.yml:2: inner.x: a mapping where a text is wanted", ""},
	{"line: there\n", "f.yml:1: line: here is wanted", ""},
	{"inner: {<<: 5}\n", "f.yml:1: inner: << wants a mapping", ""},
	{"inner: {<<: [5]}\n", "f.yml:1: inner: << wants a mapping", ""},
	{"a: \xff\n",
	 "Error parsing configuration file f.yml: YAML error: invalid leading UTF-8 "
	 "octet",
	 ""},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct text warnings = {0};
		char *got = read_text(rows[i].text, strlen(rows[i].text), &warnings);

		if (strcmp(got, rows[i].want) != 0 || strcmp(warnings.p, rows[i].warnings) != 0)
			fail_msg("%s\ngives: %s\nand warns: %s", rows[i].text, got, warnings.p);
		free(got);
		text_free(&warnings);
	}
}

/* Where a slip of the pen may not go unnoticed. */
static void test_strict(void **state)
{
	static const struct {
		const char *text, *want;
	} strict[] = {
		{"name: a\non: yes\n", "a|1|0|7|0||"},
		{"inner: {<<: [{a: 1}, {a: 2}], a: 3}\n", "-|0|0|7|0||a=2;a=1;a=3;"},
		{"\nnmae: a\n", "f.yml:2: nmae: unknown key; did you mean name?"},
		{"nom: a\n", "f.yml:1: nom: unknown key; write name"},
		{"unheard_of: a\n", "f.yml:1: unheard_of: unknown key"},
		{"name: a\nname: b\n", "f.yml:2: name: this key came before"},
		{"inner: {x: 1, x: 2}\n", "f.yml:1: inner.x: this key came before"},
		{"name:\n", "f.yml:1: name: a value is wanted"},
		{"items: ~\n", "f.yml:1: items: a value is wanted"},
	};

	for (size_t i = 0; i < COUNT(strict); i++) {
		struct text warnings = {0};
		char *got = read_as(strict[i].text, strlen(strict[i].text), &warnings, true);

		assert_string_equal(got, strict[i].want);
		assert_string_equal(warnings.p, "");
		free(got);
		text_free(&warnings);
	}
}

/* head, n times the piece (its %d the number), tail. */
static void check_many(const char *head, const char *piece, int n, const char *tail,
		       const char *want)
{
	struct text t = {0}, warnings = {0};
	char *got;

	text_put(&t, head);
	for (int i = 0; i < n; i++) {
		const char *number = strstr(piece, "%d");

		if (number)
			text_fmt(&t, "%.*s%d%s", (int)(number - piece), piece, i, number + 2);
		else
			text_put(&t, piece);
	}
	text_put(&t, tail);
	got = read_text(t.p, t.len, &warnings);
	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("%s %d times gives: %s", piece, n, got);
	free(got);
	text_free(&t);
	text_free(&warnings);
}

static void test_limits(void **state)
{
	check_many("inner: {", "k%d: 1, ", YAML_KEYS, "}", "-|0|0|7|0||k0=1;k1=1;");
	check_many("inner: {", "k%d: 1, ", YAML_KEYS + 1, "}",
		   "f.yml:1: inner: more than 1024 keys");
	check_many("list: [", "w, ", YAML_KEYS, "]", "-|0|0|7|0|w;w;");
	check_many("list: [", "w, ", YAML_KEYS + 1, "]", "f.yml:1: list: more than 1024 words");
	check_many("x: ", "[", YAML_NESTING, "",
		   "f.yml:1: lists and mappings nested more than 32 deep");
	check_many("inner: ", "{<<: ", YAML_MERGES_NESTED, "{a: 1}}}}}}}}}", "-|0|0|7|0||a=1;");
	check_many("inner: ", "{<<: ", YAML_MERGES_NESTED + 1, "{a: 1}}}}}}}}}}",
		   "f.yml:1: inner: too many merges (<<)");
	check_many("x: &x {}\ninner: {<<: [", "*x, ", YAML_MERGES + 1, "]}",
		   "f.yml:1: inner: too many merges (<<)"); /* where the alias leads */
	check_many("# ", "large", YAML_BYTES / 5 + 1, "\n", "f.yml: larger than 1 MiB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
