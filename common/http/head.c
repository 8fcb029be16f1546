/*
 * The head of an HTTP/1.x message: where it ends, what it says, what is refused. See http_head.h.
 */
#include "common/http/head.h"

#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGH (ONES << 7)

/* What stays of one line after another while a head is read. */
struct reader {
	struct http_head *h;
	const char *buf;
	bool strict;          /* a request */
	bool has_coding;      /* Transfer-Encoding seen */
	bool has_auth;        /* Authorization seen */
	bool has_h2_settings; /* HTTP2-Settings seen */
	bool framing;         /* the last field line said how long the body is: may not be folded */
	struct http_span host;
};

static const bool token_char[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
	['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
	['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
	['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
	['|'] = true,         ['~'] = true,
};

static enum http_rc bad(struct http_head *h, const char *why)
{
	h->error = why;
	return HTTP_BAD;
}

/* 400, unless the status was set where the fault was found. */
static enum http_rc bad_request(struct http_head *h, const char *why)
{
	if (!h->status)
		h->status = 400;
	return bad(h, why);
}

static enum http_rc request_too_long(struct http_head *h)
{
	h->status = 431;
	return bad(h, "head too long");
}

static inline unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool equal_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (lower((unsigned char)a[i]) != lower((unsigned char)b[i]))
			return false;
	return true;
}

bool http_span_is(const char *buf, struct http_span s, const char *text)
{
	return strlen(text) == s.len && !memcmp(buf + s.off, text, s.len);
}

bool http_span_is_nocase(const char *buf, struct http_span s, const char *text)
{
	return strlen(text) == s.len && equal_nocase(buf + s.off, text, s.len);
}

static bool same_nocase(const char *buf, struct http_span a, struct http_span b)
{
	return a.len == b.len && equal_nocase(buf + a.off, buf + b.off, a.len);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* from and to without the blanks around. */
static struct http_span trimmed(const char *buf, size_t from, size_t to)
{
	while (from < to && is_blank(buf[from]))
		from++;
	while (to > from && is_blank(buf[to - 1]))
		to--;
	return (struct http_span){(uint32_t)from, (uint32_t)(to - from)};
}

/* Takes the next non-empty element of a comma-separated list off *list. */
static bool list_next(const char *buf, struct http_span *list, struct http_span *item)
{
	while (list->len > 0) {
		const char *start = buf + list->off;
		const char *comma = memchr(start, ',', list->len);
		size_t n = comma ? (size_t)(comma - start) : list->len;
		size_t skip = comma ? n + 1 : n;

		*item = trimmed(buf, list->off, list->off + n);
		list->off += (uint32_t)skip;
		list->len -= (uint32_t)skip;
		if (item->len > 0)
			return true;
	}
	return false;
}

/* Of eight bytes, is one below 0x20, or DEL? */
static inline bool has_control(uint64_t w)
{
	uint64_t del = w ^ ONES * 0x7f;

	return (((w - ONES * 0x20) & ~w) | ((del - ONES) & ~del)) & HIGH;
}

/* The first control character from i on, or end. */
static inline size_t skip_plain(const char *buf, size_t i, size_t end)
{
	for (uint64_t w; i + sizeof(w) <= end; i += sizeof(w)) {
		memcpy(&w, buf + i, sizeof(w));
		if (has_control(w))
			break;
	}
	while (i < end && (unsigned char)buf[i] >= 0x20 && buf[i] != 0x7f)
		i++;
	return i;
}

size_t http_empty_lines(const char *buf, size_t len)
{
	size_t n = 0;

	while (len - n >= 2 && buf[n] == '\r' && buf[n + 1] == '\n')
		n += 2;
	return n;
}

/*
 * A request's line ends at buf[i], or is broken by the control character there. None gets past this
 * but HTAB in a field and the CRLF of a line's end, so whatever another reader takes for an end of
 * line, it sees the same lines.
 */
static enum http_rc line_end(struct http_head *h, const char *buf, size_t i, size_t end)
{
	if (buf[i] == '\n')
		return bad_request(h, "bare LF in the head");
	if (buf[i] == '\0')
		return bad_request(h, "NUL in the head");
	if (buf[i] != '\r')
		return bad_request(h, "control character in the head");
	if (i + 1 == end)
		return HTTP_MORE;
	return buf[i + 1] == '\n' ? HTTP_OK : bad_request(h, "bare CR in the head");
}

/* Looks for the end of a request's head, behind its request line. */
static enum http_rc request_end(struct http_head *h, const char *buf, size_t end)
{
	enum http_rc rc = HTTP_MORE;
	size_t i = h->scanned;

	while ((i = skip_plain(buf, i, end)) < end) {
		bool ends = end - i >= 2 && buf[i] == '\r' && buf[i + 1] == '\n';

		if (ends && buf[i - 1] == '\n') {
			h->scanned = h->head_len = i + 2;
			return HTTP_OK;
		}
		if (!ends && buf[i] != '\t') {
			rc = line_end(h, buf, i, end);
			break;
		}
		i += ends ? 2 : 1;
	}
	h->scanned = i;
	return rc == HTTP_MORE && end == HTTP_HEAD_MAX ? request_too_long(h) : rc;
}

/* Looks for the end of a response's head; lines may end in LF alone. */
static enum http_rc response_end(struct http_head *h, const char *buf, size_t len)
{
	size_t end = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	size_t i = h->scanned;
	const char *nl;

	while ((nl = memchr(buf + i, '\n', end - i))) {
		size_t at = (size_t)(nl - buf);
		size_t before = at > 0 && buf[at - 1] == '\r' ? at - 1 : at;

		i = at + 1;
		if (before > 0 && buf[before - 1] == '\n') {
			h->scanned = h->head_len = i;
			return HTTP_OK;
		}
	}
	h->scanned = end;
	return end == HTTP_HEAD_MAX ? bad(h, "head too long") : HTTP_MORE;
}

/* Refuses what could make another reader see another host in it. */
static bool authority_ok(const char *buf, struct http_span s)
{
	for (uint32_t i = 0; i < s.len; i++) {
		switch (buf[s.off + i]) {
		case '@':
		case '/':
		case '\\':
		case '?':
		case '#':
		case ' ':
		case '\t':
			return false;
		}
	}
	return true;
}

/* The authority of scheme://authority/path. */
static const char *absolute_target(struct http_head *h, const char *buf)
{
	const char *text = buf + h->target.off;
	size_t len = h->target.len, from, to;

	if (len > 7 && equal_nocase(text, "http://", 7))
		from = 7;
	else if (len > 8 && equal_nocase(text, "https://", 8))
		from = 8;
	else
		return "bad request target";
	for (to = from; to < len && text[to] != '/' && text[to] != '?' && text[to] != '#';)
		to++;
	h->authority.off = h->target.off + (uint32_t)from;
	h->authority.len = (uint32_t)(to - from);
	if (to == from || !authority_ok(buf, h->authority))
		return "bad authority in the request target";
	return NULL;
}

/* Can a target begin like this: a path, an http(s) URL, the "*" of OPTIONS? */
static bool target_begins(const char *text, size_t len)
{
	if (len == 0 || text[0] == '/' || (text[0] == '*' && len == 1))
		return true;
	return equal_nocase(text, "http://", len < 7 ? len : 7) ||
	       equal_nocase(text, "https://", len < 8 ? len : 8);
}

static bool version_begins(const char *text, size_t len)
{
	static const char form[] = "HTTP/0.0", usual[] = "HTTP/1.1";

	if (len == sizeof(usual) - 1 && !memcmp(text, usual, sizeof(usual) - 1))
		return true;
	for (size_t i = 0; i < len; i++) {
		char c = text[i] >= '0' && text[i] <= '9' ? '0' : text[i];

		if (i == sizeof(form) - 1 || c != form[i])
			return false;
	}
	return true;
}

/*
 * The request line as far as it came; buf[i] to buf[end] are new, without a control character among
 * them. Returns what is wrong at the first byte at which something is, or NULL.
 */
static const char *line_bytes(struct http_head *h, const char *buf, size_t i, size_t end)
{
	size_t version;

	if (h->method.len == 0) {
		while (i < end && token_char[(unsigned char)buf[i]])
			i++;
		if (i == end)
			return NULL;
		h->no_request = buf[i] != ' ' || i == h->method.off;
		if (h->no_request)
			return "bad method";
		h->method.len = (uint32_t)i - h->method.off;
		h->target.off = (uint32_t)++i;
		/* Methods are case-sensitive, but not every reader knows. */
		if (http_span_is_nocase(buf, h->method, "CONNECT"))
			return "CONNECT is for tcp tunnels";
	}
	if (h->target.len == 0) {
		const char *sp = memchr(buf + i, ' ', end - i);
		size_t len = (sp ? (size_t)(sp - buf) : end) - h->target.off;

		h->no_request = !target_begins(buf + h->target.off, len);
		if (h->no_request || (sp && len == 0))
			return "bad request target";
		if (!sp)
			return NULL;
		h->target.len = (uint32_t)len;
	}
	version = h->target.off + h->target.len + 1;
	return version_begins(buf + version, end - version) ? NULL : "bad HTTP version";
}

/* The line breaks off at i. Was it none of a request? */
static bool no_request_line(const struct http_head *h, const char *buf, size_t i)
{
	const char *target = buf + h->target.off;

	if (h->method.len == 0)
		return true;
	return h->target.len == 0 && *target != '/' && *target != '*' && i - h->target.off < 7;
}

/* The request line ends at `end`. Returns what is wrong with it, or NULL. */
static const char *line_complete(struct http_head *h, const char *buf, size_t end)
{
	size_t version = h->target.off + h->target.len + 1;

	if (h->method.len == 0)
		return "bad method";
	if (h->target.len == 0)
		return "request line without a version";
	if (end - version != 8)
		return "bad HTTP version";
	if (buf[version + 5] != '1') {
		h->status = 505;
		return "unknown HTTP version";
	}
	/* Who knows no HTTP/1.2 reads it as 1.1 (RFC 9112 section 2.3) or refuses it. */
	h->minor = buf[version + 7] > '0';
	if (buf[h->target.off] == '/')
		return NULL;
	if (buf[h->target.off] == '*')
		return http_span_is(buf, h->method, "OPTIONS") ? NULL : "bad request target";
	return absolute_target(h, buf);
}

/*
 * Judged as it comes in, so that an old, a new or no request at all is answered at its first line's
 * end, if not before.
 */
static enum http_rc request_line(struct http_head *h, const char *buf, size_t end)
{
	enum http_rc rc = HTTP_MORE;
	const char *why;
	size_t i;

	if (h->scanned == h->method.off) {
		h->scanned += http_empty_lines(buf + h->scanned, end - h->scanned);
		h->method.off = (uint32_t)h->scanned;
	}
	i = skip_plain(buf, h->scanned, end);
	why = line_bytes(h, buf, h->scanned, i);
	h->scanned = i;
	if (why)
		return bad_request(h, why);
	if (i < end) {
		h->no_request = no_request_line(h, buf, i);
		if (buf[i] == '\t')
			return bad_request(h, "HTAB in the request line");
		rc = line_end(h, buf, i, end);
	}
	if (rc == HTTP_MORE && end == HTTP_HEAD_MAX) {
		h->no_request = h->method.len == 0;
		return request_too_long(h);
	}
	if (rc != HTTP_OK)
		return rc;
	why = line_complete(h, buf, i);
	h->scanned = h->fields = (uint32_t)i + 2;
	return why ? bad_request(h, why) : HTTP_OK;
}

/* "HTTP/1.x NNN", then nothing or a blank and anything. */
static const char *status_line(struct http_head *h, const char *buf, size_t end)
{
	if (end < 12 || memcmp(buf, "HTTP/1.", 7) || buf[7] < '0' || buf[7] > '9' || buf[8] != ' ')
		return "bad status line";
	h->minor = buf[7] > '0';
	for (size_t i = 9; i < 12; i++) {
		if (buf[i] < '0' || buf[i] > '9')
			return "bad status";
		h->status = h->status * 10 + (buf[i] - '0');
	}
	if (h->status < 100 || (end > 12 && buf[12] != ' '))
		return "bad status";
	return NULL;
}

static const char *take_host(struct reader *r, struct http_span value)
{
	if (r->h->has_host)
		return "two Host fields";
	r->h->has_host = true;
	r->host = value;
	return authority_ok(r->buf, value) ? NULL : "bad Host";
}

static const char *take_length(struct reader *r, struct http_span value)
{
	uint64_t n = 0;

	if (value.len == 0)
		return "bad Content-Length";
	for (uint32_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned char)r->buf[value.off + i] - (unsigned)'0';

		if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
			return "bad Content-Length";
		n = n * 10 + digit;
	}
	if (r->h->has_length && (r->strict || r->h->length != n))
		return "two Content-Length fields";
	r->h->has_length = true;
	r->h->length = n;
	return NULL;
}

/* Is `value` a list of codings of which the last, and only the last, is chunked? */
static bool codings_then_chunked(const char *buf, struct http_span value)
{
	struct http_span item;
	bool chunked = false;
	int n = 0;

	while (list_next(buf, &value, &item)) {
		if (chunked)
			return false;
		chunked = http_span_is_nocase(buf, item, "chunked");
		n++;
	}
	return chunked && n > 1;
}

/* Where the body ends is plain with chunked as the last coding, but who knows the others? */
static const char *take_request_coding(struct reader *r, struct http_span value)
{
	if (!r->has_coding && codings_then_chunked(r->buf, value)) {
		r->h->status = 501;
		return "unknown transfer coding";
	}
	if (r->has_coding || !http_span_is_nocase(r->buf, value, "chunked"))
		return "bad Transfer-Encoding";
	r->has_coding = r->h->chunked = true;
	return NULL;
}

static const char *take_coding(struct reader *r, struct http_span value)
{
	struct http_span item;

	if (r->strict)
		return take_request_coding(r, value);
	if (value.len == 0)
		return "bad Transfer-Encoding";
	while (list_next(r->buf, &value, &item)) {
		if (http_span_is_nocase(r->buf, item, "identity"))
			continue;
		if (r->h->chunked)
			return "bad Transfer-Encoding"; /* chunked is the last, or all is lost */
		r->has_coding = true;
		r->h->chunked = http_span_is_nocase(r->buf, item, "chunked");
		r->h->coded |= !r->h->chunked;
	}
	return NULL;
}

static void take_connection(struct reader *r, struct http_span value)
{
	struct http_span item;

	while (list_next(r->buf, &value, &item)) {
		if (http_span_is_nocase(r->buf, item, "close"))
			r->h->conn_close = true;
		else if (http_span_is_nocase(r->buf, item, "keep-alive"))
			r->h->conn_keep_alive = true;
	}
}

/* Does this protocol of an Upgrade field (its version left away) carry requests of its own? */
static bool carries_requests(const char *buf, struct http_span item)
{
	const char *slash = memchr(buf + item.off, '/', item.len);

	if (slash)
		item.len = (uint32_t)(slash - (buf + item.off));
	/* h2c-14 and the like are what drafts of HTTP/2 were called */
	if (item.len > 4 && equal_nocase(buf + item.off, "h2c-", 4))
		return true;
	return http_span_is_nocase(buf, item, "h2c") || http_span_is_nocase(buf, item, "h2") ||
	       http_span_is_nocase(buf, item, "http") || http_span_is_nocase(buf, item, "tls");
}

static void take_upgrade(struct reader *r, struct http_span value)
{
	struct http_span item;

	if (value.len > 0)
		r->h->upgrade = true;
	while (list_next(r->buf, &value, &item))
		if (carries_requests(r->buf, item))
			r->h->upgrade_h2c = true;
}

static const char *take_authorization(struct reader *r, struct http_span value)
{
	if (r->has_auth)
		return "two Authorization fields";
	r->has_auth = true;
	r->h->authorization = value;
	return NULL;
}

/* Only a few names matter; length and first letter rule nearly all others out. */
#define NAME(len, letter) ((len) << 8 | (letter))
#define IS(text) equal_nocase(name, text, sizeof(text) - 1)

static const char *take_field(struct reader *r, const char *name, size_t len,
			      struct http_span value)
{
	r->framing = false;
	switch (NAME(len, lower((unsigned char)name[0]))) {
	case NAME(4, 'h'):
		return r->strict && IS("host") ? take_host(r, value) : NULL;
	case NAME(7, 'u'):
		if (IS("upgrade"))
			take_upgrade(r, value);
		return NULL;
	case NAME(10, 'c'):
		if (IS("connection"))
			take_connection(r, value);
		return NULL;
	case NAME(13, 'a'):
		return r->strict && IS("authorization") ? take_authorization(r, value) : NULL;
	case NAME(14, 'c'):
		r->framing = IS("content-length");
		return r->framing ? take_length(r, value) : NULL;
	case NAME(14, 'h'):
		r->has_h2_settings |= IS("http2-settings");
		return NULL;
	case NAME(17, 't'):
		r->framing = IS("transfer-encoding");
		return r->framing ? take_coding(r, value) : NULL;
	}
	return NULL;
}

static const char *request_field(struct reader *r, size_t from, size_t to)
{
	size_t i = from;

	while (i < to && token_char[(unsigned char)r->buf[i]])
		i++;
	if (i == from)
		return is_blank(r->buf[i]) ? "folded field line" : "bad field name";
	if (i == to)
		return "field line without a colon";
	if (r->buf[i] != ':')
		return is_blank(r->buf[i]) ? "blank before a colon" : "bad field name";
	return take_field(r, r->buf + from, i - from, trimmed(r->buf, i + 1, to));
}

/* Odd names are other names; only what could be a length to someone else must be certain. */
static const char *response_field(struct reader *r, size_t from, size_t to)
{
	const char *colon;
	size_t at;

	if (is_blank(r->buf[from]))
		return r->framing ? "folded field line" : NULL;
	colon = memchr(r->buf + from, ':', to - from);
	if (!colon)
		return "field line without a colon";
	at = (size_t)(colon - r->buf);
	if (at == from)
		return "bad field name";
	if (is_blank(r->buf[at - 1]))
		return "blank before a colon";
	return take_field(r, r->buf + from, at - from, trimmed(r->buf, at + 1, to));
}

/*
 * The lines of a complete head; zeroed before the first. Text from start to end, then CRLF or LF.
 */
struct line {
	size_t start, end, next;
};

/* On to the next line; false at the empty one that ends the head. */
static bool next_line(const char *buf, size_t head_len, struct line *l)
{
	const char *nl = memchr(buf + l->next, '\n', head_len - l->next);

	l->start = l->next;
	l->end = nl ? (size_t)(nl - buf) : head_len;
	l->next = nl ? l->end + 1 : l->end;
	if (l->end > l->start && buf[l->end - 1] == '\r')
		l->end--;
	return l->end > l->start;
}

static const char *request_framing(struct reader *r)
{
	struct http_head *h = r->h;

	if (h->chunked && h->has_length)
		return "Content-Length with Transfer-Encoding";
	if (h->chunked && h->minor == 0)
		return "Transfer-Encoding in HTTP/1.0";
	if (!h->has_host && h->minor == 1)
		return "no Host";
	if (h->authority.len == 0)
		h->authority = r->host;
	else if (h->has_host && !same_nocase(r->buf, h->authority, r->host))
		return "Host is not the target's";
	if (h->upgrade && r->has_h2_settings)
		h->upgrade_h2c = true;
	return NULL;
}

enum http_rc http_request_scan(struct http_head *h, const char *buf, size_t len)
{
	struct reader r = {.h = h, .buf = buf, .strict = true};
	size_t end = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	enum http_rc rc = HTTP_OK;
	const char *why = NULL;

	if (h->error)
		return HTTP_BAD;
	if (h->head_len > 0)
		return HTTP_OK;
	if (h->fields == 0)
		rc = request_line(h, buf, end);
	if (rc == HTTP_OK)
		rc = request_end(h, buf, end);
	if (rc != HTTP_OK)
		return rc;
	struct line l = {.next = h->fields};

	while (!why && next_line(buf, h->head_len, &l))
		why = request_field(&r, l.start, l.end);
	if (!why)
		why = request_framing(&r);
	return why ? bad_request(h, why) : HTTP_OK;
}

static const char *response_lines(struct reader *r, struct http_head *h, const char *buf)
{
	struct line l = {0};
	const char *why;

	if (memchr(buf, '\0', h->head_len))
		return "NUL in the head";
	(void)next_line(buf, h->head_len, &l);
	h->fields = (uint32_t)l.next;
	why = status_line(h, buf, l.end);
	while (!why && next_line(buf, h->head_len, &l)) {
		if (memchr(buf + l.start, '\r', l.end - l.start))
			return "bare CR in the head";
		why = response_field(r, l.start, l.end);
	}
	/* A coding without chunked ends with the connection; in HTTP/1.0 readers do not agree. */
	if (!why && r->has_coding && (!h->chunked || h->minor == 0))
		return "bad Transfer-Encoding";
	return why;
}

/* Is it all there? */
static enum http_rc response_whole(struct http_head *h, const char *buf, size_t len)
{
	if (h->error)
		return HTTP_BAD;
	if (h->head_len > 0)
		return HTTP_OK;
	if (len == 0)
		return HTTP_MORE;
	if (h->scanned < 7 && memcmp(buf, "HTTP/1.", len < 7 ? len : 7))
		return bad(h, "not HTTP");
	return response_end(h, buf, len);
}

enum http_rc http_response_scan(struct http_head *h, const char *buf, size_t len)
{
	struct reader r = {.h = h, .buf = buf};
	bool read = h->head_len > 0;
	enum http_rc rc = response_whole(h, buf, len);

	if (rc != HTTP_OK || read)
		return rc;
	const char *why = response_lines(&r, h, buf);

	return why ? bad(h, why) : HTTP_OK;
}

enum http_rc http_connect_scan(struct http_head *h, const char *buf, size_t len)
{
	bool read = h->head_len > 0;
	enum http_rc rc = response_whole(h, buf, len);
	struct line l = {0};

	if (rc != HTTP_OK || read)
		return rc;
	(void)next_line(buf, h->head_len, &l);
	const char *why = status_line(h, buf, l.end);

	return why ? bad(h, why) : HTTP_OK;
}

bool http_field(const char *buf, const struct http_head *h, const char *name,
		struct http_span *value)
{
	size_t len = strlen(name);
	struct line l = {.next = h->fields};

	while (next_line(buf, h->head_len, &l)) {
		if (l.end - l.start <= len || buf[l.start + len] != ':' ||
		    !equal_nocase(buf + l.start, name, len))
			continue;
		*value = trimmed(buf, l.start + len + 1, l.end);
		return true;
	}
	return false;
}

bool http_next_field(const char *buf, const struct http_head *h, size_t *at, struct http_span *name,
		     struct http_span *value)
{
	struct line l = {.next = *at ? *at : h->fields};
	const char *colon;

	if (!next_line(buf, h->head_len, &l))
		return false;
	*at = l.next;
	colon = memchr(buf + l.start, ':', l.end - l.start);
	*name = (struct http_span){(uint32_t)l.start, 0};
	if (colon && !is_blank(buf[l.start]))
		name->len = (uint32_t)(colon - buf - (ptrdiff_t)l.start);
	*value = trimmed(buf, name->len ? l.start + name->len + 1 : l.start, l.end);
	return true;
}
