/*
 * Where requests begin is known from following both directions; heads are changed as they pass, all
 * other bytes go on as they came.
 */
#include "pgrok/visit/edit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/http/edit.h"
#include "common/http/reframe.h"

struct edit {
	struct http_edit what;
	const struct http_fields *answers; /* as those are to be changed */
	struct http_track track;
	char *host, *from;
	struct http_splice splice;  /* of the bytes at hand */
	struct http_reframe answer; /* single */
	bool asked;                 /* a request has come */
};

/* The service's own name for itself, as a browser beside it would say it. Returns owned. */
static char *host_of(const struct config_tunnel *t, enum proto proto)
{
	const struct endpoint *to = &t->local[proto];
	const char *text = t->host_header;

	if (!text || !*text)
		text = t->one_request ? "rewrite" : "keep";
	if (strcmp(text, "keep") == 0)
		return NULL;
	if (strcmp(text, "rewrite") != 0)
		return xstrdup(text);
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

/* The server knows who the visitor is, and we do not, if streams carry nothing but requests. */
static void begin(struct edit *e, const struct edit_conf *c)
{
	const struct config_tunnel *t = c->tunnel;
	bool https = strncmp(c->url, "https:", 6) == 0;

	*e = (struct edit){.host = host_of(t, c->proto)};
	e->from = t->x_forwarded && !t->one_request ? address_of(c->peer) : NULL;
	e->what = (struct http_edit){.host = e->host, .from = e->from, .set = &t->request_headers};
	if (t->one_request)
		e->what.proto = https ? "https" : "http";
	else if (e->from)
		e->what.proto = proto_name(c->proto);
	e->answers = &t->response_headers;
	e->answer = (struct http_reframe){.minor = 1, .set = e->answers};
}

static void end(struct edit *e)
{
	text_free(&e->splice.out);
	free(e->host);
	free(e->from);
}

static bool changes_requests(const struct http_edit *e)
{
	return e->host || e->proto || e->set->n;
}

/* A complete head: a changed one is put in its place. */
static int on_head(void *arg, const struct http_head *h, const char *head)
{
	struct edit *e = arg;

	if (e->track.single && e->asked)
		return TRACK_LEAVE;
	e->asked = true;
	e->answer.head_only = http_span_is(head, h->method, "HEAD");
	if (changes_requests(&e->what))
		http_edit_head(http_splice(&e->splice, head, h->head_len), &e->what, h, head);
	return 0;
}

/* With a 101 the connection is another protocol's: its head is left to that. */
static void on_answer(void *arg, const struct http_head *h, const char *head)
{
	struct edit *e = arg;

	if (h->status == 101)
		return;
	if (e->track.single)
		http_reframe_head(&e->answer, http_splice(&e->splice, head, h->head_len), h, head);
	else if (e->answers->n)
		http_edit_answer(http_splice(&e->splice, head, h->head_len), e->answers, h, head);
}

/* A Go server takes the first head for the final one. */
static void on_interim(void *arg, const struct http_head *h, const char *head)
{
	struct edit *e = arg;

	if (e->track.single)
		http_splice(&e->splice, head, h->head_len);
}

static const struct http_track_hooks hooks = {
	.allow = on_head, .answer = on_answer, .interim = on_interim};

/* Is all to pass as it comes? */
static bool changes_nothing(const struct edit *e, const struct config_tunnel *t)
{
	return !t->one_request && !changes_requests(&e->what) && !e->answers->n;
}

struct edit *edit_new(const struct edit_conf *c)
{
	struct edit first;

	if (c->proto == PROTO_TCP)
		return NULL;
	begin(&first, c);
	if (changes_nothing(&first, c->tunnel)) {
		end(&first);
		return NULL;
	}
	struct edit *e = xmalloc(sizeof(*e));

	*e = first;
	http_track_init(&e->track, false, &hooks, e);
	e->track.single = c->tunnel->one_request;
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

	http_splice_begin(&e->splice, buf);
	if (from == SIDE_SERVICE)
		verdict = http_track_response(&e->track, buf, len, pass);
	else
		verdict = http_track_request(&e->track, buf, len, pass);
	take_resume(e, release);
	return http_track_answered(&e->track) ? JUDGE_CUT : verdict;
}

const char *edit_made(struct edit *e, enum side from, size_t len, size_t *made)
{
	if (from == SIDE_SERVICE)
		return http_reframe_made(&e->answer, &e->splice, len, made);
	return http_splice_made(&e->splice, len, made);
}

/* A server that ends its direction before the answer has lost its visitor. */
static enum edit_end single_eof(struct edit *e, enum side from)
{
	struct http_track *t = &e->track;

	if (from == SIDE_VISITOR)
		return EDIT_FAIL;
	http_track_response_eof(t);
	if (http_track_broken_off(t))
		return EDIT_FAIL;
	if (http_track_answered(t) || (t->stopped && !http_track_owes(t)))
		return EDIT_CUT;
	return EDIT_HOLD;
}

enum edit_end edit_eof(struct edit *e, enum side from, bool *release)
{
	enum edit_end then = EDIT_PASS;

	if (e->track.single && !e->track.raw)
		then = single_eof(e, from);
	else if (from == SIDE_SERVICE)
		http_track_response_eof(&e->track);
	else
		http_track_request_eof(&e->track);
	take_resume(e, release);
	return then;
}

bool edit_single(const struct edit *e)
{
	return e->track.single;
}

bool edit_asked(const struct edit *e)
{
	return e->asked;
}

enum edit_result edit_result(const struct edit *e)
{
	if (http_track_answered(&e->track))
		return EDIT_ANSWERED;
	return e->track.refused ? EDIT_UNANSWERED : EDIT_BROKEN;
}

bool edit_lost(struct edit *e, const char *why)
{
	return http_track_fail(&e->track, 502, why);
}

bool edit_head_only(const struct edit *e)
{
	return e->track.head_only;
}

const char *edit_error(const struct edit *e)
{
	if (e->track.error)
		return e->track.error;
	return e->track.single ? "its visitor has gone" : "cut";
}

void edit_request(struct text *out, const struct edit_conf *c, const char *request, size_t len)
{
	struct http_head h = {0};
	struct edit e;

	begin(&e, c);
	if (changes_requests(&e.what) && http_request_scan(&h, request, len) == HTTP_OK)
		http_edit_head(out, &e.what, &h, request);
	text_add(out, request + h.head_len, len - h.head_len);
	end(&e);
}
