/*
 * WebSockets as streams over a transport in memory: what a peer may say and what not, both roles
 * against each other with dice, back-pressure, pings, ends, and moving to another loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/stream/ws.h"
#include "test/unit/common/mux_pipe.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FLOOD_BYTES 100
#define M "\0\0\0\0" /* a mask that changes nothing */

/* A stream on `near`, the test's own bytes on `far`. */
struct rig {
	struct loop *loop;
	struct fake *near, *far;
	struct stream *ws;
	unsigned open;
	int told; /* directions reported since it was set to 0 */
};

static void on_ready(void *arg, int dirs)
{
	struct rig *r = arg;
	r->told |= dirs;
}

static void rig_begin(struct rig *r, enum ws_role role, const void *early, size_t len)
{
	struct fake *end[2];

	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	fake_pair(r->loop, NULL, &r->open, end);
	r->near = end[0];
	r->far = end[1];
	r->ws = stream_ws_new(&r->near->s, role, early, len);
	stream_on_ready(r->ws, on_ready, r);
}

static void rig_end(struct rig *r)
{
	stream_close(r->ws, false);
	stream_close(&r->far->s, false);
	turns(r->loop, 2);
	loop_free(r->loop);
	assert_int_equal(r->open, 0);
}

/* What the peer has heard, taken out. */
static size_t hear(struct rig *r, void *buf, size_t cap)
{
	size_t n = 0;

	if (stream_read(&r->far->s, buf, cap, &n) != STREAM_OK)
		return 0;
	return n;
}

/* Reads until it says something else than OK. */
static enum stream_rc read_all(struct stream *s, char *buf, size_t cap, size_t *len)
{
	enum stream_rc rc;
	size_t n;

	*len = 0;
	while ((rc = stream_read(s, buf + *len, cap - *len, &n)) == STREAM_OK) {
		*len += n;
		assert_true(*len < cap);
	}
	return rc;
}

/* ---- what a peer may say ---- */

struct row {
	const char *bytes;
	size_t len;
	const char *text; /* what is read */
	enum stream_rc end;
};

#define ROW(bytes, text, end)                       \
	{                                           \
		bytes, sizeof(bytes) - 1, text, end \
	}

static const struct row client_says[] = {
	ROW("\x82\x83" M "abc", "abc", STREAM_AGAIN),
	/* RFC 6455 section 5.7 */
	ROW("\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "Hello", STREAM_AGAIN),
	ROW("\x82\x81" M "a\x82\x82" M "bc", "abc", STREAM_AGAIN),
	ROW("\x02\x81" M "a\x00\x81" M "b\x80\x81" M "c", "abc", STREAM_AGAIN),
	ROW("\x02\x81" M "a\x89\x82" M "hi\x80\x81" M "b", "ab", STREAM_AGAIN),
	ROW("\x82\x80" M "\x82\x80" M "\x82\x81" M "x", "x", STREAM_AGAIN),
	ROW("\x02\x80" M "\x80\x80" M, "", STREAM_AGAIN),
	ROW("\x81\x83" M "txt\x82\x81" M "x", "x", STREAM_AGAIN),
	ROW("\x01\x81" M "t\x80\x81" M "t\x82\x81" M "x", "x", STREAM_AGAIN),
	ROW("\x8a\x80" M "\x8a\x82" M "ab\x82\x81" M "x", "x", STREAM_AGAIN),
	ROW("\x82\x81" M "x\x88\x82" M "\3\350", "x", STREAM_EOF),
	ROW("\x88\x80" M, "", STREAM_EOF),
	ROW("\x88\x85" M "\3\351bye", "", STREAM_EOF),
	ROW("\x88\x80" M "\x82\x81" M "x", "", STREAM_EOF), /* nothing follows an end */
	ROW("\x02\x81" M "a\x88\x80" M, "a", STREAM_EOF),
	ROW("\x82", "", STREAM_AGAIN),
	ROW("\x82\x83" M "ab", "ab", STREAM_AGAIN),
	/* and what it may not */
	ROW("\x82\x03"
	    "abc",
	    "", STREAM_ABORT),
	ROW("\xc2\x81" M "a", "", STREAM_ABORT),
	ROW("\xa2\x81" M "a", "", STREAM_ABORT),
	ROW("\x92\x81" M "a", "", STREAM_ABORT),
	ROW("\x82\x81" M "x\x83\x81" M "a", "x", STREAM_ABORT),
	ROW("\x8b\x80" M, "", STREAM_ABORT),
	ROW("\x80\x81" M "a", "", STREAM_ABORT),
	ROW("\x82\x81" M "x\x80\x81" M "a", "x", STREAM_ABORT),
	ROW("\x02\x81" M "a\x82\x81" M "b", "a", STREAM_ABORT),
	ROW("\x02\x81" M "a\x81\x81" M "b", "a", STREAM_ABORT),
	ROW("\x09\x81" M "a", "", STREAM_ABORT),
	ROW("\x08\x80" M, "", STREAM_ABORT),
	ROW("\x89\xfe\x00\x7e" M, "", STREAM_ABORT),
	ROW("\x88\x81" M "\3", "", STREAM_ABORT),
	ROW("\x82\xfe\x00\x05" M "abcde", "", STREAM_ABORT),
	ROW("\x82\xff\0\0\0\0\0\0\xff\xff" M, "", STREAM_ABORT),
	ROW("\x82\xff\x80\0\0\0\0\0\0\0" M, "", STREAM_ABORT),
};

static const struct row server_says[] = {
	ROW("\x82\x03"
	    "abc",
	    "abc", STREAM_AGAIN),
	ROW("\x82\x05\0\0\0\xc3\2", NULL, STREAM_AGAIN), /* a head of Drip's */
	ROW("\x89\0\x82\1x", "x", STREAM_AGAIN),
	ROW("\x88\2\3\350", "", STREAM_EOF),
	ROW("\x82\x83" M "abc", "", STREAM_ABORT),
	ROW("\x89\x80" M, "", STREAM_ABORT),
	ROW("\x88\1\3", "", STREAM_ABORT),
};

static void check_row(const struct row *row, enum ws_role role, size_t step)
{
	char got[256], heard[256];
	enum stream_rc rc = STREAM_AGAIN;
	size_t len = 0, all = 0, n;
	struct rig r;

	rig_begin(&r, role, NULL, 0);
	for (size_t at = 0; at < row->len && rc == STREAM_AGAIN; at += step) {
		size_t piece = row->len - at < step ? row->len - at : step;

		fake_put(r.near, row->bytes + at, piece);
		rc = read_all(r.ws, got + all, sizeof(got) - all, &len);
		all += len;
	}
	assert_int_equal(rc, row->end);
	if (row->text)
		assert_int_equal(all, strlen(row->text));
	if (row->text)
		assert_memory_equal(got, row->text, all);
	assert_int_equal(stream_read(r.ws, got, sizeof(got), &n), row->end);
	n = hear(&r, heard, sizeof(heard));
	if (row->end == STREAM_ABORT) {
		assert_true(stream_error(r.ws)[0]);
		assert_true(n >= 4 && (uint8_t)heard[n - (role == WS_CLIENT ? 8 : 4)] == 0x88);
		assert_int_equal(stream_write(r.ws, "x", 1, &n), STREAM_ABORT);
	}
	rig_end(&r);
}

static void test_what_a_peer_may_say(void **state)
{
	for (size_t step = 1; step <= 1000; step *= 10) {
		for (size_t i = 0; i < COUNT(client_says); i++)
			check_row(&client_says[i], WS_SERVER, step);
		for (size_t i = 0; i < COUNT(server_says); i++)
			check_row(&server_says[i], WS_CLIENT, step);
	}
}

static void test_early_bytes(void **state)
{
	static const char head[] = "\x82\x83" M "ab";
	char got[8];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, head, sizeof(head) - 1);
	stream_want(r.ws, STREAM_READ);
	turns(r.loop, 2);
	assert_int_equal(r.told, STREAM_READ); /* nothing came since */
	assert_int_equal(read_all(r.ws, got, sizeof(got), &n), STREAM_AGAIN);
	assert_int_equal(n, 2);
	fake_put(r.near, "c", 1);
	assert_int_equal(read_all(r.ws, got, sizeof(got), &n), STREAM_AGAIN);
	assert_true(n == 1 && got[0] == 'c');
	rig_end(&r);
}

/* ---- what is sent ---- */

static void test_frames_of_a_server(void **state)
{
	static char big[70000], heard[80000];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, NULL, 0);
	assert_int_equal(stream_write(r.ws, "abc", 3, &n), STREAM_OK);
	assert_int_equal(n, 3);
	assert_int_equal(hear(&r, heard, sizeof(heard)), 5);
	assert_memory_equal(heard,
			    "\x82\x03"
			    "abc",
			    5);
	assert_int_equal(stream_write(r.ws, big, sizeof(big), &n), STREAM_OK);
	assert_int_equal(n, sizeof(big));
	assert_int_equal(hear(&r, heard, sizeof(heard)), sizeof(big) + 8);
	assert_memory_equal(heard, "\x82\x7e\xf8\x00", 4); /* STREAM_PIECE, and the rest */
	assert_int_equal(stream_finish(r.ws), STREAM_OK);
	assert_int_equal(hear(&r, heard, sizeof(heard)), 4);
	assert_memory_equal(heard, "\x88\x02\x03\xe8", 4);
	assert_int_equal(stream_write(r.ws, "x", 1, &n), STREAM_ABORT);
	assert_int_equal(stream_finish(r.ws), STREAM_OK);
	assert_int_equal(hear(&r, heard, sizeof(heard)), 0);
	assert_true(r.far->fin_in);
	rig_end(&r);
}

static void test_frames_of_a_client(void **state)
{
	uint8_t heard[64], first[4];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_CLIENT, NULL, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(stream_write(r.ws, "abc", 3, &n), STREAM_OK);
		assert_int_equal(hear(&r, heard, sizeof(heard)), 9);
		assert_true(heard[0] == 0x82 && heard[1] == 0x83);
		for (int j = 0; j < 3; j++)
			assert_int_equal(heard[6 + j] ^ heard[2 + j], "abc"[j]);
		if (i)
			assert_memory_not_equal(first, heard + 2, 4); /* each has its own mask */
		memcpy(first, heard + 2, 4);
	}
	rig_end(&r);
}

static void test_a_full_transport(void **state)
{
	static char big[200000];
	char heard[4096];
	struct rig r;
	size_t n, all = 0;

	rig_begin(&r, WS_SERVER, NULL, 0);
	r.far->room = 1000;
	assert_int_equal(stream_write(r.ws, big, sizeof(big), &n), STREAM_OK);
	assert_int_equal(n, STREAM_PIECE); /* and no more, whatever is offered */
	assert_int_equal(stream_write(r.ws, big, 1, &n), STREAM_AGAIN);
	assert_false(stream_flushed(r.ws));
	assert_int_equal(stream_finish(r.ws), STREAM_AGAIN);
	turns(r.loop, 2);
	assert_int_equal(r.told, 0);
	while (!stream_flushed(r.ws)) {
		all += hear(&r, heard, sizeof(heard));
		turns(r.loop, 2); /* it goes out though nothing is wanted */
	}
	all += hear(&r, heard, sizeof(heard));
	assert_int_equal(all, STREAM_PIECE + 4 + 4);
	assert_int_equal(stream_finish(r.ws), STREAM_OK);
	rig_end(&r);
}

static void test_writing_goes_on(void **state)
{
	static char big[100000];
	char heard[4096];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, NULL, 0);
	r.far->room = 1000;
	assert_int_equal(stream_write(r.ws, big, sizeof(big), &n), STREAM_OK);
	stream_want(r.ws, STREAM_WRITE);
	turns(r.loop, 2);
	assert_int_equal(r.told, 0);
	while (!(r.told & STREAM_WRITE)) {
		(void)hear(&r, heard, sizeof(heard));
		turns(r.loop, 2);
	}
	assert_int_equal(stream_write(r.ws, big, 1, &n), STREAM_OK);
	rig_end(&r);
}

/* ---- pings ---- */

static void test_pings_are_answered(void **state)
{
	char heard[4096], got[16];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, NULL, 0);
	fake_put(r.near, "\x89\x80" M "\x89\x82" M "hi", 14);
	assert_int_equal(read_all(r.ws, got, sizeof(got), &n), STREAM_AGAIN);
	/* The last one counts (section 5.5.3). */
	assert_int_equal(hear(&r, heard, sizeof(heard)), 4);
	assert_memory_equal(heard, "\x8a\2hi", 4);
	rig_end(&r);
}

static void test_a_flood_of_pings(void **state)
{
	static char flood[60000], heard[1 << 20];
	char got[16];
	struct rig r;
	size_t n;

	for (size_t at = 0; at + 6 <= sizeof(flood); at += 6)
		memcpy(flood + at, "\x89\x80" M, 6);
	rig_begin(&r, WS_SERVER, NULL, 0);
	r.far->room = 0; /* the peer hears nothing */
	stream_want(r.ws, STREAM_READ);
	fake_put(r.near, flood, sizeof(flood));
	for (int i = 0; i < 1000 && r.near->in_len; i++) {
		assert_int_equal(stream_read(r.ws, got, sizeof(got), &n), STREAM_AGAIN);
		turns(r.loop, 1);
		assert_true(r.told & STREAM_READ); /* the rest is told of */
	}
	assert_int_equal(r.near->in_len, 0);
	r.far->room = 1u << 20;
	fake_poke(r.near);
	turns(r.loop, 3);
	n = hear(&r, heard, sizeof(heard));
	assert_true(n >= 2 && n <= 10000);
	rig_end(&r);
}

/* A byte now and then does not make one read of it all. */
static void test_a_flood_with_bytes(void **state)
{
	static char flood[FLOOD_BYTES * (63 * 6 + 7)], got[1000];
	size_t n, most = 0, all = 0;
	struct rig r;

	for (size_t at = 0; at < sizeof(flood); at += 63 * 6 + 7) {
		for (size_t i = 0; i < 63; i++)
			memcpy(flood + at + 6 * i, "\x89\x80" M, 6);
		memcpy(flood + at + 63 * 6, "\x82\x81" M "x", 7);
	}
	rig_begin(&r, WS_SERVER, NULL, 0);
	stream_want(r.ws, STREAM_READ);
	fake_put(r.near, flood, sizeof(flood));
	for (int i = 0; i < 1000 && all < FLOOD_BYTES; i++) {
		if (stream_read(r.ws, got, sizeof(got), &n) == STREAM_OK)
			all += n;
		most = n > most ? n : most;
		r.told = 0;
		turns(r.loop, 1);
		assert_true(r.told & STREAM_READ || all == FLOOD_BYTES);
	}
	assert_int_equal(all, FLOOD_BYTES);
	assert_in_range(most, 1, 2);
	rig_end(&r);
}

static void test_it_pings(void **state)
{
	char heard[64];
	struct rig r;
	size_t n = 0;

	rig_begin(&r, WS_CLIENT, NULL, 0);
	for (int i = 0; i < 1000 && n < 12; i++) {
		turns_for(r.loop, 20);
		n += hear(&r, heard + n, sizeof(heard) - n);
	}
	assert_true(n >= 12); /* two, with masks */
	assert_memory_equal(heard, "\x89\x80", 2);
	assert_memory_equal(heard + 6, "\x89\x80", 2);
	rig_end(&r);
}

/* ---- ends ---- */

static void test_no_close_frame(void **state)
{
	char got[16];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, NULL, 0);
	fake_put(r.near, "\x82\x81" M "x", 7);
	assert_int_equal(stream_finish(&r.far->s), STREAM_OK);
	assert_int_equal(read_all(r.ws, got, sizeof(got), &n), STREAM_ABORT);
	assert_int_equal(n, 1);
	assert_string_equal(stream_error(r.ws), "connection closed without a close frame");
	rig_end(&r);
}

static void test_a_dead_transport(void **state)
{
	char got[16];
	struct rig r;
	size_t n;

	rig_begin(&r, WS_SERVER, NULL, 0);
	stream_want(r.ws, STREAM_READ | STREAM_WRITE);
	fake_kill(r.near);
	turns(r.loop, 2);
	assert_int_equal(r.told, STREAM_READ | STREAM_WRITE);
	assert_int_equal(stream_write(r.ws, "x", 1, &n), STREAM_ABORT);
	assert_int_equal(stream_read(r.ws, got, sizeof(got), &n), STREAM_ABORT);
	assert_string_equal(stream_error(r.ws), "the transport was reset");
	r.told = 0;
	stream_want(r.ws, STREAM_WRITE);
	turns(r.loop, 2);
	assert_int_equal(r.told, STREAM_WRITE);
	rig_end(&r);
}

static void test_close(void **state)
{
	char heard[16];
	struct rig r;

	for (int abort = 0; abort < 2; abort++) {
		rig_begin(&r, WS_SERVER, NULL, 0);
		stream_close(r.ws, abort);
		assert_int_equal(r.far->dead, abort);
		r.far->dead = false;
		assert_int_equal(hear(&r, heard, sizeof(heard)), abort ? 0 : 4);
		stream_close(&r.far->s, false);
		turns(r.loop, 2);
		loop_free(r.loop);
		assert_int_equal(r.open, 0);
	}
}

/* ---- another loop ---- */

static void want_read(int fd, const char *bytes, size_t len)
{
	char got[16];

	assert_int_equal(recv(fd, got, len, MSG_WAITALL), len);
	assert_memory_equal(got, bytes, len);
}

static void test_moving(void **state)
{
	struct loop *from = loop_new(), *to = loop_new();
	struct rig r = {.loop = to};
	struct stream *s, *low;
	char got[16];
	int fd[2];
	SSL *ssl;
	size_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	s = stream_ws_new(stream_new_direct(from, fd[0], NULL), WS_SERVER, "\x82\x84" M "ab", 8);
	stream_want(s, STREAM_READ);
	assert_int_equal(stream_read(s, got, 1, &n), STREAM_OK); /* in the middle of a frame */
	assert_int_equal(stream_write(s, "x", 1, &n), STREAM_OK);
	low = stream_ws_part(s);
	assert_non_null(low);
	assert_int_equal(stream_fd(s), -1);
	stream_detach(low, &fd[0], &ssl);
	turns(from, 2);
	loop_free(from);

	stream_ws_join(s, stream_new_direct(to, fd[0], ssl));
	stream_on_ready(s, on_ready, &r);
	stream_want(s, STREAM_READ);
	turns(to, 2);
	assert_int_equal(r.told, STREAM_READ); /* the second byte is inside */
	assert_int_equal(read_all(s, got, sizeof(got), &n), STREAM_AGAIN);
	assert_true(n == 1 && got[0] == 'b');
	assert_int_equal(send(fd[1], "cd", 2, 0), 2);
	assert_int_equal(read_all(s, got, sizeof(got), &n), STREAM_AGAIN);
	assert_int_equal(n, 2);
	assert_int_equal(stream_write(s, "y", 1, &n), STREAM_OK);
	want_read(fd[1], "\x82\1x\x82\1y", 6);
	stream_close(s, false);
	want_read(fd[1], "\x88\2\3\350", 4);
	close(fd[1]);
	turns(to, 2);
	loop_free(to);
}

static void test_what_cannot_move(void **state)
{
	struct loop *l = loop_new();
	struct stream *s, *low;
	int fd[2];
	SSL *ssl;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	s = stream_ws_new(stream_new_direct(l, fd[0], NULL), WS_SERVER, NULL, 0);
	low = stream_ws_part(s);
	stream_detach(low, &fd[0], &ssl);
	stream_close(s, true); /* a shell */
	s = stream_ws_new(stream_new_direct(l, fd[0], NULL), WS_SERVER, NULL, 0);
	assert_int_equal(stream_finish(s), STREAM_OK);
	assert_null(stream_ws_part(s));
	stream_close(s, false);
	close(fd[1]);
	turns(l, 2);
	loop_free(l);
}

/* ---- both roles ---- */

/* One end of a talk: writes so many bytes of a row, reads as many of the peer's. */
struct end {
	struct stream *s;
	uint32_t *seed;
	size_t to_send, sent, got;
	uint8_t send_salt, get_salt;
	bool finished, over;
	bool peeks;
};

static uint8_t nth(size_t i, uint8_t salt)
{
	return (uint8_t)((i * 2654435761u) >> 13 ^ salt);
}

static void talk_read(struct end *e)
{
	static char buf[STREAM_PIECE];
	enum stream_rc rc = STREAM_OK;
	size_t n;

	while (rc == STREAM_OK) {
		const char *at = e->peeks ? stream_peek(e->s, &n) : NULL;

		if (at) {
			n = 1 + dice(e->seed, (uint32_t)n);
		} else {
			rc = stream_read(e->s, buf, 1 + dice(e->seed, sizeof(buf)), &n);
			at = buf;
		}
		for (size_t i = 0; i < n; i++)
			if ((uint8_t)at[i] != nth(e->got + i, e->get_salt))
				fail_msg("byte %zu", e->got + i);
		if (at != buf)
			stream_skip(e->s, n);
		e->got += n;
	}
	assert_int_not_equal(rc, STREAM_ABORT);
	e->over = rc == STREAM_EOF;
}

static void talk_write(struct end *e)
{
	static char buf[100000];
	size_t n = 1;

	while (e->sent < e->to_send && n) {
		size_t len = e->to_send - e->sent;

		if (len > sizeof(buf))
			len = sizeof(buf);
		len = dice(e->seed, 2) ? len : 1 + dice(e->seed, (uint32_t)len);
		for (size_t i = 0; i < len; i++)
			buf[i] = (char)nth(e->sent + i, e->send_salt);
		assert_int_not_equal(stream_write(e->s, buf, len, &n), STREAM_ABORT);
		e->sent += n;
	}
	if (e->sent == e->to_send && !e->finished)
		e->finished = stream_finish(e->s) == STREAM_OK;
}

static void talk_ready(void *arg, int dirs)
{
	struct end *e = arg;

	if ((dirs & STREAM_READ) && !e->over)
		talk_read(e);
	if ((dirs & STREAM_WRITE) && !e->finished)
		talk_write(e);
	stream_want(e->s, (e->over ? 0 : STREAM_READ) | (e->finished ? 0 : STREAM_WRITE));
}

static void talk(uint32_t seed)
{
	struct loop *l = loop_new();
	struct fake *low[2];
	unsigned open = 0;
	struct end end[2] = {{.send_salt = 1, .get_salt = 2}, {.send_salt = 2, .get_salt = 1}};

	fake_pair(l, &seed, &open, low);
	for (int i = 0; i < 2; i++) {
		low[i]->room = 1 + dice(&seed, 100000);
		end[i].seed = &seed;
		end[i].peeks = dice(&seed, 2);
		end[i].to_send = dice(&seed, 400000);
		end[i].s = stream_ws_new(&low[i]->s, i ? WS_CLIENT : WS_SERVER, NULL, 0);
		stream_on_ready(end[i].s, talk_ready, &end[i]);
		stream_want(end[i].s, STREAM_READ | STREAM_WRITE);
	}
	for (int i = 0;
	     i < 100000 && !(end[0].over && end[1].over && end[0].finished && end[1].finished); i++)
		turns(l, 1);
	for (int i = 0; i < 2; i++) {
		assert_true(end[i].over && end[i].finished);
		assert_int_equal(end[i].got, end[!i].to_send);
		stream_close(end[i].s, false);
	}
	turns(l, 2);
	loop_free(l);
	assert_int_equal(open, 0);
}

static void test_talks(void **state)
{
	for (uint32_t seed = 1; seed <= 60; seed++)
		talk(seed * 7919);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_peer_may_say),
		cmocka_unit_test(test_early_bytes),
		cmocka_unit_test(test_frames_of_a_server),
		cmocka_unit_test(test_frames_of_a_client),
		cmocka_unit_test(test_a_full_transport),
		cmocka_unit_test(test_writing_goes_on),
		cmocka_unit_test(test_pings_are_answered),
		cmocka_unit_test(test_a_flood_of_pings),
		cmocka_unit_test(test_a_flood_with_bytes),
		cmocka_unit_test(test_it_pings),
		cmocka_unit_test(test_no_close_frame),
		cmocka_unit_test(test_a_dead_transport),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_moving),
		cmocka_unit_test(test_what_cannot_move),
		cmocka_unit_test(test_talks),
	};
	setenv("PGROK_TIME_SCALE", "0.03", 1); /* a ping after 0.9 s */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
