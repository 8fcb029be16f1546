/* Hostile peers, and how windows grow; what they may hold in all: mux_memory_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/mux_rig.h"

/* ---- bad peers ---- */

static const uint8_t no_frames[][MUX_HEADER] = {
	{1, 0, 0, 0, 0, 0, 0, 1},       /* another version */
	{0, 4, 0, 0, 0, 0, 0, 1},       /* another type */
	{0, 0, 0, 16, 0, 0, 0, 1},      /* another flag */
	{0, 0, 0, 0, 0, 0, 0, 0},       /* no stream */
	{0, 2, 0, 1, 0, 0, 0, 1},       /* a stream's PING */
	{0, 3, 0, 0, 0, 0, 0, 1},       /* a stream's GOAWAY */
	{0, 1, 0, 3, 0, 0, 0, 1},       /* SYN and ACK */
	{0, 1, 0, 9, 0, 0, 0, 1},       /* SYN and RST */
	{'G', 'E', 'T', ' ', '/', ' '}, /* HTTP */
};

static void two_fins(struct rig *r)
{
	put(r, MUX_WINDOW, MUX_FIN, 1, 0);
	put(r, MUX_WINDOW, MUX_FIN, 1, 0);
}

static void data_after_fin(struct rig *r)
{
	put(r, MUX_DATA, MUX_FIN, 1, 0);
	put_data(r, 0, 1, 1);
}

static void second_syn(struct rig *r)
{
	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
}

static void overrun(struct rig *r)
{
	put_data(r, 0, 1, MUX_WINDOW_START + 1);
}

static void overrun_slowly(struct rig *r)
{
	put_data(r, 0, 1, MUX_WINDOW_START);
	put_data(r, 0, 1, 1);
}

static void overflow(struct rig *r)
{
	put(r, MUX_WINDOW, 0, 1, UINT32_MAX);
}

static void overflow_slowly(struct rig *r)
{
	put(r, MUX_WINDOW, 0, 1, UINT32_MAX - MUX_WINDOW_START);
	put(r, MUX_WINDOW, 0, 1, 10);
}

static void goaway_1(struct rig *r)
{
	put(r, MUX_GOAWAY, 0, 0, 1);
}

static void goaway_2(struct rig *r)
{
	put(r, MUX_GOAWAY, 0, 0, 2);
}

static void goaway_77(struct rig *r)
{
	put(r, MUX_GOAWAY, 0, 0, 77);
}

static const struct {
	void (*act)(struct rig *r);
	const char *why;
} sins[] = {
	{two_fins, "a second FIN"},           {data_after_fin, "data after FIN"},
	{second_syn, "unexpected SYN"},       {overrun, "window overrun"},
	{overrun_slowly, "window overrun"},   {overflow, "window overflow"},
	{overflow_slowly, "window overflow"}, {goaway_1, "the peer gave up"},
	{goaway_2, "the peer gave up"},       {goaway_77, "the peer gave up"},
};

/* The session said GOAWAY, ended its connection in order and told its owner once. */
static void assert_ended(struct rig *r, const char *why)
{
	turns(r->loop, 4);
	assert_int_equal(r->downs, 1);
	if (why)
		assert_string_equal(r->why, why);
	assert_true(r->wire.goaway);
	assert_true(r->peer->fin_in);
	assert_false(r->peer->dead);
}

static void test_no_frames(void **state)
{
	for (size_t i = 0; i < sizeof(no_frames) / sizeof(no_frames[0]); i++) {
		struct rig *r = rig_new(i & 1);
		fake_put(r->end, no_frames[i], MUX_HEADER);
		assert_ended(r, NULL);
		rig_free(r);
	}
}

/* A stream's user hears of the end, whether it reads or not. */
static void test_sins(void **state)
{
	char buf[16];
	size_t n;

	for (size_t i = 0; i < 4 * (sizeof(sins) / sizeof(sins[0])); i++) {
		bool opens = i & 1;
		struct rig *r = rig_new(opens);

		r->reads = i & 2;
		if (opens) {
			keep(r, mux_open(r->m), 0, r->reads ? STREAM_READ : 0);
			assert_int_equal(stream_write(r->kept[0], "hello", 5, &n), STREAM_OK);
			turns(r->loop, 1);
		} else {
			put(r, MUX_WINDOW, MUX_SYN, 1, 0);
		}
		sins[i / 4].act(r);
		assert_ended(r, sins[i / 4].why);
		assert_true(!r->reads || r->told > 0);
		while (stream_read(r->kept[0], buf, sizeof(buf), &n) == STREAM_OK)
			;
		assert_int_not_equal(stream_read(r->kept[0], buf, 1, &n), STREAM_AGAIN);
		assert_int_equal(stream_write(r->kept[0], "x", 1, &n), STREAM_ABORT);
		rig_free(r);
	}
}

static void test_not_open_yet(void **state)
{
	struct rig *r = rig_new(true);

	keep(r, mux_open(r->m), 0, STREAM_READ);
	put_data(r, 0, 1, 10);
	assert_ended(r, "frame of a stream that is not open yet");
	rig_free(r);
	r = rig_new(true);
	put(r, MUX_WINDOW, MUX_SYN, 2, 0);
	assert_ended(r, "unexpected SYN");
	rig_free(r);
}

/* A peer that takes no more streams lets the open ones run. */
static void test_goaway_normal(void **state)
{
	struct rig *r = rig_new(true);
	size_t n;
	char buf[8];

	keep(r, mux_open(r->m), 0, 0);
	assert_int_equal(stream_write(r->kept[0], "hello", 5, &n), STREAM_OK);
	put(r, MUX_GOAWAY, 0, 0, 0);
	put(r, MUX_GOAWAY, 0, 0, 0);
	turns(r->loop, 2);
	assert_int_equal(r->downs, 1);
	assert_null(mux_open(r->m));
	leave(r, false);
	put_data(r, MUX_FIN, 1, 5);
	turns(r->loop, 2);
	assert_int_equal(stream_write(r->kept[0], "world", 5, &n), STREAM_OK);
	assert_int_equal(stream_read(r->kept[0], buf, 8, &n), STREAM_OK);
	assert_int_equal(n, 5);
	assert_int_equal(stream_read(r->kept[0], buf, 8, &n), STREAM_EOF);
	assert_false(r->peer->fin_in);
	stream_close(r->kept[0], false);
	r->kept[0] = NULL;
	turns(r->loop, 3);
	assert_true(r->peer->fin_in);
	assert_true(r->wire.half[0].fin);
	assert_false(r->wire.half[0].rst);
	rig_free(r);
}

/* What comes for streams that are not there is dropped, however much. */
static void test_unknown_ids(void **state)
{
	struct rig *r = rig_new(true);

	for (uint32_t i = 0; i < 3000; i++) {
		put_data(r, i % 5 ? 0 : MUX_FIN, 1 + i * 7, 1000);
		put(r, MUX_WINDOW, i % 3 ? MUX_RST : MUX_FIN, i + 1, UINT32_MAX);
		put(r, MUX_PING, MUX_ACK, 0, i);
		if (i % 100 == 0)
			turns(r->loop, 3);
	}
	turns(r->loop, 20);
	assert_int_equal(r->downs, 0);
	assert_int_equal(r->end->in_len, 0);
	assert_int_equal(mux_streams(r->m), 0);
	rig_free(r);
}

/* 10^6 SYNs: MUX_STREAMS_MAX streams, a refusal for each of the others, and the session lives. */
static void test_syns(void **state)
{
	struct rig *r = rig_new(false);

	for (uint32_t i = 0; i < 1000000; i++) {
		put(r, MUX_WINDOW, MUX_SYN, 2 * i + 1, 0);
		if (i % 5000 == 4999) {
			turns(r->loop, 2);
			peer_reads(r);
			memset(r->wire.half, 0, sizeof(r->wire.half));
		}
	}
	assert_int_equal(r->accepted, MUX_STREAMS_MAX);
	assert_int_equal(r->downs, 0);
	assert_true(r->wire.frames > 1000000 - MUX_STREAMS_MAX);
	rig_free(r);
}

/* The same from one who reads no answers: the session ends, and has not grown. */
static void test_syns_unread(void **state)
{
	struct rig *r = rig_new(false);

	r->peer->room = 0;
	for (uint32_t i = 0; i < 1000000 && !r->downs; i++) {
		put(r, MUX_WINDOW, MUX_SYN, 2 * i + 1, 0);
		if (i % 5000 == 4999)
			turns(r->loop, 2);
		if (!r->downs)
			assert_true(r->m->out_len <= OUT_CAP);
	}
	assert_int_equal(r->downs, 1);
	assert_string_equal(r->why, "too many streams at once");
	rig_free(r);
}

/* Streams that come and go at once, from one who reads no answers: what is owed is bounded. */
static void accept_and_close(struct rig *r, struct stream *s)
{
	r->kept[(r->accepted - 1) % KEEP] = NULL;
	stream_close(s, r->accepted & 1);
}

static void test_churn_unread(void **state)
{
	struct rig *r = rig_new(false);

	r->peer->room = 0;
	r->on_accept = accept_and_close;
	for (uint32_t i = 0; i < 100000 && !r->downs; i++) {
		put_data(r, MUX_SYN | (i % 3 ? 0 : MUX_FIN), 2 * i + 1, i % 100);
		if (i % 500 == 499)
			turns(r->loop, 2);
		if (!r->downs)
			assert_true(mux_streams(r->m) <= MUX_STREAMS_MAX);
	}
	assert_string_equal(r->why, "too many streams at once");
	rig_free(r);
}

static void test_pings(void **state)
{
	struct rig *r = rig_new(true);

	for (uint32_t i = 0; i < 3; i++)
		put(r, MUX_PING, MUX_SYN, 0, i);
	turns(r->loop, 2);
	assert_int_equal(r->wire.pongs, 3);
	r->peer->room = 0;
	for (uint32_t i = 0; i < 1000000; i++) {
		put(r, MUX_PING, MUX_SYN, 0, i);
		if (i % 5000 == 4999)
			turns(r->loop, 3);
		assert_true(r->m->out_len <= OUT_CAP);
	}
	turns(r->loop, 3);
	assert_int_equal(r->end->in_len, 0);
	assert_int_equal(r->downs, 0);
	/* Whoever reads again learns of the last one. */
	r->peer->room = SIZE_MAX;
	peer_reads(r);
	turns(r->loop, 3);
	assert_int_equal(r->m->out_len, 0);
	assert_int_equal(r->m->pong_n, 0);
	assert_int_equal((uint8_t)r->peer->in[r->peer->in_len - 1], 999999 & 0xff);
	rig_free(r);
}

static void read_some(struct rig *r, struct stream *s)
{
	static char buf[65536];
	size_t n;

	while (stream_read(s, buf, sizeof(buf), &n) == STREAM_OK)
		;
}

/* Whoever only reads says ACK with its first window update. */
static void test_ack_rides(void **state)
{
	struct rig *r = rig_new(false);

	r->reads = true;
	r->on_ready = read_some;
	put_data(r, MUX_SYN, 1, 50000);
	turns(r->loop, 3);
	assert_true(r->wire.half[0].ack);
	assert_true(r->wire.half[0].granted >= 50000);
	rig_free(r);
}

/* ---- windows ---- */

static void test_quick_window_grows(void **state)
{
	struct rig *r = rig_new(false);
	struct mstream *ms;
	uint32_t before;

	r->reads = true;
	r->on_ready = read_some;
	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
	turns(r->loop, 2);
	ms = (struct mstream *)r->kept[0];
	r->m->rtt_us = 1000000; /* whatever this machine does, that is quick */
	for (int i = 0; i < 2000; i++) {
		before = ms->window;
		put_data(r, 0, 1, MUX_WINDOW_START);
		turns(r->loop, 2);
		assert_true(ms->window >= before && ms->window <= MUX_WINDOW_MAX);
		assert_int_equal(ms->recv_window + ms->credit, ms->window);
	}
	assert_int_equal(ms->window, MUX_WINDOW_MAX);
	/* All that may be under way was announced, but what is still to be. */
	assert_int_equal(r->wire.half[0].granted + MUX_WINDOW_START - 2000ull * MUX_WINDOW_START,
			 ms->recv_window);
	rig_free(r);
}

/* Nearby, however quick its reader is: what is beyond only waits in somebody's buffer. */
static void test_near_window_stops(void **state)
{
	struct rig *r = rig_new(false);
	struct mstream *ms;

	r->reads = true;
	r->on_ready = read_some;
	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
	turns(r->loop, 2);
	ms = (struct mstream *)r->kept[0];
	for (int i = 0; i < 200; i++) {
		r->m->rtt_us = 100;
		ms->epoch_us = clock_us(); /* as quick as can be */
		put_data(r, 0, 1, MUX_WINDOW_START / 2);
		turns(r->loop, 4);
	}
	assert_int_equal(ms->window, 1u << 20);
	rig_free(r);
}

static void test_slow_window_stays(void **state)
{
	struct rig *r = rig_new(false);
	struct mstream *ms;
	char buf[MUX_WINDOW_START];
	size_t n;

	put(r, MUX_WINDOW, MUX_SYN, 1, 0);
	turns(r->loop, 2);
	ms = (struct mstream *)r->kept[0];
	for (int i = 0; i < 20; i++) {
		put_data(r, 0, 1, MUX_WINDOW_START);
		turns(r->loop, 2);
		assert_int_equal(stream_read(&ms->s, buf, 1, &n), STREAM_OK);
		ms->epoch_us -= 1000000; /* that is how long it takes */
		assert_int_equal(stream_read(&ms->s, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(ms->window, MUX_WINDOW_START);
		turns(r->loop, 1);
	}
	rig_free(r);
}

/* What waits until a lost packet was sent again takes a few round trips, and is no slow reader. */
static void test_lossy_window_grows(void **state)
{
	static const struct {
		uint32_t rtts;
		bool grows;
	} cases[] = {{1, true}, {3, true}, {5, false}};

	for (int c = 0; c < 3; c++) {
		struct rig *r = rig_new(false);
		struct mstream *ms;
		char buf[MUX_WINDOW_START];
		size_t n;

		put(r, MUX_WINDOW, MUX_SYN, 1, 0);
		turns(r->loop, 2);
		ms = (struct mstream *)r->kept[0];
		r->m->rtt_us = 1000000;
		put_data(r, 0, 1, MUX_WINDOW_START);
		turns(r->loop, 2);
		assert_int_equal(stream_read(&ms->s, buf, 1, &n), STREAM_OK);
		ms->epoch_us -= cases[c].rtts * r->m->rtt_us;
		assert_int_equal(stream_read(&ms->s, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(ms->window > MUX_WINDOW_START, cases[c].grows);
		rig_free(r);
	}
}

static int setup(void **state)
{
	setenv("PGROK_TIME_SCALE", "0.01", 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_frames),
		cmocka_unit_test(test_sins),
		cmocka_unit_test(test_not_open_yet),
		cmocka_unit_test(test_goaway_normal),
		cmocka_unit_test(test_unknown_ids),
		cmocka_unit_test(test_syns),
		cmocka_unit_test(test_syns_unread),
		cmocka_unit_test(test_churn_unread),
		cmocka_unit_test(test_pings),
		cmocka_unit_test(test_ack_rides),
		cmocka_unit_test(test_quick_window_grows),
		cmocka_unit_test(test_near_window_stops),
		cmocka_unit_test(test_slow_window_stays),
		cmocka_unit_test(test_lossy_window_grows),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
