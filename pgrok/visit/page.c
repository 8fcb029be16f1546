/* What a visitor of an http(s) tunnel sees when nothing listens at the local address. */
#include "pgrok/visit/page.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/answer_head.h"
#include "common/http/head.h"
#include "common/http/text.h"
#include "pgrok/config/limits.h"

#define NAME_BYTES 256 /* of a name on the page, which is to fit into one record */

void page_unavailable(struct text *out, const char *url, const char *local)
{
	struct text body = {0};

	text_put(&body, "<!DOCTYPE html>\n"
			"<html lang=\"en\"><head><meta charset=\"utf-8\">"
			"<title>502 Bad Gateway</title></head>\n"
			"<body style=\"font-family:sans-serif;max-width:36em;margin:4em auto\">\n"
			"<h1>The tunnel is up, the service is not</h1>\n<p><b>");
	text_html(&body, url, strnlen(url, NAME_BYTES));
	text_put(&body, "</b> leads to <b>");
	text_html(&body, local, strnlen(local, NAME_BYTES));
	text_put(&body, "</b>, where nothing answers.</p>\n"
			"<p>Start the local service and load this page again.</p>\n"
			"</body></html>\n");
	answer_head(out, &(struct answer_head){.status = 502,
					       .mime = "text/html; charset=utf-8",
					       .length = body.len});
	text_add(out, body.p, body.len);
	text_free(&body);
}

/* ---- on its way ---- */

struct page {
	struct stream *s;
	struct text text; /* what is still to be written */
	page_fn *fn;
	void *arg;
	struct loop_timer timer; /* while the request's method is waited for: LIMIT_PAGE_MS */
	bool asked;              /* the method is known, or will never be */
	bool drain;
	struct http_head head;
	size_t len;
	char request[64]; /* its beginning */
};

static void page_free(void *arg)
{
	struct page *p = arg;

	text_free(&p->text);
	free(p);
}

/* Takes p; its stream is the caller's. */
static struct stream *release(struct page *p)
{
	struct stream *s = p->s;

	loop_timer_stop(&p->timer);
	stream_on_ready(s, NULL, NULL);
	loop_free_later(stream_loop(s), p, page_free);
	return s;
}

/* Reads until it is known what is asked. False: more must come. */
static bool read_method(struct page *p)
{
	size_t n;

	while (!p->head.method.len && p->len < sizeof(p->request)) {
		enum stream_rc rc =
			stream_read(p->s, p->request + p->len, sizeof(p->request) - p->len, &n);

		if (rc != STREAM_OK)
			return rc != STREAM_AGAIN;
		p->len += n;
		if (http_request_scan(&p->head, p->request, p->len) == HTTP_BAD)
			return true;
	}
	return true;
}

/* An answer to a HEAD is a head. */
static void head_alone(struct page *p)
{
	p->text.len = (size_t)(strstr(p->text.p, "\r\n\r\n") - p->text.p) + 4;
}

static void begin(struct page *p)
{
	p->asked = true;
	loop_timer_stop(&p->timer);
	if (http_span_is(p->request, p->head.method, "HEAD"))
		head_alone(p);
}

static void on_ready(void *arg, int dirs)
{
	struct page *p = arg;
	size_t n;

	if (!p->asked && !read_method(p)) {
		stream_want(p->s, STREAM_READ);
		return;
	}
	if (!p->asked)
		begin(p);
	while (p->text.len) {
		switch (stream_write(p->s, p->text.p, p->text.len, &n)) {
		case STREAM_OK:
			text_drop(&p->text, n);
			break;
		case STREAM_AGAIN:
			stream_want(p->s, STREAM_WRITE);
			return;
		default:
			p->fn(p->arg, stream_error(p->s));
			stream_close(release(p), true);
			return;
		}
	}
	p->fn(p->arg, NULL);
	/* The request is still coming in: closing now would let a reset overtake the page. */
	if (p->drain)
		stream_linger_for(release(p), LIMIT_DRAIN_MS, LIMIT_DRAIN);
	else
		stream_linger(release(p));
}

static void on_no_request(void *arg)
{
	struct page *p = arg;

	begin(p);
	on_ready(p, STREAM_WRITE);
}

struct page *page_send(struct stream *s, const struct page_conf *c, page_fn *fn, void *arg)
{
	struct page *p = xcalloc(1, sizeof(*p));

	p->s = s;
	page_unavailable(&p->text, c->url, c->local);
	p->fn = fn;
	p->arg = arg;
	p->drain = c->drain;
	p->asked = c->asked;
	loop_timer_init(&p->timer, stream_loop(s), on_no_request, p);
	if (!p->asked)
		loop_after(&p->timer, LIMIT_PAGE_MS);
	else if (c->head_only)
		head_alone(p);
	stream_on_ready(s, on_ready, p);
	stream_want(s, p->asked ? STREAM_WRITE : STREAM_READ | STREAM_WRITE);
	return p;
}

void page_cancel(struct page *p, bool abort)
{
	stream_close(release(p), abort);
}
