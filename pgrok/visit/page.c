/* What a visitor of an http(s) tunnel sees when nothing listens at the local address. */
#include "pgrok/visit/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HTML text of what others chose. */
static void escape_html(const char *text, char *out, size_t cap)
{
	size_t used = 0;

	out[0] = '\0';
	for (; *text && used + 8 < cap; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = c >= ' ' && c != 0x7f && !strchr("<>&\"'", c);
		used += (size_t)snprintf(out + used, cap - used, plain ? "%c" : "&#%d;",
					 c < ' ' || c == 0x7f ? '?' : c);
	}
}

char *page_unavailable(const char *url, const char *local, size_t *len)
{
	char where[600], what[600];

	escape_html(url, what, sizeof what);
	escape_html(local, where, sizeof where);
	char *body = xasprintf("<!DOCTYPE html>\n"
			       "<html lang=\"en\"><head><meta charset=\"utf-8\">"
			       "<title>502 Bad Gateway</title></head>\n"
			       "<body style=\"font-family:sans-serif;max-width:36em;"
			       "margin:4em auto\">\n"
			       "<h1>The tunnel is up, the service is not</h1>\n"
			       "<p><b>%s</b> leads to <b>%s</b>, where nothing answers.</p>\n"
			       "<p>Start the local service and load this page again.</p>\n"
			       "</body></html>\n",
			       what, where);
	char *page = xasprintf("HTTP/1.1 502 Bad Gateway\r\n"
			       "Content-Type: text/html; charset=utf-8\r\n"
			       "Content-Length: %zu\r\n"
			       "Cache-Control: no-store\r\n"
			       "X-Content-Type-Options: nosniff\r\n"
			       "Connection: close\r\n"
			       "\r\n"
			       "%s",
			       strlen(body), body);

	free(body);
	*len = strlen(page);
	return page;
}

/* ---- on its way ---- */

struct page {
	struct stream *s;
	char *text;
	size_t len, sent;
	page_fn *fn;
	void *arg;
};

static void page_free(void *arg)
{
	struct page *p = arg;

	free(p->text);
	free(p);
}

/* Takes p; its stream is the caller's. */
static struct stream *release(struct page *p)
{
	struct stream *s = p->s;

	stream_on_ready(s, NULL, NULL);
	loop_free_later(stream_loop(s), p, page_free);
	return s;
}

static void on_ready(void *arg, int dirs)
{
	struct page *p = arg;
	size_t n;

	while (p->sent < p->len) {
		switch (stream_write(p->s, p->text + p->sent, p->len - p->sent, &n)) {
		case STREAM_OK:
			p->sent += n;
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
	stream_linger(release(p));
}

struct page *page_send(struct stream *s, const char *url, const char *local, page_fn *fn, void *arg)
{
	struct page *p = xcalloc(1, sizeof(*p));

	p->s = s;
	p->text = page_unavailable(url, local, &p->len);
	p->fn = fn;
	p->arg = arg;
	stream_on_ready(s, on_ready, p);
	stream_want(s, STREAM_WRITE);
	return p;
}

void page_cancel(struct page *p, bool abort)
{
	stream_close(release(p), abort);
}
