/* The mux kind of stream: windows, the buffer of a slow reader, the five calls. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mux/session.h"

#define BUFFER_MIN 4096u         /* a power of two */
#define SHRINK_ABOVE (64u << 10) /* buffers */
#define PING_EVERY_US 5000000u
#define GROWTH_RTTS 4
#define CREDIT_PART 4 /* of a window is announced at once: a writer seldom has to wait */
/*
 * Nearby the round trip is no measure, it is mostly the scheduler's. What is under way beyond 1 MiB
 * brings no speed there, but is what everybody else's bytes have to wait behind.
 */
#define NEAR_US 1000u
#define NEAR_WINDOW (1u << 20)
#define GROWTH_NEAR_US 500u
#define QUICK_GROWTH (1u << 20) /* windows below grow fourfold, then twofold */

static uint64_t memory_max = MUX_MEMORY_DEFAULT;
static _Atomic uint64_t memory_used;
static _Atomic uint32_t sessions;

void mux_set_memory(uint64_t bytes)
{
	memory_max = bytes;
}

uint64_t mux_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct mstream *mstream_of(struct stream *s)
{
	return (struct mstream *)s;
}

/* ---- memory ---- */

uint64_t mux_memory_used(void)
{
	return atomic_load_explicit(&memory_used, memory_order_relaxed);
}

void mux_count_session(int by)
{
	atomic_fetch_add_explicit(&sessions, (uint32_t)by, memory_order_relaxed);
}

/*
 * What a session may hold. Once half of the process's memory is used only sessions with more than
 * an equal share of the rest pay for it: a client whose readers all stand still must not stop the
 * clients of others.
 */
static uint64_t memory_limit(void)
{
	uint32_t n = atomic_load_explicit(&sessions, memory_order_relaxed);
	uint64_t share = memory_max / 2 / (n ? n : 1);

	if (mux_memory_used() <= memory_max / 2 || share > MUX_UNREAD_SESSION)
		return MUX_UNREAD_SESSION;
	return share > BUFFER_MIN ? share : BUFFER_MIN;
}

static void count_held(struct mstream *ms, int64_t n)
{
	ms->m->held += (uint64_t)n;
	atomic_fetch_add_explicit(&memory_used, (uint64_t)n, memory_order_relaxed);
}

static void drop_buffer(struct mstream *ms)
{
	if (!ms->buf)
		return;
	count_held(ms, -(int64_t)ms->cap);
	free(ms->buf);
	ms->buf = NULL;
	ms->cap = ms->off = ms->unread = 0;
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
	count_held(ms, (int64_t)cap - ms->cap);
	free(ms->buf);
	ms->buf = buf;
	ms->cap = cap;
	ms->off = 0;
}

static void find_fattest(void *value, void *arg)
{
	struct mstream *ms = value, **fattest = arg;
	if (!*fattest || ms->cap > (*fattest)->cap)
		*fattest = ms;
}

/* Too much is held: the stream whose reader is slowest pays for it. False: nothing is held. */
static bool reset_fattest(struct mux *m)
{
	struct mstream *ms = NULL;

	idmap_each(m->streams, find_fattest, &ms);
	if (!ms || !ms->cap)
		return false;
	log_warn("mux", "stream %u reset: its reader leaves %u bytes unread", ms->id, ms->unread);
	drop_buffer(ms);
	if (!ms->reset)
		mux_owe(ms, OWE_RST);
	ms->reset = true;
	loop_next_tick(m->loop, &ms->tick);
	return true;
}

static bool make_room(struct mux *m, uint64_t more)
{
	while (m->held + more > memory_limit())
		if (!reset_fattest(m))
			return false;
	return true;
}

void mux_memory_trim(struct mux *m)
{
	(void)!make_room(m, 0);
}

/* ---- receiving ---- */

static void store(struct mstream *ms, const char *p, uint32_t n)
{
	uint32_t at, first, cap = ms->cap ? ms->cap : BUFFER_MIN;

	while (cap < ms->unread + n)
		cap *= 2;
	if (cap != ms->cap) {
		(void)!make_room(ms->m, cap - ms->cap);
		if (ms->reset)
			return;
		resize(ms, cap);
	}
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
static void maybe_grow_window(struct mstream *ms)
{
	struct mux *m = ms->m;
	uint64_t now = mux_now_us(), span = (uint64_t)m->rtt_us * GROWTH_RTTS;
	uint32_t by = ms->window < QUICK_GROWTH ? 3 * ms->window : ms->window;
	uint32_t most = MUX_WINDOW_MAX;

	if (m->rtt_us <= NEAR_US) {
		span = GROWTH_NEAR_US;
		most = NEAR_WINDOW;
	}
	if (now - ms->epoch_us <= span && ms->window < most && m->held <= memory_limit() / 2) {
		if (by > most - ms->window)
			by = most - ms->window;
		ms->window += by;
		ms->credit += by;
	}
	ms->epoch_us = now;
	ms->epoch_read = 0;
	if (now - m->pinged_us > PING_EVERY_US)
		mux_measure(m);
}

/* Memory is short, and this reader does not keep up: its window goes back to what it was. */
static void maybe_shrink_window(struct mstream *ms)
{
	uint32_t start = ms->m->conf.start_window, by = ms->window - start;

	if (ms->unread <= start || ms->m->held <= memory_limit() / 2)
		return;
	if (by > ms->credit)
		by = ms->credit;
	ms->window -= by;
	ms->credit -= by;
}

static void consumed(struct mstream *ms, uint32_t n)
{
	if (!ms->epoch_us)
		ms->epoch_us = mux_now_us();
	ms->credit += n;
	ms->epoch_read += n;
	if (ms->fin_rcvd || ms->reset)
		return;
	if (ms->window > ms->m->conf.start_window)
		maybe_shrink_window(ms);
	if (ms->epoch_read >= ms->window)
		maybe_grow_window(ms);
	if (ms->credit >= ms->window / CREDIT_PART)
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
	if (flags || !mux_fin_tail(ms->m, ms))
		mux_owe(ms, (uint8_t)(OWE_FIN | (flags & MUX_SYN ? OWE_SYN : 0) |
				      (flags & MUX_ACK ? OWE_ACK : 0)));
	return STREAM_OK;
}

/* The session sends what it took, whatever becomes of the stream. */
static bool mstream_flushed(const struct stream *s)
{
	return true;
}

static void mstream_close(struct stream *s, bool abort)
{
	struct mstream *ms = mstream_of(s);
	struct mux *m = ms->m;
	bool never_opened = ms->owes_syn;

	if (!abort && !never_opened)
		(void)!mstream_finish(s);
	idmap_del(m->streams, ms->id);
	mstream_stop_waiting(ms);
	loop_tick_cancel(m->loop, &ms->tick);
	drop_buffer(ms);
	ms->view_len = 0;
	if (m->cur == ms)
		m->cur = NULL;
	if (m->tail == ms)
		m->tail = NULL;
	ms->closed = true;
	/* Both ends said: nothing to add. Otherwise the peer must not go on sending, or waiting. */
	if (m->t && !never_opened && !ms->reset && !(ms->fin_sent && ms->fin_rcvd))
		mux_owe(ms, OWE_RST);
	if (!ms->owes)
		mstream_free(ms);
	else
		mux_maybe_free(m);
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
	if (!m->count && m->hooks && m->hooks->idle) {
		m->emptied = true;
		mux_wake(m);
	}
	mux_maybe_free(m);
}
