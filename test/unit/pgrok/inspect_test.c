/*
 * The inspector's pure parts: checkers, heads, decoding, meters, requests made up for
 * replays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "pgrok/inspect/check.h"
#include "pgrok/inspect/decode.h"
#include "pgrok/inspect/head.h"
#include "pgrok/inspect/meter.h"
#include "pgrok/replay/replay.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A copy of its exact size, so that a sanitizer sees a read past the end. */
static char *exact(const char *text, size_t len)
{
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

/* ---- checkers ---- */

static const char *const good_json[] = {
	"{}",
	"[]",
	"0",
	"-1.5e+3",
	"true",
	"null",
	"\"\"",
	"\"\\u00fC\\n\"",
	" [1, {\"a\": [ ] , \"b\":{}}]\n",
	"\"\xc3\xbc\"",
};

static const struct {
	const char *text, *error;
	size_t offset;
} bad_json[] = {
	{"", "unexpected end of JSON input", 0},
	{"{\"a\": 1,}", "invalid character '}' looking for beginning of object key string", 9},
	{"{", "unexpected end of JSON input", 1},
	{"[1,]", "invalid character ']' looking for beginning of value", 4},
	{"[1 2]", "invalid character '2' after array element", 4},
	{"{\"a\" 1}", "invalid character '1' after object key", 6},
	{"{\"a\":1 2}", "invalid character '2' after object key:value pair", 8},
	{"1 x", "invalid character 'x' after top-level value", 3},
	{"tru3", "invalid character '3' in literal true (expecting 'e')", 4},
	{"\"a\nb\"", "invalid character '\\n' in string literal", 3},
	{"\"\\x\"", "invalid character 'x' in string escape code", 3},
	{"\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape", 6},
	{"-x", "invalid character 'x' in numeric literal", 2},
	{"1.x", "invalid character 'x' after decimal point in numeric literal", 3},
	{"1ex", "invalid character 'x' in exponent of numeric literal", 3},
	{"'a'", "invalid character '\\'' looking for beginning of value", 1},
	{"01", "invalid character '1' after top-level value", 2},
	{"\xff", "invalid character '\xc3\xbf' looking for beginning of value", 1},
};

static void test_check_json(void **state)
{
	struct err err;
	size_t offset;

	for (size_t i = 0; i < COUNT(good_json); i++) {
		size_t len = strlen(good_json[i]);
		char *in = exact(good_json[i], len);

		assert_true(check_json(in, len, &err, &offset));
		assert_string_equal(err.text, "");
		free(in);
	}
	for (size_t i = 0; i < COUNT(bad_json); i++) {
		size_t len = strlen(bad_json[i].text);
		char *in = exact(bad_json[i].text, len);

		assert_false(check_json(in, len, &err, &offset));
		assert_string_equal(err.text, bad_json[i].error);
		assert_int_equal(offset, bad_json[i].offset);
		free(in);
	}
}

static void test_json_depth(void **state)
{
	char *deep = malloc(20001);
	struct err err;
	size_t offset;

	assert_non_null(deep);
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	assert_true(check_json(deep, 20000, &err, &offset));
	memset(deep, '[', 10001);
	assert_false(check_json(deep, 20001, &err, &offset));
	assert_string_equal(err.text, "exceeded max depth");
	free(deep);
}

static void test_check_xml(void **state)
{
	static const char *const good[] = {
		"",
		"<a/>",
		"<?xml version='1.0'?><!DOCTYPE a><a b='>'><!-- < --><![CDATA[<b>]]>x</a >\n",
		"<a:b c=\"/\"></a:b>",
	};
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"<a>\n<b></a", "XML syntax error on line 2: unexpected EOF"},
		{"<a>\n\n", "XML syntax error on line 3: unexpected EOF"},
		{"<a><b></a>", "XML syntax error on line 1: element <b> closed by </a>"},
		{"<a></a></b>", "XML syntax error on line 1: unexpected end element </b>"},
		{"<!-- ", "XML syntax error on line 1: unexpected EOF"},
		{"<a b='>", "XML syntax error on line 1: unexpected EOF"},
		{"<>", "XML syntax error on line 1: expected element name after <"},
		{"<", "XML syntax error on line 1: unexpected EOF"},
	};
	struct err err;
	size_t offset;

	for (size_t i = 0; i < COUNT(good); i++) {
		char *in = exact(good[i], strlen(good[i]));

		assert_true(check_xml(in, strlen(good[i]), &err, &offset));
		free(in);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		char *in = exact(bad[i].text, strlen(bad[i].text));

		assert_false(check_xml(in, strlen(bad[i].text), &err, &offset));
		assert_string_equal(err.text, bad[i].error);
		free(in);
	}
}

/* ---- heads ---- */

static struct capture_head head_of(const char *text)
{
	return (struct capture_head){(char *)(uintptr_t)text, (uint32_t)strlen(text)};
}

static void test_heads(void **state)
{
	struct capture_head h = head_of("GET /x?y HTTP/1.1\r\nHost: h\r\nx-b:  2 \r\nX-A: 1\r\n"
					"X-B: 3\r\ncontent-TYPE: text/plain ; charset=x\r\n\r\n");
	struct capture_head answer =
		head_of("HTTP/1.1 404 Not Here\nTransfer-Encoding: chunked\n\n");
	struct text t = {0};

	assert_true(head_part_is(head_word(&h, 0), "get"));
	assert_true(head_part_is(head_word(&h, 2), "HTTP/1.1"));
	assert_true(head_part_is(head_status(&answer), "404 not here"));
	assert_true(head_part_is(head_field(&h, "X-b"), "2"));
	assert_true(head_part_is(head_type(&h), "text/plain"));
	assert_int_equal(head_field(&h, "x-c").len, 0);
	head_map(&t, &h, true);
	assert_string_equal(
		t.p,
		"{\"Content-Type\":[\"text/plain ; charset=x\"],\"X-A\":[\"1\"],\"X-B\":[\"2\",\"3\"]}");
	t.len = 0;
	head_list(&t, &h, false);
	assert_string_equal(
		t.p,
		"[[\"Host\",\"h\"],[\"x-b\",\"2\"],[\"X-A\",\"1\"],[\"X-B\",\"3\"],[\"content-TYPE\",\"text/plain ; charset=x\"]]");
	t.len = 0;
	head_map(&t, &answer, false);
	assert_string_equal(t.p, "{}");
	text_free(&t);
}

/* ---- decoding ---- */

static size_t pack(const char *text, size_t len, int window, char *out, size_t cap)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	cap -= z.avail_out;
	deflateEnd(&z);
	return cap;
}

static void decode_exact(struct decoded *d, const char *coding, const char *in, size_t len)
{
	char *copy = exact(in, len);

	decode(d, coding, strlen(coding), copy, len, DECODE_MAX);
	free(copy);
}

static void test_decode(void **state)
{
	char one[200], two[300], three[300];
	size_t n1 = pack("hello", 5, 15 + 16, one, sizeof(one));
	size_t n2 = pack(one, n1, 15, two, sizeof(two)),
	       n3 = pack("raw", 3, -15, three, sizeof(three));
	struct decoded d;

	decode_exact(&d, "gzip", one, n1);
	assert_string_equal(d.text.p, "hello");
	assert_string_equal(d.codings.p, "gzip");
	assert_null(d.error);
	decoded_free(&d);
	decode_exact(&d, "identity, gzip ,\tDeflate", two, n2);
	assert_string_equal(d.text.p, "hello");
	assert_string_equal(d.codings.p, "Deflate, gzip");
	decoded_free(&d);
	decode_exact(&d, "deflate", three, n3);
	assert_string_equal(d.text.p, "raw");
	decoded_free(&d);
	/* Cut off: what there is. */
	decode_exact(&d, "gzip", one, n1 - 9);
	assert_true(d.truncated);
	assert_string_equal(d.error, "it ends too early");
	decoded_free(&d);
	decode_exact(&d, "gzip", "no gzip", 7);
	assert_string_equal(d.error, "broken data");
	assert_string_equal(d.text.p, "no gzip");
	decoded_free(&d);
	decode_exact(&d, "rot13", "x", 1);
	assert_string_equal(d.error, "not supported");
	decoded_free(&d);
	decode_exact(&d, "gzip", "", 0);
	assert_null(d.error);
	assert_int_equal(d.text.len, 0);
	decoded_free(&d);
}

/* Of five layers four are undone. */
static void test_decode_layers(void **state)
{
	static const char five[] = "gzip, gzip, gzip, gzip, gzip";
	char a[400] = "x", b[400];
	size_t n = 1;
	struct decoded d;

	for (int i = 0; i < 5; i++) {
		memcpy(b, a, n);
		n = pack(b, n, 15 + 16, a, sizeof(a));
	}
	decode_exact(&d, five, a, n);
	assert_string_equal(d.codings.p, five + 6);
	assert_true(d.text.len > 10);
	assert_memory_equal(d.text.p, "\x1f\x8b", 2);
	decoded_free(&d);
}

/* A window costs as much memory as a frame says: RFC 8878 lets 8 MiB suffice. */
static void test_decode_window(void **state)
{
#ifdef HAVE_ZSTD
	char frame[] = "\x28\xb5\x2f\xfd\0\x68\x09\0\0x"; /* 8 MiB, one raw block */
	struct decoded d;

	decode_exact(&d, "zstd", frame, sizeof(frame) - 1);
	assert_null(d.error);
	assert_string_equal(d.text.p, "x");
	decoded_free(&d);
	frame[5] = '\x70'; /* 16 MiB */
	decode_exact(&d, "zstd", frame, sizeof(frame) - 1);
	assert_string_equal(d.error, "broken data");
	decoded_free(&d);
#else
	print_message("[  SKIPPED ] built without zstd\n");
	skip();
#endif
}

/* Broken and cut input of every coding there is. */
static void test_decode_noise(void **state)
{
	char noise[300];

	for (unsigned seed = 1; seed < 500; seed++) {
		unsigned x = seed * 2654435761u;

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
		for (const char *const *name = decode_codings(); *name; name++) {
			struct decoded d;

			decode_exact(&d, *name, noise, seed % sizeof(noise));
			assert_true(d.text.len <= DECODE_MAX);
			decoded_free(&d);
		}
	}
}

/* ---- meters ---- */

static void test_meter(void **state)
{
	struct meter m = {0};
	struct text t = {0};
	uint64_t now = 1000000000;

	assert_int_equal(meter_percentile(&m, 0.5), 0);
	for (int i = 1; i <= 1000; i++)
		meter_add(&m, now, (uint64_t)i * 1000000, i % 2 ? 200 : 404);
	assert_int_equal(m.classes[2], 500);
	assert_int_equal(m.classes[4], 500);
	uint64_t p50 = meter_percentile(&m, 0.5), p99 = meter_percentile(&m, 0.99);

	assert_true(p50 > 450000000 && p50 < 550000000);
	assert_true(p99 > 900000000 && p99 < 1090000000);
	/* A minute of ten a second, then silence. */
	m = (struct meter){0};
	for (int i = 0; i < 3000; i++)
		meter_add(&m, now += 100000000, 1000, 200);
	meter_form(&t, &m, now, 7);
	assert_non_null(strstr(t.p, "\"count\":3000,\"gauge\":7,"));
	assert_true(m.rate[0] > 9 && m.rate[0] < 10.1);
	meter_form(&t, &m, now + UINT64_C(864000000000000), -1);
	assert_true(m.rate[0] < 0.001 && m.rate[2] < 0.001);
	text_free(&t);
}

/* ---- requests made up for replays ---- */

static char *made(const struct capture_txn *x, struct replay_edit e)
{
	size_t len;
	const char *why;
	char *request = replay_request(x, &e, "h", &len, &why), *text;

	if (!request)
		return xasprintf("! %s", why);
	text = xstrndup(request, len);
	free(request);
	return text;
}

static void expect_made(const struct capture_txn *x, struct replay_edit e, const char *want)
{
	char *got = made(x, e);

	assert_string_equal(got, want);
	free(got);
}

static void test_replay_request(void **state)
{
	struct capture_txn x = {
		.req_head = head_of("POST /a HTTP/1.0\r\nHost: own\r\nX: 1\r\n"
				    "transfer-encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
		.method = {0, 4},
		.target = {5, 2},
	};
	struct capture_txn cut = x;

	blob_add(&x.req.blob, "body", 4);
	x.req.size = 4;
	x.req.complete = true;
	expect_made(&x, (struct replay_edit){0},
		    "POST /a HTTP/1.1\r\nHost: own\r\nX: 1\r\nContent-Length: 4\r\n\r\nbody");
	expect_made(
		&x,
		(struct replay_edit){.method = "PUT", .path = "/b?c", .body = "", .body_len = 0},
		"PUT /b?c HTTP/1.1\r\nHost: own\r\nX: 1\r\nContent-Length: 0\r\n\r\n");
	expect_made(&x, (struct replay_edit){.fields = "A: b\r\nContent-Length: 99\r\n"},
		    "POST /a HTTP/1.1\r\nA: b\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
	expect_made(NULL, (struct replay_edit){.method = "GET", .path = "/"},
		    "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	expect_made(NULL, (struct replay_edit){.method = "GET"}, "! method and path are needed");
	expect_made(NULL, (struct replay_edit){.method = "GET", .path = "x y"},
		    "! bad request target");
	expect_made(NULL, (struct replay_edit){.method = "CONNECT", .path = "/"},
		    "! CONNECT is for tcp tunnels");
	cut.req.size = 4;
	expect_made(&cut, (struct replay_edit){0}, "! the body was not kept whole");
	expect_made(&cut, (struct replay_edit){.body = "x", .body_len = 1},
		    "POST /a HTTP/1.1\r\nHost: own\r\nX: 1\r\nContent-Length: 1\r\n\r\nx");
	blob_free(&x.req.blob);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check_json),    cmocka_unit_test(test_json_depth),
		cmocka_unit_test(test_check_xml),     cmocka_unit_test(test_heads),
		cmocka_unit_test(test_decode),        cmocka_unit_test(test_decode_layers),
		cmocka_unit_test(test_decode_window), cmocka_unit_test(test_decode_noise),
		cmocka_unit_test(test_meter),         cmocka_unit_test(test_replay_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
