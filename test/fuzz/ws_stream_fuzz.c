/*
 * Fuzzes a WebSocket as a stream: its peer says whatever the input holds, whole frames among it,
 * and takes what is said as it likes. What is read is what a simple reader of the same bytes makes
 * of them, as long as both follow; what is sent are frames of its role, none behind a close frame,
 * and what waits to be sent is bounded. Input: {1 byte: role and early bytes}, operations {code,
 * argument} and what they take.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream/ws.h"
#include "test/fuzz/ws_far.h"

#define SAID_MAX (4u << 20) /* bytes that an input may make of itself */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct loop *loop;
	struct stream *s;
	struct fake *near, *far;
	unsigned open;
	bool client, dead;
	size_t written;                /* bytes that the stream took */
	struct text said, read, heard; /* by the peer; out of the stream; by the peer */
};

static char bytes[70000];

static void check(bool good)
{
	if (!good)
		abort();
}

static void on_ready(void *arg, int dirs)
{
	check(dirs && !(dirs & ~(STREAM_READ | STREAM_WRITE)));
}

static void say(struct play *p, const void *buf, size_t n)
{
	if (p->said.len + n > SAID_MAX || p->far->finished || !p->far->peer)
		return;
	text_add(&p->said, buf, n);
	fake_put(p->near, buf, n);
}

/* A frame that is nearly right, with a payload of its length. */
static void say_frame(struct play *p, uint8_t head, uint8_t more)
{
	size_t len = ws_far_length(more);
	uint8_t h[WS_FAR_HEAD];

	say(p, h, ws_far_head(h, head, len, !(more & 8) == !p->client, more));
	say(p, bytes, len);
}

static void read_some(struct play *p, size_t cap, bool peeks)
{
	static char buf[70000];
	size_t n = 0;
	const char *at = peeks ? stream_peek(p->s, &n) : NULL;
	enum stream_rc rc;

	if (at) {
		check(n > 0);
		n = n < cap ? n : cap;
		text_add(&p->read, at, n);
		stream_skip(p->s, n);
		return;
	}
	rc = stream_read(p->s, buf, cap < sizeof(buf) ? cap : sizeof(buf), &n);
	check((rc == STREAM_OK) == (n > 0));
	check(!p->dead || rc == STREAM_ABORT);
	p->dead = rc == STREAM_ABORT;
	check(!p->dead || stream_error(p->s)[0]);
	text_add(&p->read, buf, n);
}

static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	uint8_t arg = op[1];
	size_t n;

	switch (op[0] % 8) {
	case 0:
		left = arg < left ? arg : left;
		say(p, op + 2, left);
		return left;
	case 1:
	case 2:
		if (!left)
			return 0;
		say_frame(p, arg, op[2]);
		return 1;
	case 3:
		turns(p->loop, 1 + arg % 4);
		return 0;
	case 4:
		p->far->room = arg & 128 ? 1u << 20 : arg;
		ws_far_takes(p->far, &p->heard, arg & 64 ? SIZE_MAX : arg + 1u);
		return 0;
	case 5:
		read_some(p, 1 + (size_t)(arg >> 1) * 300, arg & 1);
		return 0;
	case 6:
		if (stream_write(p->s, bytes, 1 + (size_t)arg * 270, &n) == STREAM_OK)
			p->written += n;
		return 0;
	default:
		stream_want(p->s, arg & 3);
		if (arg > 250)
			(void)!stream_finish(&p->far->s);
		else if (arg > 245)
			fake_kill(p->near);
		else if (arg > 240)
			(void)!stream_finish(p->s);
		return 0;
	}
}

/* Of the frame at `at`: its head and payload; false: it is not whole. */
static bool frame_at(const uint8_t *at, size_t left, size_t *head, size_t *len)
{
	int more;

	if (left < 2)
		return false;
	*len = at[1] & 127;
	more = *len == 126 ? 2 : *len == 127 ? 8 : 0;
	*head = 2u + (unsigned)more + (at[1] & 0x80 ? 4u : 0);
	if (left < *head)
		return false;
	for (int i = 0; i < more; i++)
		*len = (i ? *len << 8 : 0) | at[2 + i];
	return *len <= left - *head;
}

/* What was heard are good frames, with as many bytes in them as were written. */
static void check_heard(const struct play *p)
{
	const uint8_t *at = (const uint8_t *)p->heard.p;
	size_t left = p->heard.len, head, len, got = 0;
	bool closed = false;

	for (; frame_at(at, left, &head, &len); at += head + len, left -= head + len) {
		int opcode = at[0] & 15;

		check(!closed && (at[0] & 0xf0) == 0x80 && !!(at[1] & 0x80) == p->client);
		check(opcode == 2 || (opcode >= 8 && opcode <= 10));
		check(opcode == 2 || len <= 125);
		closed = opcode == 8;
		got += opcode == 2 ? len : 0;
	}
	check(!closed || !left);
	check(got <= p->written);
}

/* A simple reader: the bytes of the messages that are not text, until a fault or a close frame. */
static void check_read(const struct play *p)
{
	const uint8_t *at = (const uint8_t *)p->said.p;
	size_t left = p->said.len, head, len, got = 0;
	bool text = false;

	while (frame_at(at, left, &head, &len)) {
		int opcode = at[0] & 15;

		if (opcode == 8 || (at[0] & 0x70) || !!(at[1] & 0x80) == p->client)
			break;
		if (opcode == 1 || opcode == 2)
			text = opcode == 1;
		for (size_t i = 0; !text && opcode < 3 && i < len && got < p->read.len; i++) {
			uint8_t mask = at[1] & 0x80 ? at[head - 4 + i % 4] : 0;

			check((uint8_t)p->read.p[got++] == (at[head + i] ^ mask));
		}
		at += head + len;
		left -= head + len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = {.loop = loop_new()};
	struct fake *end[2];
	size_t at = 1, early;

	if (size < 1) {
		loop_free(p.loop);
		return 0;
	}
	memset(bytes, 'a', sizeof(bytes));
	text_put(&p.heard, "");
	text_put(&p.said, "");
	fake_pair(p.loop, NULL, &p.open, end);
	p.near = end[0];
	p.far = end[1];
	p.client = data[0] & 1;
	early = (size_t)data[0] >> 1 < size - 1 ? (size_t)data[0] >> 1 : size - 1;
	text_add(&p.said, data + 1, early);
	p.s = stream_ws_new(&p.near->s, p.client ? WS_CLIENT : WS_SERVER, data + 1, early);
	stream_on_ready(p.s, on_ready, &p);
	for (at += early; at + 2 <= size;)
		at += 2 + step(&p, data + at, size - at - 2);
	check_read(&p);
	p.far->room = SIZE_MAX;
	turns(p.loop, 4);
	ws_far_takes(p.far, &p.heard, SIZE_MAX);
	stream_close(p.s, false);
	ws_far_takes(p.far, &p.heard, SIZE_MAX);
	check_heard(&p);
	stream_close(&p.far->s, false);
	turns(p.loop, 4);
	loop_free(p.loop);
	check(!p.open);
	text_free(&p.said);
	text_free(&p.read);
	text_free(&p.heard);
	return 0;
}
