/*
 * A head made into another one. That of a request is a strict one: each line is NAME: VALUE CRLF.
 * Lines of an answer may end in LF alone, and go on with a line that begins with a blank.
 */
#include "common/http/edit.h"

#include <string.h>
#include <strings.h>

struct line {
	const char *p;
	size_t len;      /* with its end */
	size_t name_len; /* before the colon; 0: it goes on with the field before */
};

/* The next field line from *at on. False: the empty one. */
static bool next_line(const struct http_head *h, const char *head, size_t *at, struct line *l)
{
	const char *end, *colon;

	l->p = head + *at;
	end = memchr(l->p, '\n', h->head_len - *at);
	l->len = end ? (size_t)(end - l->p) + 1 : 0;
	*at += l->len;
	if (l->len <= 1 || (l->len == 2 && *l->p == '\r'))
		return false;
	colon = memchr(l->p, ':', l->len);
	l->name_len = colon && *l->p != ' ' && *l->p != '\t' ? (size_t)(colon - l->p) : 0;
	return true;
}

static bool is(const struct line *l, const char *name)
{
	return l->name_len == strlen(name) && strncasecmp(l->p, name, l->name_len) == 0;
}

/* Leaves out blanks around it. */
static void trim(const char **from, const char **to)
{
	while (*from < *to && (**from == ' ' || **from == '\t'))
		++*from;
	while (*to > *from && ((*to)[-1] == ' ' || (*to)[-1] == '\t'))
		--*to;
}

/* Appends its value, without blanks around it. */
static void add_value(struct text *out, const struct line *l)
{
	const char *from = l->p + l->name_len + 1, *to = l->p + l->len - 2;

	trim(&from, &to);
	text_add(out, from, (size_t)(to - from));
}

static bool is_absolute(const struct http_head *h)
{
	const struct http_span *t = &h->target, *a = &h->authority;

	return a->len && a->off >= t->off && a->off + a->len <= t->off + t->len;
}

/* "GET http://a.me?b HTTP/1.0" -> "GET /?b HTTP/1.1" */
static void add_origin_line(struct text *out, const struct http_head *h, const char *head)
{
	size_t end = h->target.off + h->target.len, from = h->target.off;

	if (is_absolute(h))
		from = h->authority.off + h->authority.len;
	text_add(out, head, h->target.off);
	if (from == end || (head[from] != '/' && head[from] != '*'))
		text_put(out, "/");
	text_add(out, head + from, end - from);
	text_put(out, " HTTP/1.1\r\n");
}

static void add_first_line(struct text *out, const struct http_edit *e, const struct http_head *h,
			   const char *head)
{
	size_t done = 0;

	/* That takes a known Host. */
	if (e->origin_form && h->authority.len && (h->minor == 0 || is_absolute(h))) {
		add_origin_line(out, h, head);
		return;
	}
	if (e->host && is_absolute(h)) {
		text_add(out, head, h->authority.off);
		text_put(out, e->host);
		done = h->authority.off + h->authority.len;
	}
	text_add(out, head + done, h->fields - done);
}

enum forwarded { FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_NOT };

/* Which of them is this? To what is made of CGI, X_Forwarded_For is the same name. */
static enum forwarded forwarded(const char *name, size_t len)
{
	static const char *const names[] = {"X-Forwarded-For", "X-Forwarded-Proto",
					    "X-Forwarded-Host"};
	char plain[24];
	int which = FORWARDED_FOR;

	if (len >= sizeof(plain))
		return FORWARDED_NOT;
	for (size_t i = 0; i < len; i++)
		plain[i] = name[i] == '_' ? '-' : name[i];
	plain[len] = '\0';
	while (which < FORWARDED_NOT && strcasecmp(plain, names[which]) != 0)
		which++;
	return (enum forwarded)which;
}

/* Which of those that are said here is this? */
static enum forwarded said_here(const struct http_edit *e, const char *name, size_t len)
{
	enum forwarded which = e->from || e->proto ? forwarded(name, len) : FORWARDED_NOT;

	return (which == FORWARDED_FOR ? e->from : e->proto) ? which : FORWARDED_NOT;
}

/* Is it left to what stands behind the fields? stays[] is set for one that is true as it came. */
static bool replaced(const struct http_edit *e, const struct line *l, bool stays[FORWARDED_NOT])
{
	enum forwarded which = said_here(e, l->p, l->name_len);

	if (which == FORWARDED_NOT)
		return false;
	if (e->said != EDIT_TRUSTED || which == FORWARDED_FOR || memchr(l->p, '_', l->name_len))
		return true;
	stays[which] = true;
	return false;
}

static bool is_set(const struct http_fields *f, const struct line *l, bool request)
{
	return f && f->n && http_fields_have(f, l->p, l->name_len, request);
}

/* Is this element of a Connection field the name of one that is said or set here? */
static bool names_ours(const struct http_edit *e, const char *name, size_t len)
{
	return said_here(e, name, len) != FORWARDED_NOT ||
	       (e->set && e->set->n && http_fields_have(e->set, name, len, true));
}

/*
 * A proxy behind takes out what Connection names: a visitor is not to have it take out what is said
 * here. All else of the list stays.
 */
static void add_connection(struct text *out, const struct http_edit *e, const struct line *l)
{
	const char *at = l->p + l->name_len + 1, *end = l->p + l->len - 2;
	size_t begun = out->len;
	bool kept = false, dropped = false;

	text_add(out, l->p, l->name_len);
	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *from = at, *to = comma ? comma : end;

		at = comma ? comma + 1 : end;
		trim(&from, &to);
		if (names_ours(e, from, (size_t)(to - from))) {
			dropped = true;
			continue;
		}
		if (from == to)
			continue;
		text_put(out, kept ? ", " : ": ");
		text_add(out, from, (size_t)(to - from));
		kept = true;
	}
	if (!dropped || !kept)
		out->len = begun;
	if (!dropped)
		text_add(out, l->p, l->len);
	else if (kept)
		text_put(out, "\r\n");
}

static void add_set(struct text *out, const struct http_fields *f)
{
	for (size_t i = 0; f && i < f->n; i++)
		if (f->list[i].value)
			text_fmt(out, "%s: %s\r\n", f->list[i].name, f->list[i].value);
}

static void add_fields(struct text *out, const struct http_edit *e, const struct http_head *h,
		       const char *head, bool stays[FORWARDED_NOT])
{
	struct line l;

	for (size_t at = h->fields; next_line(h, head, &at, &l);) {
		if (e->host && is(&l, "Host")) {
			text_add(out, l.p, l.name_len);
			text_fmt(out, ": %s\r\n", e->host);
		} else if (is(&l, "Connection")) {
			add_connection(out, e, &l);
		} else if (!replaced(e, &l, stays) && !is_set(e->set, &l, true)) {
			text_add(out, l.p, l.len);
		}
	}
	if (h->has_host)
		return;
	if (e->host) {
		text_fmt(out, "Host: %s\r\n", e->host);
	} else if (e->origin_form && h->authority.len) {
		text_put(out, "Host: ");
		text_add(out, head + h->authority.off, h->authority.len);
		text_put(out, "\r\n");
	}
}

/* The list that came, if it is to go on, and behind it who sent this. */
static void add_forwarded_for(struct text *out, const struct http_edit *e,
			      const struct http_head *h, const char *head)
{
	struct line l;

	text_put(out, "X-Forwarded-For: ");
	for (size_t at = h->fields; e->said != EDIT_REPLACED && next_line(h, head, &at, &l);) {
		size_t before = out->len;

		if (!is(&l, "X-Forwarded-For"))
			continue;
		add_value(out, &l);
		if (out->len > before)
			text_put(out, ", ");
	}
	text_fmt(out, "%s\r\n", e->from);
}

static void add_forwarded(struct text *out, const struct http_edit *e, const struct http_head *h,
			  const char *head, const bool stays[FORWARDED_NOT])
{
	if (e->from)
		add_forwarded_for(out, e, h, head);
	if (e->proto && !stays[FORWARDED_PROTO])
		text_fmt(out, "X-Forwarded-Proto: %s\r\n", e->proto);
	if (!e->proto || stays[FORWARDED_HOST] || !h->authority.len)
		return;
	text_put(out, "X-Forwarded-Host: ");
	text_add(out, head + h->authority.off, h->authority.len);
	text_put(out, "\r\n");
}

void http_edit_head(struct text *out, const struct http_edit *e, const struct http_head *h,
		    const char *head)
{
	bool stays[FORWARDED_NOT] = {false};

	add_first_line(out, e, h, head);
	add_fields(out, e, h, head, stays);
	add_forwarded(out, e, h, head, stays);
	add_set(out, e->set);
	text_put(out, "\r\n");
}

void http_edit_answer(struct text *out, const struct http_fields *f, const struct http_head *h,
		      const char *head)
{
	bool dropped = false;
	struct line l;

	text_add(out, head, h->fields);
	for (size_t at = h->fields; next_line(h, head, &at, &l);) {
		if (l.name_len)
			dropped = is_set(f, &l, false);
		if (!dropped)
			text_add(out, l.p, l.len);
	}
	add_set(out, f);
	text_put(out, "\r\n");
}

bool http_edit_host_valid(const char *host)
{
	struct http_head h = {0};
	struct text t = {0};

	text_fmt(&t, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host);
	bool ok = http_request_scan(&h, t.p, t.len) == HTTP_OK && h.head_len == t.len &&
		  h.authority.len == strlen(host) && *host;

	text_free(&t);
	return ok;
}
