/* Messages over a stream that says what a script tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/stream/kind.h"
#include "msg/pgrok/chan.h"

#define PING "\x1c\0\0\0\0\0\0\0{\"Type\":\"Ping\",\"Payload\":{}}"
#define PONG "\x1c\0\0\0\0\0\0\0{\"Type\":\"Pong\",\"Payload\":{}}"
#define FRAME 36 /* bytes of each */
#define QUEUE (100 * FRAME)
#define NULLPING "\x1e\0\0\0\0\0\0\0{\"Type\":\"Ping\",\"Payload\":null}"

/* ---- the stream ---- */

struct fake {
	struct stream base;
	/* Reading: in, handed out in pieces of at most piece bytes with an AGAIN after each. */
	const char *in;
	size_t in_len, in_off, piece, piece_left;
	enum stream_rc then; /* when in is used up */
	/* Writing: taken bytes at most, AGAIN from then on. */
	char out[1 << 16];
	size_t out_len, room;
	enum stream_rc write_rc; /* instead of taking bytes, if not OK */
	int writes;
	/* What a call that said AGAIN was offered: the next one has to begin with it. */
	char offered[1 << 16];
	size_t offered_len;
	size_t largest; /* the longest single offer */
};

static enum stream_rc fake_read(struct stream *s, void *buf, size_t cap, size_t *n)
{
	struct fake *f = (struct fake *)s;
	size_t left = f->in_len - f->in_off;

	assert_in_range(cap, 1, SIZE_MAX);
	if (!left)
		return f->then;
	if (!f->piece_left) {
		f->piece_left = f->piece;
		return STREAM_AGAIN;
	}
	*n = cap < left ? cap : left;
	if (*n > f->piece_left)
		*n = f->piece_left;
	memcpy(buf, f->in + f->in_off, *n);
	f->in_off += *n;
	f->piece_left -= *n;
	return STREAM_OK;
}

static enum stream_rc fake_write(struct stream *s, const void *buf, size_t len, size_t *n)
{
	struct fake *f = (struct fake *)s;

	assert_in_range(len, 1, sizeof(f->offered));
	assert_in_range(len, f->offered_len, SIZE_MAX);
	assert_memory_equal(buf, f->offered, f->offered_len);
	f->offered_len = 0;
	f->writes++;
	if (len > f->largest)
		f->largest = len;
	if (f->write_rc != STREAM_OK)
		return f->write_rc;
	if (!f->room) {
		memcpy(f->offered, buf, len);
		f->offered_len = len;
		return STREAM_AGAIN;
	}
	*n = len < f->room ? len : f->room;
	assert_in_range(f->out_len + *n, 1, sizeof(f->out));
	memcpy(f->out + f->out_len, buf, *n);
	f->out_len += *n;
	f->room -= *n;
	return STREAM_OK;
}

static const char *fake_error(const struct stream *s)
{
	return "Connection reset by peer";
}

static const struct stream_ops fake_ops = {
	.kind = "fake",
	.read = fake_read,
	.write = fake_write,
	.error = fake_error,
};

static struct fake fake; /* large: not on the stack */

static struct chan *open_fake(const char *in, size_t len, size_t piece)
{
	memset(&fake, 0, sizeof(fake));
	fake.base.ops = &fake_ops;
	fake.base.fd = -1;
	fake.in = in;
	fake.in_len = len;
	fake.piece = fake.piece_left = piece;
	fake.then = STREAM_AGAIN;
	return chan_new(&fake.base);
}

/* ---- receiving ---- */

/* What comes next, however often AGAIN is said before (the script hands out one piece a turn). */
static enum chan_rc recv_next(struct chan *c, struct msg *m)
{
	enum chan_rc rc = CHAN_AGAIN;

	for (size_t i = 0; i < 2 * fake.in_len + 2 && rc == CHAN_AGAIN; i++)
		rc = chan_recv(c, m);
	return rc;
}

static void expect_type(struct chan *c, enum msg_type type)
{
	struct msg m = msg_new(MSG_PING);

	assert_int_equal(recv_next(c, &m), CHAN_OK);
	assert_int_equal(m.type, type);
	msg_free(&m);
}

static void test_any_pieces(void **state)
{
	static const char in[] = PING PONG PING;
	struct msg m;

	for (size_t piece = 1; piece < sizeof(in); piece++) {
		struct chan *c = open_fake(in, sizeof(in) - 1, piece);

		expect_type(c, MSG_PING);
		expect_type(c, MSG_PONG);
		expect_type(c, MSG_PING);
		assert_int_equal(chan_recv(c, &m), CHAN_AGAIN);
		assert_string_equal(chan_error(c), "");
		chan_free(c);
	}
}

static void test_two_in_one_record(void **state)
{
	struct chan *c = open_fake(PING PONG, 2 * FRAME, 2 * FRAME);
	struct msg m;

	assert_int_equal(chan_recv(c, &m), CHAN_OK);
	assert_int_equal(m.type, MSG_PING);
	msg_free(&m);
	assert_int_equal(chan_recv(c, &m), CHAN_OK);
	assert_int_equal(m.type, MSG_PONG);
	msg_free(&m);
	assert_int_equal(chan_recv(c, &m), CHAN_AGAIN);
	chan_free(c);
}

/* After a StartProxy come raw bytes: not one of them may be swallowed. */
static void test_reads_no_further(void **state)
{
	struct chan *c = open_fake(PING "GET / HTTP/1.1", FRAME + 14, 1000);

	expect_type(c, MSG_PING);
	assert_int_equal(fake.in_off, FRAME);
	chan_free(c);
}

/* However much of the header was read by another before. */
static void test_begun_by_another(void **state)
{
	for (size_t fed = 0; fed <= FRAME_HEADER; fed++) {
		struct chan *c = open_fake(PING PONG + fed, 2 * FRAME - fed, 3);

		chan_feed(c, PING, fed);
		expect_type(c, MSG_PING);
		expect_type(c, MSG_PONG);
		chan_free(c);
	}
}

static void test_null_is_skipped(void **state)
{
	struct chan *c = open_fake(NULLPING PONG, 8 + 30 + FRAME, 5);
	struct msg m;

	assert_int_equal(recv_next(c, &m), CHAN_NULL);
	expect_type(c, MSG_PONG);
	chan_free(c);
}

static void test_eof_everywhere(void **state)
{
	struct msg m;

	for (size_t len = 0; len <= FRAME; len++) {
		struct chan *c = open_fake(PING, len, 1000);

		fake.then = STREAM_EOF;
		if (len == FRAME)
			expect_type(c, MSG_PING);
		if (len == 0 || len == FRAME) {
			assert_int_equal(chan_recv(c, &m), CHAN_EOF);
		} else {
			assert_int_equal(chan_recv(c, &m), CHAN_ABORT);
			assert_non_null(strstr(chan_error(c), "in the middle of a message"));
		}
		chan_free(c);
	}
}

static void test_abort(void **state)
{
	struct chan *c = open_fake(PING, 20, 1000);
	struct msg m;

	fake.then = STREAM_ABORT;
	assert_int_equal(chan_recv(c, &m), CHAN_ABORT);
	assert_string_equal(chan_error(c), "Connection reset by peer");
	chan_free(c);
}

static void test_bad_stays_bad(void **state)
{
	static const struct {
		const char *in;
		size_t len, read;
	} cases[] = {
		/* The length alone decides: nothing is allocated for it, nothing more is read. */
		{"\0\0\0\0\0\0\0\0" PING, 8 + FRAME, 8},
		{"\xff\xff\xff\xff\xff\xff\xff\xff" PING, 8 + FRAME, 8},
		{"\0\0\0\0\0\0\0\x1c" PING, 8 + FRAME, 8},
		{"\x01\0\x01\0\0\0\0\0" PING, 8 + FRAME, 8},
		{"\0\0\0\0\0\x01\0\0" PING, 8 + FRAME, 8},
		{"\x02\0\0\0\0\0\0\0{}" PING, 10 + FRAME, 10},
		{"\x1b\0\0\0\0\0\0\0{\"Type\":\"Foo\",\"Payload\":{}}" PING, 35 + FRAME, 35},
	};
	struct msg m;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chan *c = open_fake(cases[i].in, cases[i].len, 1000);

		assert_int_equal(chan_recv(c, &m), CHAN_BAD);
		assert_string_not_equal(chan_error(c), "");
		assert_int_equal(chan_recv(c, &m), CHAN_BAD);
		assert_int_equal(fake.in_off, cases[i].read);
		chan_free(c);
	}
}

/* ---- sending ---- */

static void send_type(struct chan *c, enum msg_type type)
{
	struct msg m = msg_new(type);

	assert_true(chan_send(c, &m));
}

static void test_one_write_each(void **state)
{
	struct chan *c = open_fake("", 0, 1);

	fake.room = 1000;
	send_type(c, MSG_PING);
	send_type(c, MSG_PONG);
	assert_int_equal(fake.writes, 2);
	assert_int_equal(fake.largest, FRAME);
	assert_int_equal(fake.out_len, 2 * FRAME);
	assert_memory_equal(fake.out, PING PONG, 2 * FRAME);
	assert_false(chan_waiting(c));
	chan_free(c);
}

/* What was refused is offered again as it was, one frame at a time, not joined with the next. */
static void test_again(void **state)
{
	struct chan *c = open_fake("", 0, 1);

	send_type(c, MSG_PING);
	assert_true(chan_waiting(c));
	send_type(c, MSG_PONG);
	assert_int_equal(chan_flush(c), STREAM_AGAIN);
	assert_int_equal(fake.out_len, 0);
	fake.room = 1000;
	assert_int_equal(chan_flush(c), STREAM_OK);
	assert_int_equal(fake.largest, FRAME);
	assert_memory_equal(fake.out, PING PONG, 2 * FRAME);
	assert_int_equal(fake.out_len, 2 * FRAME);
	assert_false(chan_waiting(c));
	assert_int_equal(chan_flush(c), STREAM_OK);
	chan_free(c);
}

static void test_partial_writes(void **state)
{
	for (size_t room = 1; room < 2 * FRAME; room++) {
		struct chan *c = open_fake("", 0, 1);
		enum stream_rc rc = STREAM_AGAIN;

		fake.room = room;
		send_type(c, MSG_PING);
		send_type(c, MSG_PONG);
		assert_true(chan_waiting(c));
		for (int i = 0; i < 2 * FRAME && rc == STREAM_AGAIN; i++) {
			fake.room = room;
			rc = chan_flush(c);
		}
		assert_int_equal(rc, STREAM_OK);
		assert_int_equal(fake.out_len, 2 * FRAME);
		assert_memory_equal(fake.out, PING PONG, 2 * FRAME);
		chan_free(c);
	}
}

static void test_write_abort(void **state)
{
	struct chan *c = open_fake("", 0, 1);
	struct msg m = msg_new(MSG_PING);

	fake.write_rc = STREAM_ABORT;
	assert_false(chan_send(c, &m));
	assert_string_equal(chan_error(c), "Connection reset by peer");
	assert_int_equal(chan_flush(c), STREAM_ABORT);
	chan_free(c);
}

static void test_queue_cap(void **state)
{
	struct chan *c = open_fake("", 0, 1);
	struct msg m = msg_new(MSG_PING);
	size_t sent = 0;

	chan_set_queue(c, QUEUE);
	while (sent < QUEUE && chan_send(c, &m))
		sent++;
	/* What keeps them counts as well: it is no less. */
	assert_in_range(sent, QUEUE / FRAME / 3, QUEUE / FRAME * 2 / 3);
	assert_non_null(strstr(chan_error(c), "does not read"));
	/* What waits is whole, and room makes room. */
	fake.room = 2 * FRAME;
	assert_int_equal(chan_flush(c), STREAM_AGAIN);
	assert_memory_equal(fake.out, PING PING, 2 * FRAME);
	assert_true(chan_send(c, &m));
	assert_true(chan_send(c, &m));
	assert_false(chan_send(c, &m));
	chan_free(c);
}

static void test_size_limits(void **state)
{
	struct chan *c = open_fake("", 0, 1);
	struct msg m = msg_new(MSG_REG_PROXY);
	char id[20001];

	memset(id, 'a', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	m.reg_proxy.client_id = id;
	fake.room = sizeof(fake.out);
	assert_false(chan_send(c, &m));
	assert_non_null(strstr(chan_error(c), "too large for this peer"));
	assert_int_equal(fake.out_len, 0);
	chan_set_max(c, FRAME_HEADER + FRAME_BODY_MAX);
	assert_true(chan_send(c, &m));
	assert_in_range(fake.largest, 20000, 20100);
	m.reg_proxy.client_id = "\xff";
	assert_false(chan_send(c, &m));
	assert_non_null(strstr(chan_error(c), "UTF-8"));
	chan_free(c);
}

static void test_free_midway(void **state)
{
	struct chan *c = open_fake(PING, 20, 1000);
	struct msg m;

	/* Half a message in, some out: nothing leaks. */
	assert_int_equal(chan_recv(c, &m), CHAN_AGAIN);
	send_type(c, MSG_PING);
	send_type(c, MSG_PONG);
	chan_free(c);
	chan_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_pieces),
		cmocka_unit_test(test_two_in_one_record),
		cmocka_unit_test(test_reads_no_further),
		cmocka_unit_test(test_begun_by_another),
		cmocka_unit_test(test_null_is_skipped),
		cmocka_unit_test(test_eof_everywhere),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_bad_stays_bad),
		cmocka_unit_test(test_one_write_each),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_partial_writes),
		cmocka_unit_test(test_write_abort),
		cmocka_unit_test(test_queue_cap),
		cmocka_unit_test(test_size_limits),
		cmocka_unit_test(test_free_midway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
