/* Answers of httpd: whole, or piece by piece by a producer. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/httpd/conn.h"
#include "common/base/log.h"
#include "common/http/answer_head.h"
#include "common/http/text.h"

#define PRODUCE_ENOUGH (64u << 10) /* bytes after which what is there is written first */

/* The head of an answer to r (NULL: the request could not be read), up to its empty line. */
static void put_head(struct conn *c, struct httpd_req *r, int status, const char *mime,
		     enum answer_end end, size_t len)
{
	c->keep = c->keep && !c->body_owed;
	answer_head(&c->out,
		    &(struct answer_head){.status = status,
					  .mime = mime,
					  .content = r && r->form ? ANSWER_FORM : ANSWER_APP,
					  .end = end,
					  .length = len,
					  .cached = r && r->cached,
					  .keep = c->keep,
					  .http10 = r && r->head.minor == 0,
					  .extra = r ? r->extra.p : NULL});
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
	put_head(c, NULL, status, "text/plain; charset=utf-8", ANSWER_LENGTH, strlen(text) + 2);
	text_fmt(&c->out, "%s.\n", text);
	c->state = CONN_FLUSH;
}

/* ---- whole ---- */

void httpd_header(struct httpd_req *r, const char *name, const char *value)
{
	size_t n = strlen(value);
	char *at;

	text_add(&r->extra, name, strlen(name));
	text_add(&r->extra, ": ", 2);
	at = text_room(&r->extra, n);
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)value[i] < 0x20 || value[i] == 0x7f ? ' ' : value[i];
	r->extra.len += n;
	text_put(&r->extra, "\r\n");
}

void httpd_answer(struct httpd_req *r, int status, const char *mime, const void *body, size_t len)
{
	struct conn *c = r->conn;

	assert(c->req == r && (c->state == CONN_BODY || c->state == CONN_HANDLER));
	log_answer(r, status);
	put_head(c, r, status, mime, ANSWER_LENGTH, len);
	if (status != 204 && status != 304 && !is_head(r))
		text_add(&c->out, body, len);
	c->state = CONN_FLUSH;
	c->req = NULL;
	req_free(r);
	conn_kick(c);
}

void httpd_form_page(struct httpd_req *r, int status, const void *body, size_t len)
{
	r->form = true;
	httpd_answer(r, status, "text/html; charset=utf-8", body, len);
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
	text_html(&b, location, strlen(location));
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
	put_head(c, r, status, mime, c->chunked ? ANSWER_CHUNKED : ANSWER_UNTIL_EOF, 0);
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
