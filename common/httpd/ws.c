/*
 * A WebSocket: wslay makes and reads the frames, this moves their bytes. Everything happens in
 * ws_pump(), which only the loop calls, so that no call from outside ever calls back.
 */
#include "common/httpd/ws.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "common/base/text.h"

#define OUT_ENOUGH (64u << 10)   /* frames made ahead of the socket */
#define READ_BUDGET (256u << 10) /* bytes per turn of the loop */
#define PONGS_MAX 32             /* owed at once: a peer that pings and reads nothing has to wait */
#define CLOSE_TEXT 123           /* bytes of a reason in a close frame (RFC 6455 section 5.5) */

struct httpd_ws {
	struct stream *s;
	struct loop *loop;
	wslay_event_context_ptr ctx;
	const struct httpd_ws_hooks *hooks;
	void *arg;
	void (*on_over)(void *owner);
	void *owner;
	struct text in, out;
	struct loop_timer timer; /* silence; once we said close: its answer */
	struct loop_tick tick;
	const char *dropped; /* why it is to end on the next tick; NULL: it is not */
	size_t budget;       /* still to be read in this turn */
	int pongs;           /* owed */
	bool eof;            /* the peer ended without a close frame */
	bool heard;          /* the peer took or sent something since the timer was set */
	bool blocked;        /* the socket was full */
	bool pinged;
	bool broken;  /* the peer's frames can't be followed */
	bool closing; /* a close frame of ours is queued or sent */
	bool over;
};

/* ---- bytes for wslay ---- */

static ssize_t recv_more(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
			 void *arg)
{
	struct httpd_ws *ws = arg;
	enum stream_rc rc = STREAM_AGAIN;
	size_t n = ws->in.len < len ? ws->in.len : len;

	if (ws->over || ws->pongs > PONGS_MAX || !ws->budget) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (n) {
		memcpy(buf, ws->in.p, n);
		text_drop(&ws->in, n);
		rc = STREAM_OK;
	} else if (!ws->eof) {
		rc = stream_read(ws->s, buf, len, &n);
	}
	switch (rc) {
	case STREAM_OK:
		ws->heard = true;
		ws->budget -= n < ws->budget ? n : ws->budget;
		return (ssize_t)n;
	case STREAM_AGAIN:
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	default:
		ws->eof = true;
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
}

/* Frames are gathered, so that a head and its payload leave in one write. */
static ssize_t send_more(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
			 void *arg)
{
	struct httpd_ws *ws = arg;

	if (ws->over || ws->out.len >= OUT_ENOUGH) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (len > OUT_ENOUGH)
		len = OUT_ENOUGH;
	text_add(&ws->out, data, len);
	return (ssize_t)len;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m,
		       void *arg)
{
	struct httpd_ws *ws = arg;

	if (ws->over)
		return;
	if (m->opcode == WSLAY_PING)
		ws->pongs++;
	if (m->opcode != WSLAY_TEXT_FRAME && m->opcode != WSLAY_BINARY_FRAME)
		return;
	if (ws->hooks->message)
		ws->hooks->message(ws->arg, ws, (const char *)m->msg, m->msg_length,
				   m->opcode == WSLAY_BINARY_FRAME);
}

/* ---- the end ---- */

static void ws_free(void *p)
{
	struct httpd_ws *ws = p;

	wslay_event_context_free(ws->ctx);
	text_free(&ws->in);
	text_free(&ws->out);
	free(ws);
}

/* The one way out. abort: nothing of what is queued will be read. */
static void ws_over(struct httpd_ws *ws, const char *why, bool abort)
{
	if (ws->over)
		return;
	ws->over = true;
	loop_timer_stop(&ws->timer);
	loop_tick_cancel(ws->loop, &ws->tick);
	if (abort)
		stream_close(ws->s, true);
	else
		stream_linger(ws->s);
	ws->s = NULL;
	loop_free_later(ws->loop, ws, ws_free);
	if (ws->hooks->closed)
		ws->hooks->closed(ws->arg, ws, why);
	if (ws->on_over)
		ws->on_over(ws->owner);
}

static const char *why_closed(const struct httpd_ws *ws)
{
	if (wslay_event_get_close_received(ws->ctx))
		return ws->closing ? "closed" : "closed by the peer";
	if (ws->broken)
		return "protocol error";
	switch (wslay_event_get_status_code_sent(ws->ctx)) {
	case WSLAY_CODE_MESSAGE_TOO_BIG:
		return "message too big";
	case WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA:
		return "text that is not UTF-8";
	case WSLAY_CODE_PROTOCOL_ERROR:
		return "protocol error";
	default:
		return "closed";
	}
}

/* ---- the pump ---- */

/* Makes frames and writes them, until there are none or the socket is full. False: it died. */
static bool ws_write(struct httpd_ws *ws)
{
	size_t n;

	for (;;) {
		if (wslay_event_want_write(ws->ctx) && ws->out.len < OUT_ENOUGH &&
		    wslay_event_send(ws->ctx) != 0)
			return false;
		if (!ws->out.len)
			break;
		switch (stream_write(ws->s, ws->out.p, ws->out.len, &n)) {
		case STREAM_OK:
			/* Into a full socket: the peer must have read something. */
			ws->heard = ws->heard || ws->blocked;
			ws->blocked = false;
			text_drop(&ws->out, n);
			continue;
		case STREAM_AGAIN:
			ws->blocked = true;
			return true;
		default:
			return false;
		}
	}
	ws->pongs = 0;
	return true;
}

static bool reads(const struct httpd_ws *ws)
{
	return wslay_event_want_read(ws->ctx) && !ws->eof && !ws->broken && ws->pongs <= PONGS_MAX;
}

static void ws_pump(struct httpd_ws *ws)
{
	ws->budget = READ_BUDGET;
	if (ws->dropped) {
		ws_over(ws, ws->dropped, true);
		return;
	}
	/* A frame that can't be: wslay has queued a close frame and stopped reading. */
	if (reads(ws) && wslay_event_recv(ws->ctx) != 0)
		ws->broken = true;
	if (ws->over) /* the server was closed from inside a hook */
		return;
	if (!ws_write(ws)) {
		ws_over(ws, "connection lost", true);
	} else if (!wslay_event_want_write(ws->ctx) && !ws->out.len &&
		   (ws->eof || ws->broken || !wslay_event_want_read(ws->ctx))) {
		bool lost = ws->eof && !wslay_event_get_close_sent(ws->ctx);

		ws_over(ws, lost ? "connection lost" : why_closed(ws), false);
	} else {
		if (!ws->budget || (ws->in.len && reads(ws)))
			loop_next_tick(ws->loop, &ws->tick);
		stream_want(ws->s,
			    (reads(ws) ? STREAM_READ : 0) | (ws->out.len ? STREAM_WRITE : 0));
	}
}

static void on_ready(void *arg, int dirs)
{
	ws_pump(arg);
}

static void on_tick(void *arg)
{
	ws_pump(arg);
}

static void on_time(void *arg)
{
	struct httpd_ws *ws = arg;
	struct wslay_event_msg ping = {.opcode = WSLAY_PING};

	if (ws->closing) {
		ws_over(ws, "closed", false);
		return;
	}
	if (!ws->heard && ws->pinged) {
		ws_over(ws, "no answer to a ping", true);
		return;
	}
	ws->pinged = !ws->heard;
	ws->heard = false;
	loop_after(&ws->timer, WS_PING_MS);
	if (ws->pinged && wslay_event_queue_msg(ws->ctx, &ping) == 0)
		ws_pump(ws);
}

/* ---- from outside ---- */

struct httpd_ws *ws_new(struct stream *s, const char *in, size_t in_len, const char *out,
			size_t out_len, const struct httpd_ws_hooks *hooks, void *arg,
			void (*over)(void *owner), void *owner)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = recv_more,
		.send_callback = send_more,
		.on_msg_recv_callback = on_message,
	};
	struct httpd_ws *ws = xcalloc(1, sizeof(*ws));

	ws->s = s;
	ws->loop = stream_loop(s);
	ws->hooks = hooks;
	ws->arg = arg;
	ws->on_over = over;
	ws->owner = owner;
	text_add(&ws->in, in, in_len);
	text_add(&ws->out, out, out_len);
	if (wslay_event_context_server_init(&ws->ctx, &callbacks, ws) != 0)
		abort(); /* it only allocates */
	wslay_event_config_set_max_recv_msg_length(ws->ctx, WS_RECV_MAX);
	ws->tick.fn = on_tick;
	ws->tick.arg = ws;
	loop_timer_init(&ws->timer, ws->loop, on_time, ws);
	loop_after(&ws->timer, WS_PING_MS);
	stream_on_ready(s, on_ready, ws);
	loop_next_tick(ws->loop, &ws->tick);
	return ws;
}

/* Bytes of messages that the peer's socket has not taken. */
static size_t queued_bytes(const struct httpd_ws *ws)
{
	return wslay_event_get_queued_msg_length(ws->ctx) + ws->out.len;
}

bool httpd_ws_send(struct httpd_ws *ws, const void *msg, size_t len, bool binary)
{
	size_t max = ws->hooks->queue_max ? ws->hooks->queue_max : WS_QUEUE_MAX;
	size_t queued = queued_bytes(ws);
	struct wslay_event_msg m = {
		.opcode = binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME,
		.msg = msg,
		.msg_length = len,
	};

	if (ws->over || ws->dropped || ws->closing)
		return false;
	loop_next_tick(ws->loop, &ws->tick);
	if (queued && queued + len > max) {
		ws->dropped = "slow reader";
		return false;
	}
	return wslay_event_queue_msg(ws->ctx, &m) == 0;
}

static void queue_close(struct httpd_ws *ws, uint16_t code, const char *why)
{
	size_t len = strlen(why);

	ws->closing = true;
	(void)wslay_event_queue_close(ws->ctx, code, (const uint8_t *)why,
				      len < CLOSE_TEXT ? len : CLOSE_TEXT);
}

void httpd_ws_close(struct httpd_ws *ws, uint16_t code, const char *why)
{
	if (ws->over || ws->closing)
		return;
	queue_close(ws, code, why);
	loop_after(&ws->timer, WS_CLOSE_MS);
	loop_next_tick(ws->loop, &ws->tick);
}

void ws_end(struct httpd_ws *ws, const char *why)
{
	if (ws->over)
		return;
	ws->on_over = NULL;
	if (!ws->closing)
		queue_close(ws, WSLAY_CODE_GOING_AWAY, why);
	ws_over(ws, why, !ws_write(ws) || ws->out.len);
}
