/*
 * Follows one proxied connection: HTTP/1.x requests matched with their answers, then what an
 * upgrade or an event stream carries. Every byte is looked at once, in the order it passes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "pgrok/capture/capture.h"
#include "pgrok/capture/frames.h"
#include "pgrok/capture/store_in.h"

#define OWED_MAX 64 /* pipelined requests; more are not followed */

enum flow_state {
	FLOW_HEAD,    /* the head of a message, or the bytes before it */
	FLOW_LENGTH,  /* a body of `left` bytes more */
	FLOW_CHUNKED, /* a chunked body */
	FLOW_EOF,     /* an answer's body, to the end of the connection */
	FLOW_WAIT,    /* behind a request to upgrade: what these bytes are, its answer decides */
	FLOW_WS       /* WebSocket frames */
};

/* What comes from one side. */
struct flow {
	enum flow_state state;
	struct http_head head;
	struct http_chunked chunks;
	uint64_t left;
	uint64_t since; /* clock_ns() of the message's first byte */
	char *kept;     /* HEAD: its beginning; CHUNKED: what follows the last data; WAIT: all */
	size_t kept_len, kept_cap;
	const char *rest; /* CHUNKED, inside a step: behind the last data that came */
};

/* A request whose answer is not complete, or which is not complete itself. */
struct owed {
	struct capture_txn *txn; /* NULL: not kept, or given up by the store */
	bool method_head, upgrade;
	bool sent;     /* the request is complete */
	bool replied;  /* the answer's head came */
	bool answered; /* the answer is complete */
};

struct capture_conn {
	struct capture *store;
	struct capture_tunnel *tunnel;
	char *visitor;
	char id[CAPTURE_ID], origin[CAPTURE_ID];
	bool edited;
	bool used;                 /* a request came */
	bool off;                  /* not followed any more */
	uint64_t since, connected; /* clock_ns(); connected 0: not yet */
	uint64_t now;              /* of the bytes being looked at */
	struct flow flow[2];       /* by enum side: requests, answers */
	struct owed *owed;         /* in the order of the requests */
	unsigned owed_n, owed_cap;
	struct capture_ws *ws;
	struct capture_sse *sse;
};

struct capture_conn *capture_conn_new(struct capture *s, const struct capture_conn_info *info)
{
	struct capture_conn *c = xcalloc(1, sizeof(*c));

	c->store = s;
	c->tunnel = store_tunnel(s, info);
	c->visitor = xstrdup(info->visitor ? info->visitor : "");
	if (info->id)
		memcpy(c->id, info->id, strnlen(info->id, CAPTURE_ID - 1));
	if (info->origin)
		memcpy(c->origin, info->origin, strnlen(info->origin, CAPTURE_ID - 1));
	c->edited = info->edited;
	c->since = clock_ns();
	return c;
}

void capture_conn_connected(struct capture_conn *c)
{
	c->connected = clock_ns();
}

bool capture_conn_followed(const struct capture_conn *c)
{
	return !c->off;
}

/* Since t's start. */
static int64_t elapsed(const struct capture_conn *c, const struct capture_txn *t)
{
	return c->now > t->start_ns ? (int64_t)(c->now - t->start_ns) : 0;
}

/* ---- what is kept of the connection itself ---- */

static void drop_kept(struct capture_conn *c, struct flow *flow)
{
	if (!flow->kept)
		return;
	store_refund(c->store, NULL, flow->kept_cap);
	free(flow->kept);
	flow->kept = NULL;
	flow->kept_len = flow->kept_cap = 0;
}

/* Everything that costs anything; open transactions are ended first. */
static void release(struct capture_conn *c)
{
	capture_ws_free(c->ws);
	capture_sse_free(c->sse);
	c->ws = NULL;
	c->sse = NULL;
	drop_kept(c, &c->flow[SIDE_SERVICE]);
	drop_kept(c, &c->flow[SIDE_VISITOR]);
	free(c->owed);
	c->owed = NULL;
	c->owed_n = c->owed_cap = 0;
	c->off = true;
}

static void end_all(struct capture_conn *c, enum capture_state state, const char *error)
{
	for (unsigned i = 0; i < c->owed_n; i++) {
		struct capture_txn *t = c->owed[i].txn;
		bool whole = c->owed[i].answered;

		c->owed[i].txn = NULL;
		if (t && !whole)
			t->last_ns = elapsed(c, t);
		if (t)
			store_finish(c->store, t, whole ? CAPTURE_DONE : state,
				     whole ? NULL : error);
	}
	release(c);
}

/* This is not, or not any more, what we know how to read. */
static void unfollow(struct capture_conn *c, const char *why)
{
	if (c->off)
		return;
	store_unfollowed(c->store);
	end_all(c, CAPTURE_FAILED, why);
}

void capture_conn_close(struct capture_conn *c, const char *error)
{
	if (!c)
		return;
	struct capture_txn *t = c->owed_n ? c->owed[0].txn : NULL;

	c->now = clock_ns();
	/* Such ones end when one side leaves. */
	if (t && t->kind != CAPTURE_HTTP)
		end_all(c, CAPTURE_DONE, NULL);
	else
		end_all(c, CAPTURE_FAILED, error ? error : "ended before the answer was complete");
	store_tunnel_unref(c->store, c->tunnel);
	free(c->visitor);
	free(c);
}

/* The store gives t up. */
static void on_forget(struct capture_conn *c, struct capture_txn *t)
{
	for (unsigned i = 0; i < c->owed_n; i++) {
		if (c->owed[i].txn == t)
			c->owed[i].txn = NULL;
	}
	if (t->kind == CAPTURE_HTTP)
		return;
	capture_ws_free(c->ws);
	capture_sse_free(c->sse);
	c->ws = NULL;
	c->sse = NULL;
}

/* False: no room, the connection is not followed any more. */
static bool keep(struct capture_conn *c, struct flow *flow, const char *buf, size_t len)
{
	size_t cap = flow->kept_cap ? flow->kept_cap : 512;

	while (cap < flow->kept_len + len)
		cap *= 2;
	if (cap > flow->kept_cap) {
		if (!store_charge(c->store, NULL, cap - flow->kept_cap)) {
			unfollow(c, "no room to follow it");
			return false;
		}
		flow->kept = xrealloc(flow->kept, cap);
		flow->kept_cap = cap;
	}
	memcpy(flow->kept + flow->kept_len, buf, len);
	flow->kept_len += len;
	return true;
}

/* ---- the two ends of a transaction ---- */

/* The oldest one, if both its halves are complete. */
static void pop_done(struct capture_conn *c)
{
	struct capture_txn *t;

	if (!c->owed_n || !c->owed[0].sent || !c->owed[0].answered)
		return;
	t = c->owed[0].txn;
	memmove(c->owed, c->owed + 1, --c->owed_n * sizeof(*c->owed));
	if (!t)
		return;
	store_finish(c->store, t, CAPTURE_DONE, NULL);
}

/* The one whose request is being read. */
static struct owed *asking(struct capture_conn *c)
{
	return &c->owed[c->owed_n - 1];
}

static void request_complete(struct capture_conn *c)
{
	struct owed *o = asking(c);

	c->flow[SIDE_VISITOR].state = o->upgrade && !o->replied ? FLOW_WAIT : FLOW_HEAD;
	drop_kept(c, &c->flow[SIDE_VISITOR]);
	o->sent = true;
	if (o->txn) {
		o->txn->sent_ns = elapsed(c, o->txn);
		o->txn->req.complete = true;
	}
	pop_done(c);
}

static size_t flow_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len);

/* No upgrade: what came behind the request is the next one. */
static void stop_waiting(struct capture_conn *c)
{
	struct flow *flow = &c->flow[SIDE_VISITOR];
	char *text = flow->kept;
	size_t len = flow->kept_len, cap = flow->kept_cap, n;

	if (flow->state != FLOW_WAIT)
		return;
	flow->state = FLOW_HEAD;
	flow->kept = NULL;
	flow->kept_len = flow->kept_cap = 0;
	for (size_t i = 0; i < len && !c->off; i += n)
		n = flow_bytes(c, SIDE_VISITOR, text + i, len - i);
	if (!text)
		return;
	store_refund(c->store, NULL, cap);
	free(text);
}

static void answer_complete(struct capture_conn *c)
{
	struct owed *o = &c->owed[0];

	c->flow[SIDE_SERVICE].state = FLOW_HEAD;
	drop_kept(c, &c->flow[SIDE_SERVICE]);
	capture_sse_free(c->sse);
	c->sse = NULL;
	o->answered = true;
	if (o->txn) {
		o->txn->last_ns = elapsed(c, o->txn);
		o->txn->resp.complete = true;
	}
	pop_done(c);
}

/* ---- bodies ---- */

/* The transaction that a body of this side belongs to; NULL: it is not kept. */
static struct capture_txn *owner(struct capture_conn *c, enum side from)
{
	return from == SIDE_VISITOR ? asking(c)->txn : c->owed[0].txn;
}

static void add_body(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct capture_txn *t = owner(c, from);

	if (!t)
		return;
	store_add_body(c->store, t, from == SIDE_VISITOR ? &t->req : &t->resp, buf, len);
	if (from == SIDE_SERVICE)
		t->last_ns = elapsed(c, t);
	if (from == SIDE_SERVICE && c->sse)
		capture_sse_bytes(c->sse, buf, len);
	store_tell(c->store, CAPTURE_EV_GREW, t, NULL);
}

static void body_complete(struct capture_conn *c, enum side from)
{
	if (from == SIDE_VISITOR)
		request_complete(c);
	else
		answer_complete(c);
}

static size_t length_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct flow *flow = &c->flow[from];

	if (len > flow->left)
		len = (size_t)flow->left;
	flow->left -= len;
	add_body(c, from, buf, len);
	if (!flow->left)
		body_complete(c, from);
	return len;
}

struct chunk_run {
	struct capture_conn *c;
	enum side from;
};

static void on_chunk_data(void *arg, const char *bytes, size_t n)
{
	struct chunk_run *run = arg;
	struct flow *flow = &run->c->flow[run->from];

	flow->kept_len = 0;
	flow->rest = bytes + n;
	add_body(run->c, run->from, bytes, n);
}

/* text: what follows the last data: (CR)LF, the last chunk's line, trailers, an empty line. */
static void take_trailers(struct capture_conn *c, enum side from, const char *text, size_t len)
{
	struct capture_txn *t = owner(c, from);
	const char *end = text + len, *nl;

	if (len && *text == '\r')
		text++;
	if (text < end && *text == '\n')
		text++;
	nl = memchr(text, '\n', (size_t)(end - text));
	if (!nl || !t)
		return;
	text = nl + 1;
	if (end > text && end[-1] == '\n')
		end--;
	if (end > text && end[-1] == '\r')
		end--;
	store_set_head(c->store, t, from == SIDE_VISITOR ? &t->req_trailers : &t->resp_trailers,
		       text, (size_t)(end - text));
}

static size_t chunked_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct flow *flow = &c->flow[from];
	struct chunk_run run = {c, from};
	size_t used, rest;

	flow->rest = buf;
	enum http_rc rc = http_chunked_scan(&flow->chunks, buf, len, &used, on_chunk_data, &run);

	rest = (size_t)(buf + used - flow->rest);
	if (rc == HTTP_BAD) {
		unfollow(c, "broken chunk");
	} else if (rc == HTTP_OK) {
		if (!flow->kept_len)
			take_trailers(c, from, flow->rest, rest);
		else if (keep(c, flow, flow->rest, rest))
			take_trailers(c, from, flow->kept, flow->kept_len);
		if (!c->off)
			body_complete(c, from);
	} else if (rest) {
		(void)keep(c, flow, flow->rest, rest);
	}
	return c->off ? len : used;
}

/* What a head says about its body. False: there is none. */
static bool body_begins(struct flow *flow, const struct http_head *h, bool until_eof)
{
	if (h->chunked) {
		http_chunked_init(&flow->chunks, false);
		flow->state = FLOW_CHUNKED;
	} else if (h->has_length && h->length) {
		flow->left = h->length;
		flow->state = FLOW_LENGTH;
	} else if (!h->has_length && until_eof) {
		flow->state = FLOW_EOF;
	} else {
		return false;
	}
	return true;
}

/* ---- heads ---- */

/* Where is this head's transaction from? The first one of a connection has waited for the dial. */
static struct capture_txn *begin_txn(struct capture_conn *c)
{
	struct txn_source from = {
		.conn = c,
		.forget = on_forget,
		.tunnel = c->tunnel,
		.visitor = c->visitor,
		.edited = c->edited,
		.start_ns = c->flow[SIDE_VISITOR].since,
		.origin = *c->origin ? c->origin : NULL,
	};

	if (!c->used) {
		from.id = *c->id ? c->id : NULL;
		from.start_ns = c->since;
		from.connect_ns = c->connected ? (int64_t)(c->connected - c->since) : 0;
	}
	c->used = true;
	return store_begin(c->store, &from);
}

static void take_request(struct capture_conn *c, const char *text)
{
	struct flow *flow = &c->flow[SIDE_VISITOR];
	const struct http_head *h = &flow->head;
	struct capture_txn *t = begin_txn(c);

	if (c->owed_n == c->owed_cap) {
		c->owed_cap = c->owed_cap ? c->owed_cap * 2 : 2;
		c->owed = xrealloc(c->owed, c->owed_cap * sizeof(*c->owed));
	}
	c->owed[c->owed_n++] = (struct owed){
		.txn = t,
		.method_head = http_span_is(text, h->method, "HEAD"),
		.upgrade = h->upgrade,
	};
	if (t) {
		store_set_head(c->store, t, &t->req_head, text, h->head_len);
		t->method = h->method;
		t->target = h->target;
		t->method_head = asking(c)->method_head;
		store_tell(c->store, CAPTURE_EV_BEGUN, t, NULL);
	}
	if (!body_begins(flow, h, false))
		request_complete(c);
}

static bool is_websocket(const char *text, const struct http_head *h)
{
	struct http_span value;

	return http_field(text, h, "upgrade", &value) &&
	       http_span_is_nocase(text, value, "websocket");
}

/* 101: both directions speak something else from here on. */
static void take_upgrade(struct capture_conn *c, const char *text)
{
	struct flow *visitor = &c->flow[SIDE_VISITOR];
	struct capture_txn *t = c->owed[0].txn;
	struct http_span ext = {0};

	if (!is_websocket(text, &c->flow[SIDE_SERVICE].head) || !t || visitor->state != FLOW_WAIT) {
		c->owed[0].answered = true;
		store_unfollowed(c->store);
		end_all(c, CAPTURE_DONE, NULL);
		return;
	}
	t->kind = CAPTURE_WEBSOCKET;
	store_tell(c->store, CAPTURE_EV_HEAD, t, NULL);
	if (!http_field(text, &c->flow[SIDE_SERVICE].head, "sec-websocket-extensions", &ext))
		ext.len = 0;
	c->ws = capture_ws_new(c->store, t, text + ext.off, ext.len);
	c->flow[SIDE_SERVICE].state = visitor->state = FLOW_WS;
	if (visitor->kept_len && !capture_ws_bytes(c->ws, true, visitor->kept, visitor->kept_len)) {
		store_unfollowed(c->store);
		end_all(c, CAPTURE_DONE, NULL);
		return;
	}
	drop_kept(c, visitor);
}

/* An answer whose body is a stream of events that can be read as they are. */
static bool is_event_stream(const char *text, const struct http_head *h)
{
	static const char type[] = "text/event-stream";
	struct http_span value, coding;
	size_t n = sizeof(type) - 1;

	if (!http_field(text, h, "content-type", &value) || value.len < n)
		return false;
	if (value.len > n && !strchr("; \t", text[value.off + n]))
		return false;
	value.len = (uint32_t)n;
	if (!http_span_is_nocase(text, value, type))
		return false;
	return !http_field(text, h, "content-encoding", &coding) ||
	       http_span_is_nocase(text, coding, "identity");
}

static void take_answer(struct capture_conn *c, const char *text)
{
	struct flow *flow = &c->flow[SIDE_SERVICE];
	const struct http_head *h = &flow->head;
	struct owed *o = &c->owed[0];
	struct capture_txn *t = o->txn;
	bool bodiless = o->method_head || h->status == 204 || h->status == 304;

	o->replied = true;
	if (t) {
		store_set_head(c->store, t, &t->resp_head, text, h->head_len);
		t->status = h->status;
		t->first_ns = flow->since > t->start_ns ? (int64_t)(flow->since - t->start_ns) : 0;
		t->last_ns = elapsed(c, t);
	}
	if (h->status == 101) {
		take_upgrade(c, text);
		return;
	}
	if (t && !bodiless && is_event_stream(text, h)) {
		t->kind = CAPTURE_SSE;
		c->sse = capture_sse_new(c->store, t);
	}
	if (t)
		store_tell(c->store, CAPTURE_EV_HEAD, t, NULL);
	bool ends_now = bodiless || !body_begins(flow, h, true);

	stop_waiting(c);
	if (ends_now && !c->off)
		answer_complete(c);
}

static void take_response(struct capture_conn *c, const char *text)
{
	const struct http_head *h = &c->flow[SIDE_SERVICE].head;

	if (!c->owed_n || c->owed[0].answered) {
		unfollow(c, "an answer that nobody asked for");
	} else if (h->status == 101 && !c->owed[0].upgrade) {
		unfollow(c, "101 without a request to upgrade");
	} else if (h->status >= 200 || h->status == 101) {
		take_answer(c, text);
	} else if (c->owed[0].txn) {
		struct capture_txn *t = c->owed[0].txn;

		store_add_interim(c->store, t, elapsed(c, t), text, h->head_len);
	}
}

#define METHOD_MAX 32

/* Who says "SSH-2.0" is not going to end a head: must that be waited for? */
static bool may_be_request(const char *text, size_t len)
{
	for (size_t i = 0; i < len && i <= METHOD_MAX; i++) {
		if (text[i] == ' ')
			return i > 0;
		if (!(text[i] >= 'A' && text[i] <= 'Z') && !(text[i] >= 'a' && text[i] <= 'z') &&
		    text[i] != '-' && text[i] != '_')
			return false;
	}
	return len <= METHOD_MAX;
}

/* Returns how much of buf the head took. */
static size_t head_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct flow *flow = &c->flow[from];
	size_t had = flow->kept_len, take = len;
	const char *text = buf;
	enum http_rc rc;

	/* RFC 9112 section 2.2: empty lines before a message are nothing. */
	if (!had && (*buf == '\r' || *buf == '\n'))
		return 1;
	if (!had) {
		flow->since = c->now;
		flow->head = (struct http_head){0};
	} else {
		if (take > HTTP_HEAD_MAX - had)
			take = HTTP_HEAD_MAX - had;
		if (!keep(c, flow, buf, take))
			return len;
		text = flow->kept;
	}
	rc = from == SIDE_VISITOR ? http_request_scan(&flow->head, text, had + take)
				  : http_response_scan(&flow->head, text, had + take);
	if (from == SIDE_VISITOR && rc != HTTP_BAD && !may_be_request(text, had + take))
		rc = HTTP_BAD;
	if (rc == HTTP_BAD || (from == SIDE_VISITOR && rc == HTTP_OK && c->owed_n >= OWED_MAX)) {
		unfollow(c, rc == HTTP_BAD ? "not HTTP/1" : "too many requests without an answer");
		return len;
	}
	if (rc == HTTP_MORE) {
		if (!had)
			(void)keep(c, flow, buf, take < HTTP_HEAD_MAX ? take : HTTP_HEAD_MAX);
		return take;
	}
	/* What it is kept in may be used for the body from here on. */
	char *own = flow->kept;
	size_t cap = flow->kept_cap, head_len = flow->head.head_len;

	flow->kept = NULL;
	flow->kept_len = flow->kept_cap = 0;
	if (from == SIDE_VISITOR)
		take_request(c, text);
	else
		take_response(c, text);
	if (own)
		store_refund(c->store, NULL, cap);
	free(own);
	return head_len - had;
}

/* ---- bytes ---- */

static void ws_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct capture_txn *t = c->owed[0].txn;

	/* The store may have given it up: nothing is left to do here. */
	if (!c->ws) {
		release(c);
		return;
	}
	t->last_ns = elapsed(c, t);
	if (!capture_ws_bytes(c->ws, from == SIDE_VISITOR, buf, len)) {
		store_unfollowed(c->store);
		end_all(c, CAPTURE_DONE, NULL);
	}
}

/* What `from` says, as far as its present state goes. Returns how much was taken. */
static size_t flow_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	struct flow *flow = &c->flow[from];

	switch (flow->state) {
	case FLOW_HEAD:
		return head_bytes(c, from, buf, len);
	case FLOW_LENGTH:
		return length_bytes(c, from, buf, len);
	case FLOW_CHUNKED:
		return chunked_bytes(c, from, buf, len);
	case FLOW_WAIT: /* behind a request for an upgrade that is not answered yet */
		if (flow->kept_len + len > HTTP_HEAD_MAX)
			unfollow(c, "more before the upgrade than is kept");
		else
			(void)keep(c, flow, buf, len);
		return len;
	case FLOW_EOF: /* an answer's body; requests have none of that kind */
		if (from == SIDE_SERVICE)
			add_body(c, from, buf, len);
		return len;
	case FLOW_WS:
		ws_bytes(c, from, buf, len);
		return len;
	}
	return len;
}

void capture_conn_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len)
{
	size_t n;

	if (c->off)
		return;
	c->now = clock_ns();
	for (; len && !c->off; buf += n, len -= n)
		n = flow_bytes(c, from, buf, len);
}

void capture_conn_eof(struct capture_conn *c, enum side from)
{
	if (c->off || from != SIDE_SERVICE)
		return;
	c->now = clock_ns();
	if (c->flow[SIDE_SERVICE].state == FLOW_EOF)
		answer_complete(c);
}
