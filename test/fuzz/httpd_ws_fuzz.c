/*
 * Fuzzes the server's end of a WebSocket over a transport in memory: its peer says whatever the
 * input holds, whole frames among it, and takes what is said as it likes. Messages that arrive are
 * UTF-8 if they are text, and bounded; what is sent are frames of a server (RFC 6455 section 5),
 * none behind a close frame. Input: {1 byte: bytes behind the request's head}, operations {code,
 * argument} and what they take.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/utf8.h"
#include "common/httpd/ws.h"
#include "test/fuzz/ws_far.h"

#define SAID_MAX (4u << 20) /* bytes that an input may make of itself */
#define QUEUE (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct loop *loop;
	struct httpd_ws *ws; /* NULL: it is over */
	struct fake *near, *far;
	unsigned open, closed, overs;
	size_t said;
	struct text heard;
	uint8_t answer; /* what a message is answered with */
};

static char bytes[70000];

static void check(bool good)
{
	if (!good)
		abort();
}

static void on_message(void *arg, struct httpd_ws *ws, const char *msg, size_t len, bool binary)
{
	struct play *p = arg;

	check(ws == p->ws && len <= WS_RECV_MAX);
	check(binary || utf8_valid(msg, len));
	if (p->answer & 1)
		(void)!httpd_ws_send(ws, msg, len, binary);
	if (p->answer & 2)
		(void)!httpd_ws_send(ws, bytes, p->answer & 4 ? sizeof(bytes) : 200, true);
	if (p->answer & 8)
		httpd_ws_close(ws, 1000, "enough");
}

static void on_closed(void *arg, struct httpd_ws *ws, const char *why)
{
	struct play *p = arg;

	check(ws == p->ws && *why && !p->closed++);
	p->ws = NULL;
}

static void on_over(void *arg)
{
	struct play *p = arg;

	check(p->closed && !p->overs++);
}

static const struct httpd_ws_hooks hooks = {
	.message = on_message, .closed = on_closed, .queue_max = QUEUE};

static void say(struct play *p, const void *buf, size_t n)
{
	p->said += n;
	if (p->far->peer && !p->far->finished && p->said < SAID_MAX)
		fake_put(p->near, buf, n);
}

/* A frame that is nearly right: masked with zeros, with a payload of its length. */
static void say_frame(struct play *p, uint8_t head, const uint8_t *more)
{
	size_t len = ws_far_length(more[0]);
	uint8_t h[WS_FAR_HEAD];

	say(p, h, ws_far_head(h, head, len, !(more[0] & 8), 0));
	say(p, bytes, len);
}

static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	uint8_t arg = op[1];

	switch (op[0] % 8) {
	case 0:
	case 1:
		left = arg < left ? arg : left;
		say(p, op + 2, left);
		return left;
	case 2:
	case 3:
		if (!left)
			return 0;
		say_frame(p, arg, op + 2);
		return 1;
	case 4:
		turns(p->loop, 1 + arg % 4);
		return 0;
	case 5:
		p->far->room = arg & 128 ? 1u << 20 : arg;
		ws_far_takes(p->far, &p->heard, arg & 64 ? SIZE_MAX : arg + 1u);
		return 0;
	case 6:
		p->answer = arg;
		return 0;
	default:
		if (arg == 1)
			(void)!stream_finish(&p->far->s);
		else if (arg == 2)
			fake_kill(p->near);
		else if (p->ws && arg == 3)
			httpd_ws_close(p->ws, 1001, "going away");
		else if (p->ws && arg == 4)
			ws_end(p->ws, "shutting down");
		else if (p->ws && arg > 200)
			(void)!httpd_ws_send(p->ws, "text", 4, false);
		return 0;
	}
}

/* The next frame's length, head included; 0: it is not whole. */
static size_t frame_len(const uint8_t *at, size_t left)
{
	size_t len = left < 2 ? 0 : at[1] & 127, n = 2;

	if (left < 2)
		return 0;
	check(!(at[0] & 0x70) && !(at[1] & 0x80)); /* nothing reserved, not masked */
	for (int more = len == 126 ? 2 : len == 127 ? 8 : 0, i = 0; i < more; i++, n++) {
		if (n >= left)
			return 0;
		len = (i ? len << 8 : 0) | at[n];
	}
	return n + len <= left ? n + len : 0;
}

static void check_heard(const struct text *heard)
{
	const uint8_t *at = (const uint8_t *)heard->p, *end = at + heard->len;
	bool closed = false;
	size_t n;

	for (; at < end && (n = frame_len(at, (size_t)(end - at))); at += n) {
		int opcode = at[0] & 15;

		check(!closed && at[0] & 0x80); /* nothing comes in fragments */
		check(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10));
		check(opcode < 8 || n <= 127);
		closed = opcode == 8;
	}
	check(!closed || at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = {.loop = loop_new()};
	struct fake *end[2];
	size_t at = 1;

	if (size < 1) {
		loop_free(p.loop);
		return 0;
	}
	memset(bytes, 'a', sizeof(bytes));
	text_put(&p.heard, "");
	fake_pair(p.loop, NULL, &p.open, end);
	p.near = end[0];
	p.far = end[1];
	size_t ahead = data[0] < size - 1 ? data[0] : size - 1;

	p.ws = ws_new(&p.near->s, (const char *)data + 1, ahead, "", 0, &hooks, &p, on_over, &p);
	for (at += ahead; at + 2 <= size && !p.closed;)
		at += 2 + step(&p, data + at, size - at - 2);
	p.far->room = SIZE_MAX;
	turns(p.loop, 4);
	if (p.ws)
		ws_end(p.ws, "the end");
	ws_far_takes(p.far, &p.heard, SIZE_MAX);
	check_heard(&p.heard);
	check(p.closed == 1);
	stream_close(&p.far->s, false);
	turns(p.loop, 4);
	loop_free(p.loop);
	check(!p.open);
	text_free(&p.heard);
	return 0;
}
