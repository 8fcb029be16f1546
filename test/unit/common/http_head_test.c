/*
 * HTTP heads and chunked bodies: every refusal beside a twin that is accepted, whole and in bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/http/head.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct text {
	const char *p;
	size_t len;
};

#define T(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define H "Host: a\r\n"

typedef enum http_rc scan_fn(struct http_head *h, const char *buf, size_t len);

/* A copy of exactly len bytes, so that a sanitizer sees each byte read too far. */
static char *copy_of(const char *p, size_t len)
{
	char *copy = malloc(len + !len);

	assert_non_null(copy);
	memcpy(copy, p, len);
	return copy;
}

/* Scans whole and byte by byte; both must say the same. Leaves the head of the last. */
static enum http_rc scan_both(scan_fn *scan, struct http_head *h, struct text t)
{
	struct http_head whole = {0};
	char *copy = copy_of(t.p, t.len);
	enum http_rc want = scan(&whole, copy, t.len), rc = HTTP_MORE;

	free(copy);
	memset(h, 0, sizeof(*h));
	for (size_t n = 1; n <= t.len && rc == HTTP_MORE; n++) {
		copy = copy_of(t.p, n);
		rc = scan(h, copy, n);
		free(copy);
		if (rc == HTTP_OK)
			assert_int_equal(h->head_len, n);
	}
	assert_int_equal(rc, want);
	if (rc == HTTP_BAD)
		assert_string_equal(h->error, whole.error);
	assert_int_equal(h->status, whole.status);
	assert_int_equal(h->no_request, whole.no_request);
	assert_int_equal(h->head_len, whole.head_len);
	assert_int_equal(h->length, whole.length);
	assert_int_equal(h->authority.off, whole.authority.off);
	assert_int_equal(h->authority.len, whole.authority.len);
	return rc;
}

/* What is refused, with which words, and what is so near to it that it must not be. */
static const struct {
	const char *error;
	struct text bad, good;
} requests[] = {
	{"Content-Length with Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nX-Transfer-Encoding: chunked\r\n\r\n")},
	{"Content-Length with Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "TRANSFER-ENCODING: CHUNKED\r\ncontent-length: 0\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "TRANSFER-ENCODING: CHUNKED\r\ncontent_length: 0\r\n\r\n")},
	{"two Content-Length fields",
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Lengths: 6\r\n\r\n")},
	{"two Content-Length fields",
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\ncontent-length: 5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "content-length: 5\r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length:\t 5 \t\r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length:5\r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 05\r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: \r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Lengt: \r\n\r\n")},
	{"bad Content-Length", T("POST / HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 55\r\n\r\n")},
	{"bad Content-Length",
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775808\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n")},
	{"bad Content-Length",
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 00000000000000000000005\r\n\r\n")},
	{"bad Transfer-Encoding", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tChunked \r\n\r\n")},
	{"unknown transfer coding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: x;q=\"1\", gzip ,Chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"bad Transfer-Encoding", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Encoding: gzip\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"bad Transfer-Encoding", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H
	   "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"unknown transfer coding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "TE: gzip, chunked\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a=b\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer_Encoding: chunked;a=b\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding:chunked\r\n\r\n")},
	{"bad Transfer-Encoding", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Accept-Encoding: identity\r\n\r\n")},
	{"bad Transfer-Encoding", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "X:\r\n\r\n")},
	{"bad Transfer-Encoding",
	 T("POST / HTTP/1.1\r\n" H
	   "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTrailer: chunked\r\n\r\n")},
	{"Transfer-Encoding in HTTP/1.0",
	 T("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n")},
	{"folded field line", T("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "X: a\r\nb:\r\n\r\n")},
	{"folded field line", T("GET / HTTP/1.1\r\n" H "X: a\r\n\tb: c\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "X: a\tb: c\r\n\r\n")},
	{"folded field line", T("GET / HTTP/1.1\r\n " H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"blank before a colon", T("POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n")},
	{"blank before a colon", T("POST / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n"),
	 T("POST / HTTP/1.1\r\n" H "Transfer-Encoding:\tchunked\r\n\r\n")},
	{"blank before a colon", T("GET / HTTP/1.1\r\n" H "A B: c\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "A-B: c\r\n\r\n")},
	{"bare LF in the head", T("GET / HTTP/1.1\nHost: a\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bare LF in the head", T("GET / HTTP/1.1\r\n" H "\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bare LF in the head", T("GET / HTTP/1.1\r\n" H "X: a\nY: b"),
	 T("GET / HTTP/1.1\r\n" H "X: a\r\nY: b\r\n\r\n")},
	{"bare CR in the head", T("GET / HTTP/1.1\r\n" H "X: a\rY"),
	 T("GET / HTTP/1.1\r\n" H "X: aY\r\n\r\n")},
	{"bare CR in the head", T("GET / HTTP/1.1\r\n" H "X: a\r\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "X: a\r\n\r\n")},
	{"NUL in the head", T("GET / HTTP/1.1\r\n" H "X: a\0"),
	 T("GET / HTTP/1.1\r\n" H "X: a0\r\n\r\n")},
	{"NUL in the head", T("GET /\0 HTTP/1.1\r\n"), T("GET /%00 HTTP/1.1\r\n" H "\r\n")},
	{"control character in the head",
	 T("GET / HTTP/1.1\r\n" H "X: a\x0b"
	   "b"),
	 T("GET / HTTP/1.1\r\n" H "X: a\tb\r\n\r\n")},
	{"control character in the head", T("GET / HTTP/1.1\r\n" H "X: a\x7f"),
	 T("GET / HTTP/1.1\r\n" H "X: a\x7e\x80\xff\r\n\r\n")},
	{"control character in the head", T("\x16\x03\x01\x02"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"two Host fields", T("GET / HTTP/1.1\r\n" H "host: a\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "hosts: a\r\n\r\n")},
	{"two Host fields", T("GET / HTTP/1.1\r\nHost:\r\n" H "\r\n"),
	 T("GET / HTTP/1.1\r\nHost:\r\n\r\n")},
	{"two Host fields", T("GET http://a/ HTTP/1.1\r\n" H H "\r\n"),
	 T("GET http://a/ HTTP/1.1\r\n" H "\r\n")},
	{"two Authorization fields",
	 T("GET / HTTP/1.1\r\n" H "Authorization: Basic eA==\r\nauthorization: Basic eA==\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "Authorization: Basic eA==\r\nProxy-Authorization: x\r\n\r\n")},
	{"field line without a colon", T("GET / HTTP/1.1\r\n" H "abc\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "abc:\r\n\r\n")},
	{"bad field name", T("GET / HTTP/1.1\r\n" H ": x\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n")},
	{"bad field name", T("GET / HTTP/1.1\r\n" H "X(: x\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "X: (x\r\n\r\n")},
	{"bad field name", T("GET / HTTP/1.1\r\n" H "X\x80: x\r\n\r\n"),
	 T("GET / HTTP/1.1\r\n" H "X: \x80\r\n\r\n")},
	{"unknown HTTP version", T("GET / HTTP/2.0\r\n" H "\r\n"),
	 T("GET / HTTP/1.0\r\n" H "\r\n")},
	{"unknown HTTP version", T("GET / HTTP/3.0\r\n"), T("GET / HTTP/1.0\r\n\r\n")},
	{"unknown HTTP version", T("GET / HTTP/0.9\r\n"), T("GET / HTTP/1.9\r\n" H "\r\n")},
	{"unknown HTTP version", T("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	 T("OPTIONS * HTTP/1.1\r\n" H "\r\n")},
	{"no Host", T("GET / HTTP/1.2\r\n\r\n"), T("GET / HTTP/1.2\r\n" H "\r\n")},
	{"bad HTTP version", T("GET / HTTP/2\r\n"), T("GET / HTTP/1.0\r\n\r\n")},
	{"bad HTTP version", T("GET / HTTP/11"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET / X"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET / \r\n"), T("GET / HTTP/1.0\r\n\r\n")},
	{"bad HTTP version", T("GET / HTTP/1.10\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET / http/1.1\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET / HTTP/1.1 \r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET /a b HTTP/1.1\r\n" H "\r\n"),
	 T("GET /a%20b HTTP/1.1\r\n" H "\r\n")},
	{"request line without a version", T("GET /\r\n"), T("GET / HTTP/1.0\r\n" H "\r\n")},
	{"request line without a version", T("GET \r\n"), T("GET / HTTP/1.0\r\n" H "\r\n")},
	{"bad request target", T("GET  / HTTP/1.1\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET  HTTP/1.1\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad HTTP version", T("GET /  HTTP/1.1\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"HTAB in the request line", T("GET /\t HTTP/1.1\r\n" H "\r\n"),
	 T("GET /%09 HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET a"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET htp"), T("GET http://a/ HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("OPTIONS *x"), T("OPTIONS * HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET a HTTP/1.1\r\n" H "\r\n"), T("GET /a HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET * HTTP/1.1\r\n" H "\r\n"),
	 T("OPTIONS * HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET ftp://a/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET HTTPS://a HTTP/1.1\r\n" H "\r\n")},
	{"bad request target", T("GET http:// HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://a HTTP/1.1\r\n" H "\r\n")},
	{"bad authority in the request target", T("GET http:///x HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://a/x HTTP/1.1\r\n" H "\r\n")},
	{"bad authority in the request target", T("GET http://u:p@a/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://a/u:p@b HTTP/1.1\r\n" H "\r\n")},
	{"bad authority in the request target", T("GET http://a\\@b/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://a?\\ HTTP/1.1\r\n" H "\r\n")},
	{"bad Host", T("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
	 T("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")},
	{"bad Host", T("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
	 T("GET / HTTP/1.1\r\nHost: A.b.:80\r\n\r\n")},
	{"bad Host", T("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	 T("GET / HTTP/1.1\r\nHost:  a \r\n\r\n")},
	{"Host is not the target's", T("GET http://b/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://A/ HTTP/1.1\r\n" H "\r\n")},
	{"Host is not the target's", T("GET http://a:80/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET http://a:80/ HTTP/1.1\r\nhost: A:80\r\n\r\n")},
	{"Host is not the target's", T("GET http://a./ HTTP/1.1\r\n" H "\r\n"),
	 T("GET //b/ HTTP/1.1\r\n" H "\r\n")},
	{"Host is not the target's", T("GET http://a/ HTTP/1.0\r\nHost:\r\n\r\n"),
	 T("GET http://a/ HTTP/1.0\r\n\r\n")},
	{"no Host", T("GET / HTTP/1.1\r\n\r\n"), T("GET / HTTP/1.0\r\n\r\n")},
	{"no Host", T("GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n"),
	 T("GET http://a/ HTTP/1.0\r\nX: y\r\n\r\n")},
	{"CONNECT is for tcp tunnels", T("CONNECT a:443 HTTP/1.1\r\n" H "\r\n"),
	 T("CONNECTS / HTTP/1.1\r\n" H "\r\n")},
	{"CONNECT is for tcp tunnels", T("connect a:443 HTTP/1.1\r\n" H "\r\n"),
	 T("get / HTTP/1.1\r\n" H "\r\n")},
	{"bad method", T("G/T / HTTP/1.1\r\n" H "\r\n"), T("G-T / HTTP/1.1\r\n" H "\r\n")},
	{"bad method", T(" GET / HTTP/1.1\r\n" H "\r\n"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"HTAB in the request line", T("GET\t/ HTTP/1.1\r\n" H "\r\n"),
	 T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad method", T("\xff\xfb\x90"), T("GET / HTTP/1.1\r\n" H "\r\n")},
	{"bad method", T("GET\r\n\r\n"), T("GET / HTTP/1.0\r\n\r\n")},
	{"bare CR in the head", T("\rGET / HTTP/1.1\r\n" H "\r\n"),
	 T("\r\nGET / HTTP/1.1\r\n" H "\r\n")},
	{"bad method", T("\r\n\r\n /"), T("\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n")},
	{"bare LF in the head", T("\r\n\nGET / HTTP/1.1\r\n" H "\r\n"),
	 T("\r\nGET http://a/ HTTP/1.1\r\n" H "\r\n")},
	{"bare LF in the head", T("\nGET / HTTP/1.1\r\n" H "\r\n"),
	 T("GET / HTTP/1.1\r\n" H "\r\n")},
};

static int status_of(const char *error)
{
	if (!strcmp(error, "unknown transfer coding"))
		return 501;
	return !strcmp(error, "unknown HTTP version") ? 505 : 400;
}

static void request_twins(void **state)
{
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (scan_both(http_request_scan, &h, requests[i].bad) != HTTP_BAD)
			fail_msg("row %zu: not refused: %s", i, requests[i].error);
		assert_string_equal(h.error, requests[i].error);
		assert_int_equal(h.status, status_of(h.error));
		if (scan_both(http_request_scan, &h, requests[i].good) != HTTP_OK)
			fail_msg("row %zu: good twin of \"%s\": %s", i, requests[i].error, h.error);
		assert_int_equal(h.head_len, requests[i].good.len);
	}
}

/* What is refused and is no request at all, or one with a fault. */
static const struct {
	struct text bad;
	bool no_request;
} strangers[] = {
	{T("\x16\x03\x01"), true},
	{T("\xff\xfb"), true},
	{T("OggS\0\x02"), true},
	{T("{\"a\":1}"), true},
	{T("exit\r\n"), true},
	{T("exit\n"), true},
	{T("a\tb"), true},
	{T("ls -"), true},
	{T("hello world"), true},
	{T("say \n"), true},
	{T("say \r\n"), true},
	{T("oh ht\n"), true},
	{T(" GET"), true},
	{T("GET  "), false},
	{T("GET /\r\n"), false},
	{T("GET /\n"), false},
	{T("GET /\t"), false},
	{T("GET / x"), false},
	{T("GET http://\n"), false},
	{T("OPTIONS *\n"), false},
	{T("GET / HTTP/2.0\r\n"), false},
	{T("CONNECT "), false},
	{T("GET / HTTP/1.1\r\nX\r\n\r\n"), false},
	{T("GET / HTTP/1.1\r\n\x01"), false},
};

static void request_strangers(void **state)
{
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
		assert_int_equal(scan_both(http_request_scan, &h, strangers[i].bad), HTTP_BAD);
		if (h.no_request != strangers[i].no_request)
			fail_msg("row %zu: %s", i, h.error);
	}
}

/* Any control character in any place, refused the moment it is there. */
static void request_controls(void **state)
{
	static const char head[] =
		"GET /index HTTP/1.1\r\nHost: abcdefgh\r\nX-Long: 0123456789\r\n\r\n";
	size_t len = sizeof(head) - 1;

	for (size_t at = 0; at < len; at++) {
		for (int c = 0; c < 0x20; c++) {
			struct http_head h = {0};
			char *copy = copy_of(head, len);
			char *first = copy_of(copy, at + 1);

			/* a CR may be the start of a line's end, an LF its second half */
			if (c != '\t' && c != '\r' &&
			    !(c == '\n' && at > 0 && head[at - 1] == '\r')) {
				first[at] = (char)c;
				assert_int_equal(http_request_scan(&h, first, at + 1), HTTP_BAD);
			}
			if ((char)c != head[at] && c != '\t') {
				memset(&h, 0, sizeof(h));
				copy[at] = (char)c;
				assert_int_equal(http_request_scan(&h, copy, len), HTTP_BAD);
			}
			free(first);
			free(copy);
		}
	}
}

static void request_parts(void **state)
{
	static const struct text t = T(
		"\r\nPUT /a/b?c HTTP/1.1\r\nhost: \t Test.Pgrok.ME:8000 \r\nAUTHORIZATION:  Basic eDp5 \r\n"
		"Connection: Keep-Alive ,, X\r\nX-Thing: v \t\r\nContent-Length: 12\r\n\r\nnext");
	struct http_head h = {0};
	struct http_span v;

	assert_int_equal(http_request_scan(&h, t.p, t.len), HTTP_OK);
	assert_int_equal(h.head_len, t.len - 4);
	assert_true(http_span_is(t.p, h.method, "PUT"));
	assert_false(http_span_is(t.p, h.method, "put"));
	assert_true(http_span_is(t.p, h.target, "/a/b?c"));
	assert_true(http_span_is_nocase(t.p, h.authority, "test.pgrok.me:8000"));
	assert_true(http_span_is(t.p, h.authorization, "Basic eDp5"));
	assert_true(h.conn_keep_alive && !h.conn_close && h.has_host && h.has_length && !h.chunked);
	assert_true(!h.upgrade && !h.upgrade_h2c);
	assert_int_equal(h.length, 12);
	assert_int_equal(h.minor, 1);
	assert_true(http_field(t.p, &h, "x-thing", &v));
	assert_true(http_span_is(t.p, v, "v"));
	assert_false(http_field(t.p, &h, "x-thin", &v));
	assert_false(http_field(t.p, &h, "next", &v));
	/* OK stays OK */
	assert_int_equal(http_request_scan(&h, t.p, t.len), HTTP_OK);
}

static const struct {
	struct text head;
	const char *authority;
} authorities[] = {
	{T("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "a"},
	{T("GET / HTTP/1.1\r\nHost:\r\n\r\n"), ""},
	{T("GET / HTTP/1.0\r\n\r\n"), ""},
	{T("GET http://b.C:80/x HTTP/1.1\r\nHost: B.c:80\r\n\r\n"), "b.C:80"},
	{T("GET https://b?x HTTP/1.1\r\nHost: b\r\n\r\n"), "b"},
	{T("GET HTTP://b HTTP/1.0\r\n\r\n"), "b"},
	{T("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "a"},
	{T("GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n"), "a"},
};

static void request_authorities(void **state)
{
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(authorities); i++) {
		assert_int_equal(scan_both(http_request_scan, &h, authorities[i].head), HTTP_OK);
		assert_true(
			http_span_is(authorities[i].head.p, h.authority, authorities[i].authority));
	}
}

static const struct {
	struct text fields;
	bool upgrade, h2c;
} upgrades[] = {
	{T(""), false, false},
	{T("Upgrade:\r\n"), false, false},
	{T("Upgrade-Insecure-Requests: 1\r\nConnection: upgrade\r\n"), false, false},
	{T("Upgrade: websocket\r\n"), true, false},
	{T("upgrade: WebSocket\r\nConnection: Upgrade\r\n"), true, false},
	{T("Upgrade: h2c\r\n"), true, true},
	{T("Upgrade: websocket, H2C\r\n"), true, true},
	{T("Upgrade: websocket\r\nUpgrade: h2c\r\n"), true, true},
	{T("Upgrade: h2c\r\nUpgrade: websocket\r\n"), true, true},
	{T("Upgrade: h2c-14\r\n"), true, true},
	{T("Upgrade: h2cat\r\n"), true, false},
	{T("Upgrade: HTTP/2.0\r\n"), true, true},
	{T("Upgrade: TLS/1.2, x\r\n"), true, true},
	{T("HTTP2-Settings: AAA\r\nUpgrade: websocket\r\n"), true, true},
	{T("HTTP2-Settings: AAA\r\n"), false, false},
};

static void request_upgrades(void **state)
{
	struct http_head h;
	char buf[256];

	for (size_t i = 0; i < ARRAY_SIZE(upgrades); i++) {
		int n = snprintf(buf, sizeof(buf), "GET / HTTP/1.1\r\n" H "%s\r\n",
				 upgrades[i].fields.p);
		struct text t = {buf, (size_t)n};

		assert_int_equal(scan_both(http_request_scan, &h, t), HTTP_OK);
		assert_int_equal(h.upgrade, upgrades[i].upgrade);
		assert_int_equal(h.upgrade_h2c, upgrades[i].h2c);
	}
}

/* A head of exactly n bytes. */
static char *long_head(const char *start, size_t n)
{
	char *buf = malloc(n);
	size_t len = strlen(start);

	assert_non_null(buf);
	memcpy(buf, start, len);
	memset(buf + len, 'x', n - len - 4);
	memcpy(buf + n - 4, "\r\n\r\n", 4);
	return buf;
}

static void head_too_long(void **state)
{
	static const struct {
		scan_fn *scan;
		const char *start;
	} kinds[] = {{http_request_scan, "GET / HTTP/1.1\r\nHost: a\r\nX: "},
		     {http_response_scan, "HTTP/1.1 200 OK\r\nX: "}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t n = HTTP_HEAD_MAX - 1; n <= HTTP_HEAD_MAX + 2; n++) {
			char *buf = long_head(kinds[i].start, n);
			struct http_head h = {0};

			assert_int_equal(kinds[i].scan(&h, buf, n),
					 n <= HTTP_HEAD_MAX ? HTTP_OK : HTTP_BAD);
			if (h.error && i == 0)
				assert_int_equal(h.status, 431);
			memset(&h, 0, sizeof(h));
			assert_int_equal(kinds[i].scan(&h, buf, n - 1),
					 n <= HTTP_HEAD_MAX ? HTTP_MORE : HTTP_BAD);
			free(buf);
		}
	}
}

struct answer {
	struct text head;
	int status;
	bool chunked, has_length, close;
};

static const struct answer answers[] = {
	{T("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 200, false, true, false},
	{T("HTTP/1.0 502 Bad Gateway\nContent-Type: text/html\nContent-Length: 5\n\n"), 502, false,
	 true, false},
	{T("HTTP/1.1 200 OK\nContent-Length: 5\r\n\n"), 200, false, true, false},
	{T("HTTP/1.1 200 OK\nContent-Length: 5\n\r\n"), 200, false, true, false},
	{T("HTTP/1.1 204\r\n\r\n"), 204, false, false, false},
	{T("HTTP/1.1 200 \r\nConnection: close\r\n\r\n"), 200, false, false, true},
	{T("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"), 200, false, true,
	 false},
	{T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n\r\n"), 200,
	 true, true, false},
	{T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), 200,
	 true, false, false},
	{T("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n"), 200,
	 false, true, false},
	{T("HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 5\r\n\r\n"), 200, false, true,
	 false},
	{T("HTTP/1.1 200 OK\r\nOdd (name): a\x01\r\nContent-Length: 5\r\n\r\n"), 200, false, true,
	 false},
	{T("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), 101, false, false, false},
};

static const struct text bad_answers[] = {
	T("SSH-2.0-x\r\n"),
	T("h"),
	T("HTTP/2 200 OK\r\n\r\n"),
	T("\r\nHTTP/1.1 200 OK\r\n\r\n"),
	T("ICY 200 OK\r\n\r\n"),
	T("HTTP/1.1 20 OK\r\n\r\n"),
	T("HTTP/1.1 2000 OK\r\n\r\n"),
	T("HTTP/1.1  200 OK\r\n\r\n"),
	T("HTTP/1.1 099 OK\r\n\r\n"),
	T("HTTP/1.1 200OK\r\n\r\n"),
	T("HTTP/1.1\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n 5\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n"),
	T("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\n: x\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n"),
	T("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n"),
};

static void responses(void **state)
{
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		const struct answer *a = &answers[i];

		if (scan_both(http_response_scan, &h, a->head) != HTTP_OK)
			fail_msg("answer %zu: %s", i, h.error);
		assert_int_equal(h.head_len, a->head.len);
		assert_int_equal(h.status, a->status);
		assert_int_equal(h.chunked, a->chunked);
		assert_int_equal(h.has_length, a->has_length);
		assert_int_equal(h.length, a->has_length ? 5 : 0);
		assert_int_equal(h.conn_close, a->close);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_answers); i++)
		if (scan_both(http_response_scan, &h, bad_answers[i]) != HTTP_BAD)
			fail_msg("answer %zu was accepted", i);
}

/* Where an ordinary answer would have a body, or a fault; and what is no answer here either. */
static const struct {
	struct text head;
	int status; /* 0: refused */
} connects[] = {
	{T("HTTP/1.1 200 OK\r\n\r\n"), 200},
	{T("HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n"), 200},
	{T("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 200},
	{T("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), 200},
	{T("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: x\r\n\r\n"), 200},
	{T("HTTP/1.0 200\nContent-Length: 1\nContent-Length: 2\n\n"), 200},
	{T("HTTP/1.1 204 \r\nno colon\r\n\r\n"), 204},
	{T("HTTP/1.1 100 Continue\r\n\r\n"), 100},
	{T("HTTP/1.0 407 Not You\r\nTransfer-Encoding: chunked\r\n\r\n"), 407},
	{T("HTTP/2 200 OK\r\n\r\n"), 0},
	{T("HTTP/1.1 20 OK\r\n\r\n"), 0},
	{T("SSH"), 0},
};

static void connect_answers(void **state)
{
	struct http_head h;

	for (size_t i = 0; i < ARRAY_SIZE(connects); i++) {
		enum http_rc rc = scan_both(http_connect_scan, &h, connects[i].head);

		assert_int_equal(rc, connects[i].status ? HTTP_OK : HTTP_BAD);
		if (connects[i].status)
			assert_int_equal(h.status, connects[i].status);
	}
}

/* ok: ends at the '|'; bad: is refused at the '|'; more: neither. */
static const struct {
	const char *body;
	enum http_rc strict, lenient;
} bodies[] = {
	{"0\r\n\r\n|next", HTTP_OK, HTTP_OK},
	{"5\r\nhello\r\n0\r\n\r\n|", HTTP_OK, HTTP_OK},
	{"00a;x=y;z\r\n0123456789\r\nA\r\n0123456789\r\n000\r\nX-T: v\r\nY:\r\n\r\n|G", HTTP_OK,
	 HTTP_OK},
	{"5\r\nhello\r\n0\r\n\r|", HTTP_MORE, HTTP_MORE},
	{"5\r\nhel|", HTTP_MORE, HTTP_MORE},
	{"5;a=\"b c\"\r\nhello\r\n0\r\n\r\n|", HTTP_OK, HTTP_OK},
	{"5;a=\"b;c\" ; d=\"\";e\r\nhello\r\n0\r\n\r\n|", HTTP_OK, HTTP_OK},
	{"5 ;a=b\r\nhello\r\n0 \t ; x = y\r\n\r\n|", HTTP_OK, HTTP_OK},
	{"1000000000000000\r\n|", HTTP_MORE, HTTP_MORE},
	{"1000000000000000|1\r\n", HTTP_BAD, HTTP_BAD},
	{"100000000000000|1\r\n", HTTP_BAD, HTTP_BAD},
	{"fffffffffffffff|f\r\n", HTTP_BAD, HTTP_BAD},
	{"0000000000000005\r\nhello\r\n0\r\n\r\n|", HTTP_OK, HTTP_OK},
	{"|-1\r\n", HTTP_BAD, HTTP_BAD},
	{"|+1\r\n", HTTP_BAD, HTTP_BAD},
	{"0|x5\r\n", HTTP_BAD, HTTP_BAD},
	{"| 5\r\n", HTTP_BAD, HTTP_BAD},
	{"|\r\n", HTTP_BAD, HTTP_BAD},
	{"|;\r\n", HTTP_BAD, HTTP_BAD},
	{"5|_0\r\n", HTTP_BAD, HTTP_BAD},
	{"5\r|x", HTTP_BAD, HTTP_BAD},
	{"5;a\r|x", HTTP_BAD, HTTP_BAD},
	{"5\r\nhello|xx", HTTP_BAD, HTTP_BAD},
	{"5\r\nhello\r|0", HTTP_BAD, HTTP_BAD},
	{"0\r\nX: y\r|x", HTTP_BAD, HTTP_BAD},
	{"0\r\n\r|x", HTTP_BAD, HTTP_BAD},
};

static const struct {
	const char *body;
	bool strict;
	enum http_rc rc;
} one_sided[] = {
	{"5|\nhello\r\n0\r\n\r\n", true, HTTP_BAD},
	{"5\nhello\n0\n\n|", false, HTTP_OK},
	{"5\r\nhello|\n0\r\n\r\n", true, HTTP_BAD},
	{"5;a|\nhello\r\n0\r\n\r\n", true, HTTP_BAD},
	{"5;a\nhello\r\n0\r\n\r\n|", false, HTTP_OK},
	{"5 |\r\nhello\r\n0\r\n\r\n", true, HTTP_BAD},
	{"5 |0;a\r\n", true, HTTP_BAD},
	{"5 \r\nhello\r\n0\r\n\r\n|", false, HTTP_OK},
	{"5;a=\"|\r\nhello\r\n0\r\n\r\n", true, HTTP_BAD},
	{"5;a=\"b\";c=\"|\r\n", true, HTTP_BAD},
	{"5;a=\"b|\\\"\r\n", true, HTTP_BAD},
	{"5;a=|\\\"b\"\r\n", true, HTTP_BAD},
	{"5;a=\"b|\n\"\r\n", true, HTTP_BAD},
	{"5;a=\"b\"\r\nhello\r\n0\r\n\r\n|", false, HTTP_OK},
	{"5;a|\x7f\r\n", true, HTTP_BAD},
	{"0000000000000000|5\r\n", true, HTTP_BAD},
	{"00000000000000005\r\nhello\r\n0\r\n\r\n|", false, HTTP_OK},
	{"0\r\n|\n", true, HTTP_BAD},
	{"0\r\nX: y|\n\r\n", true, HTTP_BAD},
	{"0\r\nX: y\n\n|", false, HTTP_OK},
	{"0\r\n| X: y\r\n\r\n", true, HTTP_BAD},
	{"0\r\nX| : y\r\n\r\n", true, HTTP_BAD},
	{"0\r\nX|\r\n\r\n", true, HTTP_BAD},
	{"0\r\n|: y\r\n\r\n", true, HTTP_BAD},
	{"0\r\nX: \x01\r\n\r\n|", false, HTTP_OK},
	{"0\r\nX: |\x01\r\n\r\n", true, HTTP_BAD},
};

static size_t data_seen;

static void count_data(void *arg, const char *bytes, size_t n)
{
	assert_ptr_equal(arg, &data_seen);
	for (size_t i = 0; i < n; i++)
		assert_non_null(strchr("hello0123456789", bytes[i]));
	data_seen += n;
}

/* In pieces of `step` bytes. */
static void check_body(const char *body, bool strict, enum http_rc want, size_t step)
{
	const char *bar = strchr(body, '|');
	size_t mark = (size_t)(bar - body), len = strlen(body) - 1, at = 0;
	char *text = copy_of(body, len + 1);
	struct http_chunked c;
	enum http_rc rc = HTTP_MORE;

	memmove(text + mark, text + mark + 1, len - mark);
	http_chunked_init(&c, strict);
	data_seen = 0;
	while (at < len && rc == HTTP_MORE) {
		size_t n = step < len - at ? step : len - at, used;
		char *piece = copy_of(text + at, n);

		rc = http_chunked_scan(&c, piece, n, &used, count_data, &data_seen);
		free(piece);
		assert_true(used == n || (used < n && rc != HTTP_MORE));
		at += used;
	}
	free(text);
	if (rc != want || at != mark)
		fail_msg("%s: %d after %zu bytes", body, rc, at);
	if (rc == HTTP_OK && strstr(body, "hello"))
		assert_int_equal(data_seen, 5);
	if (rc != HTTP_MORE) {
		size_t used;

		assert_int_equal(http_chunked_scan(&c, "0", 1, &used, NULL, NULL), rc);
		assert_int_equal(used, 0);
	}
}

static void chunked_bodies(void **state)
{
	for (size_t step = 1; step < 70; step++) {
		for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
			check_body(bodies[i].body, true, bodies[i].strict, step);
			check_body(bodies[i].body, false, bodies[i].lenient, step);
		}
		for (size_t i = 0; i < ARRAY_SIZE(one_sided); i++)
			check_body(one_sided[i].body, one_sided[i].strict, one_sided[i].rc, step);
	}
}

/* NUL in every kind of line; lines and trailers without end. */
static void chunked_limits(void **state)
{
	static const struct text nuls[] = {T("\0"), T("5\0"), T("5;\0"), T("0\r\n\0"),
					   T("0\r\nX:\0")};
	static const struct {
		const char *start;
		size_t max;
	} endless[] = {{"5;", 16 << 10}, {"0\r\nX: ", HTTP_HEAD_MAX + 3}};
	struct http_chunked c;
	size_t used;

	for (size_t i = 0; i < ARRAY_SIZE(nuls); i++) {
		for (int strict = 0; strict < 2; strict++) {
			http_chunked_init(&c, strict);
			assert_int_equal(http_chunked_scan(&c, nuls[i].p, nuls[i].len, &used, NULL,
							   NULL),
					 HTTP_BAD);
			assert_int_equal(used, nuls[i].len - 1);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
		size_t n = 2 * endless[i].max, at = strlen(endless[i].start);
		char *buf = malloc(n);

		assert_non_null(buf);
		memset(buf, 'x', n);
		memcpy(buf, endless[i].start, at);
		http_chunked_init(&c, i);
		assert_int_equal(http_chunked_scan(&c, buf, endless[i].max, &used, NULL, NULL),
				 HTTP_MORE);
		assert_int_equal(http_chunked_scan(&c, buf, 1, &used, NULL, NULL), HTTP_BAD);
		free(buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_twins),       cmocka_unit_test(request_strangers),
		cmocka_unit_test(request_controls),    cmocka_unit_test(request_parts),
		cmocka_unit_test(request_authorities), cmocka_unit_test(request_upgrades),
		cmocka_unit_test(head_too_long),       cmocka_unit_test(connect_answers),
		cmocka_unit_test(responses),           cmocka_unit_test(chunked_bodies),
		cmocka_unit_test(chunked_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
