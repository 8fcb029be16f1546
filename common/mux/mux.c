/*
 * The session: frames in, frames out. The life of an incoming byte: transport -> parse -> view of
 * the stream (its reader copies it out at once) or its buffer -> stream_read(). Of an outgoing one:
 * stream_write() -> the session's output -> one stream_write() on the transport at the end of the
 * turn.
 */
#include "common/mux/mux.h"

#include <stdlib.h>
#include <string.h>

#include "common/mux/session.h"
#include "common/net/rtt.h"

#define READ_SIZE (64u << 10) /* once a wake-up, as pairs do */
#define DRAIN_MS 10000        /* the last frames of a session without an owner; in this time at */
#define DRAIN_LEAST 1024      /* least so many bytes go out, or it is lost */
#define PROBES 32             /* round trips until the length of the path is known, at most */
#define PATH_SHORT_US 1000    /* no shorter one needs to be looked for */
#define PONGS 8               /* and twice as many: then an older round trip is forgotten */

static _Thread_local char in_buf[READ_SIZE];

static void on_tick(void *arg);

/* Does anything wait for the next turn, the transport permitting? */
static bool work_left(const struct mux *m)
{
	return m->waiting_n || m->rst_n || m->pong_n || m->goaway_owed || !TAILQ_EMPTY(&m->owing);
}

/* ---- the end ---- */

static void mark_dead(void *value, void *arg)
{
	struct mstream *ms = value;
	ms->reset = true;
	mstream_over(ms);
	loop_next_tick(ms->m->loop, &ms->tick);
}

static void drop_owing(struct mux *m)
{
	struct mstream *ms;

	while ((ms = TAILQ_FIRST(&m->owing))) {
		TAILQ_REMOVE(&m->owing, ms, owe_link);
		ms->owes = 0;
		if (ms->closed)
			mstream_free(ms);
	}
}

static void drop_parting(struct mux *m)
{
	struct mstream *ms;

	while ((ms = TAILQ_FIRST(&m->parting)))
		mstream_part(ms);
}

static void tell_down(struct mux *m, const char *why)
{
	const struct mux_hooks *hooks = m->hooks;

	if (m->down)
		return;
	m->down = true;
	if (hooks)
		hooks->down(m->arg, why);
}

enum bye { BYE_CLOSE, BYE_ABORT, BYE_LINGER };

/* The transport is gone: every stream hears of it on the next tick. */
static void session_lost(struct mux *m, const char *why, enum bye how)
{
	if (!m->t)
		return;
	log_debug("mux", "session lost: %s (%u streams)", why, m->count);
	if (how == BYE_LINGER)
		stream_linger(m->t);
	else
		stream_close(m->t, how == BYE_ABORT);
	m->t = NULL;
	m->cur = NULL;
	m->tail = NULL;
	m->rst_n = 0;
	m->pong_n = 0;
	m->goaway_owed = false;
	m->out_len = m->out_off = 0;
	mux_output_idle(m);
	loop_timer_stop(&m->beat);
	drop_parting(m);
	drop_owing(m);
	idmap_each(m->streams, mark_dead, NULL);
	tell_down(m, why);
	mux_maybe_free(m);
}

/* The peer broke the protocol: it is told so, if that is possible at once. */
static void protocol_error(struct mux *m, const char *why)
{
	if (mux_room(m) > MUX_HEADER && !m->blocked) {
		mux_put_frame(m, (struct mux_frame){MUX_GOAWAY, 0, 0, GOAWAY_PROTOCOL});
		mux_flush(m);
	}
	session_lost(m, why, BYE_LINGER);
}

static void mux_free(void *p)
{
	struct mux *m = p;

	account_leave(m->account);
	idmap_free(m->streams);
	free(m->out);
	free(m);
}

static void owe_goaway(struct mux *m)
{
	if (m->goaway_owed || m->goaway_sent)
		return;
	m->goaway_owed = true;
	mux_wake(m);
}

/* Are its owner and the users of its streams gone? */
static bool left_alone(const struct mux *m)
{
	return !m->hooks && idmap_count(m->streams) == m->parting_n;
}

/* Ends a session that nobody owns and no stream uses, once its last frames are out. */
void mux_maybe_free(struct mux *m)
{
	if (m->hooks || m->freed)
		return;
	if (m->t && !m->lost && !m->count)
		owe_goaway(m);
	if (m->t && !m->lost && (m->count || m->out_len || work_left(m))) {
		/* The tick comes back here; a peer that takes nothing may not keep it for ever. */
		if (left_alone(m) && !loop_timer_pending(&m->drain)) {
			m->drained = m->written;
			loop_after(&m->drain, DRAIN_MS);
		}
		return;
	}
	if (m->count)
		return;
	if (m->t) {
		stream_linger(m->t);
		m->t = NULL;
	}
	m->freed = true;
	loop_exit_del(m->loop, &m->exit);
	loop_timer_stop(&m->drain);
	loop_timer_stop(&m->beat);
	loop_tick_cancel(m->loop, &m->tick);
	loop_free_later(m->loop, m, mux_free);
}

static void at_exit(void *arg)
{
	struct mux *m = arg;

	loop_exit_del(m->loop, &m->exit);
	session_lost(m, "shutting down", BYE_CLOSE);
}

static void on_drain(void *arg)
{
	struct mux *m = arg;

	if (m->written - m->drained < DRAIN_LEAST) {
		session_lost(m, "its last frames were not taken", BYE_ABORT);
		return;
	}
	m->drained = m->written;
	loop_after(&m->drain, DRAIN_MS);
}

void mux_close(struct mux *m, bool abort)
{
	m->hooks = NULL;
	m->down = true;
	m->exit.fn = at_exit;
	m->exit.arg = m;
	loop_exit_add(m->loop, &m->exit);
	if (abort)
		session_lost(m, "closed", BYE_ABORT);
	/* What an opener has opened may not have left yet: it says so at the end. */
	if (m->t && !m->conf.opens)
		owe_goaway(m);
	mux_maybe_free(m);
}

/* ---- the turn's end ---- */

/* Streams that wait to write, first come first served, as long as there is room. */
static void wake_writers(struct mux *m)
{
	struct mstream *ms;
	uint32_t n = m->waiting_n;

	/* Others, whose bytes came in this turn, may have filled it: in every turn, for ever. */
	if (n && m->out_len >= OUT_HIGH)
		mux_flush(m);
	while (n-- && m->t && m->out_len < OUT_HIGH && (ms = TAILQ_FIRST(&m->waiting))) {
		mstream_stop_waiting(ms);
		if (ms->s.ready && (ms->want & STREAM_WRITE))
			ms->s.ready(ms->s.ready_arg, STREAM_WRITE);
		/* It still wants to. */
		if (!ms->closed && !ms->reset && (ms->want & STREAM_WRITE) && ms->send_window)
			mstream_wait(ms);
	}
}

static void tell_idle(struct mux *m)
{
	if (!m->emptied || m->count || m->down || !m->t)
		return;
	m->emptied = false;
	if (m->hooks && m->hooks->idle)
		m->hooks->idle(m->arg);
}

static void tell_room(struct mux *m)
{
	if (!m->relieved || m->down || !m->t)
		return;
	m->relieved = false;
	if (m->hooks && m->hooks->room)
		m->hooks->room(m->arg);
}

static void on_tick(void *arg)
{
	struct mux *m = arg;

	if (m->lost && m->t) {
		session_lost(m, m->lost, BYE_ABORT);
		return;
	}
	if (m->t && !m->blocked) {
		/* A writer may close its stream, or the session with it. */
		wake_writers(m);
		if (m->t && work_left(m))
			mux_put_owed(m);
		tell_idle(m);
		tell_room(m);
		mux_flush(m);
		/* Room again, and work left: after the next poll. What was put here is out. */
		if (m->t && !m->blocked && work_left(m))
			mux_wake(m);
		else if (!m->lost)
			loop_tick_cancel(m->loop, &m->tick);
	}
	if (m->ids_used && m->t)
		tell_down(m, "all stream ids are used");
	mux_output_idle(m);
	mux_maybe_free(m);
}

/* ---- input ---- */

/* No room for another stream: its opener is told, now or with what is owed. */
static void refuse(struct mux *m, uint32_t id)
{
	if (m->out_len < OUT_HIGH) {
		mux_put_frame(m, (struct mux_frame){MUX_WINDOW, MUX_RST, id, 0});
	} else if (m->rst_n < sizeof(m->rst) / sizeof(m->rst[0])) {
		m->rst[m->rst_n++] = id;
		mux_wake(m);
	} else {
		m->fault = "too many streams at once";
	}
}

/* Is there room, and memory, for one more stream? */
static bool may_begin(const struct mux *m)
{
	if (m->count >= m->conf.max_streams)
		return false;
	return (m->conf.alone && !idmap_count(m->streams)) || account_admits(m->account);
}

static void new_stream(struct mux *m, struct mux_frame f)
{
	struct mstream *ms;

	if (m->down || !may_begin(m)) {
		refuse(m, f.id);
		return;
	}
	ms = mstream_new(m, f.id);
	ms->owes_ack = true;
	if (m->conf.prompt)
		mux_owe(ms, OWE_RIDING);
	m->hooks->accepted(m->arg, &ms->s);
}

static void got_reset(struct mstream *ms)
{
	ms->reset = true;
	mstream_over(ms);
	if (ms->want)
		loop_next_tick(ms->m->loop, &ms->tick);
}

static void got_fin(struct mux *m, struct mstream *ms)
{
	if (ms->fin_rcvd) {
		m->fault = "a second FIN";
		return;
	}
	ms->fin_rcvd = true;
	mstream_over(ms);
	if (ms->want & STREAM_READ)
		loop_next_tick(m->loop, &ms->tick);
}

static void got_window(struct mux *m, struct mstream *ms, uint32_t delta)
{
	if (delta > UINT32_MAX - ms->send_window) {
		m->fault = "window overflow";
		return;
	}
	ms->send_window += delta;
	if (delta && (ms->want & STREAM_WRITE))
		mstream_wait(ms);
}

/* Its user has gone: what it says is not heard, and whoever says much is told so. */
static void got_parting(struct mstream *ms, struct mux_frame f)
{
	if (f.flags & (MUX_FIN | MUX_RST)) {
		mstream_part(ms);
	} else if (f.type == MUX_DATA && f.length) {
		mux_owe(ms, OWE_RST);
		mstream_part(ms);
	}
}

static void got_stream_frame(struct mux *m, struct mux_frame f)
{
	struct mstream *ms = idmap_get(m->streams, f.id);

	if (f.flags & MUX_SYN) {
		if (ms || m->conf.opens) {
			m->fault = "unexpected SYN";
			return;
		}
		new_stream(m, f);
		ms = idmap_get(m->streams, f.id);
	} else if (ms && ms->owes_syn) {
		m->fault = "frame of a stream that is not open yet";
		return;
	}
	if (f.type == MUX_DATA) {
		m->left = f.length;
		m->cur = ms && !ms->parting ? ms : NULL;
		m->cur_fin = f.flags & MUX_FIN;
		if (ms && f.length && ms->fin_rcvd)
			m->fault = "data after FIN";
		else if (ms && f.length > ms->recv_window)
			m->fault = "window overrun";
		else if (ms)
			ms->recv_window -= f.length;
	}
	if (!ms || m->fault)
		return;
	ms->acked = true;
	if (ms->parting) {
		got_parting(ms, f);
		return;
	}
	if (f.type == MUX_WINDOW)
		got_window(m, ms, f.length);
	if (f.flags & MUX_RST)
		got_reset(ms);
	/* Of a DATA frame the FIN comes after its bytes. */
	else if ((f.flags & MUX_FIN) && (f.type == MUX_WINDOW || !f.length))
		got_fin(m, ms);
}

/*
 * The length of the path is wanted, not that of the queues on it, which a bulk stream fills, nor
 * how long two busy machines let their processes wait: the shortest round trip counts. A path may
 * become longer; so not the shortest ever.
 */
static void got_round_trip(struct mux *m, uint64_t us)
{
	uint32_t now = us < 60000000 ? (uint32_t)us + 1 : 60000000;

	if (now < m->rtt.least_us)
		m->rtt.least_us = now;
	m->rtt_us = m->rtt.least_us < m->rtt.last_us ? m->rtt.least_us : m->rtt.last_us;
	if (++m->rtt.pongs < PONGS)
		return;
	m->rtt.pongs = 0;
	m->rtt.last_us = m->rtt.least_us;
	m->rtt.least_us = UINT32_MAX;
}

/*
 * Was one of the round trips as short as the path? No shorter ones than the kernel's can come: it
 * answers before any process does. (That of a relay on the way may be much shorter.)
 */
static bool path_is_known(const struct mux *m)
{
	return m->rtt_us <= PATH_SHORT_US || m->rtt_us / 2 < rtt_least_us(stream_fd(m->t));
}

static void got_pong(struct mux *m)
{
	got_round_trip(m, clock_us() - m->ping_us);
	m->ping_us = 0;
	m->known_below = m->pinged_below;
	if (m->probes > 1 && !path_is_known(m)) {
		m->probes--;
		mux_measure(m);
		return;
	}
	if (m->probes)
		log_debug("mux", "round trip %u us, the kernel's %u us", m->rtt_us,
			  rtt_least_us(stream_fd(m->t)));
	m->probes = 0;
	if (m->hooks && m->hooks->measured && !m->down)
		m->hooks->measured(m->arg);
}

static void got_ping(struct mux *m, struct mux_frame f)
{
	/* Or who asks on and on would keep it: on_drain() sees that something goes out. */
	if ((f.flags & MUX_SYN) && left_alone(m))
		return;
	if ((f.flags & MUX_SYN) && m->out_len < OUT_HIGH) {
		mux_put_frame(m, (struct mux_frame){MUX_PING, MUX_ACK, 0, f.length});
	} else if (f.flags & MUX_SYN) {
		/* Of many that come while nothing leaves the last ones are answered. */
		if (m->pong_n == PINGS_OWED)
			m->pong_at++;
		else
			m->pong_n++;
		m->pong[(m->pong_at + m->pong_n - 1) % PINGS_OWED] = f.length;
		mux_wake(m);
	} else if ((f.flags & MUX_ACK) && m->ping_us && f.length == m->ping_id) {
		got_pong(m);
	}
}

static void got_frame(struct mux *m, struct mux_frame f)
{
	switch (f.type) {
	case MUX_DATA:
	case MUX_WINDOW:
		got_stream_frame(m, f);
		break;
	case MUX_PING:
		got_ping(m, f);
		break;
	case MUX_GOAWAY:
		if (f.length == GOAWAY_NORMAL)
			tell_down(m, "the peer takes no more streams");
		else
			m->fault = "the peer gave up";
		break;
	}
}

/* Bytes of the DATA frame under way; returns how many. */
static size_t got_data(struct mux *m, const char *p, size_t n)
{
	struct mstream *ms = m->cur;

	if (n > m->left)
		n = m->left;
	m->left -= (uint32_t)n;
	if (ms)
		mstream_deliver(ms, p, n);
	/* Its reader may have closed it. */
	if (!m->left && m->cur && m->cur_fin)
		got_fin(m, m->cur);
	if (!m->left)
		m->cur = NULL;
	return n;
}

static void parse(struct mux *m, const char *p, size_t n)
{
	struct mux_frame f;
	const char *why;

	while (n && m->t && !m->fault) {
		if (m->left) {
			size_t used = got_data(m, p, n);
			p += used;
			n -= used;
			continue;
		}
		size_t need = MUX_HEADER - m->header_len;
		if (need > n)
			need = n;
		memcpy(m->header + m->header_len, p, need);
		m->header_len += (uint8_t)need;
		p += need;
		n -= need;
		if (m->header_len < MUX_HEADER)
			break;
		m->header_len = 0;
		if (mux_frame_get(m->header, &f, &why))
			got_frame(m, f);
		else
			m->fault = why;
	}
	if (m->fault && m->t)
		protocol_error(m, m->fault);
}

static void read_once(struct mux *m)
{
	size_t n = 0;

	switch (stream_read(m->t, in_buf, READ_SIZE, &n)) {
	case STREAM_OK:
		m->heard = true;
		parse(m, in_buf, n);
		break;
	case STREAM_AGAIN:
		break;
	case STREAM_EOF:
		session_lost(m, "the peer ended the session", BYE_CLOSE);
		break;
	case STREAM_ABORT:
		session_lost(m, stream_error(m->t), BYE_ABORT);
		break;
	}
}

static void on_ready(void *arg, int dirs)
{
	struct mux *m = arg;

	if (dirs & STREAM_WRITE) {
		m->blocked = false;
		mux_flush(m);
		mux_wake(m);
	}
	if (dirs & STREAM_READ)
		read_once(m);
	if (m->t)
		stream_want(m->t, STREAM_READ | (m->blocked ? STREAM_WRITE : 0));
}

/* ---- start ---- */

void mux_measure(struct mux *m)
{
	if (m->ping_us || mux_room(m) <= MUX_HEADER || !m->t)
		return;
	m->ping_us = clock_us();
	m->pinged_us = m->ping_us;
	m->pinged_below = m->next_id;
	mux_put_frame(m, (struct mux_frame){MUX_PING, MUX_SYN, 0, ++m->ping_id});
}

/* Is the peer still there, and are those that only wait for it? */
static void on_beat(void *arg)
{
	struct mux *m = arg;
	struct mstream *ms;

	m->misses = m->heard ? 0 : m->misses + 1;
	m->heard = false;
	if (m->misses >= m->conf.ping_misses) {
		session_lost(m, "the peer does not answer", BYE_ABORT);
		return;
	}
	while ((ms = TAILQ_FIRST(&m->parting)) && ms->part_by <= loop_now(m->loop)) {
		mux_owe(ms, OWE_RST);
		mstream_part(ms);
	}
	mux_measure(m);
	loop_after(&m->beat, m->conf.ping_ms);
}

struct mux *mux_new(struct stream *transport, const struct mux_conf *conf,
		    struct mux_account *account, const struct mux_hooks *hooks, void *arg)
{
	struct mux *m = xcalloc(1, sizeof(*m));

	mux_output_init();
	account_join(account);
	m->account = account;
	m->t = transport;
	m->loop = stream_loop(transport);
	m->conf = *conf;
	m->hooks = hooks;
	m->arg = arg;
	m->start_ring = mstream_ring(conf->start_window);
	m->next_id = conf->first_id;
	m->streams = idmap_new();
	TAILQ_INIT(&m->owing);
	TAILQ_INIT(&m->waiting);
	TAILQ_INIT(&m->parting);
	m->tick.fn = on_tick;
	m->tick.arg = m;
	loop_timer_init(&m->drain, m->loop, on_drain, m);
	stream_on_ready(transport, on_ready, m);
	stream_want(transport, STREAM_READ);
	m->rtt.last_us = UINT32_MAX;
	m->rtt.least_us = UINT32_MAX;
	m->probes = conf->alone ? 1 : PROBES;
	mux_measure(m);
	loop_timer_init(&m->beat, m->loop, on_beat, m);
	if (conf->ping_ms)
		loop_after(&m->beat, conf->ping_ms);
	return m;
}

struct stream *mux_open(struct mux *m)
{
	struct mstream *ms;

	if (m->down || m->ids_used || !m->t || !may_begin(m))
		return NULL;
	ms = mstream_new(m, m->next_id);
	/* Ids are not used twice; at the end of them the session is done. */
	m->ids_used = m->next_id > UINT32_MAX - 2;
	m->next_id += 2;
	if (m->ids_used)
		mux_wake(m);
	ms->owes_syn = true;
	if (m->conf.prompt) /* what is written before the next turn takes it along */
		loop_next_tick(m->loop, &ms->tick);
	return &ms->s;
}

uint32_t mux_streams(const struct mux *m)
{
	return m->count;
}

void mux_ping(struct mux *m)
{
	mux_measure(m);
}

uint32_t mux_rtt_us(const struct mux *m)
{
	return m->rtt_us;
}
