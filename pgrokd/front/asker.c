/* Questions to one HTTP service, over connections that are kept. */
#include "pgrokd/front/asker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/base/text.h"
#include "common/net/dial.h"
#include "common/net/tls.h"
#include "common/stream/stream.h"
#include "pgrokd/limits.h"

/* Whose certificate counts. */
static const struct tls_client_conf trust = {.host_roots = true};

/* ---- objects ---- */

enum link_state {
	LINK_DIALLING, /* waits for the connection */
	LINK_TLS,      /* waits for the handshake */
	LINK_BUSY,     /* waits for the answer */
	LINK_IDLE,     /* waits for a question; timer: LIMIT_ASK_IDLE_MS */
	LINK_CLOSED
};

/* A connection to the service. */
struct link {
	TAILQ_ENTRY(link) list;
	struct asker *asker;
	enum link_state state;
	struct dial *dial;
	struct stream *s;
	struct loop_timer idle;
	struct ask *q;      /* DIALLING to BUSY: whose it is */
	bool used;          /* it has had an answer before */
	size_t sent;        /* of the question */
	struct text in;     /* what came of the answer */
	struct http_head h; /* scanned in in */
	bool has_head, eof;
	struct http_chunked chunks;
	size_t body_at;   /* in in: what was looked at up to */
	struct text body; /* of a chunked one */
};

struct ask {
	TAILQ_ENTRY(ask) list; /* while it waits for a connection */
	struct asker *asker;
	struct link *link;       /* NULL: it waits */
	struct text head;        /* the question */
	struct loop_timer timer; /* LIMIT_ASK_FORWARD_MS for all of it */
	struct loop_tick soon;
	bool again; /* a kept connection had ended: it needs a new one */
	ask_fn *fn;
	void *arg;
};

TAILQ_HEAD(link_list, link);
TAILQ_HEAD(question_list, ask);

struct asker {
	struct loop *loop;
	const struct web_url *to;
	SSL_CTX *tls; /* of a service at https */
	struct link_list links, idle;
	int n_links, n_waiting;
	struct question_list waiting;
};

static void serve(struct asker *a);

/* ---- ends ---- */

static void ask_free(void *arg)
{
	struct ask *q = arg;

	text_free(&q->head);
	free(q);
}

/* Takes q, which is with no connection and in no list. */
static void ask_end(struct ask *q)
{
	loop_timer_stop(&q->timer);
	loop_tick_cancel(q->asker->loop, &q->soon);
	loop_free_later(q->asker->loop, q, ask_free);
}

static void answer(struct ask *q, const struct ask_answer *a)
{
	ask_end(q);
	q->fn(q->arg, a);
}

static void fail(struct ask *q, const char *why)
{
	answer(q, &(struct ask_answer){.why = why});
}

static void link_free(void *arg)
{
	struct link *c = arg;

	text_free(&c->in);
	text_free(&c->body);
	free(c);
}

/* Takes c; its question is the caller's. */
static struct ask *link_close(struct link *c)
{
	struct asker *a = c->asker;
	struct ask *q = c->q;

	if (c->state == LINK_DIALLING)
		dial_cancel(c->dial);
	if (c->state == LINK_IDLE)
		TAILQ_REMOVE(&a->idle, c, list);
	else
		TAILQ_REMOVE(&a->links, c, list);
	a->n_links--;
	c->state = LINK_CLOSED;
	loop_timer_stop(&c->idle);
	if (c->s)
		stream_close(c->s, false);
	c->s = NULL;
	if (q)
		q->link = NULL;
	loop_free_later(a->loop, c, link_free);
	return q;
}

static void wait_for_link(struct ask *q, bool first)
{
	struct asker *a = q->asker;

	if (first)
		TAILQ_INSERT_HEAD(&a->waiting, q, list);
	else
		TAILQ_INSERT_TAIL(&a->waiting, q, list);
	a->n_waiting++;
}

/* A connection is lost, and with it its question, unless it was kept too long. */
static void lose(struct link *c, const char *why)
{
	struct asker *a = c->asker;
	bool again = c->state == LINK_BUSY && c->used && !c->in.len && !c->has_head;
	char text[256];

	snprintf(text, sizeof(text), "%s", why); /* it may be the stream's */
	struct ask *q = link_close(c);

	if (q && again && !q->again) {
		q->again = true;
		wait_for_link(q, true);
	} else if (q) {
		fail(q, text);
	}
	serve(a);
}

/* ---- an answer ---- */

static void add_body(void *arg, const char *bytes, size_t n)
{
	struct link *c = arg;

	text_add(&c->body, bytes, n);
}

static bool bodiless(int status)
{
	return status == 204 || status == 304;
}

static void link_rest(struct link *c);

/* Complete: to who has asked, and the connection is free for others if it stays. */
static void complete(struct link *c, const char *body, size_t body_len, size_t end)
{
	struct asker *a = c->asker;
	const struct http_head *h = &c->h;
	bool framed = h->chunked || h->has_length || bodiless(h->status);
	bool stays = framed && !c->eof && !h->conn_close && (h->minor || h->conn_keep_alive) &&
		     end == c->in.len;
	struct ask_answer said = {.head = h, .bytes = c->in.p, .body = body, .body_len = body_len};
	struct ask *q = c->q;

	/* While it is told c stays as it is: nothing else is asked over it. */
	c->q = NULL;
	if (q) {
		q->link = NULL;
		answer(q, &said);
	}
	if (stays)
		link_rest(c);
	else
		(void)link_close(c);
	serve(a);
}

/* False: more must come, or c is gone. */
static bool take_head(struct link *c)
{
	while (!c->has_head) {
		enum http_rc rc =
			c->in.len ? http_response_scan(&c->h, c->in.p, c->in.len) : HTTP_MORE;

		if (rc == HTTP_MORE && !c->eof)
			return false;
		if (rc != HTTP_OK || c->h.status == 101) {
			lose(c, rc == HTTP_BAD ? c->h.error : "ended without an answer");
			return false;
		}
		if (c->h.status < 200) {
			text_drop(&c->in, c->h.head_len);
			memset(&c->h, 0, sizeof(c->h));
			continue;
		}
		c->has_head = true;
		c->body_at = c->h.head_len;
		http_chunked_init(&c->chunks, false);
	}
	return true;
}

static void take_chunks(struct link *c)
{
	size_t used;
	enum http_rc rc = http_chunked_scan(&c->chunks, c->in.p + c->body_at,
					    c->in.len - c->body_at, &used, add_body, c);

	c->body_at += used;
	if (rc == HTTP_OK)
		complete(c, c->body.p, c->body.len, c->body_at);
	else if (rc == HTTP_BAD || c->eof)
		lose(c, "its answer broke off");
}

/* What has come is looked at. */
static void take(struct link *c)
{
	if (!take_head(c))
		return;
	const struct http_head *h = &c->h;
	size_t have = c->in.len - h->head_len;

	if (have > LIMIT_ASK_BODY || (h->has_length && !h->chunked && h->length > LIMIT_ASK_BODY))
		lose(c, "its answer is too large");
	else if (bodiless(h->status))
		complete(c, NULL, 0, h->head_len);
	else if (h->chunked)
		take_chunks(c);
	else if (h->has_length && have >= h->length)
		complete(c, c->in.p + h->head_len, (size_t)h->length,
			 h->head_len + (size_t)h->length);
	else if (!h->has_length && c->eof)
		complete(c, c->in.p + h->head_len, have, c->in.len);
	else if (c->eof)
		lose(c, "its answer broke off");
}

/* ---- a connection ---- */

/* False: it is lost, or has to wait. */
static bool send_question(struct link *c)
{
	size_t n;

	while (c->sent < c->q->head.len) {
		switch (stream_write(c->s, c->q->head.p + c->sent, c->q->head.len - c->sent, &n)) {
		case STREAM_OK:
			c->sent += n;
			break;
		case STREAM_AGAIN:
			stream_want(c->s, STREAM_READ | STREAM_WRITE);
			return true;
		default:
			lose(c, "the connection broke");
			return false;
		}
	}
	stream_want(c->s, STREAM_READ);
	return true;
}

static void read_answer(struct link *c)
{
	size_t n = 0;

	switch (stream_read(c->s, text_room(&c->in, 16384), 16384, &n)) {
	case STREAM_OK:
		c->in.len += n;
		break;
	case STREAM_AGAIN:
		return;
	case STREAM_EOF:
		c->eof = true;
		break;
	case STREAM_ABORT:
		lose(c, "the connection broke");
		return;
	}
	if (c->state == LINK_IDLE) /* nothing was asked: it has ended, or speaks out of turn */
		(void)link_close(c);
	else
		take(c);
}

static void begin_question(struct link *c)
{
	c->state = LINK_BUSY;
	c->sent = 0;
	(void)send_question(c);
}

static void shake_hands(struct link *c)
{
	char pin[TLS_PIN_TEXT];
	struct err err;
	enum stream_rc rc = stream_handshake(c->s);

	if (rc == STREAM_AGAIN)
		return;
	bool good = tls_check_server(stream_ssl(c->s), &trust, pin, &err);

	if (rc != STREAM_OK || !good) {
		lose(c, *err.text ? err.text : "no TLS handshake");
		return;
	}
	begin_question(c);
}

static void on_ready(void *arg, int dirs)
{
	struct link *c = arg;

	if (c->state == LINK_TLS) {
		shake_hands(c);
		return;
	}
	if (c->state == LINK_BUSY && (dirs & STREAM_WRITE) && !send_question(c))
		return;
	if (c->state == LINK_BUSY || c->state == LINK_IDLE)
		read_answer(c);
}

static void on_dialled(void *arg, int fd, const char *error)
{
	struct link *c = arg;
	const struct web_url *to = c->asker->to;
	SSL *ssl = NULL;

	c->dial = NULL;
	c->state = LINK_TLS;
	if (fd >= 0 && to->tls && !(ssl = tls_connect_ssl(c->asker->tls, &trust, to->host))) {
		close(fd);
		fd = -1;
		error = "its name is none that a certificate could have";
	}
	if (fd < 0) {
		lose(c, error);
		return;
	}
	c->s = stream_new(c->asker->loop, fd, ssl);
	stream_on_ready(c->s, on_ready, c);
	if (ssl)
		shake_hands(c);
	else
		begin_question(c);
}

static void on_idle(void *arg)
{
	(void)link_close(arg);
}

static void link_rest(struct link *c)
{
	struct asker *a = c->asker;

	TAILQ_REMOVE(&a->links, c, list);
	TAILQ_INSERT_HEAD(&a->idle, c, list);
	c->state = LINK_IDLE;
	c->used = true;
	c->has_head = c->eof = false;
	memset(&c->h, 0, sizeof(c->h));
	text_free(&c->in);
	text_free(&c->body);
	loop_after(&c->idle, LIMIT_ASK_IDLE_MS);
	stream_want(c->s, STREAM_READ);
}

static void link_new(struct asker *a, struct ask *q)
{
	struct link *c = xcalloc(1, sizeof(*c));

	c->asker = a;
	c->q = q;
	q->link = c;
	a->n_links++;
	TAILQ_INSERT_TAIL(&a->links, c, list);
	loop_timer_init(&c->idle, a->loop, on_idle, c);
	c->dial =
		dial_start(a->loop, a->to->host, a->to->port, LIMIT_ASK_FORWARD_MS, on_dialled, c);
}

static void link_take(struct link *c, struct ask *q)
{
	struct asker *a = c->asker;

	TAILQ_REMOVE(&a->idle, c, list);
	TAILQ_INSERT_TAIL(&a->links, c, list);
	loop_timer_stop(&c->idle);
	c->q = q;
	q->link = c;
	begin_question(c);
}

/* Those that wait get a connection, the youngest of those that are kept or a new one. */
static void serve(struct asker *a)
{
	struct ask *q;

	while ((q = TAILQ_FIRST(&a->waiting))) {
		struct link *c = TAILQ_FIRST(&a->idle);

		if (q->again && c && a->n_links == LIMIT_ASK_LINKS) {
			(void)link_close(c);
			c = NULL;
		}
		if (q->again)
			c = NULL;
		if (!c && a->n_links >= LIMIT_ASK_LINKS)
			return;
		TAILQ_REMOVE(&a->waiting, q, list);
		a->n_waiting--;
		if (c)
			link_take(c, q);
		else
			link_new(a, q);
	}
}

/* ---- a question ---- */

static void on_soon(void *arg)
{
	struct ask *q = arg;

	if (q->asker->n_waiting >= LIMIT_ASK_WAITING) {
		fail(q, "too many questions wait for it");
		return;
	}
	wait_for_link(q, false);
	serve(q->asker);
}

/* From wherever it is. */
static void withdraw(struct ask *q)
{
	struct asker *a = q->asker;

	if (q->link) {
		/* An answer that is under way can't be told from the next one's. */
		struct link *c = q->link;

		c->q = NULL;
		q->link = NULL;
		(void)link_close(c);
	} else if (!q->soon.prev) {
		TAILQ_REMOVE(&a->waiting, q, list);
		a->n_waiting--;
	}
}

static void on_late(void *arg)
{
	struct ask *q = arg;
	struct asker *a = q->asker;

	withdraw(q);
	fail(q, "no answer in time");
	serve(a);
}

struct ask *ask(struct asker *a, const char *head, size_t len, ask_fn *fn, void *arg)
{
	struct ask *q = xcalloc(1, sizeof(*q));

	q->asker = a;
	q->head.secret = true; /* cookies */
	text_add(&q->head, head, len);
	q->fn = fn;
	q->arg = arg;
	q->soon = (struct loop_tick){.fn = on_soon, .arg = q};
	loop_timer_init(&q->timer, a->loop, on_late, q);
	loop_after(&q->timer, LIMIT_ASK_FORWARD_MS);
	loop_next_tick(a->loop, &q->soon);
	return q;
}

void ask_cancel(struct ask *q)
{
	struct asker *a = q->asker;

	withdraw(q);
	ask_end(q);
	serve(a);
}

/* ---- life ---- */

SSL_CTX *asker_tls(struct err *err)
{
	return tls_client_ctx(&trust, err);
}

struct asker *asker_new(struct loop *l, const struct web_url *to, SSL_CTX *tls)
{
	struct asker *a = xcalloc(1, sizeof(*a));

	a->tls = tls;
	a->loop = l;
	a->to = to;
	TAILQ_INIT(&a->links);
	TAILQ_INIT(&a->idle);
	TAILQ_INIT(&a->waiting);
	return a;
}

void asker_close(struct asker *a)
{
	if (!a)
		return;
	assert(TAILQ_EMPTY(&a->waiting));
	while (!TAILQ_EMPTY(&a->links))
		(void)link_close(TAILQ_FIRST(&a->links));
	while (!TAILQ_EMPTY(&a->idle))
		(void)link_close(TAILQ_FIRST(&a->idle));
	free(a);
}
