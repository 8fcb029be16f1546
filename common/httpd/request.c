/* A request of httpd: made from its head, routed, asked about by its handler. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/httpd/conn.h"
#include "common/base/idmap.h"
#include "common/http/text.h"

static bool is_authority_end(char c)
{
	return c == '/' || c == '?';
}

/*
 * The target's path and query as they came; scheme and authority of an absolute form are left
 * out.
 */
static void split_target(struct httpd_req *r)
{
	struct http_span t = r->head.target;
	const char *text = r->text + t.off, *end = text + t.len, *query;

	if (*text != '/' && *text != '*') {
		text = strstr(text, "://") + 3; /* the head's scan saw to that */
		while (text < end && !is_authority_end(*text))
			text++;
	}
	query = memchr(text, '?', (size_t)(end - text));
	r->raw_path.off = (uint32_t)(text - r->text);
	r->raw_path.len = (uint32_t)((query ? query : end) - text);
	if (query) {
		r->raw_query.off = (uint32_t)(query + 1 - r->text);
		r->raw_query.len = (uint32_t)(end - query - 1);
	}
}

static char *span_dup(const struct httpd_req *r, struct http_span s)
{
	return xstrndup(r->text + s.off, s.len);
}

static bool decode_target(struct httpd_req *r)
{
	split_target(r);
	r->path = xmalloc(r->raw_path.len + 2);
	memcpy(r->path, "/", 2);
	if (r->raw_path.len && !percent_decode(r->text + r->raw_path.off, r->raw_path.len, r->path))
		return false;
	return query_parse(&r->query, r->text + r->raw_query.off, r->raw_query.len);
}

struct httpd_req *req_new(struct conn *c)
{
	struct httpd_req *r = xcalloc(1, sizeof(*r));

	r->conn = c;
	r->id = id_next();
	r->head = c->head;
	r->text = xstrndup(c->in.p, c->head.head_len);
	r->method = span_dup(r, r->head.method);
	r->host = span_dup(r, r->head.authority);
	if (!decode_target(r)) {
		req_free(r);
		return NULL;
	}
	return r;
}

static void free_now(void *p)
{
	struct httpd_req *r = p;

	for (struct note *n = r->notes, *next; n; n = next) {
		next = n->next;
		free(n);
	}
	query_free(&r->query);
	text_free(&r->extra);
	text_free(&r->body);
	free(r->path);
	free(r->host);
	free(r->method);
	/* A token or a password may be in it. */
	xfree_secret(r->text, r->head.head_len);
	free(r);
}

void req_free(struct httpd_req *r)
{
	loop_free_later(r->conn->h->loop, r, free_now);
}

/* ---- routes ---- */

/* How well a row's path fits: 0 = not, more = better. */
static size_t fits(const struct httpd_route *row, const char *path)
{
	size_t len = strlen(row->path);

	if (len && row->path[len - 1] == '*')
		return strncmp(row->path, path, len - 1) == 0 ? len : 0;
	return strcmp(row->path, path) == 0 ? SIZE_MAX : 0;
}

static bool serves(const struct httpd_route *row, const char *method)
{
	return strcmp(row->method, method) == 0 ||
	       (strcmp(row->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void refuse_method(struct httpd_req *r, const char *path)
{
	char allow[128] = "";
	size_t n = 0;

	for (const struct httpd_route *row = r->conn->h->conf.routes; row->method; row++) {
		bool get = strcmp(row->method, "GET") == 0;

		if (strcmp(row->path, path) != 0 || n + strlen(row->method) + 9 > sizeof(allow))
			continue;
		for (const char *part[] = {n ? ", " : "", row->method, get ? ", HEAD" : ""},
				**p = part;
		     p < part + 3; p++) {
			memcpy(allow + n, *p, strlen(*p) + 1);
			n += strlen(*p);
		}
	}
	httpd_header(r, "Allow", allow);
	req_refuse(r, 405, "Method Not Allowed");
}

const struct httpd_route *req_route(struct httpd_req *r)
{
	const struct httpd_route *best = NULL, *row;
	size_t best_fit = 0;

	for (row = r->conn->h->conf.routes; row->method; row++) {
		size_t fit = fits(row, r->path);

		if (fit > best_fit || (fit && fit == best_fit && !serves(best, r->method))) {
			best = row;
			best_fit = fit;
		}
	}
	if (best && serves(best, r->method))
		return best;
	if (best)
		refuse_method(r, best->path);
	else
		req_refuse(r, 404, "404 page not found");
	return NULL;
}

/* ---- what is asked ---- */

uint64_t httpd_id(const struct httpd_req *r)
{
	return r->id;
}

const char *httpd_path(const struct httpd_req *r)
{
	return r->path;
}

const char *httpd_rest(const struct httpd_req *r)
{
	size_t len = r->route ? strlen(r->route->path) : 0;

	return len && r->route->path[len - 1] == '*' ? r->path + len - 1 : "";
}

const struct query *httpd_query(const struct httpd_req *r)
{
	return &r->query;
}

const char *httpd_body(const struct httpd_req *r, size_t *len)
{
	if (len)
		*len = r->body.len;
	return r->body.p ? r->body.p : "";
}

bool httpd_form(const struct httpd_req *r, struct query *q)
{
	static const char form[] = "application/x-www-form-urlencoded";
	struct http_span type;
	size_t len;
	const char *body = httpd_body(r, &len);

	*q = (struct query){0};
	if (!http_field(r->text, &r->head, "content-type", &type))
		return false;
	if (type.len < sizeof(form) - 1 ||
	    strncasecmp(r->text + type.off, form, sizeof(form) - 1) != 0)
		return false;
	return query_parse(q, body, len);
}

const char *httpd_field(struct httpd_req *r, const char *name)
{
	struct http_span value;
	struct note *n;

	if (!http_field(r->text, &r->head, name, &value))
		return NULL;
	n = xmalloc(sizeof(*n) + value.len + 1);
	memcpy(n->text, r->text + value.off, value.len);
	n->text[value.len] = '\0';
	n->next = r->notes;
	r->notes = n;
	return n->text;
}

const char *httpd_host(const struct httpd_req *r)
{
	return r->host;
}

const struct addr *httpd_peer(const struct httpd_req *r)
{
	return &r->conn->peer;
}

bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list) {
		list += strspn(list, " \t,");
		if (!strncasecmp(list, word, len) && !strcspn(list + len, " \t,"))
			return true;
		list = strchr(list, ',');
	}
	return false;
}
