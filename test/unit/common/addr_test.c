/* Unit tests of common/addr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/addr.h"

static void split_good(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} good[] = {
		{"127.0.0.1:80", "127.0.0.1", "80"},
		{":80", "", "80"},
		{":", "", ""},
		{"host:", "host", ""},
		{"host:http", "host", "http"},
		{"[::1]:80", "::1", "80"},
		{"[]:80", "", "80"},
		{"[fe80::1%eth0]:443", "fe80::1%eth0", "443"},
		{"[127.0.0.1]:80", "127.0.0.1", "80"},
		{"[host]:", "host", ""},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char host[64], port[8];
		const char *why = "unset";
		assert_true(addr_split(good[i].text, host, sizeof(host), port, sizeof(port), &why));
		assert_string_equal(host, good[i].host);
		assert_string_equal(port, good[i].port);
		assert_null(why);
	}
}

static void split_bad(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "missing port in address"},
		{"foo", "missing port in address"},
		{"[foo", "missing port in address"},
		{"[::1]", "missing port in address"},
		{"[::1]80:", "missing port in address"},
		{"[::1:]x", "missing port in address"},
		{"::1", "too many colons in address"},
		{"a:b:c", "too many colons in address"},
		{"[::1]:80:", "too many colons in address"},
		{"[::1]::80", "too many colons in address"},
		{"[::1:80", "missing ']' in address"},
		{"[host:80", "missing ']' in address"},
		{"ho[st:80", "unexpected '[' in address"},
		{"host:[80", "unexpected '[' in address"},
		{"[ho[st]:80", "unexpected '[' in address"},
		{"[host]:[80", "unexpected '[' in address"},
		{"ho]st:80", "unexpected ']' in address"},
		{"host:80]", "unexpected ']' in address"},
		{"[host]:80]", "unexpected ']' in address"},
		{"host]:80", "unexpected ']' in address"},
		{"0123456789:80", "address too long"},
		{"host:012345", "address too long"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char host[10], port[6];
		const char *why = NULL;
		assert_false(addr_split(bad[i].text, host, sizeof(host), port, sizeof(port), &why));
		assert_string_equal(why, bad[i].why);
	}
}

static void ports(void **state)
{
	static const struct {
		const char *text;
		int port;
	} rows[] = {
		{"0", 0},
		{"80", 80},
		{"65535", 65535},
		{"0080", 80},
		{"65536", -1},
		{"", -1},
		{"-1", -1},
		{"+1", -1},
		{" 1", -1},
		{"1 ", -1},
		{"0x50", -1},
		{"http", -1},
		{"99999999999999999999999", -1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(addr_port(rows[i].text), rows[i].port);
}

static void numeric_good(void **state)
{
	static const struct {
		const char *host, *text, *ip;
	} good[] = {
		{"127.0.0.1", "127.0.0.1:80", "127.0.0.1"},
		{"0.0.0.0", "0.0.0.0:80", "0.0.0.0"},
		{"::1", "[::1]:80", "::1"},
		{"::", "[::]:80", "::"},
		{"2001:DB8:0:0::1", "[2001:db8::1]:80", "2001:db8::1"},
		{"::ffff:10.1.2.3", "10.1.2.3:80", "10.1.2.3"},
		{"fe80::1%lo", "[fe80::1%lo]:80", "fe80::1%lo"},
		{"fe80::1%1", "[fe80::1%lo]:80", "fe80::1%lo"},
		{"fe80::1%4294967295", "[fe80::1%4294967295]:80", "fe80::1%4294967295"},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct addr a;
		char buf[ADDR_TEXT];
		assert_true(addr_numeric(good[i].host, 80, &a));
		assert_string_equal(addr_text(&a, buf), good[i].text);
		assert_string_equal(addr_ip_text(&a, buf), good[i].ip);
		assert_int_equal(addr_get_port(&a), 80);
	}
}

static void numeric_bad(void **state)
{
	static const char *const bad[] = {
		"",           "localhost",
		"1",          "127.1",
		"0x7f.0.0.1", "256.0.0.1",
		"1.2.3.4 ",   "[::1]",
		"::1%",       "::1%nosuchif0",
		"::g",        "1.2.3.4%lo",
		"fe80::1%0",  "fe80::1%4294967296",
		"1::2::3",    "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct addr a;
		assert_false(addr_numeric(bad[i], 80, &a));
		assert_int_equal(a.len, 0);
	}
}

static struct addr make(const char *host, uint16_t port)
{
	struct addr a;

	assert_true(addr_numeric(host, port, &a));
	return a;
}

/* The longest texts fit, the one thing ADDR_TEXT promises. */
static void longest_fits(void **state)
{
	struct addr a = make("2001:1111:2222:3333:4444:5555:6666:7777%4294967295", 65535);
	char buf[ADDR_TEXT];

	assert_string_equal(addr_text(&a, buf),
			    "[2001:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
}

static void loopback(void **state)
{
	static const struct {
		const char *host;
		bool yes;
	} rows[] = {
		{"127.0.0.1", true},        {"127.255.0.9", true}, {"::1", true},
		{"::ffff:127.0.0.1", true}, {"128.0.0.1", false},  {"::", false},
		{"0.0.0.0", false},         {"::2", false},        {"::ffff:1.2.3.4", false},
	};
	struct addr none = {.len = 0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a = make(rows[i].host, 1);
		assert_int_equal(addr_is_loopback(&a), rows[i].yes);
	}
	assert_false(addr_is_loopback(&none));
}

static void same_ip(void **state)
{
	static const struct {
		const char *a, *b;
		bool yes;
	} rows[] = {
		{"10.0.0.1", "10.0.0.1", true},    {"10.0.0.1", "::ffff:10.0.0.1", true},
		{"::1", "0:0::1", true},           {"10.0.0.1", "10.0.0.2", false},
		{"::1", "127.0.0.1", false},       {"::10.0.0.1", "10.0.0.1", false},
		{"fe80::1%7", "fe80::1%8", false}, {"fe80::1%7", "fe80::1%7", true},
	};
	struct addr none = {.len = 0};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct addr a = make(rows[i].a, 1), b = make(rows[i].b, 2);
		assert_int_equal(addr_same_ip(&a, &b), rows[i].yes);
		assert_int_equal(addr_same_ip(&b, &a), rows[i].yes);
	}
	assert_false(addr_same_ip(&none, &none));
}

static void sockets_know_their_ends(void **state)
{
	struct addr bind_to = make("127.0.0.1", 0), here, there;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
	int pair[2];
	char buf[ADDR_TEXT];

	assert_int_equal(bind(listener, (struct sockaddr *)&bind_to.sa, bind_to.len), 0);
	assert_int_equal(listen(listener, 1), 0);
	here = addr_of_local(listener);
	assert_int_not_equal(addr_get_port(&here), 0);
	assert_int_equal(addr_of_peer(listener).len, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&here.sa, here.len), 0);
	there = addr_of_peer(fd);
	assert_true(addr_same_ip(&here, &there));
	assert_int_equal(addr_get_port(&here), addr_get_port(&there));
	close(listener);
	close(fd);

	assert_int_equal(addr_of_local(-1).len, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	there = addr_of_peer(pair[0]);
	assert_int_equal(there.len, 0);
	assert_string_equal(addr_text(&there, buf), "unknown");
	assert_int_equal(addr_get_port(&there), 0);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_good),
		cmocka_unit_test(split_bad),
		cmocka_unit_test(ports),
		cmocka_unit_test(numeric_good),
		cmocka_unit_test(numeric_bad),
		cmocka_unit_test(longest_fits),
		cmocka_unit_test(loopback),
		cmocka_unit_test(same_ip),
		cmocka_unit_test(sockets_know_their_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
