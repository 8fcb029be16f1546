/*
 * Memory of what waits unread: it is reserved before a peer may send, shared between clients and
 * their streams, and never taken back by force. The test is the peer, at the end of a line on which
 * what it is granted reaches it one round trip later.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "test/unit/common/mux_rig.h"

#define START MUX_WINDOW_START
#define KIB (1u << 10)
#define MIB (1u << 20)
/*
 * Time is counted in round trips here. As long as this one can't be measured against by the clock
 * of a machine that is busy with other things.
 */
#define RTT_US 10000000
#define LONG_US 1000000000

/* ---- readers ---- */

static uint64_t budget[KEEP]; /* what the reader of a stream still takes */

static uint32_t place_of(const struct rig *r, struct stream *s)
{
	uint32_t i = 0;

	while (r->kept[i] != s)
		i++;
	return i;
}

static void read_budget(struct rig *r, struct stream *s)
{
	static char buf[65536];
	uint64_t *left = &budget[place_of(r, s)];
	size_t n = 0, cap;

	while ((cap = *left < sizeof(buf) ? *left : sizeof(buf)) &&
	       stream_read(s, buf, cap, &n) == STREAM_OK)
		*left -= n;
	if (!*left)
		stream_want(s, 0);
}

/* ---- the line ---- */

struct line {
	struct rig *r;
	uint64_t sent[KEEP], seen[KEEP]; /* by stream: bytes sent; granted, as the peer knows */
};

static struct mstream *at(const struct line *l, uint32_t i)
{
	return (struct mstream *)l->r->kept[i];
}

static uint32_t id_of(uint32_t i)
{
	return 2 * i + 1;
}

static struct line *line_new(void)
{
	struct line *l = xcalloc(1, sizeof(*l));

	memset(budget, 0, sizeof(budget));
	l->r = rig_new(false);
	l->r->reads = true;
	l->r->on_ready = read_budget;
	l->r->m->rtt_us = RTT_US;
	return l;
}

static void line_free(struct line *l)
{
	assert_int_equal(l->r->downs, 0);
	rig_free(l->r);
	free(l);
}

/* The peer sends what it may on this stream; returns how much. */
static uint64_t send_all(struct line *l, uint32_t i)
{
	uint64_t all = START + l->seen[i] - l->sent[i], left = all;

	while (left) {
		uint32_t n = left < START ? (uint32_t)left : START;

		put_data(l->r, 0, id_of(i), n);
		turns(l->r->loop, 3);
		left -= n;
	}
	l->sent[i] += all;
	return all;
}

/* One round trip for streams from to to-1. Returns what arrived on the last of them. */
static uint64_t round_trip(struct line *l, uint32_t from, uint32_t to)
{
	uint64_t n = 0;

	for (uint32_t i = from; i < to; i++)
		n = send_all(l, i);
	turns(l->r->loop, 3);
	(void)!peer_reads(l->r);
	for (uint32_t i = from; i < to; i++)
		l->seen[i] = l->r->wire.half[id_of(i) / 2].granted;
	return n;
}

/* A new stream, whose reader takes so much and then stands still. */
static void begin(struct line *l, uint32_t i, uint64_t takes)
{
	budget[i] = takes;
	put(l->r, MUX_WINDOW, MUX_SYN, id_of(i), 0);
	turns(l->r->loop, 3);
	assert_non_null(l->r->kept[i]);
}

/*
 * Streams from to to-1: as quick as can be until they have taken so much, then paused. What goes
 * over others goes on.
 */
static void pause_after(struct line *l, uint32_t from, uint32_t to, uint64_t takes)
{
	bool moved = true;

	for (uint32_t i = from; i < to; i++)
		begin(l, i, takes);
	while (moved) {
		moved = false;
		for (uint32_t i = from; i < to; i++)
			moved |= l->sent[i] < START + l->seen[i];
		(void)round_trip(l, 0, to);
	}
}

static void assert_none_reset(const struct line *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		assert_false(at(l, i)->reset);
		assert_false(l->r->wire.half[i].rst);
	}
}

/* The rest comes, whole, once they read again. */
static void resume(struct line *l, uint32_t from, uint32_t to)
{
	uint64_t unread = 0;

	for (uint32_t i = from; i < to; i++) {
		budget[i] = UINT64_MAX;
		stream_want(l->r->kept[i], STREAM_READ);
	}
	turns(l->r->loop, 3);
	for (uint32_t i = from; i < to; i++)
		unread += at(l, i)->unread;
	assert_int_equal(unread, 0);
	(void)round_trip(l, from, to);
	for (int k = 0; k < 3; k++)
		assert_true(round_trip(l, from, to) > 0);
}

/* ---- paused downloads ---- */

/* Ten that were quick for long, so that their windows had grown: all of it waits, none is reset. */
static void test_ten_paused(void **state)
{
	struct line *l = line_new();
	uint64_t held = 0;

	pause_after(l, 0, 10, 20 * MIB);
	assert_none_reset(l, 10);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(at(l, i)->unread > at(l, i)->window / 4 * 3);
		assert_true(at(l, i)->window >= 256 * KIB);
		held += at(l, i)->window;
	}
	assert_int_equal(rig_held(l->r) + rig_reserved(l->r), held);
	assert_true(rig_reserved(l->r) <= MUX_MEMORY_DEFAULT / 4);
	resume(l, 0, 10);
	assert_none_reset(l, 10);
	line_free(l);
}

/* How much arrives on stream i in a round trip, after so many of them. */
static uint64_t speed(struct line *l, uint32_t i, int rounds)
{
	uint64_t n = 0;

	while (rounds-- > 0)
		n = round_trip(l, i, i + 1);
	return n;
}

/* A bulk stream that was there before, and one that comes later, beside so many paused ones. */
static void bulk_beside(uint32_t paused, uint64_t takes)
{
	struct line *l = line_new();
	uint64_t before;

	begin(l, 0, UINT64_MAX);
	before = speed(l, 0, 20);
	assert_true(before >= 2 * MIB);
	pause_after(l, 1, 1 + paused, takes);
	assert_true(speed(l, 0, 5) >= before / 5 * 4);
	assert_true(at(l, 0)->window >= 256 * KIB);
	begin(l, 1 + paused, UINT64_MAX);
	/* At once as fast as it can be, or when it has proved that it is read. */
	(void)speed(l, 1 + paused, 300);
	assert_true(speed(l, 1 + paused, 1) >= 256 * KIB * 4 / 5);
	assert_true(at(l, 1 + paused)->window >= 256 * KIB);
	assert_none_reset(l, 2 + paused);
	line_free(l);
}

static void test_bulk_beside_ten(void **state)
{
	bulk_beside(10, 20 * MIB);
}

/* As readers that never read: the sockets behind the tunnel take something, then no more. */
static void test_bulk_beside_a_thousand(void **state)
{
	bulk_beside(1000, 512 * KIB);
}

/* ---- who may have how much ---- */

/* So many streams of a rig, from number `from` on, each filled to its first window; none reads. */
static void fill(struct rig *r, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++) {
		put_data(r, MUX_SYN, id_of(i), START);
		turns(r->loop, 3);
	}
}

/* What is over the share is refused as long as nothing is read; what is open stays as it is. */
static void test_acceptor_refuses(void **state)
{
	struct rig *r = rig_new(false);
	uint32_t share, i;

	mux_set_memory(16 * MIB);
	/* A half of the half for first windows: never more than is left for all others. */
	share = 16 * MIB / 2 / 2 / START;
	fill(r, 0, 2 * share);
	assert_int_equal(r->accepted, share);
	for (i = 0; i < 2 * share; i++)
		assert_int_equal(r->wire.half[i].rst, i >= share);
	assert_int_equal(rig_held(r), share * START);
	stream_close(r->kept[0], true);
	r->kept[0] = NULL;
	fill(r, i, 2);
	assert_int_equal(r->accepted, share + 1);
	assert_int_equal(r->downs, 0);
	mux_set_memory(MUX_MEMORY_DEFAULT);
	rig_free(r);
}

static void test_opener_opens_no_more(void **state)
{
	struct rig *r = rig_new(true);
	uint32_t share = 16 * MIB / 2 / 2 / START, idle = 3 * share;
	struct stream *s;
	size_t n;

	mux_set_memory(16 * MIB);
	/* As long as nothing waits there is no limit to them. */
	for (uint32_t i = 0; i < idle; i++) {
		keep(r, mux_open(r->m), i, 0);
		assert_int_equal(stream_write(r->kept[i], "x", 1, &n), STREAM_OK);
		turns(r->loop, 1);
	}
	assert_int_equal(rig_held(r), 0);
	for (uint32_t i = 0; i < share; i++) {
		put_data(r, i ? 0 : MUX_ACK, id_of(i), START);
		turns(r->loop, 3);
	}
	assert_null(mux_open(r->m));
	/* What is open keeps its window, even so. */
	for (uint32_t i = share; i < idle; i++) {
		put_data(r, 0, id_of(i), START);
		turns(r->loop, 3);
	}
	for (uint32_t i = 0; i < idle; i++)
		assert_int_equal(((struct mstream *)r->kept[i])->unread, START);
	assert_int_equal(r->downs, 0);
	for (uint32_t i = 0; i < idle; i++) {
		stream_close(r->kept[i], true);
		r->kept[i] = NULL;
	}
	s = mux_open(r->m);
	assert_non_null(s);
	keep(r, s, 0, 0);
	mux_set_memory(MUX_MEMORY_DEFAULT);
	rig_free(r);
}

/* A connection that carries one stream at a time is never refused. */
static void test_alone_is_never_refused(void **state)
{
	for (int opens = 0; opens < 2; opens++) {
		struct rig *r = rig_new(opens);

		mux_set_memory(0);
		r->m->conf.alone = true;
		r->memory->used[MEMORY_START] = MIB;
		if (opens)
			keep(r, mux_open(r->m), 0, 0);
		else
			fill(r, 0, 1);
		assert_non_null(r->kept[0]);
		assert_int_equal(r->wire.half[0].rst, false);
		if (opens)
			assert_null(mux_open(r->m));
		r->memory->used[MEMORY_START] -= MIB;
		mux_set_memory(MUX_MEMORY_DEFAULT);
		rig_free(r);
	}
}

/* Clients whose readers all stand still leave those of others what they need. */
static void test_other_clients(void **state)
{
	struct rig *bad[3], *good;

	mux_set_memory(16 * MIB);
	for (int i = 0; i < 3; i++) {
		bad[i] = rig_new(false);
		fill(bad[i], 0, 200);
	}
	assert_true(bad[0]->accepted > bad[1]->accepted);
	assert_true(bad[2]->accepted > 10);
	good = rig_new(false);
	fill(good, 0, 8);
	assert_int_equal(good->accepted, 8);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(((struct mstream *)good->kept[i])->unread, START);
	assert_true(mux_memory_used() <= 16 * MIB / 2);
	mux_set_memory(MUX_MEMORY_DEFAULT);
	/* The counter is the process's: the others have to end first. */
	for (int i = 0; i < 3; i++) {
		the_rig = bad[i];
		close_kept(bad[i], true);
		turns(bad[i]->loop, 2);
	}
	the_rig = good;
	rig_free(good);
	for (int i = 0; i < 3; i++) {
		the_rig = bad[i];
		rig_free(bad[i]);
	}
}

/* Two sessions of one client pay into one account. */
static void test_one_account(void **state)
{
	struct mux_conf conf = {.start_window = START, .max_streams = MUX_STREAMS_MAX};
	struct rig *r = rig_new(false);
	struct fake *end[2];
	struct mux *second;

	fake_pair(r->loop, NULL, &r->open, end);
	second = mux_new(&end[0]->s, &conf, r->memory, &hooks, r);
	mux_set_memory(16 * MIB);
	fill(r, 0, 100);
	assert_int_equal(r->accepted, 64);
	put_data(r, MUX_SYN, id_of(100), 1);
	{
		uint8_t h[MUX_HEADER];
		mux_frame_put(h, (struct mux_frame){MUX_WINDOW, MUX_SYN, 1, 0});
		fake_put(end[0], h, sizeof(h));
	}
	turns(r->loop, 3);
	assert_int_equal(r->accepted, 64);
	mux_set_memory(MUX_MEMORY_DEFAULT);
	mux_close(second, false);
	turns(r->loop, 3);
	stream_close(&end[1]->s, false);
	turns(r->loop, 3);
	rig_free(r);
}

/* ---- what is given back ---- */

/* A quick stream with a window of 1 MiB or more. */
static struct line *grown(void)
{
	struct line *l = line_new();

	begin(l, 0, UINT64_MAX);
	(void)speed(l, 0, 6);
	assert_true(at(l, 0)->window >= MIB);
	assert_int_equal(rig_reserved(l->r), at(l, 0)->window - START);
	assert_int_equal(rig_held(l->r), START);
	return l;
}

static void assert_nothing_reserved(struct line *l)
{
	turns(l->r->loop, 3);
	assert_int_equal(rig_reserved(l->r), 0);
	assert_int_equal(rig_held(l->r), 0);
	assert_int_equal(mux_memory_used(), 0);
	line_free(l);
}

static void test_end_gives_back(void **state)
{
	struct line *l = grown();

	put(l->r, MUX_WINDOW, MUX_FIN, 1, 0);
	assert_nothing_reserved(l);
	l = grown();
	put(l->r, MUX_WINDOW, MUX_RST, 1, 0);
	assert_nothing_reserved(l);
	l = grown();
	stream_close(l->r->kept[0], false);
	l->r->kept[0] = NULL;
	assert_nothing_reserved(l);
	l = grown();
	stream_want(l->r->kept[0], 0);
	mux_close(l->r->m, true);
	l->r->m = NULL;
	assert_nothing_reserved(l);
}

/* What waits when the end comes is still read, and paid for until then. */
static void test_end_with_unread(void **state)
{
	struct line *l = grown();
	uint32_t window = at(l, 0)->window;

	budget[0] = 0;
	assert_true(send_all(l, 0) > MIB / 2);
	put(l->r, MUX_WINDOW, MUX_FIN, 1, 0);
	turns(l->r->loop, 3);
	assert_true(at(l, 0)->unread > MIB / 2);
	assert_int_equal(rig_held(l->r) + rig_reserved(l->r), at(l, 0)->cap);
	assert_true(at(l, 0)->cap <= window);
	budget[0] = UINT64_MAX;
	stream_want(l->r->kept[0], STREAM_READ);
	assert_nothing_reserved(l);
}

/* A reader that takes from a big buffer gives the memory back as it goes. */
static void test_buffer_shrinks(void **state)
{
	struct line *l = grown();
	struct mstream *ms = at(l, 0);
	uint32_t window = ms->window;

	budget[0] = 0;
	(void)send_all(l, 0);
	assert_int_equal(ms->cap, window);
	put(l->r, MUX_WINDOW, MUX_FIN, 1, 0); /* so that nothing is kept for what may still come */
	turns(l->r->loop, 3);
	budget[0] = ms->unread - 40000;
	stream_want(l->r->kept[0], STREAM_READ);
	turns(l->r->loop, 3);
	assert_int_equal(ms->unread, 40000);
	assert_true(rig_held(l->r) + rig_reserved(l->r) <= 256 * KIB);
	line_free(l);
}

/* As if it had taken that long: what the next reads are measured by began earlier. */
static void time_passes(struct mstream *ms, uint64_t us)
{
	ms->epoch_us -= us;
}

/* A paused reader goes on: what it has too much of is not renewed, and nothing else changes. */
static void test_pause_is_not_renewed(void **state)
{
	struct line *l = grown();
	struct mstream *ms = at(l, 0);
	uint32_t window = ms->window;

	budget[0] = 0;
	while (round_trip(l, 0, 1))
		;
	assert_true(ms->unread > window / 4 * 3);
	time_passes(ms, LONG_US);
	budget[0] = window / 2 - 1000;
	stream_want(l->r->kept[0], STREAM_READ);
	assert_int_equal(round_trip(l, 0, 1), 0);
	assert_int_equal(ms->window, window / 2);
	assert_int_equal(round_trip(l, 0, 1), 0);
	assert_int_equal(rig_reserved(l->r), window - START);
	budget[0] = 1000;
	stream_want(l->r->kept[0], STREAM_READ);
	turns(l->r->loop, 3);
	assert_int_equal(ms->excess, 0);
	assert_int_equal(rig_reserved(l->r), window / 2 - START);
	assert_int_equal(ms->recv_window + ms->credit + ms->unread, ms->window);
	assert_true(ms->cap <= window / 2);
	/* Quick again, it grows again. */
	resume(l, 0, 1);
	for (int i = 0; i < 5 && ms->window < window; i++)
		(void)round_trip(l, 0, 1);
	assert_true(ms->window >= window);
	line_free(l);
}

/* Another client takes so many tenths of what there is for growth. */
static struct mux_account *taken(uint64_t tenths)
{
	struct mux_account *a = mux_account_new();

	account_charge(a, MEMORY_GROWTH, (int64_t)(MUX_MEMORY_DEFAULT / 2 / 10 * tenths));
	return a;
}

static void give_up(struct mux_account *a)
{
	account_charge(a, MEMORY_GROWTH, -(int64_t)a->used[MEMORY_GROWTH]);
	mux_account_free(a);
}

/* A peer that paused is not a reader that stands still, unless memory is short. */
static void test_quiet_peer(void **state)
{
	static const uint64_t tenths[] = {0, 5, 8, 10};

	for (int t = 0; t < 4; t++) {
		struct line *l = grown();
		struct mstream *ms = at(l, 0);
		struct mux_account *other = taken(tenths[t]);

		for (int i = 0; i < 30; i++) {
			time_passes(ms, LONG_US);
			(void)round_trip(l, 0, 1);
		}
		if (tenths[t] < 8)
			assert_true(ms->window >= MIB);
		else
			assert_true(ms->window < MIB);
		if (tenths[t] == 10)
			assert_int_equal(rig_reserved(l->r), 0);
		give_up(other);
		line_free(l);
	}
}

/* Whoever has kept up for long gets more; after a pause that has to be proved again. */
static void test_proof(void **state)
{
	for (int paused = 0; paused < 2; paused++) {
		struct line *l = grown();
		struct mstream *ms = at(l, 0);
		struct mux_account *other = taken(10);
		uint32_t window;

		(void)speed(l, 0, 40); /* it proves itself, but there is nothing to be had */
		if (paused) {
			budget[0] = 0;
			while (round_trip(l, 0, 1))
				;
			time_passes(ms, LONG_US);
			resume(l, 0, 1);
		}
		give_up(other);
		other = taken(8);
		window = ms->window;
		(void)speed(l, 0, 3);
		assert_int_equal(ms->window > window, !paused);
		give_up(other);
		line_free(l);
	}
}

/* ---- the process's total ---- */

static void test_total_in_steps(void **state)
{
	struct mux_account *a = mux_account_new(), *b = mux_account_new();

	account_charge(a, MEMORY_START, 4096);
	assert_int_equal(mux_memory_used(), 0);
	account_charge(a, MEMORY_START, 200 * KIB);
	assert_int_equal(mux_memory_used(), 192 * KIB);
	account_charge(b, MEMORY_GROWTH, 16 * MIB);
	assert_int_equal(mux_memory_used(), 16 * MIB + 192 * KIB);
	account_charge(a, MEMORY_START, -60 * 1024);
	assert_int_equal(mux_memory_used(), 16 * MIB + 192 * KIB);
	account_charge(a, MEMORY_START, -144 * 1024 - 4096 + 4096);
	account_charge(b, MEMORY_GROWTH, -16 * 1024 * 1024);
	assert_int_equal(mux_memory_used(), 0);
	mux_account_free(a);
	mux_account_free(b);
	mux_account_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ten_paused),
		cmocka_unit_test(test_bulk_beside_ten),
		cmocka_unit_test(test_bulk_beside_a_thousand),
		cmocka_unit_test(test_acceptor_refuses),
		cmocka_unit_test(test_opener_opens_no_more),
		cmocka_unit_test(test_alone_is_never_refused),
		cmocka_unit_test(test_other_clients),
		cmocka_unit_test(test_one_account),
		cmocka_unit_test(test_end_gives_back),
		cmocka_unit_test(test_end_with_unread),
		cmocka_unit_test(test_buffer_shrinks),
		cmocka_unit_test(test_pause_is_not_renewed),
		cmocka_unit_test(test_quiet_peer),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_total_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
