/*
 * The head of an HTTP/1.x message, found and checked as it comes in (RFC 9112). Pure: bytes in,
 * verdict out. Requests are held to the letter, since two readers of one request must never
 * disagree; responses are read leniently (bare LF is fine: the Go client's 502 page has it).
 */
#ifndef COMMON_HTTP_HEAD_H
#define COMMON_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

#define HTTP_HEAD_MAX (64u << 10)

enum http_rc {
	HTTP_MORE, /* the head is not complete */
	HTTP_OK,
	HTTP_BAD /* h->error says why: a short text without anything of the peer's in it */
};

/* A part of the caller's buffer; len 0 and off 0: absent. */
struct http_span {
	uint32_t off, len;
};

struct http_head {
	size_t scanned;  /* bytes looked at so far; 0 before the first call */
	size_t head_len; /* HTTP_OK: length of the head, empty line included */
	const char *error;
	uint32_t fields; /* where the first field line is; 0: the first line is not complete */
	int minor;       /* HTTP/1.minor: 0, or 1 for all later ones */
	int status;      /* of an answer; of a request that is HTTP_BAD: 400, 431, 501 or 505 */

	/* requests */
	struct http_span method, target; /* HTTP_BAD: method.len 0: it was not found */
	struct http_span authority; /* who is asked: of an absolute-form target, else of Host */
	struct http_span authorization;
	bool no_request; /* HTTP_BAD: its bytes do not even begin like one: METHOD, blank, target */
	bool has_host;
	bool upgrade;     /* there is an Upgrade field with something in it */
	bool upgrade_h2c; /* and it may lead to more requests: h2c, HTTP/x, TLS, HTTP2-Settings */

	/* both */
	bool chunked; /* in a response: wins over a length */
	bool coded;   /* responses: it has another transfer coding, too */
	bool has_length;
	bool conn_close, conn_keep_alive;
	uint64_t length; /* Content-Length */
};

/*
 * buf is the start of the message, len all that has come; call again with the same bytes and more.
 * Zeroed *h at first; BAD is final.
 * BAD for requests as soon as the byte is there: control characters but HTAB (bare CR, bare LF and
 * NUL among them); in the request line HTAB, anything but single spaces, a method that is not a
 * token, CONNECT, a target that is neither a path, nor http(s)://, nor the "*" of OPTIONS. At the
 * line's end: no version or one that is not HTTP/1.x, userinfo in an authority. At the head's end:
 * Content-Length with Transfer-Encoding, a second Content-Length or one that is not all digits,
 * Transfer-Encoding other than exactly one "chunked" (501 if another coding is in front of it) or
 * in HTTP/1.0, obs-fold, blank before a colon, two Host, two Authorization, no colon, empty or non-
 * token name, no Host in HTTP/1.1, one that is not the target's authority (nginx believes the
 * target, Node the field). And a head over HTTP_HEAD_MAX. BAD for responses: what a tracker can't
 * follow with certainty; at once if it is not HTTP/1.
 */
enum http_rc http_request_scan(struct http_head *h, const char *buf, size_t len) MUSTCHECK;
enum http_rc http_response_scan(struct http_head *h, const char *buf, size_t len) MUSTCHECK;

/*
 * An answer to CONNECT: of its fields none counts, for it has no body whatever they say (RFC 9110
 * section 9.3.6). Interim answers come one by one, as with http_response_scan().
 */
enum http_rc http_connect_scan(struct http_head *h, const char *buf, size_t len) MUSTCHECK;

/*
 * How many bytes at buf are empty lines (CRLF). In front of a request they mean nothing (RFC 9112
 * section 2.2): http_request_scan() counts them as the beginning of its head.
 */
size_t http_empty_lines(const char *buf, size_t len);

/* Is the span's text equal to `text`? The second form ignores ASCII case. */
bool http_span_is(const char *buf, struct http_span s, const char *text);
bool http_span_is_nocase(const char *buf, struct http_span s, const char *text);
/*
 * The header field `name` (case ignored) of a complete head: its value, trimmed; false if absent.
 */
bool http_field(const char *buf, const struct http_head *h, const char *name,
		struct http_span *value) MUSTCHECK;

/*
 * The fields of a complete head one by one, *at 0 before the first: name and trimmed value.
 * name.len 0: a line that goes on with the field before. False: there is none.
 */
bool http_next_field(const char *buf, const struct http_head *h, size_t *at, struct http_span *name,
		     struct http_span *value) MUSTCHECK;

/* A chunked body (RFC 9112 section 7.1), passed over as it comes in. */
struct http_chunked {
	int state;
	bool strict;       /* requests: CRLF only, no bare CR, LF, NUL in a chunk line or trailer */
	uint64_t left;     /* of the current chunk */
	uint32_t line_len; /* of the current line or trailer section */
};

void http_chunked_init(struct http_chunked *c, bool strict);
/*
 * *used = bytes of buf that belong to the body, framing included. OK: the body ended there. MORE:
 * *used == len. BAD: a chunk size over 2^60, a malformed line, a line over 16 KiB, trailers over
 * HTTP_HEAD_MAX; *used = bytes that were fine; it stays BAD. Strict also refuses more than 16
 * digits, a blank after them without an extension behind it, and in an extension backslashes and
 * quotes that do not close (some readers look for their end behind the line's). With data not NULL
 * it is called for each run of the body's own bytes (framing taken off).
 */
enum http_rc http_chunked_scan(struct http_chunked *c, const char *buf, size_t len, size_t *used,
			       void (*data)(void *arg, const char *bytes, size_t n),
			       void *arg) MUSTCHECK;

#endif
