/* Unit tests of msg/json: an object of all kinds of fields, written, read, and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "msg/json/fields.h"
#include "msg/json/lenient.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct limits {
	bool there;
	int64_t conns;
	struct field_texts names;
};

struct thing {
	char before; /* so that no member stands at 0 */
	const char *name, *note;
	uint16_t port;
	int64_t count;
	bool open, shut;
	struct field_texts allow, deny;
	struct limits limits;
};

static const struct field limits_rows[] = {
	FIELD("conns", struct limits, conns, NUMBER, .omit = true, .def = 7),
	FIELD("names", struct limits, names, TEXTS, .omit = true),
};
static const struct fields limits = FIELDS("limits", limits_rows);

static const struct field thing_rows[] = {
	FIELD("name", struct thing, name, TEXT),
	FIELD("note_2", struct thing, note, TEXT, .omit = true),
	FIELD("port", struct thing, port, PORT),
	FIELD("count", struct thing, count, NUMBER, .omit = true, .def = -1),
	FIELD("open", struct thing, open, BOOL),
	FIELD("shut", struct thing, shut, BOOL, .omit = true),
	FIELD("allow", struct thing, allow, TEXTS),
	FIELD("deny", struct thing, deny, TEXTS, .omit = true),
	FIELD("limits", struct thing, limits, OBJECT, .inner = &limits),
};
static const struct fields thing = FIELDS("Thing", thing_rows);

/* What is read is written again in this form. */
static const struct {
	const char *in, *out;
} good[] = {
	{"{}", "{\"name\":\"\",\"port\":0,\"open\":false,\"allow\":[]}"},
	{"{\"name\":\"n\",\"note_2\":\"\",\"port\":65535,\"count\":-1,\"open\":true,\"shut\":false}",
	 "{\"name\":\"n\",\"port\":65535,\"open\":true,\"allow\":[]}"},
	{"{\"allow\":[\"10.0.0.0/8\",\"\",\"<&>\"],\"deny\":[\"x\"],\"shut\":true,\"count\":0}",
	 "{\"name\":\"\",\"port\":0,\"count\":0,\"open\":false,\"shut\":true,"
	 "\"allow\":[\"10.0.0.0/8\",\"\",\"\\u003c\\u0026\\u003e\"],\"deny\":[\"x\"]}"},
	/* An object is there even if it says nothing. */
	{"{\"limits\":{}}", "{\"name\":\"\",\"port\":0,\"open\":false,\"allow\":[],\"limits\":{}}"},
	{"{\"limits\":{\"conns\":31,\"names\":[\"a\",\"b\"]},\"name\":\"z\"}",
	 "{\"name\":\"z\",\"port\":0,\"open\":false,\"allow\":[],"
	 "\"limits\":{\"conns\":31,\"names\":[\"a\",\"b\"]}}"},
	/* Keys in any case, unknown ones, null; the last counts. */
	{"{\"NAME\":\"a\",\"Note_2\":\"b\",\"Limits\":{\"CONNS\":1},\"x\":{\"name\":5}}",
	 "{\"name\":\"a\",\"note_2\":\"b\",\"port\":0,\"open\":false,\"allow\":[],"
	 "\"limits\":{\"conns\":1}}"},
	{"{\"name\":\"a\",\"Name\":\"b\",\"NAME\":null,\"limits\":null,\"allow\":null}",
	 "{\"name\":\"b\",\"port\":0,\"open\":false,\"allow\":[]}"},
	/* Damage. */
	{"{\"name\":\"\xff\\ud800\",\"allow\":[\"\xc3\"]}",
	 "{\"name\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"port\":0,\"open\":false,"
	 "\"allow\":[\"\xef\xbf\xbd\"]}"},
};

static const struct {
	const char *in, *err;
} bad[] = {
	{"{\"name\":1}", "Thing: name is not a string"},
	{"{\"name\":\"a\",\"NAME\":1}", "Thing: name is not a string"},
	{"{\"name\":\"a\\u0000b\"}", "Thing: name contains a NUL"},
	{"{\"port\":65536}", "Thing: port is not in 0-65535"},
	{"{\"port\":-1}", "Thing: port is not in 0-65535"},
	{"{\"port\":\"80\"}", "Thing: port is not an integer"},
	{"{\"count\":1.0}", "Thing: count is not an integer"},
	{"{\"open\":1}", "Thing: open is not true or false"},
	{"{\"open\":\"true\"}", "Thing: open is not true or false"},
	{"{\"allow\":\"x\"}", "Thing: allow is not an array"},
	{"{\"allow\":{}}", "Thing: allow is not an array"},
	{"{\"allow\":[\"x\",2]}", "Thing: allow is not a string"},
	{"{\"allow\":[null]}", "Thing: allow is not a string"},
	{"{\"limits\":[]}", "Thing: limits is not an object"},
	{"{\"limits\":{\"conns\":\"1\"}}", "limits: conns is not an integer"},
	{"{\"limits\":{\"names\":[[]]}}", "limits: names is not a string"},
};

static void test_good(void **state)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		struct err err = {""};
		json_t *root = lenient_load(good[i].in, strlen(good[i].in), &err);
		struct fields_owner *owner;
		struct text t = {0};
		struct thing got;

		assert_string_equal(err.text, "");
		memset(&got, 'x', sizeof(got));
		if (!fields_get(&thing, root, &got, &owner, &err))
			fail_msg("%s: %s", good[i].in, err.text);
		json_decref(root); /* what was read stays */
		assert_int_equal(got.before, 'x');
		if (got.allow.n)
			assert_null(got.allow.text[got.allow.n]);
		assert_true(fields_put(&t, &thing, &got));
		assert_string_equal(t.p, good[i].out);
		text_free(&t);
		fields_free(owner);
	}
}

static void test_bad(void **state)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct err err = {""};
		json_t *root = lenient_load(bad[i].in, strlen(bad[i].in), &err);
		struct thing got = {.name = "untouched"};
		struct fields_owner *owner;

		assert_non_null(root);
		if (fields_get(&thing, root, &got, &owner, &err))
			fail_msg("%s", bad[i].in);
		assert_string_equal(err.text, bad[i].err);
		assert_string_equal(got.name, "untouched");
		assert_null(owner);
		json_decref(root);
	}
}

static void test_not_utf8(void **state)
{
	static const char *const texts[] = {"fine", "\xff"};
	struct thing x;
	struct text t = {0};

	fields_init(&thing, &x);
	assert_string_equal(x.name, "");
	assert_int_equal(x.count, -1);
	assert_int_equal(x.limits.conns, 7);
	x.name = NULL; /* is "" */
	assert_true(fields_put(&t, &thing, &x));
	x.allow = (struct field_texts){texts, 1};
	assert_true(fields_put(&t, &thing, &x));
	x.allow.n = 2;
	assert_false(fields_put(&t, &thing, &x));
	x.allow.n = 0;
	x.limits = (struct limits){.there = true, .names = {texts + 1, 1}};
	assert_false(fields_put(&t, &thing, &x));
	x.limits.there = false;
	assert_true(fields_put(&t, &thing, &x));
	x.name = "\xed\xa0\x80";
	assert_false(fields_put(&t, &thing, &x));
	text_free(&t);
}

static void test_not_json(void **state)
{
	static const char *const texts[] = {"",
					    "{",
					    "{}x",
					    "{\"a\":}",
					    "\xef\xbb\xbf{}",
					    "tru",
					    "{\"a\":1e999}",
					    "{\"a\":99999999999999999999}",
					    "\"\\x\"",
					    "{\"\\u0000\":1}"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct err err = {""};

		assert_null(lenient_load(texts[i], strlen(texts[i]), &err));
		assert_memory_equal(err.text, "not JSON: ", 10);
		assert_null(strstr(err.text, " near '"));
	}
}

/* What costs much more than its bytes is bounded; long texts are not. */
static void test_many_values(void **state)
{
	static const char *const units[] = {"0", "{}", "[]", "\"\"", "{\"\":0}"};
	static const char begin[] = "{\"a\\\"{\":\"\\\\\",\"x\":\"";
	static char json[1 << 20];
	struct err err = {""};
	json_t *root;

	for (size_t i = 0; i < COUNT(units); i++) {
		size_t len = (size_t)sprintf(json, "{\"x\":[%s", units[i]);

		while (len < sizeof(json) - 16)
			len += (size_t)sprintf(json + len, ",%s", units[i]);
		len += (size_t)sprintf(json + len, "]}");
		assert_null(lenient_load(json, len, &err));
		assert_string_equal(err.text, "more than 4096 values in one message");
	}
	memset(json, ',', sizeof(json));
	memcpy(json, begin, strlen(begin));
	memcpy(json + sizeof(json) - 2, "\"}", 2);
	root = lenient_load(json, sizeof(json), &err);
	assert_non_null(root);
	json_decref(root);
	/* Texts that do not end. */
	assert_null(lenient_load("{\"", 2, &err));
	assert_null(lenient_load("{\"\\", 3, &err));
}

static void test_keys(void **state)
{
	assert_true(lenient_key("Type", "Type"));
	assert_true(lenient_key("tYPE", "Type"));
	assert_true(lenient_key("TUNNEL_ID", "tunnel_id"));
	assert_false(lenient_key("Typ", "Type"));
	assert_false(lenient_key("Types", "Type"));
	assert_false(lenient_key("tunnel\x7fid", "tunnel_id"));
	assert_false(lenient_key("", "Type"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
		cmocka_unit_test(test_not_utf8), cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_keys),     cmocka_unit_test(test_many_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
