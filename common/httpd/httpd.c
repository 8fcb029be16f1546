/*
 * The server and its connections. The life of a request: conn_pump -> step_head -> begin (guard,
 * route) -> step_body -> the handler -> an answer (httpd_answer.c) -> flush -> step_over -> the
 * next head.
 */
#include "common/httpd/httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/httpd/conn.h"
#include "common/base/idmap.h"
#include "common/base/log.h"
#include "common/base/randid.h"
#include "common/http/answer_head.h"
#include "common/http/upgrade.h"
#include "common/net/tls.h"

#define READ_PIECE (16u << 10)
#define READ_AHEAD (64u << 10) /* of later requests, while one is being answered */
#define PUMP_STEPS 64          /* per turn of the loop; about four a request */

/* ---- the end of a connection ---- */

static void conn_unlink(struct conn *c)
{
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	else
		c->h->last = c->prev;
	c->h->count--;
}

/* The request ends without its answer having been written whole. */
static void req_lost(struct httpd_req *r)
{
	if (r->producer && r->producer->done)
		r->producer->done(r->producer_arg, false);
}

/* Everything but the stream. */
static void conn_end(struct conn *c, const char *why)
{
	struct httpd_req *r = c->req;

	if (c->served || r)
		log_debug(c->h->conf.name, "connection ends: %s, %u requests", why, c->served);
	c->state = CONN_CLOSED;
	loop_timer_stop(&c->timer);
	loop_tick_cancel(c->h->loop, &c->tick);
	conn_unlink(c);
	if (r) {
		req_lost(r);
		c->req = NULL;
		req_free(r);
	}
	text_free(&c->in);
	text_free(&c->out);
	loop_free_later(c->h->loop, c, NULL);
}

void conn_close(struct conn *c, const char *why)
{
	if (c->state == CONN_CLOSED)
		return;
	if (c->s)
		stream_close(c->s, c->state == CONN_STREAM); /* a cut answer must look cut */
	c->s = NULL;
	conn_end(c, why);
}

static void conn_linger(struct conn *c, const char *why)
{
	stream_linger(c->s);
	c->s = NULL;
	conn_end(c, why);
}

/* ---- moving bytes ---- */

/* True: nothing waits to be written. */
static bool flush(struct conn *c)
{
	while (c->out.len) {
		size_t n;

		switch (stream_write(c->s, c->out.p, c->out.len, &n)) {
		case STREAM_OK:
			c->progress = true;
			text_drop(&c->out, n);
			break;
		case STREAM_AGAIN:
			return false;
		default:
			conn_close(c, stream_error(c->s));
			return false;
		}
	}
	return true;
}

/* Reads once. True: there is something new to look at. */
static bool fill(struct conn *c)
{
	size_t n;
	char *room;

	if (c->eof)
		return false;
	room = text_room(&c->in, READ_PIECE);
	switch (stream_read(c->s, room, READ_PIECE, &n)) {
	case STREAM_OK:
		c->in.len += n;
		c->progress = true;
		return true;
	case STREAM_EOF:
		c->eof = true;
		return true;
	case STREAM_ABORT:
		conn_close(c, stream_error(c->s));
		return false;
	default:
		if (!c->in.len)
			text_drop(&c->in, 0); /* an idle connection keeps no buffer */
		return false;
	}
}

/* While an answer is awaited: is the client still there? Requests sent ahead may wait. */
static void watch(struct conn *c)
{
	while (c->in.len < READ_AHEAD && fill(c))
		if (c->eof) {
			conn_close(c, "the client left before its answer");
			return;
		}
}

/* ---- a request comes in ---- */

static void continue_100(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_span expect;

	if (c->body_owed && !c->in.len && c->head.minor == 1 &&
	    http_field(c->req->text, &c->head, "expect", &expect) &&
	    http_span_is_nocase(c->req->text, expect, "100-continue"))
		text_add(&c->out, go_on, sizeof(go_on) - 1);
}

/* A head is complete: everything that can refuse the request does so before its body is read. */
static void begin(struct conn *c)
{
	struct http_head *head = &c->head;
	struct httpd_req *r;

	loop_timer_stop(&c->timer); /* the next head starts its own */
	c->timer_runs = TIMER_NONE;
	c->served++;
	c->body_left = head->length;
	c->body_raw = 0;
	c->body_owed = head->chunked || head->length > 0;
	c->keep = head->minor ? !head->conn_close : head->conn_keep_alive;
	http_chunked_init(&c->chunks, true);
	r = req_new(c);
	text_drop(&c->in, head->head_len);
	if (!r) {
		answer_bad(c, 400, "bad target");
		return;
	}
	c->req = r;
	c->state = CONN_BODY;
	if (!httpd_guard(r))
		return;
	if (c->h->conf.guard && !c->h->conf.guard(c->h->conf.arg, r))
		return;
	if (!(r->route = req_route(r)))
		return;
	if (head->length > c->h->conf.body_max)
		req_refuse(r, 413, "The request is too large.");
	else
		continue_100(c);
}

static bool step_head(struct conn *c)
{
	enum http_rc rc = HTTP_MORE;

	if (c->in.len)
		rc = http_request_scan(&c->head, c->in.p, c->in.len);
	if (rc == HTTP_OK) {
		begin(c);
		return true;
	}
	if (rc == HTTP_BAD) {
		c->body_owed = true; /* where the next request begins is not known */
		answer_bad(c, c->head.status, c->head.error);
		return true;
	}
	if (!c->eof)
		return fill(c);
	conn_close(c, c->in.len ? "the client left inside a head" : "done");
	return false;
}

static void on_chunk(void *arg, const char *data, size_t n)
{
	struct httpd_req *r = arg;

	if (r->body.len <= r->conn->h->conf.body_max)
		text_add(&r->body, data, n);
}

/* Takes what is there of the body. HTTP_OK: it is complete. */
static enum http_rc take_body(struct conn *c)
{
	struct httpd_req *r = c->req;
	enum http_rc rc = HTTP_OK;
	size_t n = c->in.len;

	if (!c->body_owed)
		return HTTP_OK;
	if (c->head.chunked) {
		rc = http_chunked_scan(&c->chunks, c->in.p, c->in.len, &n, on_chunk, r);
	} else {
		if (n > c->body_left)
			n = (size_t)c->body_left;
		text_add(&r->body, c->in.p, n);
		c->body_left -= n;
		rc = c->body_left ? HTTP_MORE : HTTP_OK;
	}
	c->body_raw += n;
	text_drop(&c->in, n);
	return rc;
}

static void handle(struct conn *c)
{
	struct httpd_req *r = c->req;

	c->body_owed = false;
	*text_room(&r->body, 1) = '\0';
	c->state = CONN_HANDLER;
	r->route->handler(c->h->conf.arg, r);
}

static bool step_body(struct conn *c)
{
	enum http_rc rc = take_body(c);
	size_t max = c->h->conf.body_max;

	if (rc == HTTP_BAD) {
		req_refuse(c->req, 400, "Bad request: malformed chunk.");
	} else if (c->req->body.len > max || c->body_raw / 2 > max) {
		req_refuse(c->req, 413, "The request is too large.");
	} else if (rc == HTTP_OK) {
		handle(c);
	} else if (c->eof) {
		conn_close(c, "the client left inside a body");
		return false;
	} else {
		return fill(c);
	}
	return true;
}

/* ---- the pump ---- */

/* The producer's turn; if it has nothing, the client is watched. */
static bool step_stream(struct conn *c)
{
	if (c->req->waiting) {
		watch(c);
		return false;
	}
	answer_produce(c);
	return true;
}

/* An answer is written whole. */
static bool step_over(struct conn *c)
{
	struct httpd_req *r = c->req;

	if (r) { /* a producer's: the others ended with httpd_answer() */
		c->req = NULL;
		if (r->producer->done)
			r->producer->done(r->producer_arg, true);
		req_free(r);
		if (c->state == CONN_CLOSED)
			return false;
	}
	if (!c->keep) {
		conn_linger(c, "answered");
		return false;
	}
	c->head = (struct http_head){0};
	c->state = CONN_HEAD;
	return true;
}

static bool step(struct conn *c)
{
	if (c->state == CONN_CLOSED || c->state == CONN_WS || !flush(c))
		return false;
	switch (c->state) {
	case CONN_HEAD:
		return step_head(c);
	case CONN_BODY:
		return step_body(c);
	case CONN_HANDLER:
		watch(c);
		return false;
	case CONN_STREAM:
		return step_stream(c);
	case CONN_FLUSH:
		return step_over(c);
	default:
		return false;
	}
}

static enum conn_timer timer_of(const struct conn *c)
{
	if (c->out.len || c->state == CONN_BODY)
		return TIMER_STALL;
	if (c->state == CONN_HEAD)
		return c->in.len ? TIMER_HEAD : TIMER_IDLE;
	return TIMER_NONE;
}

static void set_timer(struct conn *c)
{
	enum conn_timer t = timer_of(c);

	if (t == c->timer_runs && !(t == TIMER_STALL && c->progress))
		return;
	c->timer_runs = t;
	c->progress = false;
	if (t == TIMER_NONE)
		loop_timer_stop(&c->timer);
	else
		loop_after(&c->timer, t == TIMER_HEAD ? HTTPD_HEAD_MS : HTTPD_IDLE_MS);
}

/*
 * Reading goes on while an answer is awaited, to see the client leave; not while one is being
 * written: nothing would take what is read, and a write finds out too.
 */
static int wanted(const struct conn *c)
{
	bool awaits = c->state == CONN_HEAD || c->state == CONN_BODY;

	if (c->out.len)
		return STREAM_WRITE;
	return !c->eof && (awaits || c->in.len < READ_AHEAD) ? STREAM_READ : 0;
}

static void conn_pump(struct conn *c)
{
	int steps = 0;

	c->pumping = true;
	while (step(c))
		if (++steps == PUMP_STEPS) {
			loop_next_tick(c->h->loop, &c->tick);
			break;
		}
	c->pumping = false;
	if (c->state == CONN_CLOSED || c->state == CONN_WS)
		return;
	set_timer(c);
	stream_want(c->s, wanted(c));
}

static void on_tick(void *arg)
{
	conn_pump(arg);
}

static void on_ready(void *arg, int dirs)
{
	conn_pump(arg);
}

void conn_kick(struct conn *c)
{
	if (!c->pumping && c->state != CONN_CLOSED)
		loop_next_tick(c->h->loop, &c->tick);
}

static void on_time(void *arg)
{
	struct conn *c = arg;

	switch (c->timer_runs) {
	case TIMER_HEAD:
		c->body_owed = true;
		answer_bad(c, 408, "the head took too long");
		conn_kick(c);
		c->timer_runs = TIMER_NONE;
		break;
	case TIMER_IDLE:
		conn_linger(c, "idle");
		break;
	default:
		conn_close(c, "the client takes and sends nothing");
	}
}

/* ---- the server ---- */

/* The one that has been idle for longest. */
static struct conn *idle_one(struct httpd *h)
{
	for (struct conn *c = h->first; c; c = c->next)
		if (c->state == CONN_HEAD && !c->in.len && !c->out.len)
			return c;
	return NULL;
}

static void shed(struct httpd *h, int fd)
{
	struct stream *s;
	struct text busy = {0};
	size_t n;

	log_often(LOG_WARN, h->conf.name, "%d connections, one more is refused", HTTPD_CONNECTIONS);
	if (h->conf.tls) { /* a handshake for this alone is too much */
		close(fd);
		return;
	}
	s = stream_new(h->loop, fd, NULL);
	answer_head(&busy, &(struct answer_head){.status = 503, .extra = "Retry-After: 1\r\n"});
	if (stream_write(s, busy.p, busy.len, &n) == STREAM_OK)
		stream_linger(s);
	else
		stream_close(s, true);
	text_free(&busy);
}

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct httpd *h = arg;
	struct conn *c, *idle;

	if (h->closing) {
		close(fd);
		return;
	}
	if (h->count >= HTTPD_CONNECTIONS) {
		if (!(idle = idle_one(h))) {
			shed(h, fd);
			return;
		}
		conn_linger(idle, "idle, and others want in");
	}
	c = xcalloc(1, sizeof(*c));
	c->h = h;
	c->peer = *peer;
	c->s = stream_new(h->loop, fd, h->conf.tls ? tls_accept_ssl(h->conf.tls) : NULL);
	c->tick.fn = on_tick;
	c->tick.arg = c;
	c->prev = h->last;
	*h->last = c;
	h->last = &c->next;
	h->count++;
	loop_timer_init(&c->timer, h->loop, on_time, c);
	stream_on_ready(c->s, on_ready, c);
	conn_pump(c);
}

struct httpd *httpd_start(struct loop *l, struct listener_fds *fds, const struct httpd_config *conf)
{
	struct httpd *h = xcalloc(1, sizeof(*h));
	struct addr a = listener_addr(fds);

	h->loop = l;
	h->conf = *conf;
	h->last = &h->first;
	if (!h->conf.body_max)
		h->conf.body_max = HTTPD_BODY_MAX;
	if (h->conf.tls)
		SSL_CTX_up_ref(h->conf.tls);
	httpd_guard_init(h, addr_get_port(&a));
	h->ln = listener_start(l, fds, on_accept, h);
	return h;
}

void httpd_set_tls(struct httpd *h, SSL_CTX *tls)
{
	SSL_CTX_up_ref(tls);
	SSL_CTX_free(h->conf.tls);
	h->conf.tls = tls;
}

static void httpd_free(void *p)
{
	struct httpd *h = p;

	SSL_CTX_free(h->conf.tls);
	httpd_guard_free(h);
	free(h);
}

void httpd_close(struct httpd *h)
{
	struct conn *c;

	h->closing = true;
	listener_close(h->ln);
	while ((c = h->first)) {
		if (c->ws) {
			ws_end(c->ws, "shutting down");
			conn_end(c, "shutting down");
		} else {
			conn_close(c, "shutting down");
		}
	}
	loop_free_later(h->loop, h, httpd_free);
}

struct httpd_req *httpd_find(struct httpd *h, uint64_t id)
{
	for (struct conn *c = h->first; c; c = c->next)
		if (c->req && c->req->id == id)
			return c->req;
	return NULL;
}

/* ---- upgrade ---- */

static void on_ws_over(void *owner)
{
	struct conn *c = owner;

	c->ws = NULL;
	conn_end(c, "WebSocket is over");
}

/* The answer's head into out; false: the request was refused. */
static bool shake_hands(struct httpd_req *r, char *out, size_t cap)
{
	const char *version = httpd_field(r, "sec-websocket-version");
	const char *key = httpd_field(r, "sec-websocket-key");
	char accept[UPGRADE_ACCEPT];

	if (strcmp(r->method, "GET") != 0 || r->head.minor != 1 ||
	    !list_has(httpd_field(r, "upgrade"), "websocket") ||
	    !list_has(httpd_field(r, "connection"), "upgrade")) {
		httpd_header(r, "Upgrade", "websocket");
		req_refuse(r, 426, "This is for WebSockets.");
		return false;
	}
	if (!version || strcmp(version, "13") != 0) {
		httpd_header(r, "Sec-WebSocket-Version", "13");
		req_refuse(r, 426, "WebSocket version 13 is spoken here.");
		return false;
	}
	if (!key || !upgrade_accept(key, strlen(key), accept)) {
		req_refuse(r, 400, "Bad Sec-WebSocket-Key.");
		return false;
	}
	snprintf(out, cap,
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		 accept);
	return true;
}

struct httpd_ws *httpd_upgrade(struct httpd_req *r, const struct httpd_ws_hooks *hooks, void *arg)
{
	struct conn *c = r->conn;
	char head[256];

	if (!shake_hands(r, head, sizeof(head)))
		return NULL;
	text_put(&c->out, head);
	loop_timer_stop(&c->timer);
	loop_tick_cancel(c->h->loop, &c->tick);
	c->timer_runs = TIMER_NONE;
	c->state = CONN_WS;
	c->ws = ws_new(c->s, c->in.p, c->in.len, c->out.p, c->out.len, hooks, arg, on_ws_over, c);
	c->s = NULL;
	c->req = NULL;
	text_free(&c->in);
	text_free(&c->out);
	req_free(r);
	return c->ws;
}
