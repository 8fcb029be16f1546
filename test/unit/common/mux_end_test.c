/* How sessions and streams end, from inside whatever call, and what wakes whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/mux_rig.h"

#define MANY 1000

static char bytes[300000];

/* ---- a session dies with 1,000 streams ---- */

/* What happens inside the callback. */
enum act { ACT_READ, ACT_WRITE, ACT_FINISH, ACT_CLOSE, ACT_CLOSE_ALL, ACT_LINGER, ACTS };

/* How the session dies there. */
enum how { HOW_CUT, HOW_ABORT, HOW_LEAVE, HOW_LEAVE_THEN_CUT, HOWS };

static enum act act;
static enum how how;
static uint32_t acts;
static bool died;

static void die(struct rig *r)
{
	died = true;
	if (how == HOW_LEAVE || how == HOW_LEAVE_THEN_CUT)
		leave(r, false);
	if (how == HOW_ABORT)
		leave(r, true);
	if ((how == HOW_CUT || how == HOW_LEAVE_THEN_CUT) && r->open == 2)
		fake_kill(r->end);
}

static struct stream **place_of(struct rig *r, struct stream *s)
{
	for (uint32_t i = 0; i < KEEP; i++)
		if (r->kept[i] == s)
			return &r->kept[i];
	fail_msg("a callback of a stream that was closed");
	return NULL;
}

static void do_act(struct rig *r, struct stream *s)
{
	struct stream **place = place_of(r, s);
	char buf[64];
	size_t n;

	acts++;
	if (act == ACT_READ)
		while (stream_read(s, buf, sizeof(buf), &n) == STREAM_OK)
			;
	if (act == ACT_WRITE)
		while (stream_write(s, bytes, sizeof(bytes), &n) == STREAM_OK)
			;
	if (act == ACT_FINISH)
		(void)!stream_finish(s);
	if (act == ACT_LINGER) {
		*place = NULL;
		stream_linger(s);
	}
	if (act == ACT_CLOSE) {
		*place = NULL;
		stream_close(s, acts & 1);
	}
	if (act == ACT_CLOSE_ALL)
		close_kept(r, acts & 1);
}

/* In the middle the session dies; before and after there are calls. */
static void act_and_die(struct rig *r, struct stream *s)
{
	uint32_t middle = act == ACT_CLOSE_ALL ? 0 : MANY / 2;
	struct stream *random = r->kept[acts * 7 % MANY];

	if (acts >= middle && !died)
		die(r);
	if (acts % 3 == 0)
		do_act(r, s);
	else if (acts % 3 == 1 && random)
		do_act(r, random);
	else
		acts++;
}

static struct rig *rig_with_streams(bool opens)
{
	struct rig *r = rig_new(opens);
	size_t n;

	for (uint32_t i = 0; i < MANY; i++) {
		if (!opens) {
			put_data(r, MUX_SYN, 2 * i + 1, 100);
			continue;
		}
		keep(r, mux_open(r->m), i, 0);
		if (i % 4)
			assert_int_equal(stream_write(r->kept[i], "hello", 5, &n), STREAM_OK);
	}
	turns(r->loop, 5);
	return r;
}

static void finish_deaths(struct rig *r)
{
	r->on_ready = NULL;
	turns(r->loop, 20);
	if (died && (how == HOW_CUT || how == HOW_LEAVE_THEN_CUT))
		assert_int_equal(r->open, 1);
	rig_free(r);
}

static void test_deaths_in_ready(void **state)
{
	for (int i = 0; i < 2 * ACTS * HOWS; i++) {
		struct rig *r = rig_with_streams(i & 1);

		act = (enum act)(i / 2 % ACTS);
		how = (enum how)(i / 2 / ACTS);
		acts = 0;
		died = false;
		for (uint32_t k = 0; k < MANY; k++)
			stream_want(r->kept[k], STREAM_READ | (k % 2 ? STREAM_WRITE : 0));
		r->on_ready = act_and_die;
		/* From the middle of parse(): bytes for each of them, and windows. */
		for (uint32_t k = 0; k < MANY; k++) {
			if (k % 4 || !(i & 1))
				put_data(r, k % 5 ? 0 : MUX_FIN, 2 * k + 1, 100);
			if (k % 4 || !(i & 1))
				put(r, MUX_WINDOW, 0, 2 * k + 1, 1000);
		}
		turns(r->loop, 4);
		assert_true(died);
		finish_deaths(r);
	}
}

static void die_accepting(struct rig *r, struct stream *s)
{
	act_and_die(r, s);
}

static void test_deaths_in_accepted(void **state)
{
	for (int i = 0; i < 2 * ACTS * HOWS; i++) {
		struct rig *r = rig_new(false);

		act = (enum act)(i / 2 % ACTS);
		how = (enum how)(i / 2 / ACTS);
		acts = 0;
		died = false;
		r->reads = i & 1;
		r->on_accept = die_accepting;
		r->on_ready = do_act;
		for (uint32_t k = 0; k < MANY; k++)
			put_data(r, MUX_SYN | (k % 5 ? 0 : MUX_FIN), 2 * k + 1, 100);
		turns(r->loop, 4);
		assert_true(acts > 0);
		finish_deaths(r);
	}
}

/* Those who wait for something hear of the end, each of them; those who do not are left alone. */
static void abort_seen(struct rig *r, struct stream *s)
{
	struct stream **place = place_of(r, s);
	size_t n;

	if (stream_write(s, "x", 1, &n) == STREAM_OK)
		return; /* not yet */
	acts++;
	assert_int_equal(stream_write(s, "x", 1, &n), STREAM_ABORT);
	assert_int_equal(stream_finish(s), STREAM_ABORT);
	assert_int_equal(stream_read(s, bytes, 1, &n), STREAM_ABORT);
	assert_string_equal(stream_error(s), "the session was lost");
	*place = NULL;
	stream_close(s, false);
}

static void test_all_hear(void **state)
{
	struct rig *r = rig_with_streams(true);

	acts = 0;
	for (uint32_t k = 0; k < MANY; k++)
		stream_want(r->kept[k], (int)(k % 4));
	r->peer->room = 0;
	turns(r->loop, 2);
	r->on_ready = NULL;
	fake_kill(r->end);
	r->on_ready = abort_seen;
	turns(r->loop, 3);
	assert_int_equal(acts, MANY * 3 / 4);
	assert_int_equal(r->downs, 1);
	rig_free(r);
}

/* Bytes that come with the end of their session are not kept for anybody. */
static void abort_session(struct rig *r, struct stream *s)
{
	leave(r, true);
}

static void test_dies_with_bytes(void **state)
{
	struct rig *r = rig_new(false);

	r->reads = true;
	r->on_ready = abort_session;
	put_data(r, MUX_SYN, 1, 5000);
	while (r->m)
		turns(r->loop, 1);
	assert_int_equal(rig_held(r), 0);
	rig_free(r);
}

/* The transport breaks inside a stream's write: that call does not call back, the tick does. */
static void test_dies_in_write(void **state)
{
	struct rig *r = rig_with_streams(true);
	size_t n;

	r->end->dead = true;
	for (int i = 0; i < 100; i++)
		(void)!stream_write(r->kept[i], bytes, 60000, &n);
	assert_int_equal(r->downs, 0);
	assert_non_null(r->m->lost);
	for (int i = 0; i < MANY; i++)
		stream_close(r->kept[i], i & 1);
	memset(r->kept, 0, sizeof(r->kept));
	turns(r->loop, 2);
	assert_int_equal(r->downs, 1);
	rig_free(r);
}

/* The output is full to the last byte, and the last stream of a session that is nobody's goes. */
static void test_dies_full(void **state)
{
	struct rig *r = rig_new(true);
	size_t n;

	keep(r, mux_open(r->m), 0, STREAM_READ);
	put(r, MUX_WINDOW, 0, 1, 1u << 20);
	assert_int_equal(stream_write(r->kept[0], bytes, 1, &n), STREAM_OK);
	turns(r->loop, 2);
	r->peer->room = 0;
	r->end->stuck = true;
	((struct mstream *)r->kept[0])->send_window = 1u << 20;
	assert_int_equal(stream_write(r->kept[0], bytes, OUT_HIGH - 1 - MUX_HEADER, &n), STREAM_OK);
	assert_int_equal(stream_write(r->kept[0], bytes, sizeof(bytes), &n), STREAM_OK);
	assert_true(mux_room(r->m) <= MUX_HEADER);
	put(r, MUX_WINDOW, MUX_RST, 1, 0);
	turns(r->loop, 2);
	leave(r, false);
	r->end->dead = true;
	mux_flush(((struct mstream *)r->kept[0])->m);
	((struct mstream *)r->kept[0])->m->blocked = false;
	mux_flush(((struct mstream *)r->kept[0])->m);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	turns(r->loop, 3);
	assert_int_equal(r->open, 1);
	rig_free(r);
}

/* A writer closes its stream, the session's last, while a PING waits for its answer. */
static void close_me(struct rig *r, struct stream *s)
{
	*place_of(r, s) = NULL;
	stream_close(s, false);
}

static void test_last_writer_closes(void **state)
{
	struct rig *r = rig_new(true);
	struct mux *m = r->m;

	keep(r, mux_open(m), 0, STREAM_WRITE);
	r->on_ready = close_me;
	leave(r, false);
	m->pong_n = 1;
	turns(r->loop, 4);
	assert_true(r->peer->fin_in);
	rig_free(r);
}

/* ---- ends in order ---- */

static void test_before_first_frame(void **state)
{
	struct rig *r = rig_new(true);
	uint64_t before;

	turns(r->loop, 2);
	before = r->wire.frames;
	for (int i = 0; i < 10; i++)
		stream_close(mux_open(r->m), i & 1);
	turns(r->loop, 3);
	assert_int_equal(r->wire.frames, before);
	assert_int_equal(mux_streams(r->m), 0);
	/* Only a word that was said is passed on: here that there is nothing more. */
	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	turns(r->loop, 2);
	assert_int_equal(r->wire.frames, before + 1);
	assert_true(r->wire.half[10].syn && r->wire.half[10].fin);
	rig_free(r);
}

/* SYN, all data and FIN are one frame, however many writes they were. */
static void test_fin_rides(void **state)
{
	struct rig *r = rig_new(true);
	uint64_t before = r->wire.frames;
	size_t n;

	keep(r, mux_open(r->m), 0, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(stream_write(r->kept[0], "hello", 5, &n), STREAM_OK);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	assert_int_equal(stream_write(r->kept[0], "x", 1, &n), STREAM_ABORT);
	turns(r->loop, 2);
	assert_int_equal(r->wire.frames, before + 1);
	assert_true(r->wire.half[0].syn && r->wire.half[0].fin);
	assert_int_equal(r->wire.half[0].sent, 25);
	rig_free(r);
}

/* Once offered to the transport a frame does not change: FIN comes in one of its own. */
static void test_fin_does_not_ride(void **state)
{
	struct rig *r = rig_new(true);
	uint64_t before = r->wire.frames;
	size_t n;

	r->end->stuck = true;
	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_write(r->kept[0], "hello", 5, &n), STREAM_OK);
	turns(r->loop, 2);
	assert_int_equal(stream_write(r->kept[0], "hello", 5, &n), STREAM_OK);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	r->end->stuck = false;
	fake_poke(r->end);
	turns(r->loop, 3);
	assert_int_equal(r->wire.frames, before + 2);
	assert_true(r->wire.half[0].fin);
	rig_free(r);
}

/* An acceptor that is left says so at once; its streams run on, new ones are refused. */
static void test_acceptor_leaves(void **state)
{
	struct rig *r = rig_new(false);
	size_t n;

	put_data(r, MUX_SYN, 1, 10);
	turns(r->loop, 2);
	leave(r, false);
	turns(r->loop, 2);
	assert_true(r->wire.goaway);
	put_data(r, MUX_SYN, 3, 10);
	turns(r->loop, 2);
	assert_int_equal(r->accepted, 1);
	assert_int_equal(stream_read(r->kept[0], bytes, 100, &n), STREAM_OK);
	put_data(r, MUX_FIN, 1, 20);
	assert_int_equal(stream_write(r->kept[0], "bye", 3, &n), STREAM_OK);
	turns(r->loop, 2);
	assert_int_equal(stream_read(r->kept[0], bytes, 100, &n), STREAM_OK);
	assert_int_equal(n, 20);
	assert_false(r->peer->fin_in);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	turns(r->loop, 3);
	assert_true(r->peer->fin_in && r->wire.half[0].fin);
	assert_int_equal(r->wire.half[0].sent, 3);
	rig_free(r);
}

/* The owner hears when the last stream has gone with all it owed, each time. */
static void test_idle(void **state)
{
	struct rig *r = rig_with_streams(true);

	for (uint32_t i = 1; i < MANY; i++) {
		stream_close(r->kept[i], i & 1);
		r->kept[i] = NULL;
	}
	turns(r->loop, 2);
	assert_int_equal(r->idles, 0);
	r->end->stuck = true;
	mux_put_frame(r->m, (struct mux_frame){MUX_PING, MUX_ACK, 0, 1});
	turns(r->loop, 2);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	close_kept(r, false);
	turns(r->loop, 2);
	assert_int_equal(r->idles, 0);
	r->end->stuck = false;
	fake_poke(r->end);
	turns(r->loop, 3);
	assert_int_equal(r->idles, 1);
	keep(r, mux_open(r->m), 0, 0);
	turns(r->loop, 2);
	close_kept(r, false);
	turns(r->loop, 2);
	assert_int_equal(r->idles, 2);
	rig_free(r);
}

/* A peer that takes nothing keeps neither a session nor its memory for ever. */
static void test_stuck_at_the_end(void **state)
{
#ifndef PGROK_DEBUG
	skip(); /* it takes 10 s */
#endif
	struct rig *r = rig_new(false);
	size_t n;

	put_data(r, MUX_SYN, 1, 10);
	turns(r->loop, 2);
	r->end->stuck = true;
	assert_int_equal(stream_write(r->kept[0], bytes, 60000, &n), STREAM_OK);
	turns(r->loop, 2);
	leave(r, false);
	turns(r->loop, 2);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	turns(r->loop, 2);
	assert_int_equal(r->open, 2);
	turns_for(r->loop, 300);
	assert_int_equal(r->open, 1);
	rig_free(r);
}

/* Nor does one that takes its answers to pings, and never ends its stream. */
static void test_pings_at_the_end(void **state)
{
#ifndef PGROK_DEBUG
	skip(); /* it takes 10 s */
#endif
	const struct mux_conf conf = {.opens = true,
				      .first_id = 1,
				      .start_window = MUX_WINDOW_START,
				      .max_streams = 8,
				      .close_ms = 300000,
				      .ping_ms = 5000,
				      .ping_misses = 4};
	struct rig *r = rig_of(&conf);
	size_t n;

	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_write(r->kept[0], "x", 1, &n), STREAM_OK);
	turns(r->loop, 2);
	put(r, MUX_WINDOW, MUX_ACK, 1, 0);
	turns(r->loop, 2);
	leave(r, false);
	put(r, MUX_PING, MUX_SYN, 0, 7);
	turns(r->loop, 2);
	assert_int_equal(r->wire.pongs, 1); /* while it is used */
	close_kept(r, false);
	for (int steps = 0; steps < 100 && r->open == 2; steps++) { /* 1 s of 3 */
		for (uint32_t i = 0; i < 20; i++)
			put(r, MUX_PING, MUX_SYN, 0, i);
		peer_reads(r);
		turns_for(r->loop, 10);
	}
	assert_int_equal(r->open, 1);
	rig_free(r);
}

/* One that takes little at a time gets it all, however long that takes. */
static void test_slow_at_the_end(void **state)
{
#ifndef PGROK_DEBUG
	skip(); /* it takes a minute */
#endif
	struct rig *r = rig_new(false);
	int steps = 0;
	size_t n;

	put_data(r, MUX_SYN, 1, 10);
	turns(r->loop, 2);
	r->peer->room = 2048;
	assert_int_equal(stream_write(r->kept[0], bytes, 60000, &n), STREAM_OK);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	turns(r->loop, 2);
	leave(r, false);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	for (; r->open == 2 && steps < 1000; steps++) {
		peer_reads(r);
		turns_for(r->loop, 20); /* of 100 in which some of it must go */
	}
	assert_true(steps > 10);
	assert_int_equal(r->wire.half[0].sent, n);
	assert_true(r->wire.half[0].fin);
	rig_free(r);
}

/* The ids are used up: the last one works, then the owner is told to open another session. */
static void test_ids_end(void **state)
{
	struct rig *r = rig_new(true);

	for (uint32_t first = UINT32_MAX - 4; first >= UINT32_MAX - 5; first--) {
		r->m->next_id = first;
		r->m->ids_used = r->m->down = false;
		r->downs = 0;
		close_kept(r, true);
		keep(r, mux_open(r->m), 0, 0);
		keep(r, mux_open(r->m), 1, 0);
		turns(r->loop, 2);
		assert_int_equal(r->downs, 0);
		keep(r, mux_open(r->m), 2, 0);
		assert_null(mux_open(r->m));
		turns(r->loop, 2);
		assert_int_equal(r->downs, 1);
	}
	rig_free(r);
}

/* The loop ends with everything still open that may be: left sessions, lingering streams. */
static void test_loop_ends(void **state)
{
	for (int i = 0; i < 8; i++) {
		struct rig *r = rig_with_streams(i & 1);

		for (uint32_t k = 0; k < MANY; k++) {
			if (k % 2)
				stream_linger(r->kept[k]);
			else
				stream_close(r->kept[k], k % 4);
			r->kept[k] = NULL;
		}
		if (i & 2)
			turns(r->loop, 1);
		leave(r, i & 4);
		stream_close(&r->peer->s, false);
		loop_free(r->loop);
		assert_int_equal(r->open, 0);
		mux_account_free(r->memory);
		assert_int_equal(mux_memory_used(), 0);
		free(r);
	}
}

/* ---- who is woken, and who is not ---- */

/* Ticks of the session in 50 ms in which nothing can move. */
static uint32_t idle_ticks(struct rig *r)
{
	turns(r->loop, 5);
	r->ticks = 0;
	turns_for(r->loop, 50);
	return r->ticks;
}

static void write_all(struct rig *r, struct stream *s)
{
	size_t n;

	acts++;
	while (stream_write(s, bytes, 5000, &n) == STREAM_OK)
		;
}

static void test_no_busy_loop(void **state)
{
	struct rig *r = rig_with_streams(true);
	size_t n;

	assert_true(idle_ticks(r) <= 1);
	/* One write costs one tick. */
	r->ticks = 0;
	assert_int_equal(stream_write(r->kept[0], bytes, 5, &n), STREAM_OK);
	turns(r->loop, 5);
	assert_int_equal(r->ticks, 1);
	/* No window left. */
	r->on_ready = write_all;
	for (uint32_t i = 0; i < 4; i++)
		stream_want(r->kept[4 * i + 1], STREAM_WRITE);
	r->peer->room = SIZE_MAX;
	turns(r->loop, 10);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(((struct mstream *)r->kept[4 * i + 1])->send_window, 0);
	assert_true(idle_ticks(r) <= 1);
	/* The transport takes nothing, and all kinds of things are owed. */
	r->end->stuck = true;
	for (uint32_t i = 100; i < 300; i++)
		stream_want(r->kept[i], STREAM_WRITE);
	turns(r->loop, 3);
	for (uint32_t i = 300; i < 400; i++) {
		stream_close(r->kept[i], i & 1);
		r->kept[i] = NULL;
	}
	for (uint32_t i = 0; i < 30; i++)
		put(r, MUX_PING, MUX_SYN, 0, i);
	turns(r->loop, 3);
	assert_true(idle_ticks(r) <= 1);
	leave(r, false);
	close_kept(r, false);
	assert_true(idle_ticks(r) <= 3);
	rig_free(r);
	/* Nothing is left but a last word that does not get out. */
	r = rig_new(true);
	r->end->stuck = true;
	mux_put_frame(r->m, (struct mux_frame){MUX_PING, MUX_ACK, 0, 1});
	turns(r->loop, 2);
	leave(r, false);
	assert_true(idle_ticks(r) <= 1);
	rig_free(r);
}

/* 200 writers through a narrow transport: all get on, in turns, whoever has more to say. */
static void test_writers_take_turns(void **state)
{
	struct rig *r = rig_with_streams(true);
	uint64_t least = UINT64_MAX;

	r->on_ready = write_all;
	for (uint32_t i = 0; i < 200; i++)
		stream_want(r->kept[i], STREAM_WRITE);
	r->peer->room = 200000;
	for (int t = 0; t < 400; t++) {
		turns(r->loop, 1);
		peer_reads(r);
		for (uint32_t i = 0; i < 20; i++) /* the greedy ones always have a window */
			if (r->wire.half[i].syn)
				put(r, MUX_WINDOW, 0, 2 * i + 1, 60000);
	}
	for (uint32_t i = 0; i < 200; i++)
		if (r->wire.half[i].sent < least)
			least = r->wire.half[i].sent;
	assert_int_equal(least, MUX_WINDOW_START);
	rig_free(r);
}

/* Bulk that never has to wait fills the output in every turn: a writer that waits has its own. */
static void test_writer_beside_bulk(void **state)
{
	struct rig *r = rig_with_streams(true);
	size_t n;

	r->on_ready = write_all;
	for (uint32_t i = 1; i < 3; i++)
		put(r, MUX_WINDOW, 0, 2 * i + 1, 1u << 20);
	turns(r->loop, 2);
	stream_want(r->kept[3], STREAM_WRITE);
	for (int t = 0; t < 10; t++) {
		for (uint32_t i = 1; i < 3; i++)
			assert_int_equal(stream_write(r->kept[i], bytes, STREAM_PIECE, &n),
					 STREAM_OK);
		turns(r->loop, 1);
		peer_reads(r);
	}
	assert_int_equal(r->wire.half[3].sent, MUX_WINDOW_START);
	rig_free(r);
}

/* A writer that leaves no room for anything else, once. */
static void fill_output(struct rig *r, struct stream *s)
{
	size_t n;

	r->on_ready = NULL;
	stream_want(s, 0);
	assert_int_equal(r->m->out_len, 0);
	assert_int_equal(stream_write(s, bytes, OUT_HIGH - MUX_HEADER - 1, &n), STREAM_OK);
	assert_int_equal(stream_write(s, bytes, sizeof(bytes), &n), STREAM_OK);
	assert_true(mux_room(r->m) <= MUX_HEADER);
}

/* What is owed while the output is full goes out later, without any other event. */
static void test_owed_later(void **state)
{
	struct rig *r = rig_new(false);
	size_t n;

	for (uint32_t i = 0; i < 8; i++)
		put(r, MUX_WINDOW, MUX_SYN, 2 * i + 1, 1u << 20);
	turns(r->loop, 2);
	r->end->stuck = true;
	for (uint32_t i = 0; i < 7; i++)
		(void)!stream_write(r->kept[i], bytes, sizeof(bytes), &n);
	turns(r->loop, 2);
	for (uint32_t i = 0; i < 20; i++) /* down: refused */
		put(r, MUX_WINDOW, MUX_SYN, 101 + 2 * i, 0);
	r->m->conf.max_streams = 0;
	put(r, MUX_PING, MUX_SYN, 0, 7);
	turns(r->loop, 2);
	assert_int_equal(r->m->rst_n, 20);
	assert_int_equal(r->m->pong_n, 1);
	r->on_ready = fill_output;
	stream_want(r->kept[7], STREAM_WRITE);
	r->end->stuck = false;
	fake_poke(r->end);
	turns(r->loop, 4);
	assert_int_equal(r->m->rst_n, 0);
	assert_int_equal(r->wire.pongs, 1);
	for (uint32_t i = 0; i < 20; i++)
		assert_true(r->wire.half[50 + i].rst);
	rig_free(r);
}

static int setup(void **state)
{
	setenv("PGROK_TIME_SCALE", "0.01", 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deaths_in_ready),
		cmocka_unit_test(test_deaths_in_accepted),
		cmocka_unit_test(test_all_hear),
		cmocka_unit_test(test_dies_with_bytes),
		cmocka_unit_test(test_dies_in_write),
		cmocka_unit_test(test_dies_full),
		cmocka_unit_test(test_last_writer_closes),
		cmocka_unit_test(test_before_first_frame),
		cmocka_unit_test(test_fin_rides),
		cmocka_unit_test(test_fin_does_not_ride),
		cmocka_unit_test(test_acceptor_leaves),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_stuck_at_the_end),
		cmocka_unit_test(test_pings_at_the_end),
		cmocka_unit_test(test_slow_at_the_end),
		cmocka_unit_test(test_ids_end),
		cmocka_unit_test(test_loop_ends),
		cmocka_unit_test(test_no_busy_loop),
		cmocka_unit_test(test_writers_take_turns),
		cmocka_unit_test(test_writer_beside_bulk),
		cmocka_unit_test(test_owed_later),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
