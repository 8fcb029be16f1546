/* Heads of our own HTTP answers. */
#include "common/http/answer_head.h"

#include <inttypes.h>

#include "common/http/text.h"

/* Bytes are what their Content-Type says, whatever they look like. */
#define NOSNIFF "X-Content-Type-Options: nosniff\r\n"
/* No other site learns a link's origin from us, or embeds what is ours. */
#define OURS(form)                                                               \
	NOSNIFF "Referrer-Policy: no-referrer\r\n"                               \
		"Cross-Origin-Resource-Policy: same-origin\r\n"                  \
		"Content-Security-Policy: default-src 'none'; base-uri 'none'; " \
		"form-action " form "; frame-ancestors 'none'; "

/*
 * Ours: no inline script, nothing from elsewhere, no frame around it; in the app no script that
 * makes HTML of text either.
 */
static const char *const security[] = {
	[ANSWER_PAGE] = OURS("'none'") "style-src 'unsafe-inline'\r\n",
	[ANSWER_FORM] = OURS("'self'") "style-src 'unsafe-inline'\r\n",
	[ANSWER_APP] =
		OURS("'none'") "script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
			       "connect-src 'self'; require-trusted-types-for 'script'; "
			       "trusted-types 'none'\r\n",
	[ANSWER_USER] = NOSNIFF,
};

/* RFC 9110 sections 15.3.5 and 15.4.5 */
static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

void answer_head(struct text *out, const struct answer_head *h)
{
	char date[HTTP_DATE];

	text_fmt(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", h->status, http_reason(h->status),
		 http_date(time(NULL), date));
	if (h->mime)
		text_fmt(out, "Content-Type: %s\r\n", h->mime);
	text_fmt(out, "Cache-Control: %s\r\n", h->cached ? "no-cache" : "no-store");
	if (!h->keep)
		text_put(out, "Connection: close\r\n");
	else if (h->http10)
		text_put(out, "Connection: keep-alive\r\n");
	text_put(out, security[h->content]);
	if (h->extra)
		text_put(out, h->extra);
	if (h->end == ANSWER_CHUNKED)
		text_put(out, "Transfer-Encoding: chunked\r\n");
	else if (h->end == ANSWER_LENGTH && has_body(h->status))
		text_fmt(out, "Content-Length: %" PRIu64 "\r\n", h->length);
	text_put(out, "\r\n");
}
