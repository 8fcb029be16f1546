/*
 * For tests of the mux: one session whose peer the test plays, frame by frame. A test that includes
 * this has included cmocka.
 */
#ifndef TEST_UNIT_COMMON_MUX_RIG_H
#define TEST_UNIT_COMMON_MUX_RIG_H

#include <stdio.h>

#include "test/unit/common/mux_pipe.h"

#define KEEP 4096

/* The session under test is at end 0; what comes to end 1 is the test's to read. */
struct rig {
	struct loop *loop;
	struct fake *end, *peer;
	struct wire wire; /* what the session says */
	struct mux *m;
	struct mux_account *memory;
	struct stream *kept[KEEP];
	uint32_t accepted, told, ticks;
	int downs, idles, rooms, measured;
	char why[128];
	bool reads; /* accepted streams want to read */
	void (*on_accept)(struct rig *r, struct stream *s);
	void (*on_ready)(struct rig *r, struct stream *s);
	void (*session_tick)(void *arg);
	unsigned open;
};

static struct rig *the_rig; /* a stream's argument is its place in kept[] */

static inline void on_stream(void *arg, int dirs)
{
	struct stream **place = arg;

	the_rig->told++;
	if (the_rig->on_ready)
		the_rig->on_ready(the_rig, *place);
}

static inline void keep(struct rig *r, struct stream *s, uint32_t at, int dirs)
{
	r->kept[at] = s;
	stream_on_ready(s, on_stream, &r->kept[at]);
	stream_want(s, dirs);
}

static inline void on_accepted(void *arg, struct stream *s)
{
	struct rig *r = arg;

	keep(r, s, r->accepted++ % KEEP, r->reads ? STREAM_READ : 0);
	if (r->on_accept)
		r->on_accept(r, s);
}

static inline void on_down(void *arg, const char *why)
{
	struct rig *r = arg;

	r->downs++;
	snprintf(r->why, sizeof(r->why), "%s", why);
}

static inline void on_idle(void *arg)
{
	((struct rig *)arg)->idles++;
}

static inline void on_room(void *arg)
{
	((struct rig *)arg)->rooms++;
}

static inline void on_measured(void *arg)
{
	((struct rig *)arg)->measured++;
}

static const struct mux_hooks hooks = {
	.accepted = on_accepted,
	.down = on_down,
	.idle = on_idle,
	.room = on_room,
	.measured = on_measured,
};

static inline void count_tick(void *arg)
{
	the_rig->ticks++;
	the_rig->session_tick(arg);
}

static inline struct rig *rig_of(const struct mux_conf *conf)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct fake *end[2];

	the_rig = r;
	r->loop = loop_new();
	fake_pair(r->loop, NULL, &r->open, end);
	r->end = end[0];
	r->peer = end[1];
	r->wire.start_window = UINT32_MAX;
	r->wire.opens = conf->opens;
	r->end->wire = &r->wire;
	r->memory = mux_account_new();
	r->m = mux_new(&r->end->s, conf, r->memory, &hooks, r);
	r->session_tick = r->m->tick.fn;
	r->m->tick.fn = count_tick;
	turns(r->loop, 2);
	return r;
}

static inline struct rig *rig_new(bool opens)
{
	const struct mux_conf conf = {.opens = opens,
				      .first_id = 1,
				      .start_window = MUX_WINDOW_START,
				      .max_streams = MUX_STREAMS_MAX};

	return rig_of(&conf);
}

static inline void close_kept(struct rig *r, bool abort)
{
	for (uint32_t i = 0; i < KEEP; i++) {
		struct stream *s = r->kept[i];
		r->kept[i] = NULL;
		stream_close(s, abort);
	}
}

static inline void leave(struct rig *r, bool abort)
{
	struct mux *m = r->m;

	r->m = NULL;
	if (m)
		mux_close(m, abort);
}

/* Bytes of its account: what first windows hold, and what was promised beyond. */
static inline uint64_t rig_held(const struct rig *r)
{
	return r->memory->used[MEMORY_START];
}

static inline uint64_t rig_reserved(const struct rig *r)
{
	return r->memory->used[MEMORY_GROWTH];
}

/* Whatever happened: now all is given back, and nothing is left. */
static inline void rig_free(struct rig *r)
{
	r->on_ready = NULL;
	close_kept(r, true);
	leave(r, false);
	r->peer->room = SIZE_MAX;
	if (r->peer->peer) {
		r->end->stuck = false;
		fake_poke(r->end);
	}
	turns(r->loop, 5);
	stream_close(&r->peer->s, false);
	turns(r->loop, 5);
	assert_int_equal(r->open, 0);
	assert_int_equal(rig_held(r) + rig_reserved(r), 0);
	mux_account_free(r->memory);
	assert_int_equal(mux_memory_used(), 0);
	if (r->wire.error)
		fail_msg("%s", r->wire.error);
	loop_free(r->loop);
	free(r);
}

static inline void put(struct rig *r, enum mux_type type, uint16_t flags, uint32_t id,
		       uint32_t length)
{
	uint8_t h[MUX_HEADER];

	mux_frame_put(h, (struct mux_frame){type, flags, id, length});
	fake_put(r->end, h, sizeof(h));
}

static inline void put_data(struct rig *r, uint16_t flags, uint32_t id, uint32_t length)
{
	static char bytes[MUX_WINDOW_START + 1];

	put(r, MUX_DATA, flags, id, length);
	fake_put(r->end, bytes, length);
}

/* The peer reads all there is. */
static inline size_t peer_reads(struct rig *r)
{
	size_t n = r->peer->in_len;

	r->peer->in_len = 0;
	fake_poke(r->end);
	return n;
}

#endif
