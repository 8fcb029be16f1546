/* The mux kind of stream: windows, the buffer of a slow reader, the five calls. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mux_session.h"

#define PING_EVERY_US 5000000u
#define RTT_FLOOR_US 1000u      /* on a loopback the clock and the scheduler are the round trip */
#define QUICK_GROWTH (1u << 20) /* windows below grow fourfold, then twofold */

static uint64_t memory_max = MUX_MEMORY_DEFAULT;
static _Atomic uint64_t memory_used;

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

bool mux_memory_over(const struct mux *m)
{
	return m->unread > MUX_UNREAD_SESSION ||
	       atomic_load_explicit(&memory_used, memory_order_relaxed) > memory_max;
}

static struct mstream *mstream_of(struct stream *s)
{
	return (struct mstream *)s;
}

/* ---- receiving ---- */

static void count_unread(struct mstream *ms, int64_t n)
{
	if (!n)
		return;
	ms->unread += (uint32_t)n;
	ms->m->unread += (uint64_t)n;
	atomic_fetch_add_explicit(&memory_used, (uint64_t)n, memory_order_relaxed);
}

static void drop_buffer(struct mstream *ms)
{
	count_unread(ms, -(int64_t)ms->unread);
	free(ms->buf);
	ms->buf = NULL;
	ms->cap = ms->off = 0;
}

static void find_fattest(void *value, void *arg)
{
	struct mstream *ms = value, **fattest = arg;
	if (!*fattest || ms->unread > (*fattest)->unread)
		*fattest = ms;
}

/* Too much is held: the stream whose reader is slowest pays for it. */
static void reset_fattest(struct mux *m)
{
	struct mstream *ms = NULL;

	idmap_each(m->streams, find_fattest, &ms);
	if (!ms || !ms->unread)
		return;
	log_warn("mux", "stream %u reset: its reader leaves %u bytes unread", ms->id, ms->unread);
	drop_buffer(ms);
	ms->reset = true;
	mux_owe(ms, OWE_RST);
	loop_next_tick(m->loop, &ms->tick);
}

/* Room for n more bytes in the ring, its content at the start. */
static void grow(struct mstream *ms, uint32_t n)
{
	uint32_t cap = ms->cap ? ms->cap : 4096;
	char *buf;

	while (cap < ms->unread + n)
		cap *= 2;
	buf = xmalloc(cap);
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
}

static void store(struct mstream *ms, const char *p, uint32_t n)
{
	uint32_t at, first;

	if (ms->unread + n > ms->cap)
		grow(ms, n);
	at = (ms->off + ms->unread) & (ms->cap - 1); /* cap is a power of two */
	first = ms->cap - at < n ? ms->cap - at : n;
	memcpy(ms->buf + at, p, first);
	memcpy(ms->buf, p + first, n - first);
	count_unread(ms, n);
	if (ms->want & STREAM_READ)
		loop_next_tick(ms->m->loop, &ms->tick);
	if (mux_memory_over(ms->m))
		reset_fattest(ms->m);
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
	if (n && !ms->closed)
		store(ms, p, (uint32_t)n);
}

/* A window that its reader empties within two round trips is what slows the stream: it grows. */
static void maybe_grow_window(struct mstream *ms)
{
	struct mux *m = ms->m;
	uint64_t now = mux_now_us(), rtt = m->rtt_us > RTT_FLOOR_US ? m->rtt_us : RTT_FLOOR_US;
	uint32_t by = ms->window < QUICK_GROWTH ? 3 * ms->window : ms->window;

	if (now - ms->epoch_us <= 2 * rtt && !mux_memory_over(m)) {
		if (by > MUX_WINDOW_MAX - ms->window)
			by = MUX_WINDOW_MAX - ms->window;
		ms->window += by;
		ms->credit += by;
	}
	ms->epoch_us = now;
	ms->epoch_read = 0;
	if (now - m->pinged_us > PING_EVERY_US)
		mux_ping(m);
}

static void consumed(struct mstream *ms, uint32_t n)
{
	if (!ms->epoch_us)
		ms->epoch_us = mux_now_us();
	ms->credit += n;
	ms->epoch_read += n;
	if (ms->fin_rcvd || ms->reset)
		return;
	if (ms->epoch_read >= ms->window)
		maybe_grow_window(ms);
	if (ms->credit >= ms->window / 2)
		mux_owe(ms, OWE_WINDOW);
}

static enum stream_rc mstream_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct mstream *ms = mstream_of(s);
	uint32_t take, first;

	*n = 0;
	if (ms->view_len) {
		take = cap < ms->view_len ? (uint32_t)cap : ms->view_len;
		memcpy(buf, ms->view, take);
		ms->view += take;
		ms->view_len -= take;
	} else if (ms->unread) {
		take = cap < ms->unread ? (uint32_t)cap : ms->unread;
		first = ms->cap - ms->off < take ? ms->cap - ms->off : take;
		memcpy(buf, ms->buf + ms->off, first);
		memcpy((char *)buf + first, ms->buf, take - first);
		ms->off = (ms->off + take) & (ms->cap - 1);
		count_unread(ms, -(int64_t)take);
		if (!ms->unread)
			drop_buffer(ms);
	} else if (ms->fin_rcvd) {
		return STREAM_EOF;
	} else {
		return ms->reset ? STREAM_ABORT : STREAM_AGAIN;
	}
	*n = take;
	consumed(ms, take);
	return STREAM_OK;
}

/* ---- sending ---- */

/* Flags that ride on the stream's next frame. */
static uint16_t riding(struct mstream *ms)
{
	uint16_t flags = (ms->owes_syn ? MUX_SYN : 0) | (ms->owes_ack ? MUX_ACK : 0);

	ms->owes_syn = ms->owes_ack = false;
	return flags;
}

static enum stream_rc mstream_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct mstream *ms = mstream_of(s);
	struct mux *m = ms->m;
	size_t room;

	*n = 0;
	if (ms->reset || ms->fin_sent || !m->t)
		return STREAM_ABORT;
	if (m->out_len >= OUT_HIGH)
		mux_flush(m);
	if (m->out_len >= OUT_HIGH || !ms->send_window)
		return STREAM_AGAIN;
	room = mux_room(m) - MUX_HEADER;
	if (len > room)
		len = room;
	if (len > ms->send_window)
		len = ms->send_window;
	mux_put_data(m, ms, riding(ms), buf, len);
	ms->send_window -= (uint32_t)len;
	*n = len;
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

static void mstream_want(struct stream *s, int dirs)
{
	struct mstream *ms = mstream_of(s);

	ms->want = (uint8_t)dirs;
	if (((dirs & STREAM_READ) && (ms->unread || ms->fin_rcvd)) || (dirs && ms->reset))
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
	int dirs = ms->reset ? ms->want : 0;

	if (ms->unread || ms->fin_rcvd)
		dirs |= ms->want & STREAM_READ;
	if (ms->s.ready && dirs)
		ms->s.ready(ms->s.ready_arg, dirs);
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
	flags = riding(ms);
	if (flags || !mux_fin_tail(ms->m, ms))
		mux_owe(ms, (uint8_t)(OWE_FIN | (flags & MUX_SYN ? OWE_SYN : 0) |
				      (flags & MUX_ACK ? OWE_ACK : 0)));
	return STREAM_OK;
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
	.want = mstream_want,
	.finish = mstream_finish,
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
	mux_maybe_free(m);
}
