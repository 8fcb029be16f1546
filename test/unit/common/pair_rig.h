/*
 * For tests of pairs: a pair over real sockets, plain and TLS, on a loop thread of its own. The
 * test plays the two far ends with blocking calls.
 */
#ifndef TEST_UNIT_COMMON_PAIR_RIG_H
#define TEST_UNIT_COMMON_PAIR_RIG_H

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

#include "common/base/err.h"
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

static inline bool far_send(struct far *f, const void *buf, size_t len)
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
static inline ssize_t far_recv(struct far *f, void *buf, size_t cap)
{
	if (!f->ssl)
		return recv(f->fd, buf, cap, 0);
	int n = SSL_read(f->ssl, buf, (int)cap);
	if (n > 0)
		return n;
	return SSL_get_error(f->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static inline bool far_recv_all(struct far *f, void *buf, size_t len)
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

static inline bool nothing_comes(struct far *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	if (f->ssl && SSL_pending(f->ssl))
		return false;
	return poll(&p, 1, 100) == 0;
}

static inline void far_half_close(struct far *f)
{
	if (f->ssl)
		SSL_shutdown(f->ssl);
	else
		shutdown(f->fd, SHUT_WR);
}

static inline void far_close(struct far *f, bool reset)
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

static int small_buffers; /* bytes on the way to a far end, 0: as the system has it */

static inline void tcp_pair(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	getsockname(l, (struct sockaddr *)&a, &len);
	fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (small_buffers)
		setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &small_buffers, sizeof(small_buffers));
	assert_int_equal(connect(fd[0], (struct sockaddr *)&a, sizeof(a)), 0);
	fd[1] = accept(l, NULL, NULL);
	assert_true(fd[1] >= 0);
	if (small_buffers)
		setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &small_buffers, sizeof(small_buffers));
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

static enum stream_engine engine;
static int tls_side = -1;  /* which side of the pair is TLS; -1 none, 2 both */
static bool short_records; /* the TLS clients ask for records of 512 bytes (RFC 6066 section 4) */

static inline void on_done(void *arg, enum pair_end why)
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

static inline void rig_start(struct loop_msg *m, struct loop *l)
{
	struct rig *r = (struct rig *)((char *)m - offsetof(struct rig, start_msg));
	struct stream *s[2];

	for (int i = 0; i < 2; i++) {
		s[i] = stream_settle(stream_new_direct(l, r->near_fd[i], r->near_ssl[i]));
		r->near_fd[i] = -1;
		r->near_ssl[i] = NULL;
	}
	if (!r->hooks.done)
		r->hooks.done = on_done;
	r->pair = pair_new(s[0], s[1], &r->hooks, r);
	if (r->feed)
		pair_feed(r->pair, 0, r->feed, strlen(r->feed));
	pair_start(r->pair);
}

static inline void rig_call(struct loop_msg *m, struct loop *l)
{
	struct rig *r = (struct rig *)((char *)m - offsetof(struct rig, call_msg));
	r->call(r);
}

static inline void no_drop(struct loop_msg *m)
{
}

static inline void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

struct handshake {
	SSL *ssl;
	int rc;
};

static inline void *accept_thread(void *arg)
{
	struct handshake *h = arg;
	h->rc = SSL_accept(h->ssl);
	return NULL;
}

/* The far end is the TLS client, the near one the server; both blocking here. */
static inline void tls_over(int fd[2], SSL **far, SSL **near)
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

static inline struct rig *rig_new(void)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->loop = loop_new();
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

static inline void rig_go(struct rig *r)
{
	loop_post(r->loop, &r->start_msg);
}

static inline void rig_run(struct rig *r, void (*call)(struct rig *r))
{
	r->call = call;
	loop_post(r->loop, &r->call_msg);
}

/* Why the pair ended; waits for it. */
static inline enum pair_end rig_end(struct rig *r)
{
	struct pollfd p = {.fd = r->done_pipe[0], .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(read(r->done_pipe[0], &c, 1), 1);
	return (enum pair_end)c;
}

static inline void rig_free(struct rig *r)
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
	for (int i = 0; i < 2; i++) { /* it never went */
		SSL_free(r->near_ssl[i]);
		if (r->near_fd[i] >= 0)
			close(r->near_fd[i]);
	}
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

static inline void *send_job(void *arg)
{
	struct job *j = arg;
	j->ok = far_send(j->f, j->data, j->len);
	if (j->half_close)
		far_half_close(j->f);
	return NULL;
}

static inline char *random_data(size_t len)
{
	char *p = xmalloc(len);
	rand_bytes(p, len);
	return p;
}

/* ---- all tests, with each engine, plain and TLS ---- */

static inline int run_all(const char *name, const struct CMUnitTest *tests, size_t n)
{
	static const char *engines[] = {"direct", "bufferevent"};
	struct tls_server_conf sc = {.domain = "localhost"};
	struct tls_client_conf cc = {.host_roots = false};
	char note[256], title[64];
	struct err err;
	int failed = 0;

	setenv("PGROK_TIME_SCALE", "0.02", 1);
	server_ctx = tls_server_ctx(&sc, note, &err);
	client_ctx = tls_client_ctx(&cc, &err);
	if (!server_ctx || !client_ctx) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (int e = 0; e < 2; e++) {
		if (!stream_engine_parse(engines[e], &engine))
			return 1;
		stream_set_engine(engine);
		for (tls_side = -1; tls_side <= 2; tls_side++) {
			snprintf(title, sizeof(title), "%s %s, tls side %d", name, engines[e],
				 tls_side);
			failed += _cmocka_run_group_tests(title, tests, n, NULL, NULL);
		}
	}
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return failed;
}

#endif
