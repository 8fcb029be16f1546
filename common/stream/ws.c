/*
 * A WebSocket as a stream: wslay reads and writes the frames, this moves their bytes.
 *
 * What is sent is kept as whole frames until the stream below has taken them; the next is made only
 * when that is empty, so at most a piece and a few control frames wait. Of what comes nothing is
 * gathered: a frame may be of any length, its bytes are handed out of wslay's own buffer.
 */
#include "common/stream/ws.h"

#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "common/base/randid.h"
#include "common/base/text.h"
#include "common/stream/kind.h"

#define CONTROL_MAX 125        /* bytes in a control frame (RFC 6455 section 5.5) */
#define OUT_ENOUGH 8192u       /* with so much waiting, pings wait for their answers */
#define FRAMES_MAX 64          /* without a byte in them, before others have their turn */
#define CODE_DONE "\3\350"     /* 1000 */
#define CODE_PROTOCOL "\3\352" /* 1002 */

struct ws {
	struct stream s;    /* first: it is one */
	struct stream *low; /* NULL: a shell */
	wslay_frame_context_ptr frames;
	struct text early;    /* read by others, not yet by wslay */
	struct text out;      /* frames that low has not taken */
	const uint8_t *piece; /* in wslay's buffer: to be read next */
	size_t piece_len;
	uint64_t left; /* of the frame under way */
	struct loop_timer timer;
	struct loop_tick tick; /* what low can't see: a piece, bytes inside wslay, an end */
	const char *why;       /* it died; NULL: it did not, or low knows */
	enum stream_rc low_said;
	unsigned char opcode; /* of the frame under way */
	unsigned char want, low_want;
	unsigned char control_len, pong_len;
	bool client;
	bool in_frame, in_message;
	bool skipping; /* the message is text */
	bool drained;  /* low had no more, and wslay has no whole frame */
	bool pong_owed, ping_owed;
	bool closing; /* our close frame is made */
	bool ended;   /* the peer's has come */
	bool write_dead, dead;
	uint8_t control[CONTROL_MAX]; /* of the control frame under way */
	uint8_t pong[CONTROL_MAX];
};

static struct ws *ws_of(struct stream *s)
{
	return (struct ws *)s;
}

/* ---- bytes for wslay ---- */

static ssize_t recv_more(uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	size_t n = ws->early.len < len ? ws->early.len : len;

	if (n) {
		memcpy(buf, ws->early.p, n);
		text_drop(&ws->early, n);
		ws->low_said = STREAM_OK;
		return (ssize_t)n;
	}
	ws->low_said = stream_read(ws->low, buf, len, &n);
	return ws->low_said == STREAM_OK ? (ssize_t)n : -1;
}

static ssize_t send_more(const uint8_t *data, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;

	text_add(&ws->out, data, len);
	return (ssize_t)len;
}

static int new_mask(uint8_t *buf, size_t len, void *arg)
{
	rand_bytes(buf, len);
	return 0;
}

/* ---- out ---- */

/* A frame into out. */
static void put_frame(struct ws *ws, unsigned char opcode, const void *data, size_t len)
{
	struct wslay_frame_iocb io = {
		.fin = 1,
		.opcode = opcode,
		.mask = ws->client,
		.payload_length = len,
		.data = data,
		.data_length = len,
	};

	do {
		ssize_t n = wslay_frame_send(ws->frames, &io);

		if (n < 0)
			abort(); /* out takes all */
		io.data += n;
		io.data_length -= (size_t)n;
	} while (io.data_length);
}

static void put_close(struct ws *ws, const char code[static 2])
{
	if (ws->closing || ws->write_dead)
		return;
	put_frame(ws, WSLAY_CONNECTION_CLOSE, code, 2);
	ws->closing = true;
}

/* Writes what waits, as far as low takes it. */
static void flush(struct ws *ws)
{
	size_t n;

	while (ws->out.len && !ws->write_dead) {
		enum stream_rc rc = stream_write(ws->low, ws->out.p, ws->out.len, &n);

		if (rc == STREAM_AGAIN)
			return;
		if (rc == STREAM_OK)
			text_drop(&ws->out, n);
		else
			ws->write_dead = true;
	}
	if (ws->write_dead)
		text_free(&ws->out);
}

/* Pings and answers to the peer's last one go between the frames. */
static void say_owed(struct ws *ws)
{
	if (ws->closing || ws->write_dead || ws->out.len > OUT_ENOUGH)
		return;
	if (ws->pong_owed)
		put_frame(ws, WSLAY_PONG, ws->pong, ws->pong_len);
	if (ws->ping_owed)
		put_frame(ws, WSLAY_PING, "", 0);
	ws->pong_owed = ws->ping_owed = false;
	flush(ws);
}

static void arm(struct ws *ws)
{
	unsigned char dirs = 0;

	if ((ws->want & STREAM_READ) && !ws->dead && !ws->ended)
		dirs |= STREAM_READ;
	if (!ws->write_dead && (ws->out.len || (ws->want & STREAM_WRITE)))
		dirs |= STREAM_WRITE;
	if (dirs == ws->low_want)
		return;
	ws->low_want = dirs;
	stream_want(ws->low, dirs);
}

static enum stream_rc ws_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct ws *ws = ws_of(s);

	*n = 0;
	if (ws->dead || ws->closing)
		return STREAM_ABORT;
	flush(ws);
	while (*n < len && !ws->out.len && !ws->write_dead) {
		size_t piece = len - *n < STREAM_PIECE ? len - *n : STREAM_PIECE;

		put_frame(ws, WSLAY_BINARY_FRAME, (const char *)buf + *n, piece);
		*n += piece;
		flush(ws);
	}
	if (ws->write_dead)
		return STREAM_ABORT;
	arm(ws);
	return *n ? STREAM_OK : STREAM_AGAIN;
}

static enum stream_rc ws_finish(struct stream *s)
{
	struct ws *ws = ws_of(s);

	if (!ws->dead)
		put_close(ws, CODE_DONE);
	flush(ws);
	if (ws->dead || ws->write_dead)
		return STREAM_ABORT;
	arm(ws);
	return ws->out.len ? STREAM_AGAIN : stream_finish(ws->low);
}

static bool ws_flushed(const struct stream *s)
{
	const struct ws *ws = (const struct ws *)s;

	return !ws->out.len && stream_flushed(ws->low);
}

/* ---- in ---- */

/* why NULL: low knows. */
static enum stream_rc died(struct ws *ws, const char *why)
{
	ws->dead = true;
	ws->why = why;
	return STREAM_ABORT;
}

/* The peer's frames can't be followed. */
static enum stream_rc broke(struct ws *ws, const char *why)
{
	put_close(ws, CODE_PROTOCOL);
	flush(ws);
	return died(ws, why);
}

/* NULL: a frame may begin so. */
static const char *frame_fault(const struct ws *ws, const struct wslay_frame_iocb *io)
{
	if (io->rsv)
		return "WebSocket: a reserved bit is set";
	if (io->mask == ws->client)
		return ws->client ? "WebSocket: a server masks nothing"
				  : "WebSocket: a client masks its frames";
	switch (io->opcode) {
	case WSLAY_CONTINUATION_FRAME:
		return ws->in_message ? NULL : "WebSocket: a continuation of nothing";
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		return ws->in_message ? "WebSocket: a message inside another" : NULL;
	case WSLAY_CONNECTION_CLOSE:
		return io->payload_length == 1 ? "WebSocket: half a close code" : NULL;
	case WSLAY_PING:
	case WSLAY_PONG:
		return NULL;
	default:
		return "WebSocket: an unknown kind of frame";
	}
}

static void frame_begins(struct ws *ws, const struct wslay_frame_iocb *io)
{
	ws->in_frame = true;
	ws->opcode = io->opcode;
	ws->left = io->payload_length;
	ws->control_len = 0;
	if (io->opcode == WSLAY_TEXT_FRAME || io->opcode == WSLAY_BINARY_FRAME)
		ws->skipping = io->opcode == WSLAY_TEXT_FRAME;
	if (!wslay_is_ctrl_frame(io->opcode))
		ws->in_message = !io->fin;
}

static void frame_ends(struct ws *ws)
{
	ws->in_frame = false;
	if (ws->opcode == WSLAY_CONNECTION_CLOSE)
		ws->ended = true;
	if (ws->opcode != WSLAY_PING)
		return;
	memcpy(ws->pong, ws->control, ws->control_len);
	ws->pong_len = ws->control_len;
	ws->pong_owed = true;
}

/* A part of a frame, its first with what the head said. */
static const char *take_part(struct ws *ws, const struct wslay_frame_iocb *io)
{
	const char *fault = ws->in_frame ? NULL : frame_fault(ws, io);

	if (fault)
		return fault;
	if (!ws->in_frame)
		frame_begins(ws, io);
	if (wslay_is_ctrl_frame(io->opcode)) {
		memcpy(ws->control + ws->control_len, io->data, io->data_length);
		ws->control_len += (unsigned char)io->data_length;
	} else if (!ws->skipping) {
		ws->piece = io->data;
		ws->piece_len = io->data_length;
	}
	ws->left -= io->data_length;
	if (!ws->left)
		frame_ends(ws);
	return NULL;
}

/* Why wslay gave nothing. OK: it may the next time. */
static enum stream_rc no_part(struct ws *ws, ssize_t error)
{
	if (error != WSLAY_ERR_WANT_READ)
		return broke(ws, "WebSocket: a frame that can't be");
	switch (ws->low_said) {
	case STREAM_EOF:
		return died(ws, "connection closed without a close frame");
	case STREAM_ABORT:
		return died(ws, NULL);
	case STREAM_AGAIN:
		ws->drained = true;
		return STREAM_AGAIN;
	default:
		return STREAM_OK;
	}
}

/* OK: there is a piece. idle: so many parts without one may come before others have their turn. */
static enum stream_rc fill(struct ws *ws, int *idle)
{
	while (!ws->piece_len) {
		struct wslay_frame_iocb io = {0};
		enum stream_rc rc = STREAM_OK;
		const char *fault = NULL;
		ssize_t n;

		if (ws->dead || ws->ended)
			return ws->dead ? STREAM_ABORT : STREAM_EOF;
		ws->drained = false;
		if (*idle == 0)
			return STREAM_AGAIN;
		n = wslay_frame_recv(ws->frames, &io);
		if (n < 0)
			rc = no_part(ws, n);
		else
			fault = take_part(ws, &io);
		*idle -= !ws->piece_len;
		if (rc != STREAM_OK || fault)
			return fault ? broke(ws, fault) : rc;
	}
	return STREAM_OK;
}

/* The wanted directions of which low won't tell: what is there has come already, or is over. */
static int inside(const struct ws *ws)
{
	bool in = ws->piece_len || !ws->drained || ws->dead || ws->ended;
	bool out = ws->dead || ws->write_dead;

	return ws->want & ((in ? STREAM_READ : 0) | (out ? STREAM_WRITE : 0));
}

/* Says what is owed to the peer; what is left will be told. */
static void settle(struct ws *ws)
{
	say_owed(ws);
	arm(ws);
	if (inside(ws))
		loop_next_tick(ws->s.loop, &ws->tick);
}

static const char *ws_peek(struct stream *s, size_t *n)
{
	struct ws *ws = ws_of(s);
	int idle = FRAMES_MAX;
	bool ok = fill(ws, &idle) == STREAM_OK;

	settle(ws);
	*n = ws->piece_len;
	return ok ? (const char *)ws->piece : NULL;
}

static void ws_skip(struct stream *s, size_t n)
{
	struct ws *ws = ws_of(s);

	ws->piece += n;
	ws->piece_len -= n;
}

static enum stream_rc ws_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct ws *ws = ws_of(s);
	int idle = FRAMES_MAX;
	enum stream_rc rc;

	*n = 0;
	while ((rc = fill(ws, &idle)) == STREAM_OK && *n < cap) {
		size_t piece = ws->piece_len < cap - *n ? ws->piece_len : cap - *n;

		memcpy((char *)buf + *n, ws->piece, piece);
		ws_skip(s, piece);
		*n += piece;
	}
	settle(ws);
	return *n ? STREAM_OK : rc; /* an end is found again */
}

/* ---- readiness ---- */

static void report(struct ws *ws, int dirs)
{
	if (ws->s.ready && dirs)
		ws->s.ready(ws->s.ready_arg, dirs);
}

static void on_low(void *arg, int dirs)
{
	struct ws *ws = arg;
	int out = ws->want & dirs & STREAM_READ;

	flush(ws);
	say_owed(ws);
	if (!ws->out.len)
		out |= ws->want & STREAM_WRITE;
	arm(ws);
	report(ws, out);
}

static void on_tick(void *arg)
{
	struct ws *ws = arg;

	report(ws, inside(ws));
}

static void on_time(void *arg)
{
	struct ws *ws = arg;

	ws->ping_owed = true;
	settle(ws);
	loop_after(&ws->timer, WS_STREAM_PING_MS);
}

static void ws_want(struct stream *s, int dirs)
{
	struct ws *ws = ws_of(s);

	ws->want = (unsigned char)dirs;
	settle(ws);
}

/* ---- life ---- */

static enum stream_rc ws_handshake(struct stream *s)
{
	return stream_handshake(ws_of(s)->low);
}

static bool ws_known(struct stream *s)
{
	return stream_known(ws_of(s)->low);
}

static const char *ws_error(const struct stream *s)
{
	const struct ws *ws = (const struct ws *)s;

	if (ws->why || !ws->low)
		return ws->why ? ws->why : "";
	return stream_error(ws->low);
}

static void ws_free(void *p)
{
	struct ws *ws = p;

	wslay_frame_context_free(ws->frames);
	text_free(&ws->early);
	text_free(&ws->out);
	free(ws);
}

static void ws_close(struct stream *s, bool abort)
{
	struct ws *ws = ws_of(s);

	if (!ws->low) {
		ws_free(ws);
		return;
	}
	if (!abort && !ws->dead)
		put_close(ws, CODE_DONE);
	flush(ws);
	stream_close(ws->low, abort);
	ws->low = NULL;
	loop_timer_stop(&ws->timer);
	loop_tick_cancel(s->loop, &ws->tick);
	loop_free_later(s->loop, ws, ws_free);
}

static const struct stream_ops ws_ops = {
	.kind = "websocket",
	.handshake = ws_handshake,
	.read = ws_read,
	.write = ws_write,
	.peek = ws_peek,
	.skip = ws_skip,
	.want = ws_want,
	.finish = ws_finish,
	.flushed = ws_flushed,
	.close = ws_close,
	.known = ws_known,
	.error = ws_error,
};

bool stream_is_ws(const struct stream *s)
{
	return s->ops == &ws_ops;
}

struct stream *stream_ws_part(struct stream *s)
{
	struct ws *ws = ws_of(s);
	struct stream *low = ws->low;

	if (ws->out.len || ws->dead || ws->write_dead || ws->closing || !stream_movable(low))
		return NULL;
	loop_timer_stop(&ws->timer);
	loop_tick_cancel(s->loop, &ws->tick);
	stream_on_ready(low, NULL, NULL);
	stream_want(low, 0);
	ws->low = NULL;
	*s = (struct stream){.ops = &ws_ops, .fd = -1};
	return low;
}

void stream_ws_join(struct stream *s, struct stream *low)
{
	struct ws *ws = ws_of(s);

	ws->low = low;
	ws->want = ws->low_want = 0;
	ws->drained = false;
	*s = (struct stream){.ops = &ws_ops, .loop = low->loop, .ssl = low->ssl, .fd = low->fd};
	ws->tick = (struct loop_tick){.fn = on_tick, .arg = ws};
	loop_timer_init(&ws->timer, s->loop, on_time, ws);
	loop_after(&ws->timer, WS_STREAM_PING_MS);
	stream_on_ready(low, on_low, ws);
	stream_want(low, 0);
}

struct stream *stream_ws_new(struct stream *low, enum ws_role role, const void *early, size_t len)
{
	static const struct wslay_frame_callbacks callbacks = {
		.recv_callback = recv_more,
		.send_callback = send_more,
		.genmask_callback = new_mask,
	};
	struct ws *ws = xcalloc(1, sizeof(*ws));

	if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0)
		abort(); /* it only allocates */
	ws->client = role == WS_CLIENT;
	text_add(&ws->early, early, len);
	stream_ws_join(&ws->s, low);
	return &ws->s;
}
