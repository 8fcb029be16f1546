/*
 * Where requests begin is known from following both directions; heads are changed as they pass, all
 * other bytes go on as they came.
 */
#include "pgrok/visit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/http/edit.h"

struct edit {
	struct http_edit what;
	const struct http_fields *answers; /* as those are to be changed */
	struct http_track track;
	char *host, *from;
	/* While bytes of one side are judged. */
	const char *base;
	size_t done;     /* of these bytes: in out */
	struct text out; /* empty: no head was among them */
};

/* The service's own name for itself, as a browser beside it would say it. Returns owned. */
static char *host_of(const struct config_tunnel *t, enum proto proto)
{
	const struct endpoint *to = &t->local[proto];

	if (!t->host_header || !*t->host_header)
		return NULL;
	if (strcmp(t->host_header, "rewrite") != 0)
		return xstrdup(t->host_header);
	if (!to->host)
		return xstrdup("localhost");
	bool v6 = strchr(to->host, ':') != NULL;

	if (to->port == (to->tls ? 443 : 80))
		return xasprintf(v6 ? "[%s]" : "%s", to->host);
	return xasprintf(v6 ? "[%s]:%u" : "%s:%u", to->host, to->port);
}

/* "[2001:db8::1]:40112" -> "2001:db8::1". Returns owned. */
static char *address_of(const char *peer)
{
	char host[ADDR_TEXT], port[16];
	const char *why;

	return xstrdup(addr_split(peer, host, sizeof(host), port, sizeof(port), &why) && *host
			       ? host
			       : "unknown");
}

static void begin(struct edit *e, const struct config_tunnel *t, enum proto proto, const char *peer)
{
	*e = (struct edit){.host = host_of(t, proto)};
	e->from = t->x_forwarded ? address_of(peer) : NULL;
	e->what = (struct http_edit){.host = e->host,
				     .from = e->from,
				     .proto = proto_name(proto),
				     .set = &t->request_headers};
	e->answers = &t->response_headers;
}

static void end(struct edit *e)
{
	text_free(&e->out);
	free(e->host);
	free(e->from);
}

static bool changes_requests(const struct http_edit *e)
{
	return e->host || e->from || e->set->n;
}

/* What stands before a head goes as it came. */
static void up_to(struct edit *e, const struct http_head *h, const char *head)
{
	text_add(&e->out, e->base + e->done, (size_t)(head - e->base) - e->done);
	e->done = (size_t)(head - e->base) + h->head_len;
}

/* A complete head: a changed one is put in its place. */
static int on_head(void *arg, const struct http_head *h, const char *head)
{
	struct edit *e = arg;

	if (changes_requests(&e->what)) {
		up_to(e, h, head);
		http_edit_head(&e->out, &e->what, h, head);
	}
	return 0;
}

/* With a 101 the connection is another protocol's: its head is left to that. */
static void on_answer(void *arg, const struct http_head *h, const char *head)
{
	struct edit *e = arg;

	if (e->answers->n && h->status != 101) {
		up_to(e, h, head);
		http_edit_answer(&e->out, e->answers, h, head);
	}
}

static const struct http_track_hooks hooks = {.allow = on_head, .answer = on_answer};

struct edit *edit_new(const struct config_tunnel *t, enum proto proto, const char *peer)
{
	bool host = t->host_header && *t->host_header;

	if (proto == PROTO_TCP ||
	    (!host && !t->x_forwarded && !t->request_headers.n && !t->response_headers.n))
		return NULL;
	struct edit *e = xmalloc(sizeof(*e));

	begin(e, t, proto, peer);
	http_track_init(&e->track, false, &hooks, e);
	return e;
}

void edit_free(struct edit *e)
{
	if (e)
		end(e);
	free(e);
}

static void take_resume(struct edit *e, bool *release)
{
	*release = e->track.resume;
	e->track.resume = false;
}

enum judge edit_judge(struct edit *e, enum side from, const char *buf, size_t len, size_t *pass,
		      bool *release)
{
	enum judge verdict;

	text_drop(&e->out, e->out.len);
	e->base = buf;
	e->done = 0;
	if (from == SIDE_SERVICE)
		verdict = http_track_response(&e->track, buf, len, pass);
	else
		verdict = http_track_request(&e->track, buf, len, pass);
	take_resume(e, release);
	return verdict;
}

const char *edit_made(struct edit *e, const char *buf, size_t len, size_t *made)
{
	if (!len || !e->out.len)
		return NULL;
	text_add(&e->out, buf + e->done, len - e->done);
	*made = e->out.len;
	return e->out.p;
}

void edit_eof(struct edit *e, enum side from, bool *release)
{
	if (from == SIDE_SERVICE)
		http_track_response_eof(&e->track);
	else
		http_track_request_eof(&e->track);
	take_resume(e, release);
}

const char *edit_error(const struct edit *e)
{
	return e->track.error ? e->track.error : "cut";
}

void edit_request(struct text *out, const struct config_tunnel *t, enum proto proto,
		  const char *peer, const char *request, size_t len)
{
	struct http_head h = {0};
	struct edit e;

	begin(&e, t, proto, peer);
	if (changes_requests(&e.what) && http_request_scan(&h, request, len) == HTTP_OK)
		http_edit_head(out, &e.what, &h, request);
	text_add(out, request + h.head_len, len - h.head_len);
	end(&e);
}
