/* What a session is about to write: frames one behind the other, and what it still owes. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "common/mux/session.h"

/* One spare output buffer per thread: a session that is idle has none. */
static _Thread_local char *spare;
static pthread_key_t spare_key;

static void spare_free(void *p)
{
	free(*(char **)p);
}

static void spare_init(void)
{
	if (pthread_key_create(&spare_key, spare_free) != 0)
		abort();
}

/* The thread's spare goes with the thread. */
void mux_output_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static _Thread_local bool done;

	if (done)
		return;
	done = true;
	pthread_once(&once, spare_init);
	pthread_setspecific(spare_key, &spare);
}

static void out_take(struct mux *m)
{
	if (m->out)
		return;
	m->out = spare ? spare : xmalloc(OUT_CAP);
	spare = NULL;
}

void mux_output_idle(struct mux *m)
{
	if (!m->out || m->out_len)
		return;
	if (spare)
		free(m->out);
	else
		spare = m->out;
	m->out = NULL;
	m->tail = NULL;
}

size_t mux_room(const struct mux *m)
{
	return OUT_CAP - m->out_len;
}

/* The transport took everything up to out_off. */
static void out_advance(struct mux *m, size_t n)
{
	m->out_off += n;
	m->written += n;
	if (m->tail && m->out_off > m->tail_at)
		m->tail = NULL;
	if (m->out_off == m->out_len) {
		m->out_off = m->out_len = 0;
	} else if (m->out_off >= OUT_CAP / 2) {
		memmove(m->out, m->out + m->out_off, m->out_len - m->out_off);
		m->out_len -= m->out_off;
		m->tail_at -= m->tail ? m->out_off : 0;
		m->out_off = 0;
	}
}

void mux_send_now(struct mux *m)
{
	mux_flush(m);
	mux_output_idle(m);
}

void mux_flush(struct mux *m)
{
	size_t n;

	while (m->t && m->out_off < m->out_len && !m->blocked) {
		enum stream_rc v =
			stream_write(m->t, m->out + m->out_off, m->out_len - m->out_off, &n);
		if (v == STREAM_OK) {
			out_advance(m, n);
		} else if (v == STREAM_AGAIN) {
			m->blocked = true;
			m->tail = NULL; /* what was offered may not change any more */
			stream_want(m->t, STREAM_READ | STREAM_WRITE);
		} else {
			m->lost = stream_error(m->t);
			loop_next_tick(m->loop, &m->tick);
			return;
		}
	}
}

void mux_put_frame(struct mux *m, struct mux_frame f)
{
	out_take(m);
	mux_frame_put((uint8_t *)m->out + m->out_len, f);
	m->out_len += MUX_HEADER;
	m->tail = NULL;
	mux_wake(m);
}

char *mux_data_place(struct mux *m, const struct mstream *ms, bool flags)
{
	/* It becomes the session's when something is written. */
	if (!m->out && !spare)
		spare = xmalloc(OUT_CAP);
	if (!m->out)
		return spare + MUX_HEADER;
	return m->out + m->out_len + (m->tail == ms && !flags ? 0 : MUX_HEADER);
}

void mux_put_data(struct mux *m, struct mstream *ms, uint16_t flags, const void *buf, size_t len)
{
	out_take(m);
	if (m->tail == ms && !flags) {
		/* The stream's last frame has not left: it grows. */
		struct mux_frame f;
		const char *why;
		if (!mux_frame_get((uint8_t *)m->out + m->tail_at, &f, &why))
			abort();
		f.length += (uint32_t)len;
		mux_frame_put((uint8_t *)m->out + m->tail_at, f);
	} else {
		size_t at = m->out_len;
		mux_put_frame(m, (struct mux_frame){MUX_DATA, flags, ms->id, (uint32_t)len});
		m->tail = ms;
		m->tail_at = at;
	}
	if (buf != m->out + m->out_len)
		memcpy(m->out + m->out_len, buf, len);
	m->out_len += len;
}

bool mux_fin_tail(struct mux *m, struct mstream *ms)
{
	if (m->tail != ms)
		return false;
	m->out[m->tail_at + 3] |= MUX_FIN;
	m->tail = NULL;
	return true;
}

void mux_wake(struct mux *m)
{
	if (!m->freed)
		loop_next_tick(m->loop, &m->tick);
}

/* ---- what is owed ---- */

void mux_owe(struct mstream *ms, uint8_t what)
{
	if (!ms->owes)
		TAILQ_INSERT_TAIL(&ms->m->owing, ms, owe_link);
	ms->owes |= what;
	mux_wake(ms->m);
}

static void owed_stream(struct mux *m, struct mstream *ms)
{
	uint8_t owes = ms->owes;
	struct mux_frame f = {.type = MUX_WINDOW, .id = ms->id};

	TAILQ_REMOVE(&m->owing, ms, owe_link);
	ms->owes = 0;
	if (owes & ~OWE_RST) {
		f.flags = mstream_riding(ms) | (owes & OWE_SYN ? MUX_SYN : 0) |
			  (owes & OWE_ACK ? MUX_ACK : 0) | (owes & OWE_FIN ? MUX_FIN : 0);
		if (owes & OWE_WINDOW) {
			f.length = ms->credit;
			ms->recv_window += ms->credit;
			ms->credit = 0;
		}
		if (f.flags || (owes & OWE_WINDOW))
			mux_put_frame(m, f);
	}
	if (owes & OWE_RST)
		mux_put_frame(m, (struct mux_frame){MUX_WINDOW, MUX_RST, ms->id, 0});
	if (ms->closed && !ms->parting)
		mstream_free(ms);
}

void mux_put_owed(struct mux *m)
{
	struct mstream *ms;

	while (m->pong_n && mux_room(m) > MUX_HEADER) {
		uint32_t value = m->pong[m->pong_at++ % PINGS_OWED];
		m->pong_n--;
		mux_put_frame(m, (struct mux_frame){MUX_PING, MUX_ACK, 0, value});
	}
	if (m->goaway_owed && mux_room(m) > MUX_HEADER) {
		m->goaway_owed = false;
		m->goaway_sent = true;
		mux_put_frame(m, (struct mux_frame){MUX_GOAWAY, 0, 0, GOAWAY_NORMAL});
	}
	while ((ms = TAILQ_FIRST(&m->owing)) && mux_room(m) > 2 * MUX_HEADER)
		owed_stream(m, ms);
	while (m->rst_n && mux_room(m) > MUX_HEADER) {
		uint32_t id = m->rst[--m->rst_n];
		mux_put_frame(m, (struct mux_frame){MUX_WINDOW, MUX_RST, id, 0});
	}
}
