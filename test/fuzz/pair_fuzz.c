/*
 * Fuzzes a pair between two transports in memory, with judges whose verdicts are the input's. What
 * comes out at a side is what was sent into the other, from its first byte on and without a gap, as
 * far as the judge passed it; it ends once; whoever leaves takes along what was not passed.
 * Input: {1 byte: which hooks}, then operations {code, argument} and what they take.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/stream/pair.h"
#include "test/unit/common/mux_pipe.h"

#define SENT_MAX (1u << 20) /* bytes of a side */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct half {
	struct fake *far;
	uint64_t sent, passed, tapped, got; /* bytes of this side's; got: at the other end */
	bool finished, closed, stopped;     /* stopped: its judge said STOP, CUT or LEAVE */
};

struct play {
	struct loop *loop;
	struct pair *pair; /* NULL: closed */
	struct half side[2];
	unsigned open, ends;
	enum pair_end how;
	uint8_t script[32]; /* verdicts, in turn */
	unsigned script_at;
	bool hold_eof;
};

static void check(bool good)
{
	if (!good)
		abort();
}

/* The byte at a place of what a side says. */
static char byte_at(enum side s, uint64_t at)
{
	return (char)(at * 7 + at / 251 + (s ? 100 : 0));
}

static void check_bytes(enum side s, uint64_t from, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		check(buf[i] == byte_at(s, from + i));
}

/* ---- hooks ---- */

static enum judge judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct play *p = arg;
	struct half *s = &p->side[from];
	uint8_t say = p->script[p->script_at++ % sizeof(p->script)];
	enum judge verdict = JUDGE_PASS;

	check(len && !s->stopped && !p->ends);
	check_bytes(from, s->passed, buf, len);
	*pass = say & 8 ? len : (size_t)(say >> 4) < len ? (size_t)(say >> 4) : len;
	switch (say & 7) {
	case 1:
		verdict = JUDGE_HOLD;
		break;
	case 2:
		verdict = say >> 4 == 1 ? JUDGE_STOP : JUDGE_HOLD;
		break;
	case 3:
		verdict = say >> 4 == 2 ? JUDGE_CUT : JUDGE_PASS;
		break;
	case 4:
		verdict = say >> 4 == 3 && from == SIDE_VISITOR ? JUDGE_LEAVE : JUDGE_PASS;
		break;
	default:
		break;
	}
	/* Kept without an end it would be cut: what is there passes. */
	if (verdict == JUDGE_PASS && len > 1000)
		*pass = len;
	s->passed += *pass;
	s->stopped = verdict >= JUDGE_STOP;
	return verdict;
}

static bool on_eof(void *arg, enum side from)
{
	struct play *p = arg;

	return !p->hold_eof;
}

static void tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct play *p = arg;

	check_bytes(from, p->side[from].tapped, buf, len);
	p->side[from].tapped += len;
}

static void on_done(void *arg, enum pair_end how)
{
	struct play *p = arg;

	check(!p->ends++);
	p->how = how;
}

/* ---- the far ends ---- */

static void far_say(struct play *p, enum side s, size_t len)
{
	static char buf[4096];
	struct half *side = &p->side[s];
	size_t n;

	if (side->closed || side->sent + len > SENT_MAX)
		return;
	for (size_t i = 0; i < len; i++)
		buf[i] = byte_at(s, side->sent + i);
	if (stream_write(&side->far->s, buf, len, &n) == STREAM_OK)
		side->sent += n;
}

/* What has come out at the far end of s is the other's. */
static void far_hear(struct play *p, enum side s, size_t max)
{
	static char buf[70000];
	struct half *from = &p->side[!s];
	size_t n;

	if (p->side[s].closed)
		return;
	while (max && stream_read(&p->side[s].far->s, buf, max < sizeof(buf) ? max : sizeof(buf),
				  &n) == STREAM_OK) {
		check_bytes(!s, from->got, buf, n);
		from->got += n;
		max -= n;
	}
}

static void far_close(struct play *p, enum side s, bool abort)
{
	struct half *side = &p->side[s];

	if (!side->closed)
		stream_close(&side->far->s, abort);
	side->closed = true;
}

/* ---- the end ---- */

static void leave(struct play *p)
{
	struct half *s = &p->side[SIDE_VISITOR];
	size_t len;
	char *left;
	struct stream *out = pair_leave(p->pair, SIDE_VISITOR, &left, &len);

	check((left != NULL) == (len > 0));
	check_bytes(SIDE_VISITOR, s->passed, left, len);
	free(left);
	stream_close(out, false);
}

static void end(struct play *p, bool abort)
{
	if (!p->pair)
		return;
	for (int s = 0; s < 2; s++)
		check(pair_bytes(p->pair, (enum side)s) <= p->side[s].sent);
	if (p->ends && p->how == PAIR_LEFT)
		leave(p);
	else if (p->ends && p->how != PAIR_ABORT && !abort)
		stream_close(pair_take(p->pair, SIDE_VISITOR), false);
	pair_close(p->pair, abort);
	p->pair = NULL;
}

static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	enum side s = op[1] & 1 ? SIDE_SERVICE : SIDE_VISITOR;
	size_t arg = op[1] >> 1;

	switch (op[0] % 8) {
	case 0:
	case 1:
		far_say(p, s, op[0] & 64 ? 4096 : arg + 1);
		return 0;
	case 2:
		turns(p->loop, 1 + (int)arg % 3);
		return 0;
	case 3:
		far_hear(p, s, arg & 64 ? SIZE_MAX : arg);
		return 0;
	case 4:
		if (!p->side[s].closed)
			p->side[s].far->room = arg & 64 ? 1u << 20 : arg;
		return 0;
	case 5:
		if (p->pair && !p->ends)
			pair_release(p->pair, s);
		p->hold_eof = arg & 1;
		return 0;
	case 6:
		p->script[arg % sizeof(p->script)] = left ? op[2] : 0;
		return left ? 1 : 0;
	default:
		if (arg == 1 && !p->side[s].closed)
			(void)!stream_finish(&p->side[s].far->s);
		else if (arg == 2)
			far_close(p, s, true);
		else if (arg == 3)
			far_close(p, s, false);
		else if (arg == 4)
			end(p, true);
		else if (arg == 5)
			end(p, false);
		return 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = {.loop = loop_new()};
	struct fake *visitor[2], *service[2];

	if (size < 1) {
		loop_free(p.loop);
		return 0;
	}
	const struct pair_hooks hooks = {
		.judge = data[0] & 1 ? judge : NULL,
		.eof = data[0] & 2 ? on_eof : NULL,
		.tap = data[0] & 4 ? tap : NULL,
		.done = on_done,
	};

	fake_pair(p.loop, NULL, &p.open, visitor);
	fake_pair(p.loop, NULL, &p.open, service);
	p.side[SIDE_VISITOR].far = visitor[1];
	p.side[SIDE_SERVICE].far = service[1];
	p.pair = pair_new(&visitor[0]->s, &service[0]->s, &hooks, &p);
	pair_start(p.pair);
	for (size_t at = 1; at + 2 <= size;)
		at += 2 + step(&p, data + at, size - at - 2);
	turns(p.loop, 2);
	end(&p, false);
	turns(p.loop, 2);
	for (int s = 0; s < 2; s++) {
		far_hear(&p, (enum side)s, SIZE_MAX);
		check(p.side[s].got <= p.side[s].sent);
		check(!hooks.judge || p.side[s].got <= p.side[s].passed);
		check(!hooks.tap || p.side[s].got <= p.side[s].tapped);
		far_close(&p, (enum side)s, false);
	}
	turns(p.loop, 4);
	loop_free(p.loop);
	check(!p.open);
	return 0;
}
