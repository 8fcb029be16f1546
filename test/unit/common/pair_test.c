/* Pairs over real sockets, with both engines, plain and TLS. */
#include "test/unit/common/pair_rig.h"

/* ---- whole transfers ---- */

/* One way, with the half-close at its end, then the other way: nothing lost, a clean end. */
static void test_half_close(void **state)
{
	struct rig *r = rig_new();
	char *up = random_data(BIG), *down = random_data(BIG), *got = xmalloc(BIG), c;
	pthread_t t;
	struct job a = {&r->far[0], up, BIG, false, true}, b = {&r->far[1], down, BIG, false, true};

	rig_go(r);
	pthread_create(&t, NULL, send_job, &a);
	assert_true(far_recv_all(&r->far[1], got, BIG));
	pthread_join(t, NULL);
	assert_memory_equal(up, got, BIG);
	assert_int_equal(far_recv(&r->far[1], &c, 1), 0);
	pthread_create(&t, NULL, send_job, &b);
	assert_true(far_recv_all(&r->far[0], got, BIG));
	pthread_join(t, NULL);
	assert_memory_equal(down, got, BIG);
	assert_int_equal(far_recv(&r->far[0], &c, 1), 0);
	assert_int_equal(rig_end(r), PAIR_DONE);
	assert_int_equal(r->bytes[0], BIG);
	assert_int_equal(r->bytes[1], BIG);
	free(up);
	free(down);
	free(got);
	rig_free(r);
}

/* As before, to small devices: many heads of records in what is written at once. */
static void test_short_records(void **state)
{
	if (tls_side == -1)
		skip();
	short_records = true;
	test_half_close(state);
	short_records = false;
}

/* Small messages back and forth: nothing waits for a full buffer. */
static void test_ping_pong(void **state)
{
	struct rig *r = rig_new();
	char buf[64];

	rig_go(r);
	for (int i = 0; i < 300; i++) {
		memset(buf, i, sizeof(buf));
		assert_true(far_send(&r->far[i & 1], buf, sizeof(buf)));
		assert_true(far_recv_all(&r->far[!(i & 1)], buf, sizeof(buf)));
		assert_int_equal(buf[63], (char)i);
	}
	rig_free(r);
}

/* A side that doesn't read stops its source after a bounded number of bytes; then all arrives. */
static void test_back_pressure(void **state)
{
	size_t total = 64u << 20, sent = 0, got = 0;
	char *piece, *buf;
	struct rig *r;
	ssize_t n;

	if (tls_side == 0 || tls_side == 2) /* a blocking TLS end can't say how far it came */
		skip();
	r = rig_new();
	piece = random_data(65536);
	buf = xmalloc(65536);
	rig_go(r);
	fcntl(r->far[0].fd, F_SETFL, O_NONBLOCK);
	while (sent < total) {
		n = send(r->far[0].fd, piece, 65536, MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		struct pollfd p = {.fd = r->far[0].fd, .events = POLLOUT};
		if (poll(&p, 1, 300) == 0)
			break;
	}
	assert_true(sent < total);
	shutdown(r->far[0].fd, SHUT_WR);
	while ((n = far_recv(&r->far[1], buf, 65536)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	free(piece);
	free(buf);
	rig_free(r);
}

/* ---- ends ---- */

static void test_abort(void **state)
{
	struct rig *r = rig_new();
	char buf[8];

	rig_go(r);
	assert_true(far_send(&r->far[0], "hello", 5));
	assert_true(far_recv_all(&r->far[1], buf, 5));
	far_close(&r->far[0], true);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_int_equal(far_recv(&r->far[1], buf, 1), -1);
	if (!r->far[1].ssl)
		assert_int_equal(errno, ECONNRESET);
	rig_free(r);
}

/* A TLS side that ends without close_notify was cut off: the other side must see that. */
static void test_bare_fin(void **state)
{
	struct rig *r;
	char buf[8];

	if (tls_side < 1) /* there is no such end on plain TCP */
		skip();
	r = rig_new();
	rig_go(r);
	assert_true(far_send(&r->far[1], "part", 4));
	assert_true(far_recv_all(&r->far[0], buf, 4));
	far_close(&r->far[1], false);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_int_equal(far_recv(&r->far[0], buf, 1), -1);
	rig_free(r);
}

/* Side 1 answers and closes while side 0 still sends: the answer arrives, the end is clean. */
static void test_early_answer(void **state)
{
	struct rig *r = rig_new();
	char *data = random_data(BIG), buf[8] = "";
	struct job a = {&r->far[0], data, BIG, false, false};
	pthread_t t;

	rig_go(r);
	assert_true(far_send(&r->far[0], "x", 1));
	assert_true(far_recv_all(&r->far[1], buf, 1));
	assert_true(far_send(&r->far[1], "answer", 6));
	far_half_close(&r->far[1]);
	assert_true(far_recv_all(&r->far[0], buf, 6));
	assert_int_equal(far_recv(&r->far[0], buf, 1), 0);
	far_close(&r->far[1], true);
	pthread_create(&t, NULL, send_job, &a);
	assert_int_equal(rig_end(r), PAIR_DONE);
	pthread_join(t, NULL);
	free(data);
	rig_free(r);
}

/* What a side sent before its reset arrives, and then the reset. */
static void test_answer_then_reset(void **state)
{
	struct rig *r = rig_new();
	size_t len = 200000;
	char *data = random_data(len), *got = xmalloc(len);

	rig_go(r);
	assert_true(far_send(&r->far[1], data, len));
	/* Until the pair has read it all, a reset would throw it away here already. */
	assert_true(far_recv_all(&r->far[0], got, len - 1000));
	far_close(&r->far[1], true);
	assert_int_equal(rig_end(r), PAIR_ABORT);
	assert_true(far_recv_all(&r->far[0], got + len - 1000, 1000));
	assert_memory_equal(got, data, len);
	assert_int_equal(far_recv(&r->far[0], got, 1), -1);
	free(data);
	free(got);
	rig_free(r);
}

/* ---- hooks ---- */

static void tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct rig *r = arg;
	if (from == 0 && r->tapped_len + len < sizeof(r->tapped)) {
		memcpy(r->tapped + r->tapped_len, buf, len);
		r->tapped_len += len;
	}
}

/* Side 0: lines pass when whole; "hold" waits for a release, "cut" cuts, "stop" stops. */
static enum judge lines(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	*pass = 0;
	if (from == 1) {
		*pass = len;
		return JUDGE_PASS;
	}
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(buf + at, '\n', len - at);
		if (!nl)
			return JUDGE_PASS;
		size_t end = (size_t)(nl - buf) + 1;
		if (strncmp(buf + at, "cut", 3) == 0)
			return JUDGE_CUT;
		if (strncmp(buf + at, "stop", 4) == 0)
			return JUDGE_STOP;
		*pass = at = end;
		if (end >= 5 && strncmp(buf + end - 5, "hold", 4) == 0)
			return JUDGE_HOLD;
	}
	return JUDGE_PASS;
}

static void release0(struct rig *r)
{
	pair_release(r->pair, 0);
}

static void test_judge(void **state)
{
	struct rig *r = rig_new();
	char buf[64];

	r->hooks.judge = lines;
	r->hooks.tap = tap;
	r->feed = "one\ntw";
	rig_go(r);
	assert_true(far_recv_all(&r->far[1], buf, 4));
	assert_memory_equal(buf, "one\n", 4);
	assert_true(nothing_comes(&r->far[1]));
	assert_true(far_send(&r->far[0], "o\nhold\nthree\n", 13));
	assert_true(far_recv_all(&r->far[1], buf, 9));
	assert_memory_equal(buf, "two\nhold\n", 9);
	assert_true(nothing_comes(&r->far[1]));
	rig_run(r, release0);
	assert_true(far_recv_all(&r->far[1], buf, 6));
	assert_memory_equal(buf, "three\n", 6);
	/* The other direction never waited. */
	assert_true(far_send(&r->far[1], "ok", 2));
	assert_true(far_recv_all(&r->far[0], buf, 2));
	r->take = true;
	assert_true(far_send(&r->far[0], "four\ncut\nfive\n", 14));
	assert_int_equal(rig_end(r), PAIR_CUT);
	assert_true(far_recv_all(&r->far[0], buf, 3));
	assert_memory_equal(buf, "bye", 3);
	assert_int_equal(far_recv(&r->far[0], buf, 1), 0);
	assert_true(far_recv_all(&r->far[1], buf, 5));
	assert_memory_equal(buf, "four\n", 5);
	assert_int_equal(far_recv(&r->far[1], buf, 1), 0);
	assert_int_equal(r->tapped_len, 24);
	assert_memory_equal(r->tapped, "one\ntwo\nhold\nthree\nfour\n", 24);
	rig_free(r);
}

static void test_judge_stop(void **state)
{
	struct rig *r = rig_new();
	char buf[64];

	r->hooks.judge = lines;
	rig_go(r);
	assert_true(far_send(&r->far[0], "a\nstop\nb\n", 9));
	assert_true(far_recv_all(&r->far[1], buf, 2));
	assert_true(nothing_comes(&r->far[1]));
	assert_true(far_send(&r->far[1], "last", 4));
	assert_true(far_recv_all(&r->far[0], buf, 4));
	far_half_close(&r->far[1]);
	assert_int_equal(far_recv(&r->far[0], buf, 1), 0);
	assert_int_equal(rig_end(r), PAIR_DONE);
	rig_free(r);
}

static bool end_hook(void *arg, enum side from)
{
	struct rig *r = arg;
	return from == 1 || !r->no_end;
}

static void let_end(struct rig *r)
{
	r->no_end = false;
	pair_release(r->pair, 0);
}

static void test_held_end(void **state)
{
	struct rig *r = rig_new();
	char buf[64];

	r->hooks.eof = end_hook;
	r->no_end = true;
	rig_go(r);
	assert_true(far_send(&r->far[0], "q", 1));
	far_half_close(&r->far[0]);
	assert_true(far_recv_all(&r->far[1], buf, 1));
	assert_true(nothing_comes(&r->far[1]));
	assert_true(far_send(&r->far[1], "answer", 6));
	assert_true(far_recv_all(&r->far[0], buf, 6));
	rig_run(r, let_end);
	assert_int_equal(far_recv(&r->far[1], buf, 1), 0);
	far_half_close(&r->far[1]);
	assert_int_equal(rig_end(r), PAIR_DONE);
	rig_free(r);
}

/* A half-closed pair on which nothing moves any more ends by itself. */
static void test_silence(void **state)
{
#ifdef PGROK_DEBUG
	struct rig *r = rig_new();

	rig_go(r);
	far_half_close(&r->far[0]);
	assert_int_equal(rig_end(r), PAIR_SILENT);
	rig_free(r);
#else
	skip();
#endif
}

/* The visitor is gone, and what it had sent the other side never takes: that has an end, too. */
static void test_half_dead(void **state)
{
#ifdef PGROK_DEBUG
	struct rig *r;
	char *piece;
	int i = 0;

	if (tls_side != -1) /* a blocking TLS end would wait for ever */
		skip();
	r = rig_new();
	piece = random_data(65536);
	rig_go(r);
	fcntl(r->far[0].fd, F_SETFL, O_NONBLOCK);
	for (struct pollfd p = {.fd = r->far[0].fd, .events = POLLOUT}; poll(&p, 1, 300) == 1;)
		(void)!send(r->far[0].fd, piece, 65536, MSG_NOSIGNAL);
	far_close(&r->far[0], true);
	for (struct pollfd p = {.fd = r->done_pipe[0], .events = POLLIN}; poll(&p, 1, 10) == 0; i++)
		assert_true(i < 3000 && far_send(&r->far[1], "?", 1));
	assert_int_equal(rig_end(r), PAIR_SILENT);
	free(piece);
	rig_free(r);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_close),   cmocka_unit_test(test_short_records),
		cmocka_unit_test(test_ping_pong),    cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_abort),        cmocka_unit_test(test_bare_fin),
		cmocka_unit_test(test_early_answer), cmocka_unit_test(test_answer_then_reset),
		cmocka_unit_test(test_judge),        cmocka_unit_test(test_judge_stop),
		cmocka_unit_test(test_held_end),     cmocka_unit_test(test_silence),
		cmocka_unit_test(test_half_dead),
	};
	return run_all("pair", tests, sizeof(tests) / sizeof(tests[0]));
}
