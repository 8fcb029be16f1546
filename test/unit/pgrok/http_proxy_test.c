/* The way out through an HTTP proxy: URLs, exemptions, the CONNECT request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/uplink/http_proxy.h"

#define TEN "xxxxxxxxxx"
#define FIFTY TEN TEN TEN TEN TEN
#define LONG FIFTY FIFTY FIFTY FIFTY FIFTY "xxxxxx" /* 256 */

static const struct {
	const char *url;
	bool tls;
	const char *host;
	uint16_t port;
	const char *credentials;
} good[] = {
	{"http://proxy:3128", false, "proxy", 3128, NULL},
	{"http://proxy", false, "proxy", 80, NULL},
	{"HTTP://proxy/", false, "proxy", 80, NULL},
	{"https://proxy", true, "proxy", 443, NULL},
	{"https://proxy:8443/path?x", true, "proxy", 8443, NULL},
	{"http://[::1]:3128", false, "::1", 3128, NULL},
	{"http://[::1]", false, "::1", 80, NULL},
	{"http://10.0.0.1:1/", false, "10.0.0.1", 1, NULL},
	{"http://user:pass@proxy:1", false, "proxy", 1, "dXNlcjpwYXNz"},
	{"http://us%20er:p%40ss@proxy:1", false, "proxy", 1, "dXMgZXI6cEBzcw=="},
	{"http://u:p@ss@proxy:1", false, "proxy", 1, "dTpwQHNz"},
	{"http://user@proxy:1", false, "proxy", 1, "dXNlcjo="},
	{"http://u:100%@proxy:1", false, "proxy", 1, "dToxMDAl"},
	{"http://@proxy:1", false, "proxy", 1, NULL},
	{"proxy:3128", false, "proxy", 3128, NULL},
	{"localhost", false, "localhost", 80, NULL},
	{"u:p@proxy:1", false, "proxy", 1, "dTpw"},
};

/* SOCKS proxies: their user and password are sent as they are. */
static void accepts_socks(void **state)
{
	static const struct {
		const char *url;
		bool look_up;
		const char *host;
		uint16_t port;
		const char *user, *password;
	} socks[] = {
		{"socks5://h", false, "h", 1080, NULL, NULL},
		{"SOCKS5H://h:9/", true, "h", 9, NULL, NULL},
		{"socks5://u%3A:p%40:q@[::1]:1", false, "::1", 1, "u:", "p@:q"},
		{"socks5h://u@h", true, "h", 1080, "u", ""},
		{"socks5://@h", false, "h", 1080, NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(socks) / sizeof(socks[0]); i++) {
		struct http_proxy p;
		struct err err;

		if (!http_proxy_parse(&p, socks[i].url, &err))
			fail_msg("%s: %s", socks[i].url, err.text);
		assert_true(p.socks && !p.tls && !p.credentials);
		assert_int_equal(p.look_up, socks[i].look_up);
		assert_string_equal(p.host, socks[i].host);
		assert_int_equal(p.port, socks[i].port);
		assert_string_equal(p.user ? p.user : "-", socks[i].user ? socks[i].user : "-");
		assert_string_equal(p.password ? p.password : "-",
				    socks[i].password ? socks[i].password : "-");
		http_proxy_free(&p);
	}
}

static void accepts(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct http_proxy p;
		struct err err;
		if (!http_proxy_parse(&p, good[i].url, &err))
			fail_msg("%s: %s", good[i].url, err.text);
		assert_int_equal(p.tls, good[i].tls);
		assert_string_equal(p.host, good[i].host);
		assert_int_equal(p.port, good[i].port);
		assert_string_equal(p.credentials ? p.credentials : "-",
				    good[i].credentials ? good[i].credentials : "-");
		http_proxy_free(&p);
	}
}

static const struct {
	const char *url, *error;
} bad[] = {
	{"socks4://h:1",
	 "Proxy url scheme must be 'http', 'https', 'socks5' or 'socks5h', got socks4"},
	{"socks://h:1",
	 "Proxy url scheme must be 'http', 'https', 'socks5' or 'socks5h', got socks"},
	{"://a:1", "Proxy url scheme must be 'http', 'https', 'socks5' or 'socks5h', got "},
	{"socks5://u:p@", "Proxy url has no usable host and port: the host is missing"},
	{"socks5://" LONG "@h", "Proxy url: user and password have at most 255 bytes each"},
	{"socks5://u:" LONG "@h", "Proxy url: user and password have at most 255 bytes each"},
	{"/a:b", "Proxy url has no usable host and port: the host is missing"},
	{"http://", "Proxy url has no usable host and port: the host is missing"},
	{"http://:80", "Proxy url has no usable host and port: the host is missing"},
	{"http://h:0", "Proxy url has no usable host and port: not a port (1-65535)"},
	{"http://h:70000", "Proxy url has no usable host and port: not a port (1-65535)"},
	{"http://u:p@a b:80", "Proxy url has no usable host and port: the host is missing"},
	{"http://a\r\nX: y:80", "Proxy url has no usable host and port: the host is missing"},
};

static void refuses(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http_proxy p;
		struct err err;
		if (http_proxy_parse(&p, bad[i].url, &err))
			fail_msg("accepted: %s", bad[i].url);
		assert_string_equal(err.text, bad[i].error);
	}
}

static void exempts(void **state)
{
	static const struct {
		const char *list, *host;
		uint16_t port;
		bool match;
	} cases[] = {
		{NULL, "a", 1, false},
		{"", "a", 1, false},
		{" , ,", "a", 1, false},
		{"*", "a", 1, true},
		{"a*", "ab", 1, false},
		{"x, localhost", "localhost", 1, true},
		{"LocalHost", "localhost", 1, true},
		{"example.com", "example.com", 1, true},
		{"example.com", "www.example.com", 1, true},
		{"example.com", "wwwexample.com", 1, false},
		{"example.com", "example.com.evil", 1, false},
		{".example.com", "www.example.com", 1, true},
		{".example.com", "example.com", 1, true},
		{"www.example.com", "example.com", 1, false},
		{"example.com:4443", "example.com", 4443, true},
		{"example.com:4443", "example.com", 443, false},
		{"127.0.0.1", "127.0.0.1", 1, true},
		{"0.0.1", "127.0.0.1", 1, false},
		{"10.0.0.0/8", "10.1.2.3", 1, true},
		{"10.0.0.0/8", "11.1.2.3", 1, false},
		{"10.0.0.0/8", "ten.example", 1, false},
		{"10.0.0.0/33", "10.0.0.0", 1, false},
		{"192.168.0.128/25", "192.168.0.129", 1, true},
		{"192.168.0.128/25", "192.168.0.127", 1, false},
		{"0.0.0.0/0", "1.2.3.4", 1, true},
		{"::1", "::1", 1, true},
		{"[::1]", "::1", 1, true},
		{"[::1]:80", "::1", 80, true},
		{"[::1]:80", "::1", 81, false},
		{"fd00::/8", "fd12::1", 1, true},
		{"fd00::/8", "fe00::1", 1, false},
		{".", "a", 1, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (no_proxy_match(cases[i].list, cases[i].host, cases[i].port) != cases[i].match)
			fail_msg("%s and %s:%u", cases[i].list, cases[i].host, cases[i].port);
	}
}

static void asks(void **state)
{
	struct http_proxy p;
	struct err err;

	assert_true(http_proxy_parse(&p, "http://u:p@h", &err));
	char *text = http_proxy_request(&p, "s:4443");
	assert_string_equal(text, "CONNECT s:4443 HTTP/1.1\r\nHost: s:4443\r\n"
				  "User-Agent: Mozilla/5.0 (compatible; pgrok)\r\n"
				  "Proxy-Authorization: Basic dTpw\r\n\r\n");
	free(text);
	http_proxy_free(&p);
	assert_true(http_proxy_parse(&p, "http://h", &err));
	text = http_proxy_request(&p, "s:4443");
	assert_null(strstr(text, "Authorization"));
	assert_string_equal(text + strlen(text) - 4, "\r\n\r\n");
	free(text);
	http_proxy_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts), cmocka_unit_test(accepts_socks),
		cmocka_unit_test(refuses), cmocka_unit_test(exempts),
		cmocka_unit_test(asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
