/* PROXY heads, read and made. The forms are those of HAProxy's specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/xalloc.h"
#include "common/net/proxy_head.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define V2(text) SIG text, 12 + sizeof(text) - 1
#define V1(text) text, sizeof(text) - 1
#define BYTES12 "\xc0\0\2\1\xcb\0\x71\7\xdc\4\1\xbb"
#define IP6A "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define IP6B "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define UNIX8 "12345678"
#define UNIX54 UNIX8 UNIX8 UNIX8 UNIX8 UNIX8 UNIX8 "123456"
#define UNIX108 UNIX54 UNIX54
#define WORST "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

/* clang-format off */
static const struct {
	const char *in;
	size_t len;
	const char *from, *to; /* NULL: it does not say */
} good[] = {
	{V1("PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n"), "192.0.2.1:56324",
	 "203.0.113.7:443"},
	{V1("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	 "255.255.255.255:65535", "255.255.255.255:65535"},
	{V1("PROXY TCP4 0.0.0.0 1.1.1.1 0 0\r\n"), "0.0.0.0:0", "1.1.1.1:0"},
	{V1("PROXY TCP6 2001:db8::1 2001:db8::2 4124 80\r\n"), "[2001:db8::1]:4124",
	 "[2001:db8::2]:80"},
	{V1("PROXY TCP6 " WORST " " WORST " 65535 65535\r\n"), "[" WORST "]:65535",
	 "[" WORST "]:65535"},
	{V1("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1:1", "[::1]:2"},
	{V1("PROXY UNKNOWN\r\n"), NULL, NULL},
	{V1("PROXY UNKNOWN " WORST " " WORST " 65535 65535\r\n"), NULL, NULL},
	{V1("PROXY UNKNOWN whatever  it says\r\n"), NULL, NULL},
	{V2("\x21\x11\0\x0c" BYTES12), "192.0.2.1:56324", "203.0.113.7:443"},
	/* With more behind it: a NOOP, an ALPN, what this reader has never heard of. */
	{V2("\x21\x11\0\x1b" BYTES12 "\4\0\1x\1\0\2h2\xee\0\3abc"), "192.0.2.1:56324",
	 "203.0.113.7:443"},
	/* What is behind the addresses is not looked at, so that it may be broken. */
	{V2("\x21\x11\0\x0f" BYTES12 "\4\xff\xff"), "192.0.2.1:56324", "203.0.113.7:443"},
	{V2("\x21\x21\0\x24" IP6A IP6B "\x10\x1c\0\x50"), "[2001:db8::1]:4124",
	 "[2001:db8::2]:80"},
	{V2("\x20\0\0\0"), NULL, NULL},
	/* LOCAL: whatever it says of addresses does not count. */
	{V2("\x20\x11\0\x0c" BYTES12), NULL, NULL},
	{V2("\x20\x99\0\3abc"), NULL, NULL},
	{V2("\x21\0\0\0"), NULL, NULL},
	{V2("\x21\0\0\3abc"), NULL, NULL},
	{V2("\x21\x12\0\x0c" BYTES12), NULL, NULL},
	{V2("\x21\x22\0\x24" IP6A IP6B "\x10\x1c\0\x50"), NULL, NULL},
	{V2("\x21\x31\0\xd8" UNIX108 UNIX108), NULL, NULL},
};

static const struct {
	const char *in;
	size_t len;
	const char *says;
} bad[] = {
	{V1("GET / HTTP/1.1\r\n"), "no PROXY head"},
	{V1("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "no PROXY head"},
	{V1("PROXY\r\n"), "no PROXY head"},
	{V1("PROXZ"), "no PROXY head"},
	{V1("\r\n\r\n\r\n"), "no PROXY head"},
	{V1("\x16\3\1"), "no PROXY head"},
	{V1("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "unknown protocol"},
	{V1("PROXY \r\n"), "unknown protocol"},
	{V1("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n"), "unknown protocol"},
	{V1("PROXY TCP 1.1.1.1 2.2.2.2 1 2\r\n"), "unknown protocol"},
	{V1("PROXY UNKNOWNS\r\n"), "unknown protocol"},
	{V1("PROXY TCP4\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n"), "bad addresses"},
	{V1("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 ::1 ::1 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP6 [::1] ::1 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"), "bad addresses"},
	{V1("PROXY TCP4 localhost 2.2.2.2 1 2\r\n"), "bad addresses"},
	{V1("PROXY UNKNOWN\n"), "none"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"), "none"},
	{V1("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0\r\n"), "none"},
	{V1("PROXY UNKNOWN " WORST " " WORST " 65535 655350\r\n"), "too long"},
	{V1("PROXY UNKNOWN " WORST " " WORST " 65535 6553500"), "too long"},
	{V2("\x11\x11\0\x0c" BYTES12), "unknown version"},
	{V2("\x31\x11\0\x0c" BYTES12), "unknown version"},
	{V2("\x22\x11\0\x0c" BYTES12), "unknown version"},
	{V2("\x21\x13\0\x0c" BYTES12), "unknown protocol"},
	{V2("\x21\x41\0\x0c" BYTES12), "unknown protocol"},
	{V2("\x21\1\0\x0c" BYTES12), "unknown protocol"},
	{V2("\x21\x10\0\x0c" BYTES12), "unknown protocol"},
	{V2("\x21\x11\0\x0b" BYTES12), "too short"},
	{V2("\x21\x21\0\x0c" BYTES12), "too short"},
	{V2("\x21\x11\xff\xff"), "too long"},
	{V2("\x20\0\x0f\xf1"), "too long"},
};
/* clang-format on */

/* Each byte stands where its memory ends. */
static enum proxy_rc scan(struct proxy_head *h, const char *in, size_t len)
{
	char *exact = xmalloc(len + !len);

	memcpy(exact, in, len);
	enum proxy_rc rc = proxy_head_scan(h, exact, len);

	free(exact);
	return rc;
}

static void expect(const struct addr *a, const char *text)
{
	char got[ADDR_TEXT];

	assert_int_equal(a->len != 0, text != NULL);
	if (text)
		assert_string_equal(addr_text(a, got), text);
}

static void test_good(void **state)
{
	struct proxy_head h;
	char more[512];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t len = 0; len < good[i].len; len++) {
			if (scan(&h, good[i].in, len) != PROXY_MORE)
				fail_msg("row %zu: not MORE of %zu bytes", i, len);
		}
		memcpy(more, good[i].in, good[i].len);
		memcpy(more + good[i].len, good[0].in, 20);
		for (int behind = 0; behind <= 20; behind += 20) {
			if (scan(&h, more, good[i].len + (size_t)behind) != PROXY_OK)
				fail_msg("row %zu: %s", i, h.error);
			assert_int_equal(h.len, good[i].len);
			expect(&h.from, good[i].from);
			expect(&h.to, good[i].to);
		}
	}
}

static void test_bad(void **state)
{
	struct proxy_head h;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		enum proxy_rc rc = PROXY_MORE;

		for (size_t len = 0; len <= bad[i].len && rc == PROXY_MORE; len++)
			rc = scan(&h, bad[i].in, len);
		if (rc != PROXY_BAD)
			fail_msg("row %zu is not refused", i);
		if (!strstr(h.error, bad[i].says))
			fail_msg("row %zu: %s", i, h.error);
		expect(&h.from, NULL);
	}
}

static void test_longest(void **state)
{
	struct proxy_head h;
	char buf[PROXY_HEAD_MAX];

	memset(buf, 0, sizeof(buf));
	memcpy(buf, SIG "\x21\x11\x0f\xf0" BYTES12, 28);
	assert_int_equal(scan(&h, buf, sizeof(buf) - 1), PROXY_MORE);
	assert_int_equal(scan(&h, buf, sizeof(buf)), PROXY_OK);
	assert_int_equal(h.len, sizeof(buf));
	expect(&h.from, "192.0.2.1:56324");
}

static const char *made(int version, const char *from, const char *to, struct proxy_head *h)
{
	static char out[PROXY_HEAD_MADE + 1];
	struct addr a, b;

	if (from)
		assert_true(addr_numeric(from, 40112, &a));
	if (to)
		assert_true(addr_numeric(to, 443, &b));
	size_t n = proxy_head_make(version, from ? &a : NULL, to ? &b : NULL, out);

	assert_true(n <= PROXY_HEAD_MADE);
	out[n] = '\0';
	assert_int_equal(scan(h, out, n), PROXY_OK);
	assert_int_equal(h->len, n);
	return out;
}

static void test_made(void **state)
{
	static const struct {
		const char *from, *to, *line, *says_from, *says_to;
	} rows[] = {
		{"192.0.2.1", "127.0.0.1", "PROXY TCP4 192.0.2.1 127.0.0.1 40112 443\r\n",
		 "192.0.2.1:40112", "127.0.0.1:443"},
		{"2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 40112 443\r\n",
		 "[2001:db8::1]:40112", "[::1]:443"},
		/* Of another family, or not known. */
		{"192.0.2.1", "::1", "PROXY TCP4 192.0.2.1 0.0.0.0 40112 443\r\n",
		 "192.0.2.1:40112", "0.0.0.0:443"},
		{"2001:db8::1", NULL, "PROXY TCP6 2001:db8::1 :: 40112 0\r\n",
		 "[2001:db8::1]:40112", "[::]:0"},
		{"::ffff:192.0.2.1", "127.0.0.1", "PROXY TCP4 192.0.2.1 127.0.0.1 40112 443\r\n",
		 "192.0.2.1:40112", "127.0.0.1:443"},
		{WORST, WORST, "PROXY TCP6 " WORST " " WORST " 40112 443\r\n", "[" WORST "]:40112",
		 "[" WORST "]:443"},
		{NULL, "127.0.0.1", "PROXY UNKNOWN\r\n", NULL, NULL},
	};
	struct proxy_head h;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_string_equal(made(1, rows[i].from, rows[i].to, &h), rows[i].line);
		expect(&h.from, rows[i].says_from);
		expect(&h.to, rows[i].says_to);
		(void)made(2, rows[i].from, rows[i].to, &h);
		expect(&h.from, rows[i].says_from);
		expect(&h.to, rows[i].says_to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
