/*
 * The whole way over real sockets, with both engines: visitors -> pair -> mux -> TLS -> mux -> pair
 * -> an echo server. Each end of the session has its loop and its thread; visitors and server are
 * blocking threads of the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mux/mux.h"
#include "common/stream/pair.h"
#include "common/base/randid.h"
#include "common/net/tls.h"

#define VISITORS 8
#define SLOW 4 /* of them, where some are */
#define BIG (2u << 20)

static SSL_CTX *server_ctx, *client_ctx;
static const struct tls_client_conf trust_all;
static struct sockaddr_in echo_addr;
static atomic_uint pairs;

/* ---- sockets ---- */

static int listen_on(struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);
	int l = socket(AF_INET, SOCK_STREAM, 0);

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(l, (struct sockaddr *)a, sizeof(*a)), 0);
	assert_int_equal(listen(l, 64), 0);
	getsockname(l, (struct sockaddr *)a, &len);
	return l;
}

static int connect_to(const struct sockaddr_in *a)
{
	struct timeval tv = {.tv_sec = 30};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
		abort();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

static void tcp_pair(int fd[2])
{
	struct sockaddr_in a;
	int l = listen_on(&a);

	fd[0] = connect_to(&a);
	fd[1] = accept(l, NULL, NULL);
	assert_true(fd[1] >= 0);
	close(l);
}

static bool send_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len < 50000 ? len : 50000, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* ---- the echo server: a thread a connection ---- */

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[30000];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 && send_all(fd, buf, (size_t)n))
		;
	close(fd);
	return NULL;
}

struct echo_server {
	int listener;
	pthread_t thread, each[3 * VISITORS];
	unsigned n;
};

static void *echo_server(void *arg)
{
	struct echo_server *e = arg;
	int fd;

	while ((fd = accept(e->listener, NULL, NULL)) >= 0)
		pthread_create(&e->each[e->n++], NULL, echo, (void *)(intptr_t)fd);
	for (unsigned i = 0; i < e->n; i++)
		pthread_join(e->each[i], NULL);
	return NULL;
}

/* ---- an end of the session ---- */

/* Runs fn on the end's thread. */
struct call {
	struct loop_msg msg; /* first: it is one */
	void (*fn)(struct call *c);
	struct end *end;
	int fd;
};

struct end {
	struct loop *loop;
	pthread_t thread;
	struct mux *mux; /* NULL: given back */
	struct mux_account *memory;
	bool opens;
	int fd;
	SSL *ssl;
};

/* A visitor's or a service's connection, joined to a stream. */
struct join {
	struct pair *pair;
};

static void on_done(void *arg, enum pair_end why)
{
	struct join *j = arg;

	pair_close(j->pair, why == PAIR_ABORT);
	free(j);
	atomic_fetch_sub(&pairs, 1);
}

static const struct pair_hooks pair_hooks = {.done = on_done};

static void join(struct end *e, int fd, struct stream *s)
{
	struct join *j = xcalloc(1, sizeof(*j));

	atomic_fetch_add(&pairs, 1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	j->pair = pair_new(stream_settle(stream_new_direct(e->loop, fd, NULL)), s, &pair_hooks, j);
	pair_start(j->pair);
}

static void on_accepted(void *arg, struct stream *s)
{
	join(arg, connect_to(&echo_addr), s);
}

static void on_down(void *arg, const char *why)
{
	struct end *e = arg;
	struct mux *m = e->mux;

	e->mux = NULL;
	if (m)
		mux_close(m, false);
}

static const struct mux_hooks mux_hooks = {.accepted = on_accepted, .down = on_down};

static void call_deliver(struct loop_msg *m, struct loop *l)
{
	struct call *c = (struct call *)m;

	c->fn(c);
	free(c);
}

static void call_drop(struct loop_msg *m)
{
	free(m);
}

static void post(struct end *e, void (*fn)(struct call *c), int fd)
{
	struct call *c = xcalloc(1, sizeof(*c));

	*c = (struct call){{.deliver = call_deliver, .drop = call_drop}, fn, e, fd};
	loop_post(e->loop, &c->msg);
}

static void do_start(struct call *c)
{
	struct mux_conf conf = {.opens = c->end->opens,
				.first_id = 1,
				.start_window = MUX_WINDOW_START,
				.max_streams = MUX_STREAMS_MAX};
	struct stream *t = stream_settle(stream_new_direct(c->end->loop, c->end->fd, c->end->ssl));

	c->end->mux = mux_new(t, &conf, c->end->memory, &mux_hooks, c->end);
}

static void do_join(struct call *c)
{
	struct stream *s = c->end->mux ? mux_open(c->end->mux) : NULL;

	if (s)
		join(c->end, c->fd, s);
	else
		close(c->fd);
}

static void do_leave(struct call *c)
{
	on_down(c->end, "");
}

static void do_cut(struct call *c)
{
	shutdown(c->end->fd, SHUT_RDWR);
}

static void *run_loop(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void *accept_tls(void *arg)
{
	return SSL_accept(arg) == 1 ? arg : NULL;
}

static void ends_new(struct end end[2])
{
	pthread_t t;
	void *accepted;
	int fd[2];

	tcp_pair(fd);
	memset(end, 0, 2 * sizeof(*end));
	end[0].ssl = tls_accept_ssl(server_ctx);
	end[1].ssl = tls_connect_ssl(client_ctx, &trust_all, "localhost");
	end[0].opens = true;
	for (int i = 0; i < 2; i++) {
		end[i].fd = fd[!i];
		SSL_set_fd(end[i].ssl, end[i].fd);
	}
	pthread_create(&t, NULL, accept_tls, end[0].ssl);
	assert_int_equal(SSL_connect(end[1].ssl), 1);
	pthread_join(t, &accepted);
	assert_non_null(accepted);
	for (int i = 0; i < 2; i++) {
		SSL_set_bio(end[i].ssl, NULL, NULL);
		fcntl(end[i].fd, F_SETFL, O_NONBLOCK);
		end[i].loop = loop_new();
		end[i].memory = mux_account_new();
		pthread_create(&end[i].thread, NULL, run_loop, end[i].loop);
		post(&end[i], do_start, -1);
	}
}

static void ends_free(struct end end[2])
{
	post(&end[0], do_leave, -1);
	post(&end[1], do_leave, -1);
	for (int i = 0; i < 2000 && atomic_load(&pairs); i++)
		usleep(10000);
	assert_int_equal(atomic_load(&pairs), 0);
	for (int i = 0; i < 2; i++) {
		loop_stop(end[i].loop);
		pthread_join(end[i].thread, NULL);
	}
	/* A loop that stopped at once has not begun with what was posted. */
	for (int i = 0; i < 2; i++) {
		if (end[i].mux)
			mux_close(end[i].mux, true);
		loop_free(end[i].loop);
		mux_account_free(end[i].memory);
	}
	assert_int_equal(mux_memory_used(), 0);
}

/* ---- visitors ---- */

struct visitor {
	int fd;
	char *data;
	size_t got;
	bool slow;
	atomic_bool *go; /* a slow one begins to read with it */
	bool intact;
	pthread_t reader, writer;
};

static void *visitor_write(void *arg)
{
	struct visitor *v = arg;

	if (send_all(v->fd, v->data, BIG))
		shutdown(v->fd, SHUT_WR);
	return NULL;
}

static void *visitor_read(void *arg)
{
	struct visitor *v = arg;
	char buf[40000];
	ssize_t n;

	while (v->slow && !atomic_load(v->go))
		usleep(1000);
	v->intact = true;
	while ((n = recv(v->fd, buf, sizeof(buf), 0)) > 0) {
		if (v->got + (size_t)n > BIG || memcmp(v->data + v->got, buf, (size_t)n) != 0)
			v->intact = false;
		v->got += (size_t)n;
	}
	v->intact = v->intact && n == 0;
	return NULL;
}

static void visitor_start(struct visitor *v, struct end *e, char *data, atomic_bool *go, bool slow)
{
	const int little = 32 << 10; /* else the kernel takes all that a slow one does not read */
	int fd[2];

	tcp_pair(fd);
	if (slow) {
		setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
		setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	}
	*v = (struct visitor){.fd = fd[0], .data = data, .go = go, .slow = slow};
	post(e, do_join, fd[1]);
	pthread_create(&v->writer, NULL, visitor_write, v);
	pthread_create(&v->reader, NULL, visitor_read, v);
}

static void visitor_end(struct visitor *v)
{
	pthread_join(v->writer, NULL);
	pthread_join(v->reader, NULL);
	close(v->fd);
}

/* All get back what they sent; the two that do not read meanwhile hold up nobody. */
static void test_echo(void **state)
{
	struct visitor v[VISITORS];
	atomic_bool go = false;
	char *data = xmalloc(BIG);
	struct end end[2];

	rand_bytes(data, BIG);
	ends_new(end);
	for (int i = 0; i < VISITORS; i++)
		visitor_start(&v[i], &end[0], data, &go, i < 2);
	for (int i = VISITORS; i-- > 0;) {
		if (i == 1)
			atomic_store(&go, true);
		visitor_end(&v[i]);
	}
	for (int i = 0; i < VISITORS; i++) {
		assert_int_equal(v[i].got, BIG);
		assert_true(v[i].intact);
	}
	ends_free(end);
	free(data);
}

/* A session that is left carries what runs to its end. */
static void test_left(void **state)
{
	struct visitor v[VISITORS];
	atomic_bool go = true;
	char *data = xmalloc(BIG);
	struct end end[2];

	rand_bytes(data, BIG);
	ends_new(end);
	for (int i = 0; i < VISITORS; i++)
		visitor_start(&v[i], &end[0], data, &go, false);
	post(&end[0], do_leave, -1);
	for (int i = 0; i < VISITORS; i++) {
		visitor_end(&v[i]);
		assert_int_equal(v[i].got, BIG);
		assert_true(v[i].intact);
	}
	ends_free(end);
	free(data);
}

/* The connection breaks in the middle: every visitor hears of it, nothing hangs. */
static void test_cut(void **state)
{
	struct visitor v[VISITORS];
	atomic_bool go = false;
	char *data = xmalloc(BIG);
	struct end end[2];

	rand_bytes(data, BIG);
	ends_new(end);
	for (int i = 0; i < VISITORS; i++)
		visitor_start(&v[i], &end[0], data, &go, i < SLOW);
	/* Those that do not read are joined at both ends: there it is in the middle for them. */
	while (atomic_load(&pairs) < 2 * SLOW)
		usleep(1000);
	post(&end[1], do_cut, -1);
	atomic_store(&go, true);
	for (int i = 0; i < VISITORS; i++)
		visitor_end(&v[i]);
	ends_free(end);
	free(data);
}

int main(void)
{
	static const char *engines[] = {"direct", "bufferevent"};
	struct tls_server_conf sc = {.domain = "localhost"};
	struct tls_client_conf cc = {.host_roots = false};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_cut),
	};
	struct echo_server echoes = {.n = 0};
	char note[256];
	struct err err;
	int failed = 0;

	setenv("PGROK_TIME_SCALE", "0.2", 1); /* a pair is silent for 24 s */
	server_ctx = tls_server_ctx(&sc, note, &err);
	client_ctx = tls_client_ctx(&cc, &err);
	if (!server_ctx || !client_ctx)
		return 1;
	for (int i = 0; i < 2; i++) {
		enum stream_engine engine;
		if (!stream_engine_parse(engines[i], &engine))
			return 1;
		stream_set_engine(engine);
		echoes.n = 0;
		echoes.listener = listen_on(&echo_addr);
		pthread_create(&echoes.thread, NULL, echo_server, &echoes);
		failed += cmocka_run_group_tests_name(engines[i], tests, NULL, NULL);
		shutdown(echoes.listener, SHUT_RDWR);
		pthread_join(echoes.thread, NULL);
		close(echoes.listener);
	}
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return failed;
}
