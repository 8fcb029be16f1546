/* Messages: what was captured between the Go programs, Go's leniency and strictness, extensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "msg/pgrok/msg.h"

#define WIRE "test/data/wire.jsonl"

static enum msg_rc decode(const char *json, struct msg *m, struct err *err)
{
	err->text[0] = '\0';
	return msg_decode(json, strlen(json), m, err);
}

static void assert_encodes(const struct msg *m, const char *want)
{
	size_t len;
	char *got = msg_encode(m, &len);

	assert_non_null(got);
	assert_string_equal(got, want);
	assert_int_equal(len, strlen(want));
	free(got);
}

/* ---- the captured lines ---- */

/* Every key of the captured payload that we know has its value in what we encode. */
static void assert_same_values(const struct msg *m, json_t *line)
{
	size_t len;
	char *text = msg_encode(m, &len);
	json_t *got = json_loadb(text, len, 0, NULL), *want = json_object_get(line, "json"), *v, *w;
	const char *key, *k;

	assert_non_null(got);
	if (!json_object_get(want, "Payload"))
		want = json_object_get(want, "payload");
	else
		want = json_object_get(want, "Payload");
	json_object_foreach(json_object_get(got, "Payload"), key, v)
		json_object_foreach(want, k, w) if (!strcasecmp(key, k) && !json_is_null(w))
			assert_true(json_equal(v, w));
	json_decref(got);
	free(text);
}

/*
 * "want" says what the Go server makes of the line: exact = a message in the very bytes that our
 * encoder has to produce, ok = a message in another form, null, bad.
 */
static void check_line(json_t *line)
{
	const char *raw = json_string_value(json_object_get(line, "raw"));
	const char *want = json_string_value(json_object_get(line, "want"));
	struct err err;
	struct msg m;
	enum msg_rc rc;

	assert_int_equal(json_integer_value(json_object_get(line, "len")), strlen(raw));
	rc = decode(raw, &m, &err);
	if (!strcmp(want, "bad")) {
		assert_int_equal(rc, MSG_BAD);
		assert_string_not_equal(err.text, "");
	} else if (!strcmp(want, "null")) {
		assert_int_equal(rc, MSG_NULL);
		assert_null(m.owner);
	} else {
		assert_string_equal(err.text, "");
		assert_int_equal(rc, MSG_OK);
		assert_same_values(&m, line);
		if (!strcmp(want, "exact"))
			assert_encodes(&m, raw);
	}
	msg_free(&m);
}

static void test_captured(void **state)
{
	FILE *f = fopen(WIRE, "r");
	char *text = NULL;
	size_t cap = 0;
	int lines = 0;

	if (!f)
		fail_msg("%s: not found; run this from the top folder", WIRE);
	while (getline(&text, &cap, f) > 0) {
		json_t *line = json_loads(text, 0, NULL);

		assert_non_null(line);
		check_line(line);
		json_decref(line);
		lines++;
	}
	assert_in_range(lines, 150, 1000);
	free(text);
	fclose(f);
}

/* ---- encoding ---- */

static void test_fields_in_order(void **state)
{
	static const char *const want[MSG_TYPES] = {
		[MSG_AUTH] =
			"{\"Type\":\"Auth\",\"Payload\":{\"Version\":\"\",\"MmVersion\":\"\","
			"\"User\":\"\",\"Password\":\"\",\"OS\":\"\",\"Arch\":\"\",\"ClientId\":\"\"}}",
		[MSG_AUTH_RESP] = "{\"Type\":\"AuthResp\",\"Payload\":{\"Version\":\"\","
				  "\"MmVersion\":\"\",\"ClientId\":\"\",\"Error\":\"\"}}",
		[MSG_REQ_TUNNEL] =
			"{\"Type\":\"ReqTunnel\",\"Payload\":{\"Category\":\"\",\"ReqId\":\"\","
			"\"Protocol\":\"\",\"Hostname\":\"\",\"Subdomain\":\"\","
			"\"HttpAuth\":\"\",\"RemotePort\":0}}",
		[MSG_NEW_TUNNEL] =
			"{\"Type\":\"NewTunnel\",\"Payload\":{\"ReqId\":\"\",\"Url\":\"\","
			"\"Protocol\":\"\",\"Error\":\"\"}}",
		[MSG_REQ_PROXY] = "{\"Type\":\"ReqProxy\",\"Payload\":{}}",
		[MSG_REG_PROXY] = "{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"\"}}",
		[MSG_START_PROXY] =
			"{\"Type\":\"StartProxy\",\"Payload\":{\"Url\":\"\",\"ClientAddr\":\"\"}}",
		[MSG_PING] = "{\"Type\":\"Ping\",\"Payload\":{}}",
		[MSG_PONG] = "{\"Type\":\"Pong\",\"Payload\":{}}",
	};

	for (int t = 0; t < MSG_TYPES; t++) {
		struct msg m = msg_new((enum msg_type)t);

		assert_encodes(&m, want[t]);
	}
}

static void test_escapes(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{"a\"b\\c/d", "a\\\"b\\\\c/d"},
		{"\n\r\t", "\\n\\r\\t"},
		{"\x01\b\f\x1f", "\\u0001\\u0008\\u000c\\u001f"},
		{"\x7f", "\x7f"},
		{"<&>", "\\u003c\\u0026\\u003e"},
		{"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa",
		 "\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa"},
		{"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf",
		 "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"},
	};
	char want[256];
	struct err err;
	struct msg m, back;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		m = msg_new(MSG_REG_PROXY);
		m.reg_proxy.client_id = cases[i].text;
		snprintf(want, sizeof(want),
			 "{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"%s\"}}",
			 cases[i].json);
		assert_encodes(&m, want);
		assert_int_equal(decode(want, &back, &err), MSG_OK);
		assert_string_equal(back.reg_proxy.client_id, cases[i].text);
		msg_free(&back);
	}
}

static void test_not_utf8_is_refused(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"a\xff",
		"\xc3",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x9f\xbf",
		"\xe2\x82",
		"\xe2\x28\xa1",
		"\xed\xa0\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf0\x9f\x98",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xe2\x82(",
		"\xf0\x9f\x98(",
	};
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct msg m = msg_new(MSG_AUTH);

		m.auth.user = bad[i];
		assert_null(msg_encode(&m, &len));
	}
}

/* ---- decoding ---- */

#define REQ(fields) "{\"Type\":\"ReqTunnel\",\"Payload\":{" fields "}}"
#define REG(text) "{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":" text "}}"

/* What Go's reader accepts; all say the same as the second text. */
static const struct {
	const char *json, *same;
} good[] = {
	{" \t\r\n{ \"Payload\" : { } , \"Type\" : \"Ping\" } \n",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
	{"{\"TYPE\":\"Ping\",\"pAYLOAD\":{\"x\":[1,{\"y\":null}]},\"z\":1.5e3}",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
	{"{\"T\\u0079pe\":\"P\\u0069ng\",\"Payload\":{}}", "{\"Type\":\"Ping\",\"Payload\":{}}"},
	{"{\"type\":\"RegProxy\",\"payload\":{\"clientid\":\"a\"}}", REG("\"a\"")},
	{"{\"type\":\"RegProxy\",\"payload\":{\"CLIENTID\":\"a\"}}", REG("\"a\"")},
	/* null changes nothing */
	{REG("null"), REG("\"\"")},
	{"{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"a\",\"clientid\":null}}",
	 REG("\"a\"")},
	/* the last of equal keys */
	{"{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"a\",\"clientid\":\"b\"}}",
	 REG("\"b\"")},
	{"{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"a\",\"ClientId\":\"b\"}}",
	 REG("\"b\"")},
	{"{\"Type\":\"Ping\",\"Payload\":{},\"type\":\"Pong\"}",
	 "{\"Type\":\"Pong\",\"Payload\":{}}"},
	{"{\"Type\":\"Ping\",\"Payload\":null,\"payload\":{}}",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
	{"{\"Type\":\"Ping\",\"type\":null,\"Payload\":{}}", "{\"Type\":\"Ping\",\"Payload\":{}}"},
	/* damaged text */
	{REG("\"a\xff\xc3z\""), REG("\"a\xef\xbf\xbd\xef\xbf\xbdz\"")},
	{REG("\"\xe2\x82\""), REG("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
	{REG("\"\\ud83d\""), REG("\"\xef\xbf\xbd\"")},
	{REG("\"\\ude00\\ud83d\""), REG("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
	{REG("\"\\ude00\\ude00\""), REG("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
	{REG("\"\\ud83d\\ud83d\\ude00\""), REG("\"\xef\xbf\xbd\xf0\x9f\x98\x80\"")},
	{REG("\"\\uD83D\\uDE00\""), REG("\"\xf0\x9f\x98\x80\"")},
	{REG("\"\\\\ud83d\""), REG("\"\\\\ud83d\"")},
	{REG("\"\\\\\\ud83d\""), REG("\"\\\\\xef\xbf\xbd\"")},
	{REG("\"\\ud83dx\xff\""), REG("\"\xef\xbf\xbdx\xef\xbf\xbd\"")},
	{"{\"Type\":\"Ping\",\"Payload\":{\"x\xff\":\"\\ud800\"}}",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
	/* a NUL where nobody looks */
	{"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\u0000\"}}",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
	/* numbers */
	{REQ("\"RemotePort\":65535"),
	 REQ("\"Category\":\"\",\"ReqId\":\"\",\"Protocol\":\"\",\"Hostname\":\"\","
	     "\"Subdomain\":\"\",\"HttpAuth\":\"\",\"RemotePort\":65535")},
	{REQ("\"remoteport\":null"),
	 REQ("\"Category\":\"\",\"ReqId\":\"\",\"Protocol\":\"\",\"Hostname\":\"\","
	     "\"Subdomain\":\"\",\"HttpAuth\":\"\",\"RemotePort\":0")},
	{"{\"Type\":\"Ping\",\"Payload\":{\"x\":9223372036854775807}}",
	 "{\"Type\":\"Ping\",\"Payload\":{}}"},
};

static void test_lenient(void **state)
{
	struct err err;
	struct msg m;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (decode(good[i].json, &m, &err) != MSG_OK)
			fail_msg("%s: %s", good[i].json, err.text);
		assert_encodes(&m, good[i].same);
		msg_free(&m);
	}
}

static const char *const bad[] = {
	"",
	" ",
	"{",
	"nope",
	"null",
	"[]",
	"1",
	"\"Ping\"",
	"true",
	"{}",
	"{\"Type\":\"Ping\"}",
	"{\"Payload\":{}}",
	"{\"Type\":null,\"Payload\":{}}",
	"{\"Type\":1,\"Payload\":{}}",
	"{\"Type\":[\"Ping\"],\"Payload\":{}}",
	"{\"Type\":\"\",\"Payload\":{}}",
	"{\"Type\":\"ping\",\"Payload\":{}}",
	"{\"Type\":\"Ping \",\"Payload\":{}}",
	"{\"Type\":\"Ping\\u0000\",\"Payload\":{}}",
	"{\"Type\":\"Pin\",\"Payload\":{}}",
	"{\"Type\":\"Foo\",\"Payload\":null}",
	"{\"Type\":\"Ping\",\"Payload\":[]}",
	"{\"Type\":\"Ping\",\"Payload\":0}",
	"{\"Type\":\"Ping\",\"Payload\":\"\"}",
	"{\"Type\":\"Ping\",\"Payload\":false}",
	"{\"Type\":\"Ping\",\"Payload\":{}} x",
	"{\"Type\":\"Ping\",\"Payload\":{}}{}",
	"{\"Type\":\"Ping\",\"Payload\":{},}",
	"{'Type':'Ping','Payload':{}}",
	"\xef\xbb\xbf{\"Type\":\"Ping\",\"Payload\":{}}",
	"{\"Type\":\"Ping\",\"Payload\":{}}\xff",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":1e999}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":9223372036854775808}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":01}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":NaN}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\x\"}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\ud8\"}}",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\u",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\\ud83d",
	"{\"Type\":\"Ping\",\"Payload\":{\"x\":\"\n\"}}",
	REG("2"),
	REG("false"),
	REG("[]"),
	REG("{}"),
	REG("\"a\\u0000b\""),
	/* the wrong type counts also where it is overruled */
	"{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":2,\"clientid\":\"b\"}}",
	REQ("\"RemotePort\":-1"),
	REQ("\"RemotePort\":65536"),
	REQ("\"RemotePort\":70000"),
	REQ("\"RemotePort\":4294967296"),
	REQ("\"RemotePort\":80.0"),
	REQ("\"RemotePort\":8e1"),
	REQ("\"RemotePort\":\"80\""),
	REQ("\"RemotePort\":true"),
	REQ("\"Mux\":\"no\""),
	REQ("\"Mux\":0.5"),
	"{\"Type\":\"Auth\",\"Payload\":{\"Version\":2}}",
	"{\"Type\":\"Auth\",\"Payload\":{\"Features\":[\"mux\"]}}",
};

static void test_strict(void **state)
{
	struct err err;
	struct msg m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&m, 0xa5, sizeof(m));
		if (decode(bad[i], &m, &err) != MSG_BAD)
			fail_msg("accepted: %s", bad[i]);
		assert_string_not_equal(err.text, "");
		assert_null(m.owner);
		msg_free(&m);
	}
	/* A NUL byte ends nothing. */
	assert_int_equal(msg_decode("{\"Type\":\"Ping\",\"Payload\":{}}\0", 29, &m, &err), MSG_BAD);
}

static void test_null_payload(void **state)
{
	struct err err;
	struct msg m;

	assert_int_equal(decode("{\"Type\":\"ReqTunnel\",\"Payload\":null}", &m, &err), MSG_NULL);
	assert_int_equal(m.type, MSG_REQ_TUNNEL);
	assert_int_equal(m.req_tunnel.mux, 1);
	assert_int_equal(decode("{\"Type\":\"Ping\",\"Payload\":{},\"payload\":null}", &m, &err),
			 MSG_NULL);
}

/* An error goes to the log; a token may not. */
static void test_error_keeps_secrets(void **state)
{
	static const char *const texts[] = {
		"{\"Type\":\"Auth\",\"Payload\":{\"User\":\"s3cret\" \"Password\":\"\"}}",
		"{\"Type\":\"Auth\",\"Payload\":{\"User\":\"s3cret",
		"{\"Type\":\"Auth\",\"Payload\":{\"User\":s3cret}}",
		"{\"Type\":\"s3cret\",\"Payload\":{}}",
		"{\"Type\":\"Auth\",\"Payload\":{\"User\":\"s3cret\"}}\"s3cret\"",
		"{\"Type\":\"Auth\",\"Payload\":{\"User\":\"s3cret\\u0000\"}}",
	};
	struct err err;
	struct msg m;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(decode(texts[i], &m, &err), MSG_BAD);
		assert_null(strstr(err.text, "s3cret"));
	}
}

/* Deep nesting may neither be slow nor use up the stack. */
static void test_deep(void **state)
{
	size_t n = 60000;
	char *text = malloc(n);
	struct err err;
	struct msg m;

	assert_non_null(text);
	memset(text, '[', n);
	assert_int_equal(msg_decode(text, n, &m, &err), MSG_BAD);
	free(text);
}

/* ---- extensions ---- */

static void test_extensions(void **state)
{
	static const char *const same[] = {
		"{\"Type\":\"Auth\",\"Payload\":{\"Version\":\"2\",\"MmVersion\":\"3.0\",\"User\":\"\","
		"\"Password\":\"\",\"OS\":\"linux\",\"Arch\":\"amd64\",\"ClientId\":\"\","
		"\"Features\":\"mux ping\"}}",
		"{\"Type\":\"AuthResp\",\"Payload\":{\"Version\":\"2\",\"MmVersion\":\"3.0\","
		"\"ClientId\":\"a\",\"Error\":\"\",\"Features\":\"mux\"}}",
		"{\"Type\":\"RegProxy\",\"Payload\":{\"ClientId\":\"a\",\"Mux\":1}}",
		REQ("\"Category\":\"\",\"ReqId\":\"\",\"Protocol\":\"\",\"Hostname\":\"\","
		    "\"Subdomain\":\"\",\"HttpAuth\":\"\",\"RemotePort\":7,\"Mux\":0"),
		REQ("\"Category\":\"\",\"ReqId\":\"\",\"Protocol\":\"\",\"Hostname\":\"\","
		    "\"Subdomain\":\"\",\"HttpAuth\":\"\",\"RemotePort\":0,"
		    "\"Mux\":-9223372036854775808"),
		REQ("\"Category\":\"\",\"ReqId\":\"\",\"Protocol\":\"\",\"Hostname\":\"\","
		    "\"Subdomain\":\"\",\"HttpAuth\":\"\",\"RemotePort\":0,"
		    "\"LastName\":\"0123abcd\",\"LastPort\":65535"),
	};
	struct err err;
	struct msg m;

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(decode(same[i], &m, &err), MSG_OK);
		assert_encodes(&m, same[i]);
		msg_free(&m);
	}
	assert_int_equal(decode(REQ(""), &m, &err), MSG_OK);
	assert_int_equal(m.req_tunnel.mux, 1);
	assert_string_equal(m.req_tunnel.protocol, "");
	msg_free(&m);
	assert_int_equal(decode(REG("\"a\""), &m, &err), MSG_OK);
	assert_int_equal(m.reg_proxy.mux, 0);
	msg_free(&m);
	assert_int_equal(decode("{\"Type\":\"Auth\",\"Payload\":{}}", &m, &err), MSG_OK);
	assert_string_equal(m.auth.features, "");
	msg_free(&m);
}

static void test_features(void **state)
{
	assert_true(msg_has_feature("mux", "mux"));
	assert_true(msg_has_feature("mux ping access", "mux"));
	assert_true(msg_has_feature("mux ping access", "ping"));
	assert_true(msg_has_feature("  mux  ping ", "ping"));
	assert_true(msg_has_feature("muxx mux", "mux"));
	assert_false(msg_has_feature("muxx xmux mu", "mux"));
	assert_false(msg_has_feature("mux,ping", "mux"));
	assert_false(msg_has_feature("Mux", "mux"));
	assert_false(msg_has_feature("", "mux"));
	assert_false(msg_has_feature(NULL, "mux"));
	assert_false(msg_has_feature("mux ping", "mux ping"));
	assert_false(msg_has_feature(" mux", ""));
}

static void test_names(void **state)
{
	char text[64];
	struct err err;
	struct msg m;

	for (int t = 0; t < MSG_TYPES; t++) {
		snprintf(text, sizeof(text), "{\"Type\":\"%s\",\"Payload\":{}}",
			 msg_type_name((enum msg_type)t));
		assert_int_equal(decode(text, &m, &err), MSG_OK);
		assert_int_equal(m.type, t);
		msg_free(&m);
		msg_free(&m); /* harmless */
	}
}

static void test_short_id(void **state)
{
	static const char *const shown[][2] = {
		{"", "*"},
		{"a", "*"},
		{"abc", "a*"},
		{"12345678", "1234*"},
		{"123456789", "12345678"},
		{"0123456789abcdef", "01234567"},
	};
	char out[MSG_SHORT_ID];

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		msg_short_id(shown[i][0], out);
		assert_string_equal(out, shown[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_captured),     cmocka_unit_test(test_fields_in_order),
		cmocka_unit_test(test_escapes),      cmocka_unit_test(test_not_utf8_is_refused),
		cmocka_unit_test(test_lenient),      cmocka_unit_test(test_strict),
		cmocka_unit_test(test_null_payload), cmocka_unit_test(test_error_keeps_secrets),
		cmocka_unit_test(test_deep),         cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_short_id),     cmocka_unit_test(test_features),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
