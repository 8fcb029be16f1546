/* The server's own short answers to visitors. */
#include "pgrokd/visitor/reply.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/answer_head.h"
#include "common/http/text.h"
#include "pgrokd/limits.h"

#define HOST_SHOWN 100 /* bytes of a host's name on a page */

struct page {
	int status;
	const char *extra, *text;
};

/*
 * Nothing a visitor sent is part of an answer, but for the host in a 404. The first row is for what
 * is not listed.
 */
static const struct page pages[] = {
	{500, NULL, "The tunnel server could not answer this request.\n"},
	{303, NULL, "Welcome.\n"},
	{400, NULL, "The tunnel server could not read this request.\n"},
	{401, NULL, "Authorization required\n"},
	{403, NULL, "You may not visit this tunnel.\n"},
	{404, NULL, "Tunnel %s not found\n"}, /* the Go server's words, for scripts */
	{413, NULL, "This form is too long.\n"},
	{421, NULL, "This host name belongs to another connection: please open a new one.\n"},
	{429, "Retry-After: 60\r\n",
	 "Too many wrong passwords from your address: please try again in a minute.\n"},
	{431, NULL, "The head of this request is too large: 64 KiB is the limit.\n"},
	{REPLY_PLAIN_HTTP, NULL, "This port speaks https: please ask for https://, not http://.\n"},
	{REPLY_RATE, "Retry-After: 1\r\n",
	 "Too many connections from your address just now: please try again in a second.\n"},
	{REPLY_NO_VERDICT, NULL,
	 "It can't be found out just now whether you may visit this tunnel: please try again "
	 "later.\n"},
	{501, NULL, "This request has a transfer coding that is not known here.\n"},
	{502, NULL,
	 "The client of this tunnel went away, or its service gave an answer that can't be used.\n"},
	{503, NULL, "Too many visitors just now: please try again later.\n"},
	{504, NULL, "The client of this tunnel did not answer in time.\n"},
	{505, NULL, "Only HTTP/1.1 and HTTP/1.0 are spoken here.\n"},
};

/* In lower case, as the Go server does; what can't be in a name is escaped, what is long is cut. */
static void put_host(struct text *out, struct reply_host host)
{
	size_t len = host.len < HOST_SHOWN ? host.len : HOST_SHOWN;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)host.name[i];

		if (c > 0 && c < 0x80 && (isalnum(c) || strchr("-._:[]", c)))
			text_fmt(out, "%c", tolower(c));
		else
			text_fmt(out, "%%%02X", c);
	}
	if (len < host.len)
		text_put(out, "...");
}

static void put_text(struct text *out, const char *text, struct reply_host host)
{
	const char *at = strstr(text, "%s");

	if (!at) {
		text_put(out, text);
		return;
	}
	text_add(out, text, (size_t)(at - text));
	put_host(out, host);
	text_put(out, at + 2);
}

static void make_told(struct text *out, const struct reply_page *page)
{
	const struct reply_told *told = page->told;
	bool no_body = page->status == 204 || page->status == 304;

	text_fmt(out, "HTTP/1.1 %d %s\r\n", page->status, http_reason(page->status));
	text_add(out, told->fields->p, told->fields->len);
	if (!page->keep)
		text_put(out, "Connection: close\r\n");
	else if (page->http10)
		text_put(out, "Connection: keep-alive\r\n");
	if (!no_body)
		text_fmt(out, "Content-Length: %zu\r\n", told->len);
	text_put(out, "\r\n");
	if (!no_body && !page->head_only)
		text_add(out, told->body, told->len);
}

int reply_status(int number)
{
	if (number == REPLY_RATE)
		return 429;
	return number == REPLY_PLAIN_HTTP ? 400 : number == REPLY_NO_VERDICT ? 502 : number;
}

/* The password's page for people: no script, nothing from elsewhere. */
static void put_form(struct text *out, const struct reply_login *login)
{
	text_put(out, "<!DOCTYPE html>\n"
		      "<html lang=\"en\"><head><meta charset=\"utf-8\">"
		      "<meta name=\"viewport\" content=\"width=device-width\">"
		      "<title>Password required</title></head>\n"
		      "<body style=\"font-family:sans-serif;max-width:36em;margin:4em auto;"
		      "padding:0 1em\">\n"
		      "<main><h1>Password required</h1>\n");
	if (login->wrong)
		text_put(out, "<p role=\"alert\"><b>That is not the password.</b></p>\n");
	text_put(out, "<form method=\"post\" action=\"" RULES_LOGIN_PATH "\">\n"
		      "<p><label for=\"password\">Password of this site</label><br>\n"
		      "<input id=\"password\" name=\"password\" type=\"password\" required "
		      "autofocus autocomplete=\"current-password\">\n"
		      "<input name=\"to\" type=\"hidden\" value=\"");
	text_html(out, login->to, strlen(login->to));
	text_put(out, "\">\n<button>Continue</button></p>\n</form>\n</main></body></html>\n");
}

/*
 * What a 401 must offer (RFC 9110 section 11.6.1). A browser that sees Basic shows a dialogue of
 * its own instead of the page.
 */
static void put_challenges(struct text *out, const struct reply_page *page)
{
	unsigned offers = page->offers ? page->offers : RULES_BASIC;

	if (offers & RULES_BASIC && !page->login)
		text_put(out, "WWW-Authenticate: Basic realm=\"pgrok\"\r\n");
	if (offers & RULES_BEARER)
		text_put(out, "WWW-Authenticate: Bearer realm=\"pgrok\"\r\n");
	if (offers & RULES_PASSWORD)
		text_put(out, "WWW-Authenticate: Form realm=\"pgrok\"\r\n");
}

static const struct page *page_of(int status)
{
	for (size_t i = 1; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (pages[i].status == status)
			return &pages[i];
	}
	return &pages[0];
}

void reply_make(struct text *out, const struct reply_page *page)
{
	const struct page *p = page_of(page->status);
	struct text body = {0}, fields = {.secret = true};

	if (page->told) {
		make_told(out, page);
		return;
	}
	if (page->login)
		put_form(&body, page->login);
	else
		put_text(&body, p->text, page->host);
	text_put(&fields, p->extra ? p->extra : page->fields ? page->fields : "");
	if (page->status == 401)
		put_challenges(&fields, page);
	answer_head(out, &(struct answer_head){.status = reply_status(p->status),
					       .mime = page->login ? "text/html; charset=utf-8"
								   : "text/plain; charset=utf-8",
					       .content = page->login ? ANSWER_FORM : ANSWER_PAGE,
					       .length = body.len,
					       .keep = page->keep,
					       .http10 = page->http10,
					       .extra = fields.p});
	if (!page->head_only)
		text_add(out, body.p, body.len);
	text_free(&body);
	text_free(&fields);
}

/* An answer that did not go out at once. */
struct reply {
	struct stream *stream;
	struct text text;        /* what is still to be written */
	struct loop_timer timer; /* LIMIT_REPLY_MS for all of it */
	struct loop_exit at_exit;
};

static void reply_close(struct reply *r, bool linger)
{
	struct loop *l = stream_loop(r->stream);

	loop_timer_stop(&r->timer);
	loop_exit_del(l, &r->at_exit);
	if (linger)
		stream_linger(r->stream);
	else
		stream_close(r->stream, true);
	text_free(&r->text);
	loop_free_later(l, r, NULL);
}

static void reply_give_up(void *arg)
{
	reply_close(arg, false);
}

/* OK: all is written. */
static enum stream_rc reply_write(struct reply *r)
{
	enum stream_rc rc = STREAM_OK;

	while (r->text.len && rc == STREAM_OK) {
		size_t n = 0;

		rc = stream_write(r->stream, r->text.p, r->text.len, &n);
		if (rc == STREAM_OK)
			text_drop(&r->text, n);
	}
	return rc;
}

static void reply_ready(void *arg, int dirs)
{
	struct reply *r = arg;

	(void)dirs;
	enum stream_rc rc = reply_write(r);

	if (rc != STREAM_AGAIN)
		reply_close(r, rc == STREAM_OK);
}

size_t reply_send(struct stream *s, const struct reply_page *page)
{
	struct loop *l = stream_loop(s);
	struct reply *r = xcalloc(1, sizeof(*r));

	r->stream = s;
	reply_make(&r->text, page);
	size_t bytes = r->text.len;

	r->at_exit = (struct loop_exit){.fn = reply_give_up, .arg = r};
	loop_exit_add(l, &r->at_exit);
	loop_timer_init(&r->timer, l, reply_give_up, r);
	loop_after(&r->timer, LIMIT_REPLY_MS);
	stream_on_ready(s, reply_ready, r);
	stream_want(s, STREAM_WRITE);
	reply_ready(r, STREAM_WRITE);
	return bytes;
}
