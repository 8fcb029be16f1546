/*
 * Fuzzes messages over a stream. What comes is read in pieces of any size and has to be what a
 * simple reader finds in the same bytes; what is sent through a peer that takes it piece by piece
 * comes out as whole frames, in order. Input: operations {code, argument} and what they take.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "msg/pgrok/chan.h"
#include "test/unit/common/mux_pipe.h"

#define SENT_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct loop *loop;
	struct chan *chan;
	struct fake *near, *far;
	unsigned open;
	struct text fed, heard;
	size_t read_to; /* in fed: how far the simple reader came */
	unsigned got, sent;
	enum msg_type type[SENT_MAX]; /* of what was sent */
	enum chan_rc last;
};

static void check(bool good)
{
	if (!good)
		abort();
}

/* What the frame at the simple reader's place is. */
static enum chan_rc expected(struct play *p, struct msg *m, bool *has)
{
	const char *at = p->fed.p + p->read_to;
	size_t left = p->fed.len - p->read_to, n;
	struct err err;

	*has = false;
	enum frame_rc rc = frame_parse(at, left, &n);

	if (rc == FRAME_MORE)
		return CHAN_AGAIN;
	if (rc != FRAME_OK)
		return CHAN_BAD;
	p->read_to += FRAME_HEADER + n;
	switch (msg_decode(at + FRAME_HEADER, n, m, &err)) {
	case MSG_OK:
		*has = true;
		return CHAN_OK;
	case MSG_NULL:
		return CHAN_NULL;
	default:
		return CHAN_BAD;
	}
}

static void hear(struct play *p)
{
	struct msg m, same;
	bool has;

	for (int i = 0; i < 1000; i++) {
		enum chan_rc rc = chan_recv(p->chan, &m), want = CHAN_BAD;

		if (p->last == CHAN_BAD) {
			check(rc == CHAN_BAD); /* for ever after */
			return;
		}
		if (rc == CHAN_ABORT || rc == CHAN_EOF)
			return;
		want = expected(p, &same, &has);
		check(rc == want);
		p->last = rc;
		if (rc == CHAN_OK) {
			check(m.type == same.type);
			msg_free(&m);
		}
		if (has)
			msg_free(&same);
		if (rc == CHAN_BAD)
			check(*chan_error(p->chan));
		if (rc != CHAN_OK && rc != CHAN_NULL)
			return;
	}
}

static void say(struct play *p, uint8_t what)
{
	static const enum msg_type types[] = {MSG_PING, MSG_REQ_PROXY, MSG_REG_PROXY,
					      MSG_NEW_TUNNEL};
	static char big[3000];
	struct msg m = msg_new(types[what & 3]);

	if (p->sent == SENT_MAX)
		return;
	memset(big, 'a' + what % 26, sizeof(big) - 1);
	big[(size_t)what * 11 % (sizeof(big) - 1)] = '\0';
	if (m.type == MSG_REG_PROXY)
		m.reg_proxy.client_id = big;
	if (m.type == MSG_NEW_TUNNEL)
		m.new_tunnel.url = big;
	if (chan_send(p->chan, &m))
		p->type[p->sent++] = m.type;
	else
		check(*chan_error(p->chan));
}

/* The peer takes up to n bytes. */
static void far_take(struct play *p, size_t n)
{
	static char buf[4096];
	size_t got, all = 0, most;

	do {
		most = n + 1 - all < sizeof(buf) ? n + 1 - all : sizeof(buf);
		if (stream_read(&p->far->s, buf, most, &got) != STREAM_OK)
			break;
		text_add(&p->heard, buf, got);
		all += got;
	} while (all <= n);
	(void)!chan_flush(p->chan);
}

static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	uint8_t arg = op[1];

	switch (op[0] % 6) {
	case 0:
	case 1:
		left = arg < left ? arg : left;
		text_add(&p->fed, op + 2, left);
		fake_put(p->near, op + 2, left);
		hear(p);
		return left;
	case 2:
		say(p, arg);
		return 0;
	case 3:
		far_take(p, arg);
		return 0;
	case 4:
		p->far->room = arg;
		return 0;
	default:
		if (arg == 1)
			(void)!stream_finish(&p->far->s);
		else if (arg == 2)
			chan_set_queue(p->chan, 2000);
		else if (arg == 3)
			chan_set_max(p->chan, FRAME_HEADER + FRAME_BODY_MAX);
		hear(p);
		return 0;
	}
}

/* All that was sent, and nothing else. */
static void check_heard(struct play *p)
{
	size_t at = 0, n;
	unsigned i = 0;
	struct err err;
	struct msg m;

	p->far->room = SIZE_MAX;
	while (chan_waiting(p->chan))
		if (chan_flush(p->chan) != STREAM_OK)
			return;
	far_take(p, SIZE_MAX - 1);
	for (; frame_parse(p->heard.p + at, p->heard.len - at, &n) == FRAME_OK; i++) {
		check(msg_decode(p->heard.p + at + FRAME_HEADER, n, &m, &err) == MSG_OK);
		check(i < p->sent && m.type == p->type[i]);
		msg_free(&m);
		at += FRAME_HEADER + n;
	}
	check(at == p->heard.len && i == p->sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = {.loop = loop_new(), .last = CHAN_AGAIN};
	struct fake *end[2];

	fake_pair(p.loop, NULL, &p.open, end);
	p.near = end[0];
	p.far = end[1];
	p.chan = chan_new(&p.near->s);
	text_put(&p.fed, "");
	text_put(&p.heard, "");
	for (size_t at = 0; at + 2 <= size;)
		at += 2 + step(&p, data + at, size - at - 2);
	check_heard(&p);
	chan_free(p.chan);
	stream_close(&p.near->s, false);
	stream_close(&p.far->s, false);
	turns(p.loop, 2);
	loop_free(p.loop);
	check(!p.open);
	text_free(&p.fed);
	text_free(&p.heard);
	return 0;
}
