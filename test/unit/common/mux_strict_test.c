/* What a session is to a peer that is not ours: SYN, ACK and FIN in time, ends, signs of life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/mux_rig.h"

#define WINDOW (256u << 10)
#define CLOSE_MS 300000

static struct rig *strict(bool opens)
{
	const struct mux_conf conf = {.opens = opens,
				      .first_id = 1,
				      .start_window = WINDOW,
				      .max_streams = 4,
				      .prompt = true,
				      .fin_alone = true,
				      .close_ms = CLOSE_MS,
				      .ping_ms = 3600000, /* beats are the test's */
				      .ping_misses = 3};
	struct rig *r = rig_of(&conf);

	peer_reads(r); /* the first PING */
	return r;
}

/* The next frame that was said, its bytes skipped; false: there is none. */
static bool said(struct rig *r, struct mux_frame *f)
{
	struct fake *p = r->peer;
	const char *why;
	size_t n = MUX_HEADER;

	if (!p->in_len)
		return false;
	assert_true(p->in_len >= MUX_HEADER);
	assert_true(mux_frame_get((uint8_t *)p->in, f, &why));
	n += f->type == MUX_DATA ? f->length : 0;
	assert_true(p->in_len >= n);
	p->in_len -= n;
	memmove(p->in, p->in + n, p->in_len);
	return true;
}

static void assert_said(struct rig *r, enum mux_type type, uint16_t flags, uint32_t id)
{
	struct mux_frame f = {0};

	assert_true(said(r, &f));
	assert_int_equal(f.type, type);
	assert_int_equal(f.flags, flags);
	assert_int_equal(f.id, id);
}

static void assert_silent(struct rig *r)
{
	struct mux_frame f = {0};

	turns(r->loop, 3);
	assert_false(said(r, &f));
}

static void say(struct stream *s, size_t len)
{
	static const char bytes[1000];
	size_t n;

	assert_int_equal(stream_write(s, bytes, len, &n), STREAM_OK);
	assert_int_equal(n, len);
}

static void beat(struct rig *r)
{
	r->m->beat.fn(r->m);
	turns(r->loop, 2);
}

/* ---- begin ---- */

/* The visitor of a service that speaks first says nothing: the peer must know of it. */
static void test_syn_at_once(void **state)
{
	struct rig *r = strict(true);

	keep(r, mux_open(r->m), 0, STREAM_READ);
	turns(r->loop, 2);
	assert_said(r, MUX_WINDOW, MUX_SYN, 1);
	assert_silent(r);
	keep(r, mux_open(r->m), 1, 0);
	say(r->kept[1], 10);
	turns(r->loop, 1);
	assert_said(r, MUX_DATA, MUX_SYN, 3);
	assert_silent(r);
	rig_free(r);
}

struct late {
	struct loop_tick tick;
	struct stream *s;
};

static void say_late(void *arg)
{
	say(((struct late *)arg)->s, 10);
}

/* As a pair does, which starts on the next tick: one frame instead of two. */
static void test_syn_waits_for_bytes_of_its_turn(void **state)
{
	struct rig *r = strict(true);
	struct late late = {.tick = {.fn = say_late, .arg = &late}};

	late.s = mux_open(r->m);
	keep(r, late.s, 0, 0);
	loop_next_tick(r->loop, &late.tick);
	turns(r->loop, 2);
	assert_said(r, MUX_DATA, MUX_SYN, 1);
	assert_silent(r);
	rig_free(r);
}

/* Pongs alone do not say that it takes streams. */
static void test_known_by_ack(void **state)
{
	struct rig *r = strict(true);

	keep(r, mux_open(r->m), 0, STREAM_READ);
	turns(r->loop, 2);
	put(r, MUX_PING, MUX_ACK, 0, r->m->ping_id);
	turns(r->loop, 2);
	assert_false(stream_known(r->kept[0]));
	put(r, MUX_WINDOW, MUX_ACK, 1, 0);
	turns(r->loop, 2);
	assert_true(stream_known(r->kept[0]));
	rig_free(r);
}

static void test_opened_and_closed(void **state)
{
	struct rig *r = strict(true);

	for (int i = 0; i < 4; i++)
		stream_close(mux_open(r->m), i & 1);
	assert_silent(r);
	assert_int_equal(mux_streams(r->m), 0);
	/* Its SYN was not out yet when it was finished. */
	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	turns(r->loop, 1);
	assert_said(r, MUX_WINDOW, MUX_SYN | MUX_FIN, 9);
	assert_silent(r);
	rig_free(r);
}

static void write_ten(struct rig *r, struct stream *s)
{
	say(s, 10);
}

static void test_ack_at_once(void **state)
{
	struct rig *r = strict(false);

	put(r, MUX_WINDOW, MUX_SYN, 1, WINDOW);
	turns(r->loop, 2);
	assert_said(r, MUX_WINDOW, MUX_ACK, 1);
	assert_silent(r);
	say(r->kept[0], 10);
	turns(r->loop, 1);
	assert_said(r, MUX_DATA, 0, 1);
	r->on_accept = write_ten;
	put(r, MUX_WINDOW, MUX_SYN, 3, WINDOW);
	turns(r->loop, 2);
	assert_said(r, MUX_DATA, MUX_ACK, 3);
	assert_silent(r);
	/* What came with SYN counts for the window: both ends begin with 256 KiB. */
	assert_int_equal(((struct mstream *)r->kept[0])->send_window, 2 * WINDOW - 10);
	assert_int_equal(((struct mstream *)r->kept[0])->recv_window, WINDOW);
	rig_free(r);
}

/* ---- ends ---- */

static void test_fin_alone(void **state)
{
	struct rig *r = strict(true);

	keep(r, mux_open(r->m), 0, 0);
	say(r->kept[0], 10);
	assert_int_equal(stream_finish(r->kept[0]), STREAM_OK);
	turns(r->loop, 1);
	assert_said(r, MUX_DATA, MUX_SYN, 1);
	assert_said(r, MUX_WINDOW, MUX_FIN, 1);
	put(r, MUX_DATA, MUX_ACK | MUX_FIN, 1, 0);
	turns(r->loop, 2);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	assert_silent(r);
	assert_int_equal(mux_streams(r->m), 0);
	rig_free(r);
}

/* What the peer does to a stream that was closed in order, and what is said on that. */
static const struct {
	enum mux_type type;
	uint16_t flags;
	uint32_t length;
	bool reset, gone;
} partings[] = {
	{MUX_WINDOW, MUX_FIN, 0, false, true},     {MUX_WINDOW, MUX_FIN, 5, false, true},
	{MUX_DATA, MUX_FIN, 0, false, true},       {MUX_DATA, MUX_FIN, 7, false, true},
	{MUX_WINDOW, MUX_RST, 0, false, true},     {MUX_DATA, 0, 7, true, true},
	{MUX_WINDOW, 0, UINT32_MAX, false, false}, {MUX_DATA, 0, 0, false, false},
};

/* An answer was given, its stream is closed: a RST would take it from a reader of Go's yamux. */
static void test_parting(void **state)
{
	for (size_t i = 0; i < 2 * (sizeof(partings) / sizeof(partings[0])); i++) {
		struct rig *r = strict(i & 1);
		struct mux_frame f = {0};

		if (i & 1)
			keep(r, mux_open(r->m), 0, 0);
		else
			put(r, MUX_WINDOW, MUX_SYN, 1, 0);
		turns(r->loop, 2);
		say(r->kept[0], 10);
		stream_close(r->kept[0], false);
		r->kept[0] = NULL;
		turns(r->loop, 2);
		assert_said(r, MUX_WINDOW, i & 1 ? MUX_SYN : MUX_ACK, 1);
		assert_said(r, MUX_DATA, 0, 1);
		assert_said(r, MUX_WINDOW, MUX_FIN, 1);
		assert_silent(r);
		assert_int_equal(mux_streams(r->m), 1);
		if (partings[i / 2].type == MUX_DATA)
			put_data(r, partings[i / 2].flags, 1, partings[i / 2].length);
		else
			put(r, MUX_WINDOW, partings[i / 2].flags, 1, partings[i / 2].length);
		turns(r->loop, 2);
		assert_int_equal(said(r, &f), partings[i / 2].reset);
		assert_true(!partings[i / 2].reset || f.flags == MUX_RST);
		assert_silent(r);
		assert_int_equal(mux_streams(r->m), !partings[i / 2].gone);
		assert_int_equal(r->downs, 0);
		rig_free(r);
	}
}

/* Its bytes were not read: it hears of that. An aborted one, and its peer, too. */
static void test_reset(void **state)
{
	struct rig *r = strict(false);

	for (uint32_t id = 1; id < 7; id += 2)
		put(r, MUX_WINDOW, MUX_SYN, id, 0);
	put_data(r, 0, 1, 10);
	turns(r->loop, 2);
	for (uint32_t i = 0; i < 3; i++) {
		if (i == 2)
			say(r->kept[i], 10);
		stream_close(r->kept[i], i == 1);
		r->kept[i] = NULL;
	}
	turns(r->loop, 2);
	assert_true(r->wire.half[0].fin && r->wire.half[0].rst);
	assert_true(!r->wire.half[1].fin && r->wire.half[1].rst);
	assert_true(r->wire.half[2].fin && !r->wire.half[2].rst);
	assert_int_equal(mux_streams(r->m), 1);
	rig_free(r);
}

/* A reader that closes its stream from inside, with the last bytes, or before them. */
static void read_and_close(struct rig *r, struct stream *s)
{
	char buf[100];
	size_t n;

	assert_int_equal(stream_read(s, buf, 10, &n), STREAM_OK);
	r->kept[0] = NULL;
	stream_close(s, false);
}

static void test_closed_while_it_reads(void **state)
{
	static const struct {
		uint16_t flags;
		uint32_t length;
		bool reset;
		uint32_t left;
	} cases[] = {{0, 10, false, 1}, {0, 11, true, 0}, {MUX_FIN, 10, false, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig *r = strict(false);

		r->reads = true;
		r->on_ready = read_and_close;
		put(r, MUX_WINDOW, MUX_SYN, 1, 0);
		turns(r->loop, 2);
		put_data(r, cases[i].flags, 1, cases[i].length);
		turns(r->loop, 3);
		assert_true(r->wire.half[0].fin);
		assert_int_equal(r->wire.half[0].rst, cases[i].reset);
		assert_int_equal(mux_streams(r->m), cases[i].left);
		rig_free(r);
	}
}

/* One that its peer never ends counts as long as it may, and no longer. */
static void test_never_ended(void **state)
{
	struct rig *r = strict(true);

	for (int i = 0; i < 4; i++) {
		struct stream *s = mux_open(r->m);
		say(s, 1);
		stream_close(s, false);
	}
	turns(r->loop, 2);
	peer_reads(r);
	assert_null(mux_open(r->m));
	assert_int_equal(r->rooms, 0);
	TAILQ_FIRST(&r->m->parting)->part_by = 0;
	r->m->heard = true;
	beat(r);
	assert_said(r, MUX_WINDOW, MUX_RST, 1);
	assert_silent(r);
	assert_int_equal(mux_streams(r->m), 3);
	assert_int_equal(r->rooms, 1);
	keep(r, mux_open(r->m), 0, 0);
	rig_free(r);
}

/* A session without an owner ends with the last FIN. */
static void test_left(void **state)
{
	for (int i = 0; i < 3; i++) {
		struct rig *r = strict(true);
		struct stream *s = mux_open(r->m);

		say(s, 1);
		stream_close(s, false);
		turns(r->loop, 2);
		if (i == 0)
			put(r, MUX_WINDOW, MUX_FIN, 1, 0);
		struct mux *m = r->m;
		leave(r, i == 2);
		if (i == 1) {
			turns(r->loop, 2);
			assert_false(r->peer->fin_in);
			m->drain.fn(m);
		}
		turns(r->loop, 3);
		assert_true(r->peer->fin_in);
		rig_free(r);
	}
}

static void test_lost(void **state)
{
	struct rig *r = strict(false);

	for (uint32_t id = 1; id < 7; id += 2)
		put(r, MUX_WINDOW, MUX_SYN, id, 0);
	turns(r->loop, 2);
	for (int i = 0; i < 2; i++) {
		stream_close(r->kept[i], false);
		r->kept[i] = NULL;
		if (!i)
			turns(r->loop, 2); /* the other one still owes its FIN */
	}
	fake_kill(r->end);
	turns(r->loop, 2);
	assert_int_equal(r->downs, 1);
	assert_int_equal(mux_streams(r->m), 1);
	rig_free(r);
}

/* ---- signs of life ---- */

static void pong(struct rig *r)
{
	put(r, MUX_PING, MUX_ACK, 0, r->m->ping_id);
	turns(r->loop, 2);
}

static void test_silent_peer(void **state)
{
	struct rig *r = strict(true);

	for (int i = 0; i < 10; i++) {
		pong(r);
		beat(r);
		beat(r);
		beat(r);
		assert_int_equal(r->downs, 0);
	}
	beat(r);
	assert_int_equal(r->downs, 1);
	assert_string_equal(r->why, "the peer does not answer");
	rig_free(r);
}

/* A PING a beat, if the last one was answered; any byte is a sign of life. */
static void test_beats(void **state)
{
	struct rig *r = strict(false);

	r->m->probes = 0;
	pong(r);
	for (int i = 0; i < 5; i++) {
		beat(r);
		assert_said(r, MUX_PING, MUX_SYN, 0);
		beat(r);
		assert_silent(r);
		put(r, MUX_PING, MUX_SYN, 0, 7);
		turns(r->loop, 2);
		assert_said(r, MUX_PING, MUX_ACK, 0);
		beat(r);
		assert_silent(r);
		pong(r);
	}
	assert_int_equal(r->downs, 0);
	rig_free(r);
}

/* As many answers as may be owed, in their order, ahead of what streams have to say. */
static void test_pongs_owed(void **state)
{
	struct rig *r = strict(true);
	static char bytes[WINDOW];
	struct mux_frame f = {0};
	size_t n;

	r->peer->room = 0;
	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_write(r->kept[0], bytes, sizeof(bytes), &n), STREAM_OK);
	for (uint32_t i = 0; i < 20; i++)
		put(r, MUX_PING, MUX_SYN, 0, 100 + i);
	turns(r->loop, 3);
	stream_want(r->kept[0], STREAM_WRITE);
	r->peer->room = SIZE_MAX;
	fake_poke(r->end);
	turns(r->loop, 3);
	assert_said(r, MUX_DATA, MUX_SYN, 1);
	for (uint32_t i = 0; i < PINGS_OWED; i++) {
		assert_true(said(r, &f));
		assert_int_equal(f.type, MUX_PING);
		assert_int_equal(f.length, 120 - PINGS_OWED + i);
	}
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn_at_once),
		cmocka_unit_test(test_syn_waits_for_bytes_of_its_turn),
		cmocka_unit_test(test_known_by_ack),
		cmocka_unit_test(test_opened_and_closed),
		cmocka_unit_test(test_ack_at_once),
		cmocka_unit_test(test_fin_alone),
		cmocka_unit_test(test_parting),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_closed_while_it_reads),
		cmocka_unit_test(test_never_ended),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_silent_peer),
		cmocka_unit_test(test_beats),
		cmocka_unit_test(test_pongs_owed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
