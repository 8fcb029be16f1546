/* Answers reframed: heads without what was about the connection, bodies in other parts. */
#include "common/http/reframe.h"

#include <string.h>
#include <strings.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static bool bodiless(const struct http_reframe *r, const struct http_head *h)
{
	return r->head_only || h->status == 204 || h->status == 304;
}

/* How does its body go on? */
static enum reframe_body body_of(const struct http_reframe *r, const struct http_head *h)
{
	if (bodiless(r, h) || (h->chunked && r->chunks))
		return REFRAME_AS_IT_CAME;
	if (h->chunked)
		return REFRAME_OUT_OF_CHUNKS;
	return !h->has_length && r->chunks ? REFRAME_INTO_CHUNKS : REFRAME_AS_IT_CAME;
}

/* ---- the head ---- */

static void add_span(struct text *out, const char *head, struct http_span s)
{
	text_add(out, head + s.off, s.len);
}

/* "HTTP/1.0 200 OK" -> "HTTP/1.1 200 OK", without its end, which to some readers is a CR alone. */
static void add_status_line(struct text *out, int minor, const char *head)
{
	size_t end = 12;

	while (head[end] != '\r' && head[end] != '\n')
		end++;
	text_fmt(out, "HTTP/1.%d", minor);
	text_add(out, head + 8, end - 8);
	/* The blank stands there even if no reason is given (RFC 9112 section 4). */
	if (end == 12)
		text_put(out, " ");
}

/* Is the field about the connection it came over? */
static bool of_connection(const char *head, struct http_span name)
{
	static const char *const names[] = {"Connection", "Keep-Alive", "Proxy-Connection", "TE",
					    "Trailer",    "Upgrade",    "Transfer-Encoding"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (http_span_is_nocase(head, name, names[i]))
			return true;
	}
	return false;
}

/* What is true of the answer that came, and of the one that is made of it? */
static bool stays(const struct http_reframe *r, const struct http_head *h, const char *head,
		  struct http_span name, bool *length)
{
	if (http_span_is_nocase(head, name, "Content-Length")) {
		bool first = !*length;

		*length = true;
		return first && !h->chunked && h->status != 204;
	}
	/* Trailers come through as long as their chunks do. */
	if (http_span_is_nocase(head, name, "Trailer"))
		return h->chunked && r->chunks && !bodiless(r, h);
	if (of_connection(head, name))
		return false;
	return !r->set || !http_fields_have(r->set, head + name.off, name.len, false);
}

/* What of a URL is its scheme, its host and the port, if the host is this machine; 0: it is not. */
static size_t local_origin(const char *url, size_t len)
{
	static const char *const schemes[] = {"http://", "https://"};
	static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
	size_t at = 0, n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(schemes) && !at; i++) {
		n = strlen(schemes[i]);
		if (len >= n && strncasecmp(url, schemes[i], n) == 0)
			at = n;
	}
	n = at;
	for (size_t i = 0; i < ARRAY_SIZE(hosts) && at && n == at; i++) {
		size_t host = strlen(hosts[i]);

		if (len - at >= host && strncasecmp(url + at, hosts[i], host) == 0)
			n = at + host;
	}
	if (n == at)
		return 0;
	if (n < len && url[n] == ':')
		for (n++; n < len && url[n] >= '0' && url[n] <= '9';)
			n++;
	return n == len || strchr("/?#", url[n]) ? n : 0;
}

static void add_value(const struct http_reframe *r, struct text *out, const char *head,
		      struct http_span name, struct http_span value)
{
	size_t n = 0;

	if (r->url && http_span_is_nocase(head, name, "Location"))
		n = local_origin(head + value.off, value.len);
	if (n)
		text_put(out, r->url);
	text_add(out, head + value.off + n, value.len - n);
}

/* Each begins with the end of the line before. */
static void add_fields(const struct http_reframe *r, struct text *out, const struct http_head *h,
		       const char *head)
{
	struct http_span name, value;
	bool kept = false, length = false;

	for (size_t at = 0; http_next_field(head, h, &at, &name, &value);) {
		if (name.len) {
			kept = stays(r, h, head, name, &length);
			if (!kept)
				continue;
			text_put(out, "\r\n");
			add_span(out, head, name);
			text_put(out, ": ");
			add_value(r, out, head, name, value);
		} else if (kept) {
			text_put(out, " ");
			add_span(out, head, value);
		}
	}
	for (size_t i = 0; r->set && i < r->set->n; i++) {
		const struct http_set_field *f = &r->set->list[i];

		if (f->value)
			text_fmt(out, "\r\n%s: %s", f->name, f->value);
	}
}

void http_reframe_head(struct http_reframe *r, struct text *out, const struct http_head *h,
		       const char *head)
{
	r->body = body_of(r, h);
	http_chunked_init(&r->in, false);
	add_status_line(out, r->minor, head);
	add_fields(r, out, h, head);
	if (!bodiless(r, h) && r->chunks && (h->chunked || !h->has_length))
		text_put(out, "\r\nTransfer-Encoding: chunked");
	if (r->close)
		text_put(out, "\r\nConnection: close");
	text_put(out, "\r\n\r\n");
}

/* ---- the body ---- */

static void add_data(void *arg, const char *bytes, size_t n)
{
	text_add(arg, bytes, n);
}

static void add_body(struct http_reframe *r, struct text *out, const char *bytes, size_t len)
{
	enum http_rc rc;
	size_t used;

	switch (r->body) {
	case REFRAME_AS_IT_CAME:
		text_add(out, bytes, len);
		break;
	case REFRAME_INTO_CHUNKS:
		text_fmt(out, "%zx\r\n", len);
		text_add(out, bytes, len);
		text_put(out, "\r\n");
		break;
	case REFRAME_OUT_OF_CHUNKS:
		/* Whether they are good ones is judged elsewhere. */
		rc = http_chunked_scan(&r->in, bytes, len, &used, add_data, out);
		(void)rc;
		break;
	}
}

const char *http_reframe_made(struct http_reframe *r, struct http_splice *s, size_t len,
			      size_t *made)
{
	if (r->body != REFRAME_AS_IT_CAME && len > s->done) {
		add_body(r, &s->out, s->from + s->done, len - s->done);
		s->done = len;
	}
	return http_splice_made(s, len, made);
}

void http_reframe_end(const struct http_reframe *r, struct text *out)
{
	if (r->body == REFRAME_INTO_CHUNKS)
		text_put(out, "0\r\n\r\n");
}
