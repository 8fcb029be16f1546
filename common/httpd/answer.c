/* Answers of httpd: whole, or piece by piece by a producer. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/httpd/conn.h"
#include "common/base/log.h"

#define PRODUCE_ENOUGH (64u << 10) /* bytes after which what is there is written first */

/*
 * On every answer. Pages are ours alone: no inline script, nothing from elsewhere, no frame around
 * them, no script that makes HTML of text; and no other site may embed what is served.
 */
static const char standard_lines[] =
	"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
	"img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n"
	"X-Content-Type-Options: nosniff\r\n"
	"Referrer-Policy: no-referrer\r\n"
	"Cross-Origin-Resource-Policy: same-origin\r\n";

static const char *reason_of(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Answer";
}

static void put_date(struct text *b)
{
	char text[64];
	time_t now = time(NULL);
	struct tm tm;

	/* The programs never call setlocale(), so these are English names. */
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
	text_fmt(b, "Date: %s\r\n", text);
}

/* The head but for its framing field and empty line. r is NULL if the request could not be read. */
static void put_head(struct conn *c, struct httpd_req *r, int status, const char *mime)
{
	struct text *out = &c->out;

	c->keep = c->keep && !c->body_owed;
	text_fmt(out, "HTTP/1.1 %d %s\r\n", status, reason_of(status));
	put_date(out);
	if (mime)
		text_fmt(out, "Content-Type: %s\r\n", mime);
	text_fmt(out, "Cache-Control: %s\r\n", r && r->cached ? "no-cache" : "no-store");
	if (!c->keep)
		text_fmt(out, "Connection: close\r\n");
	else if (r && r->head.minor == 0)
		text_fmt(out, "Connection: keep-alive\r\n");
	text_add(out, standard_lines, sizeof(standard_lines) - 1);
	if (r)
		text_add(out, r->extra.p, r->extra.len);
}

static void log_answer(const struct httpd_req *r, int status)
{
	log_debug(r->conn->h->conf.name, "%s %s: %d", r->method, r->path, status);
}

static bool is_head(const struct httpd_req *r)
{
	return strcmp(r->method, "HEAD") == 0;
}

void answer_bad(struct conn *c, int status, const char *text)
{
	c->keep = false;
	put_head(c, NULL, status, "text/plain; charset=utf-8");
	text_fmt(&c->out, "Content-Length: %zu\r\n\r\n%s.\n", strlen(text) + 2, text);
	c->state = CONN_FLUSH;
}

/* ---- whole ---- */

void httpd_header(struct httpd_req *r, const char *name, const char *value)
{
	size_t n = strlen(value);
	char *at;

	text_add(&r->extra, name, strlen(name));
	text_add(&r->extra, ": ", 2);
	at = text_room(&r->extra, n + 2);
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? ' ' : value[i];
	memcpy(at + n, "\r\n", 2);
	r->extra.len += n + 2;
}

void httpd_answer(struct httpd_req *r, int status, const char *mime, const void *body, size_t len)
{
	struct conn *c = r->conn;

	assert(c->req == r && (c->state == CONN_BODY || c->state == CONN_HANDLER));
	log_answer(r, status);
	put_head(c, r, status, mime);
	if (status == 204 || status == 304) /* have no body (RFC 9110 section 6.4.1) */
		text_put(&c->out, "\r\n");
	else
		text_fmt(&c->out, "Content-Length: %zu\r\n\r\n", len);
	if (status != 204 && status != 304 && !is_head(r))
		text_add(&c->out, body, len);
	c->state = CONN_FLUSH;
	c->req = NULL;
	req_free(r);
	conn_kick(c);
}

void httpd_text(struct httpd_req *r, int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	httpd_answer(r, status, "text/plain; charset=utf-8", text, strlen(text));
}

void req_refuse(struct httpd_req *r, int status, const char *text)
{
	const struct httpd_config *conf = &r->conn->h->conf;

	if (conf->refuse)
		conf->refuse(conf->arg, r, status, text);
	else
		httpd_text(r, status, "%s\n", text);
}

void httpd_redirect(struct httpd_req *r, const char *location)
{
	struct text b = {0};

	httpd_header(r, "Location", location);
	text_put(&b, "<a href=\"");
	for (; *location; location++)
		if (strchr("&<>\"'", *location))
			text_fmt(&b, "&#%d;", *location);
		else
			text_add(&b, location, 1);
	text_put(&b, "\">Found</a>.\n\n");
	httpd_answer(r, 302, "text/html; charset=utf-8", b.p, b.len);
	text_free(&b);
}

void httpd_cached(struct httpd_req *r, const char *mime, const char *etag, const void *body,
		  size_t len)
{
	r->cached = true;
	httpd_header(r, "ETag", etag);
	if (list_has(httpd_field(r, "if-none-match"), etag))
		httpd_answer(r, 304, NULL, NULL, 0);
	else
		httpd_answer(r, 200, mime, body, len);
}

/* ---- piece by piece ---- */

void httpd_stream(struct httpd_req *r, int status, const char *mime, const struct httpd_producer *p,
		  void *arg)
{
	struct conn *c = r->conn;

	assert(c->req == r && (c->state == CONN_BODY || c->state == CONN_HANDLER));
	log_answer(r, status);
	c->chunked = r->head.minor > 0;
	c->keep = c->keep && c->chunked; /* to HTTP/1.0 the end of the connection is the end */
	put_head(c, r, status, mime);
	text_fmt(&c->out, "%s\r\n", c->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	r->producer = p;
	r->producer_arg = arg;
	c->state = is_head(r) ? CONN_FLUSH : CONN_STREAM;
	conn_kick(c);
}

void httpd_write(struct httpd_req *r, const void *data, size_t len)
{
	struct text *out = &r->conn->out;

	assert(r->producing);
	if (!len) /* an empty chunk would be the last */
		return;
	if (r->conn->chunked)
		text_fmt(out, "%zx\r\n", len);
	text_add(out, data, len);
	if (r->conn->chunked)
		text_put(out, "\r\n");
}

void httpd_resume(struct httpd_req *r)
{
	r->resumed = true;
	if (!r->waiting)
		return;
	r->waiting = false;
	conn_kick(r->conn);
}

void answer_produce(struct conn *c)
{
	struct httpd_req *r = c->req;
	enum httpd_more more;
	size_t before;

	r->producing = true;
	r->resumed = false;
	do {
		before = c->out.len;
		more = r->producer->produce(r->producer_arg, r);
	} while (more == HTTPD_MORE && c->state == CONN_STREAM && c->out.len > before &&
		 c->out.len < PRODUCE_ENOUGH);
	r->producing = false;
	if (c->state != CONN_STREAM)
		return; /* the server was closed */
	switch (more) {
	case HTTPD_MORE:
		break;
	case HTTPD_WAIT:
		r->waiting = !r->resumed;
		break;
	case HTTPD_END:
		if (c->chunked)
			text_put(&c->out, "0\r\n\r\n");
		c->state = CONN_FLUSH;
		break;
	case HTTPD_FAIL:
		conn_close(c, "the answer could not be completed");
		break;
	}
}
