/* One connection to a Drip server. */
#include "pgrok/uplink/drip_link.h"

#include <stdio.h>
#include <string.h>

#include "common/net/socket.h"
#include "msg/drip/frame.h"
#include "pgrok/config/limits.h"

#define PIECE (16u << 10) /* of a frame, read at once */

/* What Go's yamux on the other side relies on. */
#define WINDOW (256u << 10)
#define PING_MS 2000
#define PING_MISSES 3
#define CLOSE_MS 10000

static void lose(struct drip_link *k, const char *why)
{
	/* The text may be the stream's, which closing frees. */
	char text[ERR_TEXT];

	snprintf(text, sizeof(text), "%s", why);
	k->hooks->on_lost(k->arg, k, text);
}

/* ---- up ---- */

static void on_accepted(void *arg, struct stream *s)
{
	struct drip_link *k = arg;

	k->hooks->on_stream(k->arg, k, s);
}

static void on_down(void *arg, const char *why)
{
	lose(arg, why);
}

static const struct mux_hooks mux_hooks = {.accepted = on_accepted, .down = on_down};

static void up(struct drip_link *k)
{
	static const struct mux_conf conf = {.start_window = WINDOW,
					     .max_streams = MUX_STREAMS_MAX,
					     .prompt = true,
					     .fin_alone = true,
					     .close_ms = CLOSE_MS,
					     .ping_ms = PING_MS,
					     .ping_misses = PING_MISSES};
	struct stream *s = k->s;

	k->s = NULL;
	loop_timer_stop(&k->deadline);
	text_free(&k->in);
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	k->mux = mux_new(s, &conf, k->conf->memory, &mux_hooks, k);
}

/* ---- one frame each ---- */

static void take(struct drip_link *k, enum drip_type type, size_t body_len)
{
	struct stream *here = k->s;
	struct drip_msg m;
	struct err err;

	if (!drip_decode(type, k->in.p + DRIP_HEADER, body_len, &m, &err)) {
		lose(k, err.text);
		return;
	}
	k->hooks->on_answer(k->arg, k, &m);
	drip_free(&m);
	if (k->s == here)
		up(k);
}

/* Bytes of the frame that are still to come, as far as is known: what follows it is yamux. */
static size_t missing(const struct drip_link *k, size_t body_len)
{
	size_t need = k->in.len < DRIP_HEADER ? DRIP_HEADER : DRIP_HEADER + body_len;

	return need - k->in.len < PIECE ? need - k->in.len : PIECE;
}

static void hear(struct drip_link *k)
{
	enum drip_type type;
	size_t body_len, n;

	for (;;) {
		switch (drip_scan(k->in.p, k->in.len, &type, &body_len)) {
		case DRIP_OK:
			take(k, type, body_len);
			return;
		case DRIP_BAD:
			lose(k, "what the server says is not Drip's protocol");
			return;
		case DRIP_MORE:
			break;
		}
		size_t most = missing(k, body_len);

		switch (stream_read(k->s, text_room(&k->in, most), most, &n)) {
		case STREAM_OK:
			k->in.len += n;
			break;
		case STREAM_AGAIN:
			stream_want(k->s, STREAM_READ | (k->out.len ? STREAM_WRITE : 0));
			return;
		case STREAM_EOF:
			lose(k, "closed by the server without an answer");
			return;
		case STREAM_ABORT:
			lose(k, stream_error(k->s));
			return;
		}
	}
}

/* False: the connection was lost over it. */
static bool say(struct drip_link *k)
{
	size_t n;

	while (k->out.len) {
		switch (stream_write(k->s, k->out.p, k->out.len, &n)) {
		case STREAM_OK:
			text_drop(&k->out, n);
			break;
		case STREAM_AGAIN:
			return true;
		default:
			lose(k, stream_error(k->s));
			return false;
		}
	}
	return true;
}

static void on_ready(void *arg, int dirs)
{
	struct drip_link *k = arg;

	if (say(k))
		hear(k);
}

static void on_late(void *arg)
{
	struct drip_link *k = arg;
	struct err err;

	err_set(&err, "no answer within %d s", (int)(k->answer_ms / 1000));
	lose(k, err.text);
}

/* s carries frames. */
static void begin(struct drip_link *k, struct stream *s)
{
	k->s = s;
	stream_on_ready(s, on_ready, k);
	if (k->hooks->on_connected)
		k->hooks->on_connected(k->arg, k);
	if (k->s == s)
		on_ready(k, STREAM_READ | STREAM_WRITE);
}

static void on_websocket(void *arg, struct stream *s, const char *error)
{
	struct drip_link *k = arg;

	k->dial = NULL;
	if (s)
		begin(k, s);
	else
		lose(k, error);
}

/* The server does not look at the token there, but a proxy in front of it may. */
static void dial_websocket(struct drip_link *k, struct stream *s)
{
	const struct config *c = k->conf->config;
	bool plain = c->auth_token && *c->auth_token && !strpbrk(c->auth_token, "\r\n");
	char *more = plain ? xasprintf("Authorization: Bearer %s\r\n", c->auth_token) : NULL;

	k->dial = ws_dial_start(s, c->server.text, DRIP_WS_PATH, more ? more : "", on_websocket, k);
	xfree_secret_str(more);
}

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct drip_link *k = arg;

	k->attempt = NULL;
	if (!s) {
		lose(k, error);
		return;
	}
	loop_after(&k->deadline, k->answer_ms);
	if (k->wss)
		dial_websocket(k, s);
	else
		begin(k, s);
}

/* ---- the beginning and the end ---- */

void drip_link_open(struct drip_link *k, const struct drip_conf *conf, struct text *frame, bool wss,
		    uint64_t answer_ms, const struct drip_link_hooks *hooks, void *arg)
{
	*k = (struct drip_link){.conf = conf,
				.hooks = hooks,
				.arg = arg,
				.out = *frame,
				.in = {.secret = true}, /* a tunnel_id */
				.answer_ms = answer_ms,
				.wss = wss};
	*frame = (struct text){0};
	loop_timer_init(&k->deadline, conf->loop, on_late, k);
	k->attempt = connect_start(conf->connector, on_connected, k);
}

void drip_link_close(struct drip_link *k, bool abort)
{
	if (k->attempt)
		connect_cancel(k->attempt);
	if (k->dial)
		ws_dial_cancel(k->dial);
	if (k->s)
		stream_close(k->s, false);
	if (k->mux)
		mux_close(k->mux, abort);
	loop_timer_stop(&k->deadline);
	text_free(&k->out);
	text_free(&k->in);
	k->attempt = NULL;
	k->dial = NULL;
	k->s = NULL;
	k->mux = NULL;
}

bool drip_link_there(const struct drip_link *k)
{
	return k->attempt || k->dial || k->s || k->mux;
}

uint32_t drip_link_streams(const struct drip_link *k)
{
	return k->mux ? mux_streams(k->mux) : 0;
}
