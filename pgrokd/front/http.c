/*
 * Visitors of http and https tunnels while they are with none: until it is known whose their
 * request is, and from a page of ours to their next request.
 */
#include "pgrokd/front/http.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/stream/pair.h"
#include "pgrokd/access/rate.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/core/journal.h"
#include "pgrokd/access/origin.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/forward.h"
#include "pgrokd/front/guest.h"
#include "pgrokd/front/route_visitor.h"
#include "pgrokd/visitor/reply.h"
#include "pgrokd/visitor/visitor.h"

#define PIECE 4096u /* of a body that is dropped */

/* What is known of a visitor besides its request. */
struct kept {
	struct route *was; /* a reference: the tunnel that it was with; NULL: none */
	uint64_t asked_us; /* clock_us() of the request that status is for; 0: of none */
	uint64_t waits;    /* since then (loop_now()) for that one to come back; 0: no */
	int status;        /* of the page that its request is to get; 0: none was decided on */
	struct ask *asks;  /* whether its request may pass; NULL: nothing is asked */
	struct route *to;  /* a reference, while it asks: where it would pass to */
	bool form;         /* its request is a form, of which more is to come */
	bool paged;        /* a page goes out, and the body of its request is dropped */
	bool body;         /* there is more of it */
	bool chunks;       /* it is chunked */
	struct http_chunked chunked;
	uint64_t left, dropped;
	struct text page; /* what is still to be written */
};

/* A method, or the empty lines that may stand before it (RFC 9112 section 2.2). */
static enum looks http_looks_like(const char *buf, size_t len)
{
	if (!len)
		return LOOKS_MORE;
	return (*buf >= 'A' && *buf <= 'Z') || (*buf >= 'a' && *buf <= 'z') || *buf == '\r' ||
			       *buf == '\n'
		       ? LOOKS_YES
		       : LOOKS_NO;
}

static void kept_free(void *own)
{
	struct kept *k = own;

	if (k->asks)
		ask_cancel(k->asks);
	route_unref(k->to);
	route_unref(k->was);
	text_free(&k->page);
	free(k);
}

static struct kept *kept_of(struct guest *g)
{
	if (!g->own) {
		g->own = xcalloc(1, sizeof(struct kept));
		g->own_free = kept_free;
	}
	return g->own;
}

/* ---- a page, and then the next request ---- */

/* n bytes have done their duty. */
static void drop(struct guest *g, size_t n)
{
	char *old = g->buf;
	size_t len = g->len;

	g->len = g->cap = len - n;
	g->buf = g->len ? xmalloc(g->len) : NULL;
	if (g->len)
		memcpy(g->buf, old + n, g->len);
	xfree_secret(old, len); /* a head may carry a password */
}

/* False: it does not go out now, or the guest is gone. */
static bool write_page(struct guest *g, struct kept *k)
{
	enum stream_rc rc = STREAM_OK;
	size_t n;

	while (k->page.len && rc == STREAM_OK) {
		rc = stream_write(g->stream, k->page.p, k->page.len, &n);
		if (rc == STREAM_OK)
			text_drop(&k->page, n);
	}
	if (rc == STREAM_EOF || rc == STREAM_ABORT) {
		guest_close(g, LOG_DEBUG, "left before its page");
		return false;
	}
	if (!k->page.len && stream_flushed(g->stream))
		return true;
	stream_want(g->stream, STREAM_WRITE);
	return false;
}

static enum http_rc drop_piece(struct guest *g, struct kept *k)
{
	enum http_rc rc;
	size_t n = g->len;

	if (k->chunks) {
		rc = http_chunked_scan(&k->chunked, g->buf, g->len, &n, NULL, NULL);
	} else {
		n = k->left < n ? (size_t)k->left : n;
		k->left -= n;
		rc = k->left ? HTTP_MORE : HTTP_OK;
	}
	k->dropped += n;
	drop(g, n);
	return rc;
}

/* False: more of it has to come, or the guest is gone. */
static bool drop_body(struct guest *g, struct kept *k)
{
	while (k->body) {
		if (!g->len && !guest_read(g, PIECE))
			return false;
		enum http_rc rc = drop_piece(g, k);

		if (rc == HTTP_BAD || k->dropped > LIMIT_SKIPPED) {
			stream_linger(guest_leave(g));
			return false;
		}
		k->body = rc == HTTP_MORE;
	}
	return true;
}

/* False: its page is not done yet, or it is gone. */
static bool page_done(struct guest *g, struct kept *k)
{
	if (!k->paged)
		return true;
	if (!write_page(g, k) || !drop_body(g, k))
		return false;
	k->paged = false;
	loop_after(&g->timer, LIMIT_KEPT_MS);
	return true;
}

/* Pages behind which a connection can go on. */
static bool goes_on(const struct reply_page *page)
{
	static const int statuses[] = {303, 401, 403, 404, 502, REPLY_NO_VERDICT, 503, 504};
	bool found = page->told;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		found |= page->status == statuses[i];
	return found;
}

/* Where a request ends is known; who sent it will see the page and may go on behind it. */
static bool may_keep(struct guest *g, const struct reply_page *page)
{
	const struct http_head *h = &g->head;
	bool body = h->chunked || h->length;
	struct http_span expects;

	if (!goes_on(page))
		return false;
	if (g->plain || h->upgrade || h->conn_close || (h->minor == 0 && !h->conn_keep_alive))
		return false;
	/* One that waits for a 100 may send its body or not. */
	if (body && (h->length > LIMIT_SKIPPED || http_field(g->buf, h, "Expect", &expects)))
		return false;
	g->counted = g->counted || door_enter(g->worker->core->door, &g->peer);
	return g->counted;
}

/* Returns the length of the page. */
static size_t keep(struct guest *g, const struct reply_page *page)
{
	struct kept *k = kept_of(g);
	size_t head_len = g->head.head_len;

	k->status = 0;
	k->asked_us = 0;
	k->form = false;
	k->paged = true;
	k->body = g->head.chunked || g->head.length;
	k->chunks = g->head.chunked;
	k->left = g->head.length;
	k->dropped = 0;
	http_chunked_init(&k->chunked, true);
	reply_make(&k->page, page);
	size_t bytes = k->page.len;

	memset(&g->head, 0, sizeof(g->head));
	g->head_begun = false;
	g->again = true;
	drop(g, head_len);
	loop_after(&g->timer, LIMIT_REPLY_MS);
	stream_want(g->stream, 0);
	guest_soon(g);
	/* At once all the same: the server may stop. */
	(void)!write_page(g, k);
	return bytes;
}

/* For the access log; NULL: there is none. */
static struct journal_entry *note(struct guest *g, int status)
{
	struct journal *j = g->worker->journal;
	const struct kept *k = g->own;
	uint64_t now = clock_us();

	if (!j)
		return NULL;
	struct journal_entry *e = journal_begin(
		j, &(struct journal_request){.peer = &g->origin,
					     .owner = "",
					     .head = &g->head,
					     .bytes = g->buf,
					     .https = g->port == PORT_HTTPS && !g->plain,
					     .began_us = k && k->asked_us ? k->asked_us : now});

	e->mark = g->head.head_len ? g->head.head_len : g->len;
	journal_answer(e, status, now);
	return e;
}

static void note_sent(struct worker *w, struct journal_entry *e, size_t bytes)
{
	if (e)
		journal_end(w->journal, e, e->mark, bytes);
}

static void answer_with(struct guest *g, struct reply_page *page, const char *why)
{
	char text[ADDR_TEXT];
	int status = page->status;

	struct worker *w = g->worker;
	int shown = reply_status(status);
	struct journal_entry *e = note(g, shown);

	page->host = (struct reply_host){g->buf + g->head.authority.off, g->head.authority.len};
	page->head_only = http_span_is(g->buf, g->head.method, "HEAD");
	page->http10 = g->head.minor == 0;
	log_debug("lobby", "%d to %s: %s", status, addr_text(&g->origin, text), why);
	count_page(&w->count, shown);
	page->keep = may_keep(g, page);
	if (page->keep) {
		note_sent(w, e, keep(g, page));
		return;
	}
	char *buf = g->buf;
	size_t len = g->len;

	g->buf = NULL; /* it outlives the guest */
	note_sent(w, e, reply_send(guest_leave(g), page));
	xfree_secret(buf, len);
}

static void answer(struct guest *g, int status, const char *why)
{
	answer_with(g, &(struct reply_page){.status = status}, why);
}

/* Of the request at hand. */
static struct admit_from from_of(const struct guest *g)
{
	return (struct admit_from){
		.addr = &g->origin,
		.ssl = stream_ssl(g->stream),
		.https = origin_https(g->worker->core->trusted, &g->peer, &g->head, g->buf),
	};
}

/* ---- a tunnel's password ---- */

/* Does a person ask? Programs get a line of text. */
static bool wants_html(const struct guest *g)
{
	struct http_span accept;

	return http_field(g->buf, &g->head, "Accept", &accept) &&
	       memmem(g->buf + accept.off, accept.len, "text/html", strlen("text/html"));
}

/* Its request was refused by the rules of r. */
static void answer_refused(struct guest *g, const struct route *r, int status, const char *why)
{
	struct reply_page page = {.status = status, .offers = rules_offers(r->rules)};
	struct http_span target = g->head.target;
	struct reply_login form = {0};
	struct text to = {0};

	if (status == 401 && page.offers & RULES_PASSWORD && wants_html(g)) {
		login_to(&to, g->buf + target.off, target.len);
		form.to = to.p;
		page.login = &form;
	}
	answer_with(g, &page, why);
	text_free(&to);
}

/* 0: the form is there, all of it. -1: more has to come, or the guest is gone. */
static int read_form(struct guest *g)
{
	const struct http_head *h = &g->head;
	struct kept *k = kept_of(g);
	size_t all = h->head_len + (size_t)h->length;

	if (h->chunked || h->length > LOGIN_FORM)
		return 413;
	k->form = true;
	while (g->len < all) {
		if (!guest_read(g, HTTP_HEAD_MAX + LOGIN_FORM))
			return -1;
	}
	k->form = false;
	return 0;
}

static void log_in(struct guest *g, const struct route *r)
{
	const struct http_head *h = &g->head;
	struct login login = {0};
	int status = read_form(g);

	if (status < 0)
		return;
	if (!status) {
		struct admit_from from = from_of(g);
		struct visit visit = admit_visit(r, h, g->buf, &from);

		status = admit_login(g->worker, r, &visit, g->buf + h->head_len, (size_t)h->length,
				     &login);
	}
	struct reply_login form = {.to = login.to.p, .wrong = true};
	struct reply_page page = {
		.status = status,
		.offers = rules_offers(r->rules),
		.login = status == 401 ? &form : NULL,
		.fields = status == 303 ? login.fields.p : NULL,
	};

	answer_with(g, &page, status == 303 ? "logged in" : "the login form");
	text_free(&login.to);
	text_free(&login.fields);
}

/* ---- a request ---- */

/*
 * Can it go to another worker? A stream of the other engine has read more than was asked for: that
 * goes along.
 */
static bool may_move(struct guest *g)
{
	size_t n = 0;

	if (stream_movable(g->stream))
		return true;
	if (g->cap < PAIR_HELD + PAIR_READ)
		g->buf = xrealloc(g->buf, g->cap = PAIR_HELD + PAIR_READ);
	while (g->len < g->cap &&
	       stream_read(g->stream, g->buf + g->len, g->cap - g->len, &n) == STREAM_OK)
		g->len += n;
	return stream_movable(g->stream);
}

static int route(struct guest *g, struct route **route, const char **why)
{
	struct worker *w = g->worker;
	struct admit_from from = from_of(g);
	int status = route_visitor(w, g->port, &from, &g->head, g->buf, route, why);

	if (status || (*route)->home == w->index || may_move(g))
		return status;
	*why = "its connection can't be moved";
	return 421;
}

static void try_again(struct guest *g);

/*
 * The client of the tunnel that it was with has lost its connection, as it seems: it will be back
 * in a moment. No other visitor waits for a name, or there would be no end of them.
 */
static bool wait_for_name(struct guest *g)
{
	struct worker *w = g->worker;
	struct kept *k = g->own;
	const struct http_head *h = &g->head;
	char key[ROUTE_KEY_MAX];

	if (!k || !k->was ||
	    !route_key(k->was->proto, g->buf + h->authority.off, h->authority.len, key) ||
	    strcmp(key, k->was->key) != 0 || !registry_held(w->core->registry, key))
		return false;
	if (!k->waits) {
		k->waits = loop_now(w->loop);
		k->asked_us = clock_us();
	}
	if (loop_now(w->loop) - k->waits >= loop_scaled(LIMIT_NAME_MS))
		return false;
	g->alarm = try_again;
	stream_want(g->stream, 0);
	loop_after(&g->timer, LIMIT_NAME_LOOK_MS);
	return true;
}

/* The first request of a connection: 0, or why not. */
static int admit_first(struct guest *g, const char **why)
{
	struct worker *w = g->worker;
	const struct kept *k = g->own;

	if (g->again || (k && k->form))
		return 0;
	*why = "memory is short";
	if (memory_short())
		return 503;
	*why = "too many new visitors of its address";
	if (rate_take(w->core->visitor_rate, &g->origin, loop_now(w->loop)))
		return 0;
	w->count.shed[SHED_RATE]++;
	return REPLY_RATE;
}

/* Takes to. */
static void send_home(struct guest *g, struct route *to)
{
	struct worker *w = g->worker;
	struct parcel *p = parcel_new(visitor_adopt, NULL, &g->peer);

	p->seat = seat_take(&g->seat);
	p->route = to;
	p->origin = g->origin;
	p->unread = g->buf;
	p->unread_len = g->len;
	g->buf = NULL;
	struct stream *s = guest_leave(g);

	parcel_send(p, w, to->home, s);
}

/* ---- a request that a service decides about ---- */

/* Its head is another from now on. */
static void change_head(struct guest *g, struct text *head)
{
	size_t len = g->head.head_len;

	text_add(head, g->buf + len, g->len - len);
	xfree_secret(g->buf, g->len);
	g->len = g->cap = head->len;
	g->buf = xmalloc(head->len);
	memcpy(g->buf, head->p, head->len);
	memset(&g->head, 0, sizeof(g->head));
}

/* It may pass with this head, if it is usable. Takes to, and what is in head. */
static void pass_on(struct guest *g, struct route *to, struct text *head, bool usable)
{
	usable &= head->len + g->len - g->head.head_len <= PAIR_HELD + PAIR_READ;
	if (usable)
		change_head(g, head);
	text_free(head);
	if (usable && (to->home == g->worker->index || may_move(g))) {
		send_home(g, to);
		return;
	}
	route_unref(to);
	if (usable)
		guest_close(g, LOG_DEBUG, "its connection can't be moved");
	else
		answer(g, REPLY_NO_VERDICT, "what it is to pass with can't be used");
}

static void count_verdict(struct guest *g, enum verdict v)
{
	g->worker->count.verdicts[v]++;
}

static void on_verdict(void *arg, const struct ask_answer *a)
{
	struct guest *g = arg;
	struct kept *k = g->own;
	struct route *to = k->to;
	struct text fields = {0}, head = {.secret = true};

	k->asks = NULL;
	k->to = NULL;
	if (!a->why && a->head->status / 100 == 2) {
		bool usable = forward_head(&head, g, to, a);

		count_verdict(g, usable ? VERDICT_PASSED : VERDICT_FAILED);
		pass_on(g, to, &head, usable);
		return;
	}
	route_unref(to);
	count_verdict(g, a->why ? VERDICT_FAILED : VERDICT_REFUSED);
	if (a->why) {
		log_often(LOG_WARN, "lobby", "-forwardAuth: not asked, so not let in: %s", a->why);
		answer(g, REPLY_NO_VERDICT, a->why);
		return;
	}
	forward_fields(&fields, a);
	const struct reply_told told = {&fields, a->body, a->body_len};

	answer_with(g, &(struct reply_page){.status = a->head->status, .told = &told},
		    "refused by the service that decides");
	text_free(&fields);
}

/* Takes to. */
static void ask_first(struct guest *g, struct route *to)
{
	struct kept *k = kept_of(g);
	struct text head = {.secret = true};

	if (forward_known(&head, g, to)) {
		count_verdict(g, VERDICT_REMEMBERED);
		pass_on(g, to, &head, true);
		return;
	}
	text_free(&head);
	loop_timer_stop(&g->timer);
	stream_want(g->stream, 0);
	k->to = to;
	k->asks = forward_ask(g, to, on_verdict, g);
}

static void visit(struct guest *g)
{
	struct worker *w = g->worker;
	struct kept *k = g->own;
	const char *why = "its client could not be reached";
	struct route *to = NULL;
	int status = k ? k->status : 0;

	g->origin = origin_of(w->core->trusted, &g->peer, &g->head, g->buf);
	if (!status)
		status = admit_first(g, &why);
	if (!status)
		status = route(g, &to, &why);
	if (status == 404 && wait_for_name(g))
		return;
	if (status == 404 && k && k->waits) {
		status = 502;
		why = "its client did not come back";
	}
	if (k)
		k->waits = 0;
	if (status == RULES_LOGIN && to)
		log_in(g, to);
	else if (status && to)
		answer_refused(g, to, status, why);
	else if (status)
		answer(g, status, why);
	else if (to->asks)
		ask_first(g, to);
	else
		send_home(g, to);
	if (status)
		route_unref(to);
}

static void try_again(struct guest *g)
{
	g->alarm = NULL;
	visit(g);
}

static void http_hello(struct guest *g)
{
	struct kept *k = g->own;

	if (g->alarm || (k && (k->asks || !page_done(g, k))))
		return;
	if (k && k->form) {
		visit(g);
		return;
	}
	/* Bytes that told which protocol it is are scanned first. */
	while ((g->len && !g->head_begun) || guest_read(g, HTTP_HEAD_MAX)) {
		if (!g->head_begun) {
			g->head_begun = true;
			g->origin = g->peer;
			loop_after(&g->timer, LIMIT_HEAD_MS);
		}
		enum http_rc rc = http_request_scan(&g->head, g->buf, g->len);

		if (g->plain && rc != HTTP_MORE) {
			answer(g, REPLY_PLAIN_HTTP, "plain HTTP on the https port");
			return;
		}
		switch (rc) {
		case HTTP_OK:
			visit(g);
			return;
		case HTTP_BAD:
			answer(g, g->head.status, g->head.error);
			return;
		case HTTP_MORE:
			break;
		}
	}
}

void http_back(struct worker *w, struct stream *s, struct parcel *p)
{
	enum port port = p->route->proto == PROTO_HTTP ? PORT_HTTP : PORT_HTTPS;
	struct guest *g = guest_new(w, port, s, &p->peer);

	g->state = GUEST_HELLO;
	g->proto = &http_proto;
	g->again = true;
	g->buf = p->unread;
	g->len = g->cap = p->unread_len;
	p->unread = NULL;
	g->seat = seat_take(&p->seat);
	kept_of(g)->was = route_ref(p->route);
	kept_of(g)->status = p->status;
	kept_of(g)->asked_us = p->status ? p->asked_us : 0;
	loop_after(&g->timer, g->len ? LIMIT_HEAD_MS : LIMIT_KEPT_MS);
	if (p->status) {
		http_hello(g);
	} else if (!g->len && !(g->counted = door_enter(w->core->door, &g->peer))) {
		guest_close(g, LOG_DEBUG, "too many half-open connections of its address");
	} else {
		guest_soon(g);
	}
}

const struct proto_ops http_proto = {
	.name = "http",
	.late = "no request in time",
	.looks_like = http_looks_like,
	.hello = http_hello,
};
