/*
 * A visitor that leaves its pair with what it said last in hand, and goes on with another service,
 * on the same loop or on another. With both engines, plain and TLS.
 */
#include "test/unit/common/pair_rig.h"

/* What comes from a bar on is for the next service. */
struct leaver {
	struct rig *r; /* the first pair; its far[1] is the first service */
	struct far next;
	int next_fd;
	struct rig *other;  /* the second pair is made there, on its loop; NULL: on the same */
	size_t answer_left; /* bytes that the first service owes before the visitor may leave */
	bool holds, deaf;
	char left[64];
	size_t left_len;
};

static struct leaver me;

static enum judge judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	const char *bar = memchr(buf, '|', len);

	*pass = len;
	if (from == SIDE_SERVICE) {
		me.answer_left -= len < me.answer_left ? len : me.answer_left;
		if (me.holds && !me.answer_left)
			pair_release(me.r->pair, SIDE_VISITOR);
		return me.deaf ? JUDGE_HOLD : JUDGE_PASS;
	}
	if (!bar)
		return JUDGE_PASS;
	*pass = (size_t)(bar - buf);
	me.holds = me.answer_left > 0;
	return me.holds ? JUDGE_HOLD : JUDGE_LEAVE;
}

static void say(struct rig *r, char c)
{
	assert_int_equal(write(r->done_pipe[1], &c, 1), 1);
}

static void go_on(struct stream *visitor)
{
	struct rig *r = me.r;

	r->hooks.judge = NULL;
	r->hooks.done = on_done;
	/* Nothing happens to it, it is settled. */
	assert_ptr_equal(stream_settle(visitor), visitor);
	/* A bufferevent may have read more already, or be inside its own callback. */
	assert_true(engine == ENGINE_BUFFEREVENT || stream_movable(visitor));
	r->pair = pair_new(visitor, stream_new(r->loop, me.next_fd, NULL), &r->hooks, r);
	if (me.left_len)
		pair_feed(r->pair, SIDE_VISITOR, me.left, me.left_len);
	pair_start(r->pair);
}

static void go_elsewhere(struct stream *visitor)
{
	struct rig *o = me.other;

	close(o->near_fd[0]);
	SSL_free(o->near_ssl[0]);
	assert_true(stream_movable(visitor));
	stream_detach(visitor, &o->near_fd[0], &o->near_ssl[0]);
	o->feed = me.left;
	rig_go(o);
}

static void on_left(void *arg, enum pair_end why)
{
	struct rig *r = arg;
	char *buf;
	size_t len;

	if (why != PAIR_LEFT) {
		on_done(arg, why);
		return;
	}
	struct stream *visitor = pair_leave(r->pair, SIDE_VISITOR, &buf, &len);

	assert_true(len < sizeof(me.left));
	if (len)
		memcpy(me.left, buf, len);
	me.left_len = len;
	free(buf);
	pair_close(r->pair, false);
	r->pair = NULL;
	if (me.other)
		go_elsewhere(visitor);
	else
		go_on(visitor);
	say(r, PAIR_LEFT);
}

static int set_up(void **state)
{
	int fd[2];

	memset(&me, 0, sizeof(me));
	small_buffers = 4096;
	me.r = rig_new();
	small_buffers = 0;
	me.r->hooks.judge = judge;
	me.r->hooks.done = on_left;
	tcp_pair(fd);
	me.next.fd = fd[0];
	me.next_fd = fd[1];
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	return 0;
}

static int tear_down(void **state)
{
	bool used = me.left_len > 0 && !me.other;

	rig_free(me.r);
	if (!used)
		close(me.next_fd);
	far_close(&me.next, false);
	return 0;
}

static void expect(struct far *f, const char *text)
{
	char buf[64] = "";

	assert_true(far_recv_all(f, buf, strlen(text)));
	assert_string_equal(buf, text);
}

static void expect_end(struct far *f)
{
	char c;

	assert_int_equal(far_recv(f, &c, 1), 0);
}

static void test_goes_on_with_another(void **state)
{
	struct far *visitor = &me.r->far[0], *first = &me.r->far[1];

	rig_go(me.r);
	assert_true(far_send(visitor, "hello", 5));
	expect(first, "hello");
	assert_true(far_send(first, "yes", 3));
	expect(visitor, "yes");
	assert_true(far_send(visitor, "|next", 5));
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	assert_int_equal(me.left_len, 5);
	expect(&me.next, "|next");
	expect_end(first); /* its word is over, cleanly */
	assert_true(far_send(&me.next, "sure", 4));
	expect(visitor, "sure");
	assert_true(far_send(visitor, "more|", 5));
	expect(&me.next, "more|");
	far_half_close(visitor);
	expect_end(&me.next);
	far_half_close(&me.next);
	expect_end(visitor);
	assert_int_equal(rig_end(me.r), PAIR_DONE);
}

/* What came before the bar belongs to the first service, and its answer to the visitor. */
static void test_all_in_one_piece(void **state)
{
	struct far *visitor = &me.r->far[0], *first = &me.r->far[1];
	char *data = random_data(BIG), *got = xmalloc(BIG);
	struct job job = {first, data, BIG, false, false};
	pthread_t t;

	me.answer_left = BIG;
	rig_go(me.r);
	assert_true(far_send(visitor, "hello|next", 10));
	far_half_close(visitor); /* is carried along, too */
	expect(first, "hello");
	assert_true(nothing_comes(&me.next));
	pthread_create(&t, NULL, send_job, &job);
	assert_true(far_recv_all(visitor, got, BIG));
	pthread_join(t, NULL);
	assert_memory_equal(data, got, BIG);
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	expect(&me.next, "|next");
	expect_end(&me.next);
	far_half_close(&me.next);
	expect_end(visitor);
	assert_int_equal(rig_end(me.r), PAIR_DONE);
	free(data);
	free(got);
}

/*
 * More than is on its way to a visitor that does not read, and still read at once (direct) or kept
 * in the stream (bufferevent).
 */
#define ANSWER (engine == ENGINE_DIRECT ? 16000u : 20000u)

/* The visitor says its next word before it has read the answer: it has all of it, then it goes. */
static void unread_answer(char *data)
{
	struct far *visitor = &me.r->far[0], *first = &me.r->far[1];

	me.answer_left = ANSWER;
	rig_go(me.r);
	assert_true(far_send(visitor, "hello|next", 10));
	expect(first, "hello");
	assert_true(far_send(first, data, ANSWER));
	struct pollfd p = {.fd = me.r->done_pipe[0], .events = POLLIN};

	assert_int_equal(poll(&p, 1, 100), 0);
}

static void test_not_before_the_answer_is_out(void **state)
{
	char *data = random_data(ANSWER), *got = xmalloc(ANSWER);

	unread_answer(data);
	assert_true(far_recv_all(&me.r->far[0], got, ANSWER));
	assert_memory_equal(data, got, ANSWER);
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	expect(&me.next, "|next");
	free(data);
	free(got);
}

static void test_dies_before_the_answer_is_out(void **state)
{
	char *data = random_data(ANSWER);

	unread_answer(data);
	far_close(&me.r->far[0], true);
	assert_int_equal(rig_end(me.r), PAIR_ABORT);
	assert_int_equal(me.left_len, 0);
	free(data);
}

/* The first service has ended, and the visitor was told so: it can't go on with another. */
static void test_was_told_an_end(void **state)
{
	struct far *visitor = &me.r->far[0], *first = &me.r->far[1];

	rig_go(me.r);
	assert_true(far_send(visitor, "hello", 5));
	expect(first, "hello");
	assert_true(far_send(first, "bye", 3));
	far_half_close(first);
	expect(visitor, "bye");
	expect_end(visitor);
	assert_true(far_send(visitor, "|next", 5));
	assert_int_equal(rig_end(me.r), PAIR_DONE);
	assert_int_equal(me.left_len, 0);
}

/* The first service is gone with what it still should have got: that does not hold the visitor. */
static void test_first_is_dead(void **state)
{
	struct far *visitor = &me.r->far[0], *first = &me.r->far[1];

	me.deaf = true; /* nobody reads there, so that its end is not seen */
	rig_go(me.r);
	assert_true(far_send(first, "a", 1));
	expect(visitor, "a");
	far_close(first, true);
	assert_true(far_send(visitor, "more|next", 9));
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	assert_int_equal(me.left_len, 5);
	expect(&me.next, "|next");
	assert_true(far_send(&me.next, "b", 1));
	expect(visitor, "b");
}

/*
 * The last word to the first service does not fit; then it is read, or lost with that service. A
 * bufferevent, or TLS, would take it all.
 */
static bool keeps_all(void)
{
	return engine != ENGINE_DIRECT || tls_side == 1 || tls_side == 2;
}

static void unread_word(char *data)
{
	memset(data, 'x', ANSWER);
	memcpy(data + ANSWER, "|next", 5);
	me.deaf = true;
	rig_go(me.r);
	assert_true(far_send(&me.r->far[1], "a", 1));
	expect(&me.r->far[0], "a");
	assert_true(far_send(&me.r->far[0], data, ANSWER + 5));
	struct pollfd p = {.fd = me.r->done_pipe[0], .events = POLLIN};

	assert_int_equal(poll(&p, 1, 100), 0);
}

static void test_not_before_its_word_is_out(void **state)
{
	char *data, *got;

	if (keeps_all())
		skip();
	data = xmalloc(ANSWER + 5);
	got = xmalloc(ANSWER);
	unread_word(data);
	assert_true(far_recv_all(&me.r->far[1], got, ANSWER));
	assert_memory_equal(data, got, ANSWER);
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	expect(&me.next, "|next");
	free(data);
	free(got);
}

static void test_its_word_is_lost(void **state)
{
	char *data;

	if (keeps_all())
		skip();
	data = xmalloc(ANSWER + 5);
	unread_word(data);
	far_close(&me.r->far[1], true);
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	expect(&me.next, "|next");
	free(data);
}

/* Only a direct stream moves; all it was given has left before. */
static void test_goes_to_another_loop(void **state)
{
	struct far *visitor = &me.r->far[0], *next;
	char *data, *got;
	int side = tls_side;

	if (engine != ENGINE_DIRECT)
		skip();
	data = random_data(ANSWER);
	got = xmalloc(ANSWER);
	tls_side = side == 1 || side == 2 ? 1 : -1;
	me.other = rig_new();
	tls_side = side;
	next = &me.other->far[1];
	unread_answer(data);
	assert_true(far_recv_all(visitor, got, ANSWER));
	assert_memory_equal(data, got, ANSWER);
	assert_int_equal(rig_end(me.r), PAIR_LEFT);
	expect(next, "|next");
	assert_true(far_send(next, "there", 5));
	expect(visitor, "there");
	assert_true(far_send(visitor, "and back", 8));
	expect(next, "and back");
	far_half_close(visitor);
	expect_end(next);
	far_half_close(next);
	expect_end(visitor);
	assert_int_equal(rig_end(me.other), PAIR_DONE);
	rig_free(me.other);
	free(data);
	free(got);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on_with_another),
		TEST(test_all_in_one_piece),
		TEST(test_not_before_the_answer_is_out),
		TEST(test_dies_before_the_answer_is_out),
		TEST(test_was_told_an_end),
		TEST(test_first_is_dead),
		TEST(test_not_before_its_word_is_out),
		TEST(test_its_word_is_lost),
		TEST(test_goes_to_another_loop),
	};
	return run_all("pair_leave", tests, sizeof(tests) / sizeof(tests[0]));
}
