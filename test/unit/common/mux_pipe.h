/*
 * For tests of the mux: a transport in memory, two ends on one loop, which splits, delays and
 * refuses as its dice say, and a checker of the frames that go over it.
 */
#ifndef TEST_UNIT_COMMON_MUX_PIPE_H
#define TEST_UNIT_COMMON_MUX_PIPE_H

#include <stdlib.h>
#include <string.h>

#include "common/mux/session.h"

/* ---- dice ---- */

static inline uint32_t dice(uint32_t *state, uint32_t sides)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return (uint32_t)(((uint64_t)*state * sides) >> 32);
}

/* ---- what goes over the wire ---- */

#ifndef WIRE_IDS
#define WIRE_IDS 8192
#endif

/* One direction of one stream. */
struct wire_half {
	bool syn, ack, fin, rst;
	uint64_t sent, granted; /* DATA bytes sent, and window updates sent for the other half */
};

/* One direction of a session. Streams are found by id / 2. */
struct wire {
	struct wire *other;
	uint32_t start_window;
	bool opens;
	bool loose; /* only the form is checked */
	uint8_t header[MUX_HEADER];
	size_t header_len;
	uint32_t left;
	uint64_t frames, pongs;
	bool goaway;
	struct wire_half half[WIRE_IDS];
	const char *error; /* the rule that was broken, NULL: none */
};

#define WIRE_RULE(cond, text)            \
	do {                             \
		if (!(cond))             \
			w->error = text; \
	} while (0)

static inline void wire_stream_frame(struct wire *w, struct mux_frame f)
{
	struct wire_half *h = &w->half[f.id / 2 % WIRE_IDS];
	struct wire_half *o = w->other ? &w->other->half[f.id / 2 % WIRE_IDS] : NULL;

	if (f.type == MUX_WINDOW)
		h->granted += f.length;
	if (w->loose)
		return;
	if (w->opens) {
		WIRE_RULE(h->syn != !!(f.flags & MUX_SYN), "the first frame and no other has SYN");
		h->syn = true;
	} else {
		WIRE_RULE(!(f.flags & MUX_SYN), "an acceptor sends no SYN");
		WIRE_RULE(!o || o->syn, "a stream begins with its opener");
		WIRE_RULE(!(f.flags & MUX_ACK) == (h->ack || (f.flags & MUX_RST)),
			  "the first frame and no other has ACK");
		h->ack = true;
	}
	WIRE_RULE(!h->rst, "nothing follows RST");
	WIRE_RULE(!h->fin || !(f.flags & MUX_FIN), "one FIN");
	if (f.type == MUX_DATA) {
		WIRE_RULE(!h->fin || !f.length, "no data after FIN");
		h->sent += f.length;
		WIRE_RULE(!o || h->sent <= w->start_window + o->granted, "windows are kept to");
	}
	h->fin |= !!(f.flags & MUX_FIN);
	h->rst |= !!(f.flags & MUX_RST);
}

static inline void wire_frame(struct wire *w, struct mux_frame f)
{
	w->frames++;
	if ((f.type == MUX_DATA || f.type == MUX_WINDOW))
		wire_stream_frame(w, f);
	w->left = f.type == MUX_DATA ? f.length : 0;
	w->pongs += f.type == MUX_PING && (f.flags & MUX_ACK);
	WIRE_RULE(f.type != MUX_GOAWAY || !w->goaway || f.length, "one GOAWAY");
	w->goaway |= f.type == MUX_GOAWAY;
}

static inline void wire_bytes(struct wire *w, const char *p, size_t n)
{
	while (n && !w->error) {
		struct mux_frame f;
		const char *why;
		size_t take = w->left ? w->left : MUX_HEADER - w->header_len;

		take = take < n ? take : n;
		if (w->left) {
			w->left -= (uint32_t)take;
		} else {
			memcpy(w->header + w->header_len, p, take);
			w->header_len += take;
		}
		p += take;
		n -= take;
		if (w->header_len < MUX_HEADER)
			continue;
		w->header_len = 0;
		if (mux_frame_get(w->header, &f, &why))
			wire_frame(w, f);
		else
			w->error = why;
	}
}

/* ---- the transport ---- */

struct fake {
	struct stream s;   /* first: it is one */
	struct fake *peer; /* NULL: closed */
	struct loop_tick tick;
	char *in; /* sent by the peer, not yet read */
	size_t in_len, in_cap;
	size_t room;       /* bytes that may be on their way to this end */
	uint32_t *seed;    /* NULL: no dice, all goes at once */
	struct wire *wire; /* of what this end writes; NULL: not checked */
	int want;
	bool fin_in;    /* the peer has ended its direction */
	bool dead;      /* reset by the peer, or killed by the test */
	bool stuck;     /* takes nothing */
	bool finished;  /* this end has */
	unsigned *open; /* counts ends that are not closed */
	uint64_t writes;
};

static inline struct fake *fake_of(struct stream *s)
{
	return (struct fake *)s;
}

static inline int fake_dirs(const struct fake *e)
{
	bool in = e->in_len || e->fin_in || e->dead;
	bool out = e->dead || !e->peer || (!e->stuck && e->peer->in_len < e->peer->room);

	return e->want & ((in ? STREAM_READ : 0) | (out ? STREAM_WRITE : 0));
}

static inline void fake_poke(struct fake *e)
{
	if (e && fake_dirs(e))
		loop_next_tick(e->s.loop, &e->tick);
}

static inline void fake_tick(void *arg)
{
	struct fake *e = arg;
	int dirs = fake_dirs(e);

	if (e->s.ready && dirs && (!e->seed || dice(e->seed, 3)))
		e->s.ready(e->s.ready_arg, dirs);
	if (e->s.ops)
		fake_poke(e); /* level-triggered */
}

static inline enum stream_rc fake_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct fake *e = fake_of(s);

	*n = 0;
	if (e->dead)
		return STREAM_ABORT;
	if (!e->in_len)
		return e->fin_in ? STREAM_EOF : STREAM_AGAIN;
	if (e->seed && !dice(e->seed, 4))
		return STREAM_AGAIN;
	*n = e->in_len < cap ? e->in_len : cap;
	if (e->seed && dice(e->seed, 2))
		*n = 1 + dice(e->seed, (uint32_t)*n);
	memcpy(buf, e->in, *n);
	e->in_len -= *n;
	memmove(e->in, e->in + *n, e->in_len);
	fake_poke(e->peer);
	return STREAM_OK;
}

/* Bytes for this end, as if its peer had written them. */
static inline void fake_put(struct fake *e, const void *buf, size_t n)
{
	if (!n)
		return;
	if (e->in_len + n > e->in_cap) {
		e->in_cap = 2 * (e->in_len + n);
		e->in = realloc(e->in, e->in_cap);
	}
	memcpy(e->in + e->in_len, buf, n);
	e->in_len += n;
	fake_poke(e);
}

static inline enum stream_rc fake_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct fake *e = fake_of(s);
	size_t room;

	*n = 0;
	if (e->dead || e->finished || !e->peer)
		return STREAM_ABORT;
	room = e->peer->in_len < e->peer->room ? e->peer->room - e->peer->in_len : 0;
	if (e->stuck || !room || (e->seed && !dice(e->seed, 4)))
		return STREAM_AGAIN;
	*n = len < room ? len : room;
	if (e->seed && dice(e->seed, 2))
		*n = 1 + dice(e->seed, (uint32_t)*n);
	if (e->wire)
		wire_bytes(e->wire, buf, *n);
	e->writes++;
	fake_put(e->peer, buf, *n);
	return STREAM_OK;
}

static inline void fake_want(struct stream *s, int dirs)
{
	fake_of(s)->want = dirs;
	fake_poke(fake_of(s));
}

static inline enum stream_rc fake_handshake(struct stream *s)
{
	return STREAM_OK;
}

static inline enum stream_rc fake_finish(struct stream *s)
{
	struct fake *e = fake_of(s);

	if (e->dead)
		return STREAM_ABORT;
	e->finished = true;
	if (e->peer) {
		e->peer->fin_in = true;
		fake_poke(e->peer);
	}
	return STREAM_OK;
}

static inline bool fake_flushed(const struct stream *s)
{
	return true;
}

static inline void fake_free(void *p)
{
	struct fake *e = p;

	free(e->in);
	free(e);
}

static inline void fake_close(struct stream *s, bool abort)
{
	struct fake *e = fake_of(s);

	if (e->peer && abort)
		e->peer->dead = true;
	if (e->peer) {
		e->peer->fin_in = true;
		e->peer->peer = NULL;
		fake_poke(e->peer);
	}
	s->ops = NULL;
	loop_tick_cancel(s->loop, &e->tick);
	--*e->open;
	loop_free_later(s->loop, e, fake_free);
}

static inline const char *fake_error(const struct stream *s)
{
	return ((const struct fake *)s)->dead ? "the transport was reset" : "";
}

static const struct stream_ops fake_ops = {
	.kind = "fake",
	.handshake = fake_handshake,
	.read = fake_read,
	.write = fake_write,
	.want = fake_want,
	.finish = fake_finish,
	.flushed = fake_flushed,
	.close = fake_close,
	.error = fake_error,
};

/* The connection breaks: both ends see a reset. */
static inline void fake_kill(struct fake *e)
{
	e->dead = true;
	fake_poke(e);
	if (e->peer) {
		e->peer->dead = true;
		fake_poke(e->peer);
	}
}

static inline void fake_pair(struct loop *l, uint32_t *seed, unsigned *open, struct fake *end[2])
{
	for (int i = 0; i < 2; i++) {
		end[i] = xcalloc(1, sizeof(*end[i]));
		end[i]->s = (struct stream){.ops = &fake_ops, .loop = l, .fd = -1};
		end[i]->tick.fn = fake_tick;
		end[i]->tick.arg = end[i];
		end[i]->seed = seed;
		end[i]->room = 1u << 20;
		end[i]->open = open;
	}
	end[0]->peer = end[1];
	end[1]->peer = end[0];
	*open += 2;
}

/* ---- turns ---- */

static inline void turns_stop(void *arg)
{
	loop_stop(arg);
}

/* So many turns of the loop, on this thread. */
static inline void turns(struct loop *l, int n)
{
	while (n-- > 0) {
		struct loop_tick t = {.fn = turns_stop, .arg = l};
		loop_next_tick(l, &t);
		loop_run(l);
	}
}

static inline void turns_over(evutil_socket_t fd, short what, void *arg)
{
	loop_stop(arg);
}

/* Milliseconds of wall clock, not scaled; the loop sleeps if it can. */
static inline void turns_for(struct loop *l, int ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_base_once(loop_base(l), -1, EV_TIMEOUT, turns_over, l, &tv);
	loop_run(l);
}

#endif
