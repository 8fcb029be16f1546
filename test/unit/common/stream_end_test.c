/*
 * How streams end over real sockets: the lingering close, and a reset that waits until the peer has
 * what was written. Which engine makes which kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "common/net/socket.h"
#include "common/net/tls.h"
#include "common/stream/kind.h"

#define TURNS 10000 /* of 1 ms, until a test gives up */

/* One loop, a stream on it, and the other end of its connection, which never blocks. */
struct rig {
	struct loop *loop;
	struct stream *s;
	int far;
	struct loop_timer turn;
	bool (*step)(struct rig *r); /* true: that was it */
	int turns;
	size_t said, heard;
	int end; /* of what was heard: 0 EOF, an errno, -1: none yet */
};

static void on_turn(void *arg)
{
	struct rig *r = arg;

	if (r->step(r) || --r->turns == 0)
		loop_stop(r->loop);
	else
		loop_after(&r->turn, 1);
}

/* Runs the loop with a step of the far end every millisecond. */
static void run(struct rig *r, bool (*step)(struct rig *r))
{
	r->step = step;
	r->turns = TURNS;
	loop_after(&r->turn, 1);
	loop_run(r->loop);
	assert_int_not_equal(r->turns, 0);
}

static void connected(int *near, int *far)
{
	struct pollfd p = {.events = POLLOUT};
	struct addr to;
	int ln = socket_new(AF_INET);

	assert_true(addr_numeric("127.0.0.1", 0, &to));
	assert_int_equal(bind(ln, &to.sa.any, to.len), 0);
	assert_int_equal(listen(ln, 1), 0);
	to = addr_of_local(ln);
	assert_true(socket_connect(&to, near));
	p.fd = *near;
	assert_int_equal(poll(&p, 1, 5000), 1);
	p = (struct pollfd){.fd = ln, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	*far = accept4(ln, NULL, NULL, SOCK_NONBLOCK);
	assert_true(*far >= 0);
	close(ln);
}

static void rig_begin(struct rig *r)
{
	int near;

	memset(r, 0, sizeof(*r));
	r->end = -1;
	r->loop = loop_new();
	loop_timer_init(&r->turn, r->loop, on_turn, r);
	connected(&near, &r->far);
	r->s = stream_new(r->loop, near, NULL);
}

static void rig_end(struct rig *r)
{
	loop_free(r->loop);
	close(r->far);
}

static void write_all(struct rig *r, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(r->s, text, strlen(text), &n), STREAM_OK);
	assert_int_equal(n, strlen(text));
}

/* As much as the peer's kernel and ours take. */
static size_t fill(struct rig *r)
{
	static char piece[32 << 10];
	size_t all = 0, n;

	while (stream_write(r->s, piece, sizeof(piece), &n) == STREAM_OK)
		all += n;
	return all;
}

/* The far end hears what there is. True: until the end. */
static bool hear(struct rig *r)
{
	char buf[64 << 10];
	ssize_t n;

	while ((n = recv(r->far, buf, sizeof(buf), 0)) > 0)
		r->heard += (size_t)n;
	if (n < 0 && errno == EAGAIN)
		return false;
	r->end = n == 0 ? 0 : errno;
	return true;
}

/* It has a megabyte more to say before it listens, like a client that sends a whole body first. */
static bool say_then_hear(struct rig *r)
{
	static char piece[16 << 10];

	while (r->said < 1u << 20) {
		ssize_t n = send(r->far, piece, sizeof(piece), MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return false;
		}
		r->said += (size_t)n;
	}
	return hear(r);
}

static void test_linger(void **state)
{
	struct rig r;

	rig_begin(&r);
	write_all(&r, "the answer");
	stream_linger(r.s);
	run(&r, say_then_hear);
	assert_int_equal(r.heard, 10);
	assert_int_equal(r.end, 0);
	rig_end(&r);
}

/* The loop ends first. */
static void test_linger_until_exit(void **state)
{
	struct rig r;

	rig_begin(&r);
	write_all(&r, "the answer");
	stream_linger(r.s);
	loop_free(r.loop);
	while (!hear(&r))
		poll(NULL, 0, 1);
	assert_int_equal(r.heard, 10);
	assert_int_equal(r.end, 0);
	close(r.far);
}

/* What was written goes out with an ordinary close, too, as far as the kernel takes it. */
static void test_close_at_once(void **state)
{
	struct rig r;

	rig_begin(&r);
	write_all(&r, "the last word");
	stream_close(r.s, false);
	run(&r, hear);
	assert_int_equal(r.heard, 13);
	assert_int_equal(r.end, 0);
	rig_end(&r);
}

static void test_reset_waits(void **state)
{
	struct rig r;
	size_t said;

	rig_begin(&r);
	said = fill(&r);
	assert_true(said > 0);
	stream_close(r.s, true);
	run(&r, hear);
	assert_int_equal(r.heard, said);
	assert_int_equal(r.end, ECONNRESET);
	rig_end(&r);
}

static void test_reset_at_once(void **state)
{
	struct rig r;

	rig_begin(&r);
	stream_close(r.s, true);
	run(&r, hear);
	assert_int_equal(r.heard, 0);
	assert_int_equal(r.end, ECONNRESET);
	rig_end(&r);
}

/* ---- an end inside TLS ---- */

static void join(SSL *far, struct stream *near)
{
	enum stream_rc rc = STREAM_AGAIN;

	for (int i = 0; i < TURNS && (rc == STREAM_AGAIN || !SSL_is_init_finished(far)); i++) {
		(void)SSL_do_handshake(far);
		ERR_clear_error();
		rc = stream_handshake(near);
		if (rc == STREAM_AGAIN)
			poll(NULL, 0, 1);
	}
	assert_int_equal(rc, STREAM_OK);
}

static void count_reports(void *arg, int dirs)
{
	struct rig *r = arg;

	assert_int_equal(dirs, STREAM_READ);
	r->heard++;
	stream_want(r->s, 0);
}

static bool reported(struct rig *r)
{
	return r->heard > 0;
}

/* Whoever asks again after a close_notify is told again, though no byte comes on the socket. */
static void test_close_notify_again(void **state)
{
	struct tls_server_conf sconf = {.domain = "t.test"};
	struct tls_client_conf cconf = {0};
	char note[256], buf[64];
	struct err err;
	SSL_CTX *sctx = tls_server_ctx(&sconf, note, &err), *cctx = tls_client_ctx(&cconf, &err);
	SSL *far = tls_accept_ssl(sctx);
	struct rig r;
	int near;
	size_t n;

	rig_begin(&r);
	stream_close(r.s, false);
	close(r.far);
	connected(&near, &r.far);
	r.s = stream_new(r.loop, near, tls_connect_ssl(cctx, &cconf, "t.test"));
	SSL_set_fd(far, r.far);
	join(far, r.s);
	assert_int_equal(SSL_write(far, "last", 4), 4);
	assert_int_equal(SSL_shutdown(far), 0);
	stream_on_ready(r.s, count_reports, &r);
	for (int i = 0; i < TURNS && stream_read(r.s, buf, sizeof(buf), &n) == STREAM_AGAIN; i++)
		poll(NULL, 0, 1);
	assert_int_equal(n, 4);
	for (int i = 0; i < 3; i++) {
		r.heard = 0;
		stream_want(r.s, STREAM_READ);
		run(&r, reported);
		assert_int_equal(stream_read(r.s, buf, sizeof(buf), &n), STREAM_EOF);
	}
	stream_close(r.s, false);
	SSL_free(far);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	rig_end(&r);
}

static void test_engines(void **state)
{
	static const char *const good[] = {"direct", "bufferevent"};
	static const char *const bad[] = {"", "Direct", "direct ", "mux", "libevent"};
	enum stream_engine e;
	struct rig r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(stream_engine_parse(bad[i], &e));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(stream_engine_parse(good[i], &e));
		stream_set_engine(e);
		rig_begin(&r);
		assert_string_equal(r.s->ops->kind, good[i]);
		stream_close(r.s, false);
		rig_end(&r);
	}
	stream_set_engine(ENGINE_DIRECT);
}

/* Both engines end alike. */
static void test_bufferevent(void **state)
{
	stream_set_engine(ENGINE_BUFFEREVENT);
	test_linger(state);
	test_linger_until_exit(state);
	test_close_at_once(state);
	test_reset_at_once(state);
	stream_set_engine(ENGINE_DIRECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linger),        cmocka_unit_test(test_linger_until_exit),
		cmocka_unit_test(test_reset_waits),   cmocka_unit_test(test_reset_at_once),
		cmocka_unit_test(test_close_at_once), cmocka_unit_test(test_engines),
		cmocka_unit_test(test_bufferevent),   cmocka_unit_test(test_close_notify_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
