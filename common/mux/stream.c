/* The mux kind of stream: windows, the buffer of a slow reader, the five calls. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mux/session.h"

#define BUFFER_MIN 4096u         /* a power of two */
#define SHRINK_ABOVE (64u << 10) /* buffers */
#define PING_EVERY_US 5000000u
#define GROWTH_RTTS 4
#define GROWTH_US 50000u /* ... or that long: a busy machine lets its processes wait */
#define CREDIT_PART 4    /* of a window is announced at once: a writer seldom has to wait */
/*
 * Nearby what is under way beyond 1 MiB brings no speed, but is what everybody else's bytes have to
 * wait behind.
 */
#define NEAR_US 1000u
#define NEAR_WINDOW (1u << 20)
#define QUICK_GROWTH (1u << 20) /* windows below grow fourfold, then twofold */
#define PROVEN (16u << 20)      /* who has read so much without a pause is worth more memory */
#define SLOW_RTTS 32            /* for a window: it is too large */
#define SLOW_US 400000u         /* ... but not sooner, as above */

static struct mstream *mstream_of(struct stream *s)
{
	return (struct mstream *)s;
}

/* ---- memory ---- */

uint32_t mstream_ring(uint32_t bytes)
{
	uint32_t ring = BUFFER_MIN;

	while (ring < bytes)
		ring *= 2;
	return ring;
}

static void charge(struct mstream *ms, enum memory kind, uint32_t bytes)
{
	account_charge(ms->m->account, kind, (int64_t)bytes - ms->charged[kind]);
	ms->charged[kind] = bytes;
}

/*
 * A stream pays for what its buffer takes; for a window that has grown, and that its peer may still
 * fill, in advance.
 */
void mstream_recharge(struct mstream *ms)
{
	uint32_t start = ms->m->start_ring, all = ms->cap;
	bool may_fill = !ms->fin_rcvd && !ms->reset && !ms->closed;

	if (may_fill && ms->window + ms->excess > ms->m->conf.start_window)
		all = mstream_ring(ms->window + ms->excess);
	charge(ms, MEMORY_START, all < start ? all : start);
	charge(ms, MEMORY_GROWTH, all < start ? 0 : all - start);
}

static void drop_buffer(struct mstream *ms)
{
	if (!ms->buf)
		return;
	free(ms->buf);
	ms->buf = NULL;
	ms->cap = ms->off = ms->unread = 0;
	mstream_recharge(ms);
}

/* Another size for the ring, its content at the start. */
static void resize(struct mstream *ms, uint32_t cap)
{
	char *buf = xmalloc(cap);

	if (ms->unread) {
		uint32_t first = ms->cap - ms->off;
		if (first > ms->unread)
			first = ms->unread;
		memcpy(buf, ms->buf + ms->off, first);
		memcpy(buf + first, ms->buf, ms->unread - first);
	}
	free(ms->buf);
	ms->buf = buf;
	ms->cap = cap;
	ms->off = 0;
	mstream_recharge(ms);
}

/* ---- receiving ---- */

static void store(struct mstream *ms, const char *p, uint32_t n)
{
	uint32_t at, first, cap = ms->cap ? ms->cap : BUFFER_MIN;

	while (cap < ms->unread + n)
		cap *= 2;
	if (cap != ms->cap)
		resize(ms, cap);
	at = (ms->off + ms->unread) & (ms->cap - 1);
	first = ms->cap - at < n ? ms->cap - at : n;
	memcpy(ms->buf + at, p, first);
	memcpy(ms->buf, p + first, n - first);
	ms->unread += n;
	if (ms->want & STREAM_READ)
		loop_next_tick(ms->m->loop, &ms->tick);
}

/*
 * Bytes for this stream. A reader that is ready takes them from where they are; what it leaves, or
 * all if it is not ready, is kept.
 */
void mstream_deliver(struct mstream *ms, const char *p, size_t n)
{
	if (ms->reset)
		return;
	if (!ms->unread && (ms->want & STREAM_READ) && ms->s.ready) {
		ms->view = p;
		ms->view_len = (uint32_t)n;
		ms->s.ready(ms->s.ready_arg, STREAM_READ);
		p = ms->view;
		n = ms->view_len;
		ms->view = NULL;
		ms->view_len = 0;
	}
	/* Its reader may have closed it, or the whole session. */
	if (n && !ms->closed && !ms->reset)
		store(ms, p, (uint32_t)n);
}

/*
 * A window that its reader empties within a few round trips is what slows the stream: it grows. A
 * window takes one round trip if nothing is lost; where something is, what came behind it waits for
 * one or two more until it was sent again.
 */
static bool emptied_quickly(const struct mstream *ms, uint64_t now)
{
	uint64_t span = (uint64_t)ms->m->rtt_us * GROWTH_RTTS;

	return now - ms->epoch_us <= (span > GROWTH_US ? span : GROWTH_US);
}

static void grow(struct mstream *ms)
{
	const struct mux *m = ms->m;
	uint32_t by = ms->window < QUICK_GROWTH ? 3 * ms->window : ms->window;
	uint32_t most = m->rtt_us <= NEAR_US ? NEAR_WINDOW : MUX_WINDOW_MAX;
	uint64_t may = account_growth(m->account, ms->kept_up >= PROVEN);

	if (ms->window >= most || ms->excess)
		return;
	if (by > may)
		by = ms->window;
	if (by > most - ms->window)
		by = most - ms->window;
	if (by > may)
		return;
	ms->window += by;
	ms->credit += by;
	mstream_recharge(ms);
}

/* A whole window was read. */
static void emptied(struct mstream *ms)
{
	uint64_t now = clock_us();

	if (ms->kept_up < PROVEN)
		ms->kept_up += ms->epoch_read;
	if (emptied_quickly(ms, now))
		grow(ms);
	ms->epoch_us = now;
	ms->epoch_read = 0;
	if (now - ms->m->pinged_us > PING_EVERY_US)
		mux_measure(ms->m);
}

/* What was read is not announced, as long as the window is to shrink. */
static void shrink(struct mstream *ms)
{
	uint32_t by = ms->excess < ms->credit ? ms->excess : ms->credit;

	ms->excess -= by;
	ms->credit -= by;
	if (ms->excess)
		return;
	if (ms->cap > mstream_ring(ms->window))
		resize(ms, mstream_ring(ms->window));
	mstream_recharge(ms);
}

/*
 * A reader that needs many round trips for its window has more than helps it: half of it goes back.
 * If nothing waits for it, it may be its peer that pauses; then only if memory is short.
 */
static void maybe_shrink(struct mstream *ms)
{
	uint64_t now = clock_us(), span = (uint64_t)ms->m->rtt_us * SLOW_RTTS;
	uint32_t start = ms->m->conf.start_window, half = ms->window / 2;

	if (now - ms->epoch_us <= (span > SLOW_US ? span : SLOW_US))
		return;
	ms->epoch_us = now;
	ms->epoch_read = 0;
	if (ms->unread > start)
		ms->kept_up = 0;
	else if (!account_short(ms->m->account))
		return;
	ms->excess = ms->window - (half > start ? half : start);
	ms->window -= ms->excess;
	shrink(ms);
}

static void consumed(struct mstream *ms, uint32_t n)
{
	uint32_t start = ms->m->conf.start_window;

	if (!ms->epoch_us)
		ms->epoch_us = clock_us();
	ms->credit += n;
	ms->epoch_read += n;
	if (ms->fin_rcvd || ms->reset)
		return;
	if (ms->excess)
		shrink(ms);
	if (ms->epoch_read >= ms->window)
		emptied(ms);
	if (ms->credit < ms->window / CREDIT_PART || (ms->owes & OWE_WINDOW))
		return;
	if (ms->window > start && !ms->excess)
		maybe_shrink(ms);
	if (ms->credit)
		mux_owe(ms, OWE_WINDOW);
}

/* What is there in one piece: of the view, or of the ring up to its edge. */
static const char *mstream_peek(struct stream *s, size_t *n)
{
	struct mstream *ms = mstream_of(s);
	uint32_t edge = ms->cap - ms->off;

	if (ms->view_len) {
		*n = ms->view_len;
		return ms->view;
	}
	*n = edge < ms->unread ? edge : ms->unread;
	return *n ? ms->buf + ms->off : NULL;
}

static void mstream_skip(struct stream *s, size_t len)
{
	struct mstream *ms = mstream_of(s);
	uint32_t n = (uint32_t)len;

	if (ms->view_len) {
		ms->view += n;
		ms->view_len -= n;
	} else {
		ms->off = (ms->off + n) & (ms->cap - 1);
		ms->unread -= n;
		if (!ms->unread)
			drop_buffer(ms);
		else if (ms->unread <= ms->cap / 4 && ms->cap > SHRINK_ABOVE)
			resize(ms, ms->cap / 2);
	}
	consumed(ms, n);
}

static enum stream_rc mstream_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct mstream *ms = mstream_of(s);
	const char *from;
	size_t piece;

	*n = 0;
	while (*n < cap && (from = mstream_peek(s, &piece))) {
		if (piece > cap - *n)
			piece = cap - *n;
		memcpy((char *)buf + *n, from, piece);
		mstream_skip(s, piece);
		*n += piece;
	}
	if (*n)
		return STREAM_OK;
	if (ms->fin_rcvd)
		return STREAM_EOF;
	return ms->reset ? STREAM_ABORT : STREAM_AGAIN;
}

/* ---- sending ---- */

uint16_t mstream_riding(struct mstream *ms)
{
	uint16_t flags = (ms->owes_syn ? MUX_SYN : 0) | (ms->owes_ack ? MUX_ACK : 0);

	ms->owes_syn = ms->owes_ack = false;
	return flags;
}

/* How much the stream may send now: what its window and the session's output have room for. */
static size_t may_send(struct mstream *ms)
{
	struct mux *m = ms->m;
	size_t room;

	if (m->out_len >= OUT_HIGH)
		mux_flush(m);
	if (m->out_len >= OUT_HIGH)
		return 0;
	room = mux_room(m) - MUX_HEADER;
	return room < ms->send_window ? room : ms->send_window;
}

/* With the frame's head it is one piece: what is read into it leaves in one segment. */
static char *mstream_room(struct stream *s, size_t *cap)
{
	struct mstream *ms = mstream_of(s);

	if (ms->reset || ms->fin_sent || !ms->m->t)
		return NULL;
	*cap = may_send(ms);
	if (*cap > STREAM_PIECE - MUX_HEADER)
		*cap = STREAM_PIECE - MUX_HEADER;
	return *cap ? mux_data_place(ms->m, ms, ms->owes_syn || ms->owes_ack) : NULL;
}

static enum stream_rc mstream_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct mstream *ms = mstream_of(s);
	struct mux *m = ms->m;
	uint16_t flags;
	size_t most;

	*n = 0;
	if (ms->reset || ms->fin_sent || !m->t)
		return STREAM_ABORT;
	most = may_send(ms);
	if (!most)
		return STREAM_AGAIN;
	if (len > most)
		len = most;
	flags = mstream_riding(ms);
	mux_put_data(m, ms, flags, buf, len);
	ms->send_window -= (uint32_t)len;
	*n = len;
	/* What an opener says first is only the begin of what it will say at once. */
	if (m->conf.alone && !(flags & MUX_SYN))
		mux_send_now(m);
	return STREAM_OK;
}

void mstream_wait(struct mstream *ms)
{
	if (!ms->waiting) {
		ms->waiting = true;
		TAILQ_INSERT_TAIL(&ms->m->waiting, ms, wait_link);
		ms->m->waiting_n++;
	}
	if (ms->m->out_len < OUT_HIGH)
		mux_wake(ms->m);
}

void mstream_stop_waiting(struct mstream *ms)
{
	if (!ms->waiting)
		return;
	ms->waiting = false;
	TAILQ_REMOVE(&ms->m->waiting, ms, wait_link);
	ms->m->waiting_n--;
}

/* What may be reported now; that a stream may write is the session's to say. */
static int reportable(const struct mstream *ms)
{
	if (ms->reset)
		return ms->want;
	return ms->unread || ms->fin_rcvd ? ms->want & STREAM_READ : 0;
}

static void mstream_want(struct stream *s, int dirs)
{
	struct mstream *ms = mstream_of(s);

	ms->want = (uint8_t)dirs;
	if (reportable(ms))
		loop_next_tick(s->loop, &ms->tick);
	/* With no window there is nothing to wait for but the peer's update. */
	if ((dirs & STREAM_WRITE) && ms->send_window && !ms->reset)
		mstream_wait(ms);
	else
		mstream_stop_waiting(ms);
}

static void on_tick(void *arg)
{
	struct mstream *ms = arg;
	int dirs = reportable(ms);

	if (ms->owes_syn && ms->m->conf.prompt)
		mux_owe(ms, OWE_RIDING);
	if (ms->s.ready && dirs)
		ms->s.ready(ms->s.ready_arg, dirs);
	/* As level-triggered as a socket: what is left is told again. */
	if (!ms->closed && ms->s.ready && reportable(ms))
		loop_next_tick(ms->s.loop, &ms->tick);
}

static enum stream_rc mstream_handshake(struct stream *s)
{
	return STREAM_OK;
}

static enum stream_rc mstream_finish(struct stream *s)
{
	struct mstream *ms = mstream_of(s);
	uint16_t flags;

	if (ms->fin_sent)
		return STREAM_OK;
	if (ms->reset || !ms->m->t)
		return STREAM_ABORT;
	ms->fin_sent = true;
	flags = mstream_riding(ms);
	if (flags || ms->m->conf.fin_alone || !mux_fin_tail(ms->m, ms))
		mux_owe(ms, (uint8_t)(OWE_FIN | (flags & MUX_SYN ? OWE_SYN : 0) |
				      (flags & MUX_ACK ? OWE_ACK : 0)));
	return STREAM_OK;
}

/* The session sends what it took, whatever becomes of the stream. */
static bool mstream_flushed(const struct stream *s)
{
	return true;
}

/* Is it closed in order, with nothing to say to a peer that is still to end it? */
static bool parts(const struct mstream *ms, bool abort)
{
	const struct mux *m = ms->m;
	bool unheard = ms->unread || ms->view_len || (m->cur == ms && m->left);

	return m->conf.close_ms && m->t && !abort && !ms->reset && ms->fin_sent && !ms->fin_rcvd &&
	       !unheard;
}

static void begin_parting(struct mstream *ms)
{
	struct mux *m = ms->m;

	ms->parting = true;
	ms->part_by = loop_now(m->loop) + loop_scaled(m->conf.close_ms);
	TAILQ_INSERT_TAIL(&m->parting, ms, wait_link);
	m->parting_n++;
}

void mstream_part(struct mstream *ms)
{
	struct mux *m = ms->m;

	ms->parting = false;
	TAILQ_REMOVE(&m->parting, ms, wait_link);
	m->parting_n--;
	idmap_del(m->streams, ms->id);
	if (!ms->owes)
		mstream_free(ms);
}

/* A stream that its peer has never heard of owes it nothing. */
static void forget_owed(struct mstream *ms)
{
	if (ms->owes)
		TAILQ_REMOVE(&ms->m->owing, ms, owe_link);
	ms->owes = 0;
}

static void mstream_close(struct stream *s, bool abort)
{
	struct mstream *ms = mstream_of(s);
	struct mux *m = ms->m;
	bool never_opened = ms->owes_syn;

	/* The FIN of the frame whose last bytes its reader has just seen. */
	if (m->cur == ms && !m->left)
		ms->fin_rcvd |= m->cur_fin;
	if (never_opened)
		forget_owed(ms);
	else if (!abort)
		(void)!mstream_finish(s);
	mstream_stop_waiting(ms);
	if (parts(ms, abort))
		begin_parting(ms);
	else
		idmap_del(m->streams, ms->id);
	loop_tick_cancel(m->loop, &ms->tick);
	drop_buffer(ms);
	ms->view_len = 0;
	if (m->cur == ms)
		m->cur = NULL;
	if (m->tail == ms)
		m->tail = NULL;
	ms->closed = true;
	mstream_over(ms);
	/* Both ends said: nothing to add. Otherwise the peer must not go on sending, or waiting. */
	if (m->t && !never_opened && !ms->reset && !ms->parting && !(ms->fin_sent && ms->fin_rcvd))
		mux_owe(ms, OWE_RST);
	if (!ms->owes && !ms->parting)
		mstream_free(ms);
	else
		mux_maybe_free(m);
}

/*
 * Frames are read in their order: a pong says that those in front of its ping were. A peer that is
 * to say ACK at once has none of a stream before it does.
 */
static bool mstream_known(struct stream *s)
{
	struct mux *m = mstream_of(s)->m;

	if (m->conf.prompt)
		return !m->conf.opens || mstream_of(s)->acked;
	if (!m->conf.opens || mstream_of(s)->id < m->known_below)
		return true;
	mux_measure(m);
	return false;
}

static const char *mstream_error(const struct stream *s)
{
	const struct mstream *ms = (const struct mstream *)s;

	if (!ms->reset)
		return "";
	return ms->m->t ? "stream reset by the peer" : "the session was lost";
}

static const struct stream_ops mux_ops = {
	.kind = "mux",
	.handshake = mstream_handshake,
	.read = mstream_read,
	.write = mstream_write,
	.peek = mstream_peek,
	.skip = mstream_skip,
	.room = mstream_room,
	.want = mstream_want,
	.finish = mstream_finish,
	.flushed = mstream_flushed,
	.close = mstream_close,
	.known = mstream_known,
	.error = mstream_error,
};

struct mstream *mstream_new(struct mux *m, uint32_t id)
{
	struct mstream *ms = xcalloc(1, sizeof(*ms));

	ms->s = (struct stream){.ops = &mux_ops, .loop = m->loop, .fd = -1};
	ms->m = m;
	ms->id = id;
	ms->send_window = ms->recv_window = ms->window = m->conf.start_window;
	ms->tick.fn = on_tick;
	ms->tick.arg = ms;
	idmap_put(m->streams, id, ms);
	m->count++;
	return ms;
}

/* Its user has closed it, and nothing is owed any more. */
void mstream_free(struct mstream *ms)
{
	struct mux *m = ms->m;

	m->count--;
	loop_free_later(m->loop, ms, NULL);
	if (!m->count && m->hooks && m->hooks->idle)
		m->emptied = true;
	if (m->count + 1 == m->conf.max_streams && m->hooks && m->hooks->room)
		m->relieved = true;
	if (m->emptied || m->relieved)
		mux_wake(m);
	mux_maybe_free(m);
}
