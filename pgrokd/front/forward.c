/* Requests that a service decides about. */
#include "pgrokd/front/forward.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/edit.h"
#include "common/net/nets.h"
#include "pgrokd/access/pass.h"
#include "pgrokd/front/verdicts.h"

#define VERDICT_BYTES 4096 /* of the fields of one that is remembered */

struct forward {
	int index;
	struct web_url to;
	SSL_CTX *tls;             /* of a service at https */
	struct http_fields names; /* without values: to be removed */
};

/* ---- what is configured ---- */

struct forward *forward_new(int index, const char *url, const char *names, struct err *err)
{
	struct forward *f = xcalloc(1, sizeof(*f));

	f->index = index;
	if (http_fields_names(&f->names, names, err) && web_url_read(&f->to, url, err) &&
	    (!f->to.tls || (f->tls = asker_tls(err))))
		return f;
	forward_free(f);
	return NULL;
}

void forward_free(struct forward *f)
{
	if (!f)
		return;
	web_url_free(&f->to);
	SSL_CTX_free(f->tls);
	http_fields_free(&f->names);
	free(f);
}

/* ---- the question ---- */

/* '_' is '-' to what is made of CGI. */
static bool is_like(const char *name, size_t len, const char *text)
{
	for (size_t i = 0; i < len && text[i]; i++) {
		int c = name[i] == '_' ? '-' : tolower((unsigned char)name[i]);

		if (c != tolower((unsigned char)text[i]))
			return false;
	}
	return true;
}

/*
 * What is between the visitor and us alone, or would speak in our name of what was asked and by
 * whom: some services believe other fields rather than those that we say.
 */
static bool is_ours(const char *name, size_t len)
{
	static const char *const whole[] = {
		"Host",
		"Connection",
		"Keep-Alive",
		"TE",
		"Trailer",
		"Upgrade",
		"Proxy-Connection",
		"Content-Length",
		"Expect",
		"Transfer-Encoding",
		"Forwarded",
		"HTTP2-Settings",
		"X-Real-IP",
		"X-Rewrite-URL",
		"X-HTTP-Method-Override",
	};
	static const char *const begin[] = {"X-Forwarded-", "X-Original-"};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (strlen(whole[i]) == len && is_like(name, len, whole[i]))
			return true;
	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++)
		if (len >= strlen(begin[i]) && is_like(name, len, begin[i]))
			return true;
	return false;
}

/* As the visitor's browser knows it, whatever proxy ended TLS. */
static const char *scheme_of(const struct guest *g)
{
	struct http_span said;

	if (nets_have(g->worker->core->trusted, &g->peer) &&
	    http_field(g->buf, &g->head, "X-Forwarded-Proto", &said)) {
		if (http_span_is_nocase(g->buf, said, "https"))
			return "https";
		if (http_span_is_nocase(g->buf, said, "http"))
			return "http";
	}
	return g->port == PORT_HTTPS ? "https" : "http";
}

/* Path and query, of whatever form of target. */
static struct http_span uri_of(const struct guest *g)
{
	struct http_span t = g->head.target, a = g->head.authority;

	if (g->buf[t.off] != '/' && a.off > t.off && a.off < t.off + t.len) {
		t.len -= a.off + a.len - t.off;
		t.off = a.off + a.len;
	}
	return t;
}

static void put_span(struct text *out, const char *name, const struct guest *g, struct http_span s)
{
	text_fmt(out, "%s: ", name);
	text_add(out, g->buf + s.off, s.len);
	text_put(out, "\r\n");
}

static void put_uri(struct text *out, const struct guest *g)
{
	struct http_span uri = uri_of(g);
	bool bare = !uri.len || g->buf[uri.off] == '?';

	text_put(out, bare ? "X-Forwarded-Uri: /" : "X-Forwarded-Uri: ");
	text_add(out, g->buf + uri.off, uri.len);
	text_put(out, "\r\n");
}

static void put_question(struct text *out, const struct forward *f, const struct guest *g)
{
	const struct http_head *h = &g->head;
	struct http_span name, value;
	char from[ADDR_TEXT];

	text_fmt(out, "GET %s HTTP/1.1\r\nHost: %s\r\n", f->to.path, f->to.authority);
	for (size_t at = 0; http_next_field(g->buf, h, &at, &name, &value);) {
		if (is_ours(g->buf + name.off, name.len) ||
		    http_fields_have(&f->names, g->buf + name.off, name.len, true))
			continue;
		text_add(out, g->buf + name.off, name.len);
		text_put(out, ": ");
		text_add(out, g->buf + value.off, value.len);
		text_put(out, "\r\n");
	}
	put_span(out, "X-Forwarded-Method", g, h->method);
	text_fmt(out, "X-Forwarded-Proto: %s\r\n", scheme_of(g));
	put_span(out, "X-Forwarded-Host", g, h->authority);
	put_uri(out, g);
	text_fmt(out, "X-Forwarded-For: %s\r\n\r\n", addr_ip_text(&g->origin, from));
}

struct ask *forward_ask(struct guest *g, const struct route *r, ask_fn *fn, void *arg)
{
	const struct forward *f = g->worker->core->forward[r->asks - 1];
	struct worker *w = g->worker;
	struct text t = {.secret = true};

	struct asker **asker = &w->asker[f->index];

	if (!*asker)
		*asker = asker_new(w->loop, &f->to, f->tls);
	put_question(&t, f, g);
	struct ask *q = ask(*asker, t.p, t.len, fn, arg);

	text_free(&t);
	return q;
}

void forward_close(struct worker *w)
{
	for (int i = 0; i < CONFIG_FORWARDS; i++) {
		asker_close(w->asker[i]);
		w->asker[i] = NULL;
	}
	verdicts_free(w->verdicts);
	w->verdicts = NULL;
}

/* ---- the answer ---- */

/* All fields of that name, as one list. */
static void put_values(struct text *out, const struct ask_answer *a, const char *wanted)
{
	struct http_span name, value;

	for (size_t at = 0; http_next_field(a->bytes, a->head, &at, &name, &value);) {
		if (!http_span_is_nocase(a->bytes, name, wanted) || !value.len)
			continue;
		if (out->len)
			text_put(out, ", ");
		text_add(out, a->bytes + value.off, value.len);
	}
}

/* Each of the names with what the answer says of it, or to be removed. */
static bool take_values(struct http_fields *set, const struct forward *f,
			const struct ask_answer *a)
{
	struct text value = {0};
	struct err err;
	bool ok = true;

	for (size_t i = 0; ok && i < f->names.n; i++) {
		text_free(&value);
		put_values(&value, a, f->names.list[i].name);
		ok = http_fields_set(set, f->names.list[i].name, value.p, true, &err);
	}
	text_free(&value);
	return ok;
}

/* ---- who was let in lately ---- */

/* All values of that name: cookies may come in several fields. False: there is none. */
static bool put_all(struct text *out, const struct guest *g, const char *wanted)
{
	struct http_span name, value;
	size_t before = out->len;

	for (size_t at = 0; http_next_field(g->buf, &g->head, &at, &name, &value);) {
		if (http_span_is_nocase(g->buf, name, wanted)) {
			text_add(out, g->buf + value.off, value.len);
			text_put(out, "\n");
		}
	}
	text_put(out, "\n");
	return out->len > before + 1;
}

/*
 * Who it is, as far as that can be known before the service is asked: without a cookie and a
 * password it can't.
 */
static bool make_key(unsigned char key[VERDICT_KEY], const struct guest *g, const struct route *r)
{
	struct text t = {.secret = true};
	char from[ADDR_TEXT];

	text_fmt(&t, "%d\n%s\n%s\n%s\n", r->asks, r->key, scheme_of(g),
		 addr_ip_text(&g->origin, from));
	bool cookie = put_all(&t, g, "Cookie"), password = put_all(&t, g, "Authorization");

	pass_hash(t.p, t.len, key);
	text_free(&t);
	return cookie || password;
}

static void remember(struct guest *g, const struct route *r, struct http_fields *set)
{
	struct worker *w = g->worker;
	int seconds = w->core->config->forward_auth_cache;
	unsigned char key[VERDICT_KEY];
	size_t size = 0;

	for (size_t i = 0; i < set->n; i++)
		size += set->list[i].value ? strlen(set->list[i].value) : 0;
	if (!seconds || size > VERDICT_BYTES || !make_key(key, g, r))
		return;
	if (!w->verdicts)
		w->verdicts = verdicts_new((uint64_t)seconds * 1000);
	verdicts_add(w->verdicts, key, loop_now(w->loop), set);
}

static bool put_head(struct text *out, const struct guest *g, const struct http_fields *set)
{
	http_edit_head(out, &(struct http_edit){.set = set}, &g->head, g->buf);
	return out->len <= HTTP_HEAD_MAX;
}

bool forward_known(struct text *out, const struct guest *g, const struct route *r)
{
	struct worker *w = g->worker;
	const struct http_fields *set = NULL;
	unsigned char key[VERDICT_KEY];

	if (w->verdicts && make_key(key, g, r))
		set = verdicts_find(w->verdicts, key, loop_now(w->loop));
	return set && put_head(out, g, set);
}

/* ---- it may pass, or not ---- */

bool forward_head(struct text *out, struct guest *g, const struct route *r,
		  const struct ask_answer *a)
{
	struct http_fields set = {0};
	bool ok = take_values(&set, g->worker->core->forward[r->asks - 1], a) &&
		  put_head(out, g, &set);

	if (ok)
		remember(g, r, &set);
	http_fields_free(&set);
	return ok;
}

void forward_fields(struct text *out, const struct ask_answer *a)
{
	static const char *const between[] = {"Connection", "Keep-Alive",    "Proxy-Connection",
					      "TE",         "Trailer",       "Transfer-Encoding",
					      "Upgrade",    "Content-Length"};
	struct http_span name, value;

	for (size_t at = 0; http_next_field(a->bytes, a->head, &at, &name, &value);) {
		bool keep = name.len > 0;

		for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++)
			keep &= !http_span_is_nocase(a->bytes, name, between[i]);
		if (!keep)
			continue;
		text_add(out, a->bytes + name.off, name.len);
		text_put(out, ": ");
		text_add(out, a->bytes + value.off, value.len);
		text_put(out, "\r\n");
	}
}
