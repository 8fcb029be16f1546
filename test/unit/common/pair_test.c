/*
 * Pairs over real sockets, with both engines, plain and TLS: a loop thread runs the pair, the test
 * plays the two far ends with blocking calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/stream/pair.h"
#include "common/base/randid.h"
#include "common/net/tls.h"

/* ---- far ends: blocking, plain or TLS ---- */

struct far {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static SSL_CTX *server_ctx, *client_ctx;
static const struct tls_client_conf trust_all;

static bool far_send(struct far *f, const void *buf, size_t len)
{
	const char *p = buf;
	while (len) {
		size_t piece = len < 60000 ? len : 60000;
		ssize_t n = f->ssl ? SSL_write(f->ssl, p, (int)piece)
				   : send(f->fd, p, piece, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* Bytes got; 0: a clean end; -1: an abort. */
static ssize_t far_recv(struct far *f, void *buf, size_t cap)
{
	if (!f->ssl)
		return recv(f->fd, buf, cap, 0);
	int n = SSL_read(f->ssl, buf, (int)cap);
	if (n > 0)
		return n;
	return SSL_get_error(f->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static bool far_recv_all(struct far *f, void *buf, size_t len)
{
	char *p = buf;
	while (len) {
		ssize_t n = far_recv(f, p, len);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static void far_half_close(struct far *f)
{
	if (f->ssl)
		SSL_shutdown(f->ssl);
	else
		shutdown(f->fd, SHUT_WR);
}

static void far_close(struct far *f, bool reset)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (f->fd < 0)
		return;
	if (reset)
		setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	if (f->ssl)
		SSL_free(f->ssl);
	close(f->fd);
	f->ssl = NULL;
	f->fd = -1;
}

static void tcp_pair(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	getsockname(l, (struct sockaddr *)&a, &len);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&a, sizeof(a)), 0);
	fd[1] = accept(l, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(l);
	struct timeval tv = {.tv_sec = 20};
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

/* ---- the pair on its loop ---- */

struct rig {
	struct loop *loop;
	pthread_t thread;
	struct far far[2];
	int near_fd[2];
	SSL *near_ssl[2];
	struct pair *pair;
	struct pair_hooks hooks;
	const char *feed;
	int done_pipe[2]; /* the reason, as a byte */
	bool take;        /* at the end: take side 0 out and say "bye" */
	bool no_end;      /* eof hook: hold the end of side 0 back */
	uint64_t bytes[2];
	struct loop_msg start_msg, call_msg;
	void (*call)(struct rig *r);
	char tapped[256];
	size_t tapped_len;
};

static int tls_side = -1;  /* which side of the pair is TLS; -1 none, 2 both */
static bool short_records; /* the TLS clients ask for records of 512 bytes (RFC 6066 section 4) */

static void on_done(void *arg, enum pair_end why)
{
	struct rig *r = arg;
	char c = (char)why;
	size_t n;

	r->bytes[0] = pair_bytes(r->pair, 0);
	r->bytes[1] = pair_bytes(r->pair, 1);
	if (r->take) {
		struct stream *s = pair_take(r->pair, 0);
		assert_int_equal(stream_write(s, "bye", 3, &n), STREAM_OK);
		stream_linger(s);
	}
	pair_close(r->pair, why == PAIR_ABORT);
	r->pair = NULL;
	assert_int_equal(write(r->done_pipe[1], &c, 1), 1);
}

static void rig_start(struct loop_msg *m, struct loop *l)
{
	struct rig *r = (struct rig *)((char *)m - offsetof(struct rig, start_msg));
	struct stream *s[2];

	for (int i = 0; i < 2; i++)
		s[i] = stream_settle(stream_new_direct(l, r->near_fd[i], r->near_ssl[i]));
	r->hooks.done = on_done;
	r->pair = pair_new(s[0], s[1], &r->hooks, r);
	if (r->feed)
		pair_feed(r->pair, 0, r->feed, strlen(r->feed));
	pair_start(r->pair);
}

static void rig_call(struct loop_msg *m, struct loop *l)
{
	struct rig *r = (struct rig *)((char *)m - offsetof(struct rig, call_msg));
	r->call(r);
}

static void no_drop(struct loop_msg *m)
{
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

struct handshake {
	SSL *ssl;
	int rc;
};

static void *accept_thread(void *arg)
{
	struct handshake *h = arg;
	h->rc = SSL_accept(h->ssl);
	return NULL;
}

/* The far end is the TLS client, the near one the server; both blocking here. */
static void tls_over(int fd[2], SSL **far, SSL **near)
{
	struct handshake h;
	pthread_t t;

	*near = tls_accept_ssl(server_ctx);
	*far = tls_connect_ssl(client_ctx, &trust_all, "localhost");
	if (short_records)
		SSL_set_tlsext_max_fragment_length(*far, TLSEXT_max_fragment_length_512);
	SSL_set_fd(*near, fd[1]);
	SSL_set_fd(*far, fd[0]);
	h.ssl = *near;
	pthread_create(&t, NULL, accept_thread, &h);
	assert_int_equal(SSL_connect(*far), 1);
	pthread_join(t, NULL);
	assert_int_equal(h.rc, 1);
	SSL_set_bio(*near, NULL, NULL);
}

static struct rig *rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->loop = loop_new("test");
	for (int i = 0; i < 2; i++) {
		int fd[2];
		tcp_pair(fd);
		r->far[i].fd = fd[0];
		r->near_fd[i] = fd[1];
		if (tls_side == i || tls_side == 2)
			tls_over(fd, &r->far[i].ssl, &r->near_ssl[i]);
		fcntl(fd[1], F_SETFL, O_NONBLOCK);
	}
	assert_int_equal(pipe(r->done_pipe), 0);
	r->start_msg.deliver = rig_start;
	r->start_msg.drop = no_drop;
	r->call_msg.deliver = rig_call;
	r->call_msg.drop = no_drop;
	pthread_create(&r->thread, NULL, run_loop, r->loop);
	return r;
}

static void rig_go(struct rig *r)
{
	loop_post(r->loop, &r->start_msg);
}

static void rig_run(struct rig *r, void (*call)(struct rig *r))
{
	r->call = call;
	loop_post(r->loop, &r->call_msg);
}

/* Why the pair ended; waits for it. */
static enum pair_end rig_end(struct rig *r)
{
	struct pollfd p = {.fd = r->done_pipe[0], .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(read(r->done_pipe[0], &c, 1), 1);
	return (enum pair_end)c;
}

static void rig_free(struct rig *r)
{
	far_close(&r->far[0], false);
	far_close(&r->far[1], false);
	loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	if (r->pair)
		pair_close(r->pair, true);
	loop_free(r->loop);
	close(r->done_pipe[0]);
	close(r->done_pipe[1]);
	free(r);
}

/* ---- whole transfers ---- */

#define BIG (3u << 20)

struct job {
	struct far *f;
	char *data;
	size_t len;
	bool ok, half_close;
};

static void *send_job(void *arg)
{
	struct job *j = arg;
	j->ok = far_send(j->f, j->data, j->len);
	if (j->half_close)
		far_half_close(j->f);
	return NULL;
}

static char *random_data(size_t len)
{
	char *p = xmalloc(len);
	rand_bytes(p, len);
	return p;
}

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

static bool nothing_comes(struct far *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	if (f->ssl && SSL_pending(f->ssl))
		return false;
	return poll(&p, 1, 100) == 0;
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

	if (tls_side != -1) /* a blocking TLS end would wait for ever */
		skip();
	r = rig_new();
	piece = random_data(65536);
	rig_go(r);
	fcntl(r->far[0].fd, F_SETFL, O_NONBLOCK);
	for (struct pollfd p = {.fd = r->far[0].fd, .events = POLLOUT}; poll(&p, 1, 300) == 1;)
		(void)!send(r->far[0].fd, piece, 65536, MSG_NOSIGNAL);
	far_close(&r->far[0], true);
	for (struct pollfd p = {.fd = r->done_pipe[0], .events = POLLIN}; poll(&p, 1, 10) == 0;)
		assert_true(far_send(&r->far[1], "?", 1));
	assert_int_equal(rig_end(r), PAIR_SILENT);
	free(piece);
	rig_free(r);
#else
	skip();
#endif
}

#define TESTS                                                                                  \
	cmocka_unit_test(test_half_close), cmocka_unit_test(test_short_records),               \
		cmocka_unit_test(test_ping_pong), cmocka_unit_test(test_back_pressure),        \
		cmocka_unit_test(test_abort), cmocka_unit_test(test_bare_fin),                 \
		cmocka_unit_test(test_early_answer), cmocka_unit_test(test_answer_then_reset), \
		cmocka_unit_test(test_judge), cmocka_unit_test(test_judge_stop),               \
		cmocka_unit_test(test_held_end), cmocka_unit_test(test_silence),               \
		cmocka_unit_test(test_half_dead)

int main(void)
{
	static const char *engines[] = {"direct", "bufferevent"};
	struct tls_server_conf sc = {.domain = "localhost"};
	struct tls_client_conf cc = {.host_roots = false};
	const struct CMUnitTest tests[] = {TESTS};
	char note[256], err[256], title[64];
	int failed = 0;

	setenv("PGROK_TIME_SCALE", "0.005", 1);
	server_ctx = tls_server_ctx(&sc, note, err);
	client_ctx = tls_client_ctx(&cc, err);
	if (!server_ctx || !client_ctx) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	for (int e = 0; e < 2; e++) {
		enum stream_engine engine;
		if (!stream_engine_parse(engines[e], &engine))
			return 1;
		stream_set_engine(engine);
		for (tls_side = -1; tls_side <= 2; tls_side++) {
			snprintf(title, sizeof(title), "pair %s, tls side %d", engines[e],
				 tls_side);
			failed += cmocka_run_group_tests_name(title, tests, NULL, NULL);
		}
	}
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return failed;
}
