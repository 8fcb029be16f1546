/* The API's answers about what was captured, and the small rest. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_QRENCODE
#include <qrencode.h>
#endif

#include "common/base/metrics.h"
#include "msg/pgrok/msg.h"
#include "pgrok/inspect/parts.h"

#define LIST_MAX 100000
#define LIST_DEFAULT 50 /* of GET /api/requests/http, as large as it can be */
#define PIECE (48u << 10)
#define FRAMES_DEFAULT 1000
#define QR_TEXT_MAX 400

/* ---- lists, piece by piece ---- */

struct lister {
	struct walk walk;
	void (*form)(struct text *t, const struct capture_txn *x);
	long left;
	char *tunnel; /* NULL: all */
	char *ids;    /* ",id,id,"; NULL: all */
	const char *tail;
	struct text t;
	bool any;
};

const struct capture_txn *walk_next(const struct walk *w)
{
	const struct capture_txn *x = w->seq ? capture_find(w->store, w->id) : NULL;

	if (x)
		return w->oldest_first ? x->next : x->prev;
	x = w->oldest_first ? capture_oldest(w->store) : capture_newest(w->store);
	if (!w->seq)
		return x;
	/* It went meanwhile: from the beginning again, over what was seen. */
	while (x && (w->oldest_first ? x->seq <= w->seq : x->seq >= w->seq))
		x = w->oldest_first ? x->next : x->prev;
	return x;
}

void walk_to(struct walk *w, const struct capture_txn *x)
{
	w->seq = x->seq;
	memcpy(w->id, x->id, CAPTURE_ID);
}

static bool listed(const struct lister *l, const struct capture_txn *x)
{
	char needle[CAPTURE_ID + 2];

	if (l->tunnel && strcmp(l->tunnel, x->tunnel->name) != 0)
		return false;
	snprintf(needle, sizeof(needle), ",%s,", x->id);
	return !l->ids || strstr(l->ids, needle);
}

static enum httpd_more produce(void *arg, struct httpd_req *r)
{
	struct lister *l = arg;
	const struct capture_txn *x = walk_next(&l->walk);
	unsigned seen = 0;

	/* Steps are bounded too: a filter may skip many. */
	for (; x && l->left > 0 && l->t.len < PIECE && seen < 5000; seen++) {
		if (listed(l, x)) {
			if (l->any)
				text_put(&l->t, ",");
			httpd_write(r, l->t.p ? l->t.p : "", l->t.len);
			l->t.len = 0;
			l->form(&l->t, x);
			l->any = true;
			l->left--;
		}
		walk_to(&l->walk, x);
		x = walk_next(&l->walk);
	}
	httpd_write(r, l->t.p ? l->t.p : "", l->t.len);
	l->t.len = 0;
	if (x && l->left > 0)
		return HTTPD_MORE;
	text_put(&l->t, l->tail);
	if (l->tail[strlen(l->tail) - 1] == ':')
		text_put(&l->t, x ? "true}" : "false}");
	httpd_write(r, l->t.p, l->t.len);
	return HTTPD_END;
}

static void produced(void *arg, bool complete)
{
	struct lister *l = arg;

	text_free(&l->t);
	free(l->tunnel);
	free(l->ids);
	free(l);
}

static const struct httpd_producer producer = {produce, produced};

/* Takes l; head: what stands before the first one. */
static void list(struct httpd_req *r, struct lister *l, const char *head)
{
	const char *tunnel = query_get(httpd_query(r), "tunnel_name");

	l->tunnel = tunnel ? xstrdup(tunnel) : NULL;
	text_put(&l->t, head);
	httpd_stream(r, 200, JSON_TYPE, &producer, l);
}

static struct lister *lister_new(struct inspect *i,
				 void (*form)(struct text *, const struct capture_txn *),
				 const char *tail)
{
	struct lister *l = xcalloc(1, sizeof(*l));

	l->walk.store = i->capture;
	l->form = form;
	l->left = LIST_MAX;
	l->tail = tail;
	return l;
}

static bool read_limit(struct httpd_req *r, long fallback, long *limit)
{
	if (query_number(httpd_query(r), "limit", 1, LIST_MAX, fallback, limit))
		return true;
	answer_error(r, 400, "limit has to be a number from 1 to %d", LIST_MAX);
	return false;
}

static void form_full(struct text *t, const struct capture_txn *x)
{
	form_request(t, x, true);
}

void api_requests(void *arg, struct httpd_req *r)
{
	struct lister *l;
	long limit;

	if (!read_limit(r, LIST_DEFAULT, &limit))
		return;
	l = lister_new(arg, form_full, "]}");
	l->left = limit;
	list(r, l, "{\"uri\":\"/api/requests/http\",\"requests\":[");
}

void api_entries(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const char *before = query_get(httpd_query(r), "before");
	const struct capture_txn *x = before ? capture_find(i->capture, before) : NULL;
	struct lister *l;
	long limit;

	if (!read_limit(r, LIST_MAX, &limit))
		return;
	if (before && !x) {
		answer_error(r, 404, "no request %.32s to begin before", before);
		return;
	}
	l = lister_new(i, form_entry, "],\"more\":");
	l->left = limit;
	if (x)
		walk_to(&l->walk, x);
	list(r, l, "{\"entries\":[");
}

void api_har(void *arg, struct httpd_req *r)
{
	const char *ids = query_get(httpd_query(r), "ids");
	struct lister *l = lister_new(arg, form_har, "]}}");

	l->walk.oldest_first = true;
	l->ids = ids ? xasprintf(",%s,", ids) : NULL;
	list(r, l,
	     "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"pgrok\",\"version\":\"" MSG_SOFTWARE_VERSION
	     "\"},\"pages\":[],\"entries\":[");
}

void api_requests_delete(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const char *keep = query_get(httpd_query(r), "keep");

	capture_clear(i->capture, keep && strcmp(keep, "pinned") == 0);
	httpd_answer(r, 204, NULL, "", 0);
}

/* ---- one ---- */

/* What a path behind /api/requests/http/ names: an id, and what of it. */
static const struct capture_txn *find_one(struct inspect *i, struct httpd_req *r, const char **part)
{
	const char *rest = httpd_rest(r), *slash = strchr(rest, '/');
	char id[CAPTURE_ID] = "";
	size_t len = slash ? (size_t)(slash - rest) : strlen(rest);

	*part = slash ? slash + 1 : "";
	if (len == CAPTURE_ID - 1)
		memcpy(id, rest, len);
	const struct capture_txn *x = capture_find(i->capture, id);

	if (!x)
		answer_error(r, 404, "no request %.40s", rest);
	return x;
}

static void answer_frames(struct httpd_req *r, const struct capture_txn *x)
{
	const struct query *q = httpd_query(r);
	struct text t = {0};
	long after, limit;

	if (!query_number(q, "after", 0, 1L << 53, 0, &after) ||
	    !query_number(q, "limit", 1, LIST_MAX, FRAMES_DEFAULT, &limit)) {
		answer_error(r, 400, "after or limit is not what it may be");
		return;
	}
	const struct capture_frame *f = x->frames;

	while (f && f->n <= (uint64_t)after)
		f = f->next;
	text_fmt(&t, "{\"kind\":\"%s\",\"frames\":[",
		 x->kind == CAPTURE_SSE         ? "sse"
		 : x->kind == CAPTURE_WEBSOCKET ? "websocket"
						: "http");
	for (; f && limit > 0; f = f->next, limit--)
		form_frame(&t, f);
	text_fmt(&t, "],\"dropped\":%llu,\"more\":%s}", (unsigned long long)x->frames_dropped,
		 f ? "true" : "false");
	answer_text(r, 200, JSON_TYPE, &t);
}

void api_one(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const char *part, *raw = query_get(httpd_query(r), "raw");
	const struct capture_txn *x = find_one(i, r, &part);
	struct text t = {0};

	if (!x)
		return;
	if (strcmp(part, "body") == 0) {
		api_body(i, r, x);
	} else if (strcmp(part, "frames") == 0) {
		answer_frames(r, x);
	} else if (*part) {
		answer_error(r, 404, "nothing of that name in a request");
	} else {
		form_request(&t, x, !raw || strcmp(raw, "0") != 0);
		answer_text(r, 200, JSON_TYPE, &t);
	}
}

void api_one_patch(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const char *part;
	const struct capture_txn *x = find_one(i, r, &part);
	size_t len;
	const char *text = httpd_body(r, &len);
	struct text t = {0};

	if (!x)
		return;
	json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *pinned = json_object_get(body, "pinned");
	const json_t *mark = json_object_get(body, "mark"), *note = json_object_get(body, "note");
	bool pin = json_is_true(pinned);

	if (*part || !json_is_object(body) || (pinned && !json_is_boolean(pinned)) ||
	    (mark && !json_is_string(mark)) || (note && !json_is_string(note))) {
		answer_error(r, 400, "pinned (true or false), mark or note (text) are needed");
	} else if (!capture_annotate(i->capture, x->id, pinned ? &pin : NULL,
				     json_string_value(mark), json_string_value(note))) {
		answer_error(r, 404, "it is gone");
	} else {
		form_entry(&t, x);
		answer_text(r, 200, JSON_TYPE, &t);
	}
	json_decref(body);
}

void api_one_delete(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const char *part;
	const struct capture_txn *x = find_one(i, r, &part);

	if (!x)
		return;
	if (*part || !capture_delete(i->capture, x->id))
		answer_error(r, 404, "nothing of that name to delete");
	else
		httpd_answer(r, 204, NULL, "", 0);
}

/* ---- the rest ---- */

void api_status(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	struct text t = {0};

	text_put(&t, "{\"uri\":\"/api/status\",\"agent_version\":\"" MSG_SOFTWARE_VERSION
		     "\",\"session\":{\"legs\":[{\"region\":");
	text_json_str(&t, i->conf.config->server.host ? i->conf.config->server.host : "");
	text_fmt(&t, ",\"latency\":\"%.3fms\"}]},", model_latency_us(i->conf.model) / 1000.0);
	struct text state = {0};

	form_state_keys(i, &state);
	text_add(&t, state.p, state.len);
	text_put(&t, "}");
	text_free(&state);
	answer_text(r, 200, JSON_TYPE, &t);
}

void api_metrics(void *arg, struct httpd_req *r)
{
	struct text t = {0};

	form_metrics(arg, &t);
	answer_text(r, 200, METRICS_MIME, &t);
}

#ifdef HAVE_QRENCODE
/* A path of unit squares, a row at a time. */
static void form_qr(struct text *t, const QRcode *qr)
{
	int size = qr->width + 8; /* four around, ISO/IEC 18004 */

	text_fmt(t,
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		 "shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/>"
		 "<path fill=\"#000\" d=\"",
		 size, size, size, size);
	for (int y = 0; y < qr->width; y++) {
		for (int x = 0, run; x < qr->width; x += run + 1) {
			for (run = 0;
			     x + run < qr->width && (qr->data[y * qr->width + x + run] & 1);)
				run++;
			if (run)
				text_fmt(t, "M%d %dh%dv1h-%dz", x + 4, y + 4, run, run);
		}
	}
	text_put(t, "\"/></svg>");
}

void api_qr(void *arg, struct httpd_req *r)
{
	const char *what = query_get(httpd_query(r), "text");
	struct text t = {0};
	QRcode *qr;

	if (!what || !*what || strlen(what) > QR_TEXT_MAX) {
		answer_error(r, 400, "text has to have 1 to %d bytes", QR_TEXT_MAX);
		return;
	}
	qr = QRcode_encodeString8bit(what, 0, QR_ECLEVEL_M);
	if (!qr) {
		answer_error(r, 500, "that can't be encoded");
		return;
	}
	form_qr(&t, qr);
	QRcode_free(qr);
	answer_text(r, 200, "image/svg+xml", &t);
}
#else
void api_qr(void *arg, struct httpd_req *r)
{
	answer_error(r, 404, "built without libqrencode");
}
#endif

void api_unknown(void *arg, struct httpd_req *r)
{
	answer_error(r, 404, "no such path");
}
