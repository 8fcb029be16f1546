/*
 * Two streams joined. The life of a byte: read -> judge -> tap -> write -> (what is left) pending.
 */
#include "common/stream/pair.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 4096u /* less is not worth a read of its own */

/* One side, and the direction that starts at it. */
struct half {
	struct pair *pair;
	struct half *peer;
	struct stream *s; /* NULL: taken */
	char *buf;        /* pending bytes, then held ones; NULL: none */
	uint64_t bytes;   /* passed */
	uint32_t off;     /* where the pending bytes start */
	uint32_t pending; /* passed by the judge, not yet taken by the other side */
	uint32_t held;    /* not passed yet */
	/* Bits, so that the compiler asks for several at once: that is done at every wake-up. */
	bool rejudge : 1;  /* held bytes are to be judged again, without new ones */
	bool hold : 1;     /* the judge wants no more until pair_release() */
	bool paused : 1;   /* there is no budget until pair_resume() */
	bool stopped : 1;  /* nothing more is read from this side */
	bool eof : 1;      /* this side has ended */
	bool eof_told : 1; /* ... and that may be passed on */
	bool eof_held : 1; /* ... and that may not be passed on yet */
	bool finished : 1; /* ... and the other side was told: this direction ended cleanly */
	bool dead : 1;     /* the other side takes no more bytes */
};

struct pair {
	struct half side[2];
	const struct pair_hooks *hooks;
	void *arg;
	pair_budget_fn *budget; /* NULL: no limit */
	struct loop *loop;
	struct loop_tick tick;      /* start and release */
	struct loop_timer *silence; /* NULL until half-closed */
	const char *error;
	struct half *leaving; /* its judge said JUDGE_LEAVE */
	int quiet;            /* quarters of PAIR_SILENCE_MS without a byte */
	bool cut;
	bool failed; /* whatever is under way is lost */
	bool ending; /* cut, leaving or failed: nothing is read; what was passed is delivered */
	bool over;   /* done was called */
};

static void on_silence(void *arg);

/* Held bytes of a side, and behind them what is read. One per thread: it is empty between pumps. */
static _Thread_local char io_buf[PAIR_HELD + PAIR_READ];

static enum side side_of(const struct half *h)
{
	return h == &h->pair->side[SIDE_SERVICE] ? SIDE_SERVICE : SIDE_VISITOR;
}

static void over(struct pair *p, enum pair_end why)
{
	if (p->over)
		return;
	p->over = true;
	if (p->silence)
		loop_timer_stop(p->silence);
	loop_tick_cancel(p->loop, &p->tick);
	for (int i = 0; i < 2; i++) {
		/* Who leaves will be read again at once, as a rule: two system calls less. */
		if (why != PAIR_LEFT || p->leaving != &p->side[i])
			stream_want(p->side[i].s, 0);
	}
	p->hooks->done(p->arg, why);
}

static bool ended(const struct half *h)
{
	return h->finished || h->dead || h->stopped;
}

/*
 * May the side that leaves go? Not before all that was passed to it is out of our hands, so that
 * its stream can be moved. One that was told an end, or takes no more, has nowhere to go.
 */
static void check_left(struct pair *p)
{
	struct half *h = p->leaving, *t = h->peer;

	if (t->dead || *stream_error(h->s))
		over(p, PAIR_ABORT);
	else if (h->pending || t->pending || !stream_flushed(h->s))
		return;
	else
		over(p, t->eof_told ? PAIR_DONE : PAIR_LEFT);
}

/* Both directions at rest for good, or cut and delivered? */
static void check_over(struct pair *p)
{
	struct half *a = &p->side[0], *b = &p->side[1];

	if (p->over)
		return;
	if (p->failed) {
		over(p, PAIR_ABORT);
	} else if (p->leaving) {
		check_left(p);
	} else if (p->cut) {
		if (!b->pending)
			over(p, b->dead ? PAIR_ABORT : PAIR_CUT);
	} else if (ended(a) && ended(b) && !a->pending && !b->pending) {
		over(p, a->finished || b->finished ? PAIR_DONE : PAIR_ABORT);
	}
}

/*
 * This side died: what it still had to say is lost, unless the other's word had reached it whole.
 */
static void aborted(struct half *h)
{
	struct pair *p = h->pair;

	p->error = stream_error(h->s);
	over(p, h->peer->finished ? PAIR_DONE : PAIR_ABORT);
}

static void drop(struct half *h)
{
	free(h->buf);
	h->buf = NULL;
	h->off = h->pending = h->held = 0;
}

/* What was passed and not taken is lost; what was not passed is still wanted. */
static void skip_pending(struct half *h)
{
	h->off += h->pending;
	h->pending = 0;
}

/* From the first half-close, or dead direction, on a pair on which nothing moves has an end. */
static void watch_silence(struct pair *p)
{
	if (p->silence)
		return;
	p->silence = xcalloc(1, sizeof(*p->silence));
	loop_timer_init(p->silence, p->loop, on_silence, p);
	loop_after(p->silence, PAIR_SILENCE_MS / 4);
}

/* The other side takes no more. It may still have something to say, so only this direction ends. */
static void direction_dead(struct half *h)
{
	h->dead = true;
	h->pair->error = stream_error(h->peer->s);
	if (h->pair->leaving == h)
		skip_pending(h);
	else
		drop(h);
	/* It may be stuck: what would move it may be what nobody reads here any more. */
	watch_silence(h->pair);
	if (h->pair->hooks->ends_unheard && side_of(h) == SIDE_SERVICE)
		h->pair->failed = h->pair->ending = true;
}

/* Keeps pending + held bytes from `from` on (which may be in h->buf; NULL: there are none). */
static void keep(struct half *h, const char *from, size_t pending, size_t held)
{
	char *old = h->buf;

	h->buf = NULL;
	h->off = 0;
	h->pending = (uint32_t)pending;
	h->held = (uint32_t)held;
	if (from && pending + held) {
		h->buf = xmalloc(pending + held);
		memcpy(h->buf, from, pending + held);
	}
	free(old);
}

/* Offers len bytes to the other side. False: that direction is dead. */
static bool offer(struct half *h, const char *buf, size_t len, size_t *taken)
{
	*taken = 0;
	if (len && stream_write(h->peer->s, buf, len, taken) == STREAM_ABORT) {
		direction_dead(h);
		return false;
	}
	h->pair->quiet = 0;
	return true;
}

/* As pass_on() ends: `made` is written, and what did not pass is kept. */
static void pass_made(struct half *h, const char *out, size_t made, const char *rest, size_t held)
{
	char *kept = xmalloc(made + held + 1);
	size_t taken;

	/* First of all: the other side may be about to write where the rest lies. */
	memcpy(kept + made, rest, held);
	bool alive = offer(h, out, made, &taken);
	size_t pending = alive ? made - taken : 0;

	if (alive || h->pair->leaving == h) {
		memcpy(kept + made - pending, out + made - pending, pending);
		keep(h, kept + made - pending, pending, held);
	}
	free(kept);
}

/* buf: everything from this side that was not passed yet (held before, or new). */
static void pass_on(struct half *h, const char *buf, size_t len)
{
	struct pair *p = h->pair;
	enum judge verdict = JUDGE_PASS;
	size_t pass = len, taken;

	if (p->hooks->judge)
		verdict = p->hooks->judge(p->arg, side_of(h), buf, len, &pass);
	h->bytes += pass;
	if (pass && p->hooks->tap)
		p->hooks->tap(p->arg, side_of(h), buf, pass);
	if (verdict == JUDGE_HOLD)
		h->hold = true;
	if (verdict == JUDGE_STOP || verdict == JUDGE_CUT) {
		h->stopped = true;
		len = pass;
	}
	p->cut |= verdict == JUDGE_CUT;
	if (verdict == JUDGE_LEAVE)
		p->leaving = h;
	p->ending = p->cut || p->leaving || p->failed;
	size_t made = pass;
	const char *out =
		p->hooks->edit ? p->hooks->edit(p->arg, side_of(h), buf, pass, &made) : NULL;

	if (out) {
		pass_made(h, out, made, buf + pass, len - pass);
		return;
	}
	if (offer(h, buf, pass, &taken)) {
		if (h->buf || taken < pass || pass < len) /* seldom */
			keep(h, buf + taken, pass - taken, len - pass);
	} else if (p->leaving == h) {
		keep(h, buf + pass, 0, len - pass);
	}
}

/* Writes on what waits. True: nothing is pending any more. */
static bool flush_pending(struct half *h)
{
	size_t taken;

	if (!h->pending)
		return true;
	if (!offer(h, h->buf + h->off, h->pending, &taken))
		return false;
	h->off += (uint32_t)taken;
	h->pending -= (uint32_t)taken;
	if (!h->pending && !h->held)
		drop(h);
	return !h->pending;
}

/* This side has ended: may that be passed on? Then what is held gets its last chance. */
static bool end_allowed(struct half *h)
{
	struct pair *p = h->pair;

	if (h->eof_held)
		return false;
	h->eof_told = !p->hooks->eof || p->hooks->eof(p->arg, side_of(h));
	h->eof_held = !h->eof_told;
	h->rejudge = h->eof_told && h->held;
	return h->eof_told;
}

/* This side has ended and everything is delivered: pass the end on. */
static void pass_end(struct half *h)
{
	struct pair *p = h->pair;
	struct stream *to = h->peer->s;

	if (h->finished)
		return;
	drop(h); /* what the judge did not let pass even now */
	/*
	 * The other direction has ended before: closing will say it, with one system call less. Not
	 * so on TLS: a close_notify is bytes, for which the socket may have no room just now.
	 */
	if (h->peer->finished && !stream_ssl(to) && stream_flushed(to)) {
		h->finished = true;
		return;
	}
	switch (stream_finish(to)) {
	case STREAM_OK:
		h->finished = true;
		break;
	case STREAM_AGAIN:
		break;
	default:
		direction_dead(h);
	}
	watch_silence(p);
}

/* Passes on what can be seen where it is, at most `most`. False: it has to be read. */
static bool pass_seen(struct half *h, size_t most)
{
	size_t n;
	const char *from = stream_peek(h->s, &n);

	if (!from)
		return false;
	if (n > most)
		n = most;
	pass_on(h, from, n);
	stream_skip(h->s, n);
	return true;
}

/* Where to read to, and how much: best where the other side would put it anyway. */
static char *reading_place(struct half *h, size_t most, size_t *cap)
{
	char *room = h->held ? NULL : stream_room(h->peer->s, cap);

	if (room && *cap >= ROOM_MIN) {
		*cap = *cap < most ? *cap : most;
		return room;
	}
	*cap = most < PAIR_READ ? most : PAIR_READ;
	return io_buf;
}

/* What may be read now; 0: nothing, it is paused. */
static size_t ask_budget(struct half *h)
{
	size_t most = h->pair->budget(h->pair->arg, side_of(h));

	h->paused = !most;
	return most;
}

/*
 * Reads once a wake-up: that others of this loop have their turn soon is worth more than a poll
 * saved. What is left is reported again. False: nothing more to do now.
 */
static bool read_once(struct half *h)
{
	size_t n, cap, held = h->held, most = SIZE_MAX;
	char *buf;

	if (held > PAIR_HELD) {
		over(h->pair, PAIR_ABORT); /* a judge that never decides */
		return false;
	}
	if (h->pair->budget && !(most = ask_budget(h)))
		return false;
	if (!held && pass_seen(h, most < PAIR_READ ? most : PAIR_READ))
		return false;
	buf = reading_place(h, most, &cap);
	if (held)
		memcpy(buf, h->buf + h->off, held);
	switch (stream_read(h->s, buf + held, cap, &n)) {
	case STREAM_OK:
		pass_on(h, buf, held + n);
		return false;
	case STREAM_AGAIN:
		return false;
	case STREAM_EOF:
		h->eof = true;
		return true;
	default:
		aborted(h);
		return false;
	}
}

/* One step of the direction that starts at h. False: it has to wait for something. */
static bool step(struct half *h)
{
	if (h->pair->over || h->dead || !flush_pending(h))
		return false;
	if (h->stopped || h->hold || h->paused || h->pair->ending)
		return false;
	if (h->rejudge) {
		h->rejudge = false;
		if (h->held)
			pass_on(h, h->buf + h->off, h->held);
		return h->eof; /* whether there is more to read will be told */
	}
	if (h->eof && !h->eof_told)
		return end_allowed(h);
	if (h->eof) {
		pass_end(h);
		return false;
	}
	return read_once(h);
}

/* Asked at each wake-up, so without a call. */
static inline bool may_be_over(const struct pair *p)
{
	return p->ending || (ended(&p->side[0]) && ended(&p->side[1]));
}

static void pump(struct half *h)
{
	while (step(h))
		;
	if (may_be_over(h->pair))
		check_over(h->pair);
}

static void want(struct half *h)
{
	const struct half *t = h->peer;
	bool reads = !h->eof && !h->stopped && !h->hold && !h->paused && !h->dead && !h->pending;
	bool writes = t->pending || (t->eof && !t->finished && !t->dead && !t->eof_held &&
				     !t->stopped && !h->pair->ending);

	if (h->pair->ending) {
		reads = false;
		writes |= h->pair->leaving == h && !stream_flushed(h->s);
	}
	stream_want(h->s, (reads ? STREAM_READ : 0) | (writes ? STREAM_WRITE : 0));
}

static void want_both(struct pair *p)
{
	if (p->over)
		return;
	want(&p->side[0]);
	want(&p->side[1]);
}

static void on_ready(void *arg, int dirs)
{
	struct half *h = arg;
	struct pair *p = h->pair;

	if (dirs & STREAM_READ)
		pump(h);
	if ((dirs & STREAM_WRITE) && !p->over)
		pump(h->peer);
	want_both(p);
}

/* Is there something to move? Of a plain socket without fed bytes the loop will tell. */
static bool may_move(const struct half *h)
{
	bool plain = stream_fd(h->s) >= 0 && !stream_ssl(h->s);

	return h->rejudge || h->eof || !plain;
}

static void on_tick(void *arg)
{
	struct pair *p = arg;

	for (int i = 0; i < 2 && !p->over; i++) {
		if (may_move(&p->side[i]))
			pump(&p->side[i]);
	}
	check_over(p);
	want_both(p);
}

static void on_silence(void *arg)
{
	struct pair *p = arg;

	bool taken = !p->side[SIDE_SERVICE].dead;

	if (++p->quiet >= 4 && taken && p->hooks->awaited && p->hooks->awaited(p->arg))
		p->quiet = 0;
	if (p->quiet >= 4)
		over(p, PAIR_SILENT);
	else
		loop_after(p->silence, PAIR_SILENCE_MS / 4);
}

struct pair *pair_new(struct stream *visitor, struct stream *service,
		      const struct pair_hooks *hooks, void *arg)
{
	struct pair *p = xcalloc(1, sizeof(*p));

	p->side[SIDE_VISITOR].s = visitor;
	p->side[SIDE_SERVICE].s = service;
	p->side[0].pair = p->side[1].pair = p;
	p->side[0].peer = &p->side[1];
	p->side[1].peer = &p->side[0];
	p->hooks = hooks;
	p->arg = arg;
	p->loop = stream_loop(visitor);
	p->error = "";
	p->tick.fn = on_tick;
	p->tick.arg = p;
	return p;
}

void pair_feed(struct pair *p, enum side side, const void *buf, size_t len)
{
	struct half *h = &p->side[side];
	char *all;

	assert(h->held + len <= PAIR_HELD + PAIR_READ);
	if (!len)
		return;
	all = xmalloc(h->held + len);
	if (h->held)
		memcpy(all, h->buf + h->off, h->held);
	memcpy(all + h->held, buf, len);
	free(h->buf);
	h->buf = all;
	h->off = 0;
	h->held += (uint32_t)len;
	h->rejudge = true;
}

void pair_start(struct pair *p)
{
	stream_on_ready(p->side[0].s, on_ready, &p->side[0]);
	stream_on_ready(p->side[1].s, on_ready, &p->side[1]);
	loop_next_tick(p->loop, &p->tick);
}

void pair_release(struct pair *p, enum side from)
{
	struct half *h = &p->side[from];

	if (p->over)
		return;
	h->hold = false;
	h->eof_held = false;
	h->rejudge = true;
	loop_next_tick(p->loop, &p->tick);
}

void pair_pace(struct pair *p, pair_budget_fn *fn)
{
	p->budget = fn;
}

void pair_resume(struct pair *p, enum side from)
{
	if (p->over)
		return;
	p->side[from].paused = false;
	loop_next_tick(p->loop, &p->tick);
}

void pair_cut(struct pair *p)
{
	p->cut = p->ending = true;
	if (!p->over)
		loop_next_tick(p->loop, &p->tick);
}

void pair_let_go(struct pair *p, enum side side)
{
	if (!p->leaving && !p->cut)
		p->leaving = &p->side[side];
	p->ending = true;
	if (!p->over)
		loop_next_tick(p->loop, &p->tick);
}

void pair_fail(struct pair *p)
{
	p->failed = p->ending = true;
	if (!p->over)
		loop_next_tick(p->loop, &p->tick);
}

void pair_say(struct pair *p, enum side from, const void *buf, size_t len)
{
	struct half *h = &p->side[from];
	size_t old = h->pending + h->held;

	if (p->over || h->dead || !len)
		return;
	char *all = xmalloc(old + len);

	if (h->pending)
		memcpy(all, h->buf + h->off, h->pending);
	memcpy(all + h->pending, buf, len);
	if (h->held)
		memcpy(all + h->pending + len, h->buf + h->off + h->pending, h->held);
	free(h->buf);
	h->buf = all;
	h->off = 0;
	h->pending += (uint32_t)len;
	loop_next_tick(p->loop, &p->tick);
}

bool pair_forgo(struct pair *p, enum side from)
{
	bool some = p->side[from].pending > 0;

	skip_pending(&p->side[from]);
	return some;
}

bool pair_heard(const struct pair *p, enum side side)
{
	const struct half *h = &p->side[side], *t = &p->side[!side];

	return !t->pending && !t->dead && !*stream_error(h->s) && stream_flushed(h->s);
}

bool pair_clean(const struct pair *p, enum side side)
{
	const struct half *h = &p->side[side], *t = &p->side[!side];

	return !h->eof && !h->held && !h->pending && !t->pending && !t->dead &&
	       !*stream_error(h->s) && stream_flushed(h->s);
}

struct stream *pair_stream(const struct pair *p, enum side side)
{
	return p->side[side].s;
}

struct stream *pair_take(struct pair *p, enum side side)
{
	struct stream *s = p->side[side].s;

	assert(p->over && s);
	p->side[side].s = NULL;
	stream_on_ready(s, NULL, NULL);
	return s;
}

struct stream *pair_leave(struct pair *p, enum side side, char **buf, size_t *len)
{
	struct half *h = &p->side[side];

	assert(p->leaving == h && !h->pending);
	*len = h->held;
	*buf = NULL;
	if (h->held) {
		memmove(h->buf, h->buf + h->off, h->held);
		*buf = h->buf;
		h->buf = NULL;
	}
	drop(h);
	return pair_take(p, side);
}

static void pair_free(void *arg)
{
	struct pair *p = arg;

	free(p->silence);
	free(p);
}

void pair_close(struct pair *p, bool abort)
{
	p->over = true;
	if (p->silence)
		loop_timer_stop(p->silence);
	loop_tick_cancel(p->loop, &p->tick);
	for (int i = 0; i < 2; i++) {
		struct half *h = &p->side[i];
		bool complete = h->eof && h->peer->finished;

		drop(h);
		if (!h->s)
			continue;
		stream_on_ready(h->s, NULL, NULL);
		if (abort || complete)
			stream_close(h->s, abort);
		else
			stream_linger(h->s);
		h->s = NULL;
	}
	loop_free_later(p->loop, p, pair_free);
}

bool pair_ended(const struct pair *p, enum side side)
{
	return p->side[side].finished;
}

uint64_t pair_bytes(const struct pair *p, enum side side)
{
	return p->side[side].bytes;
}

const char *pair_error(const struct pair *p)
{
	return p->error;
}
