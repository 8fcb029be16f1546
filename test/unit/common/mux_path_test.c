/*
 * The whole way of a byte on one loop, and by dice: far end -> TLS or plain -> pair with a judge ->
 * mux -> TLS -> mux -> pair -> far end, both ways at once. Records and writes of all sizes, small
 * socket buffers, readers that nap, judges that keep, hold, stop and cut, ends that are held back,
 * half-closes, resets, sessions that die. Whatever arrives is what was sent; what nobody cut
 * arrives whole. A failed seed is printed; MUX_SEED=n runs it alone, MUX_SEEDS=n runs so many.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/stream/pair.h"
#include "common/net/tls.h"
#include "test/unit/common/mux_pipe.h"

#define WAYS 4
#define SEEDS 60
#define SECONDS 10     /* a seed that takes longer is stuck */
#define KEEP_MAX 30000 /* what the judge keeps at most */

enum plan {
	PLAN_WHOLE, /* everything arrives, both ways */
	PLAN_STOP,  /* the judge stops, */
	PLAN_CUT,   /* or cuts in the middle */
	PLAN_RESET, /* a far end goes in the middle */
	PLANS
};

struct way;

/* A far end: what a visitor or a local service does with its socket. */
struct far {
	int fd; /* -1: not there yet, or gone */
	SSL *ssl;
	uint64_t total, sent, got;
	size_t piece; /* under way: what TLS was asked to write has to be asked again */
	uint32_t sizes;
	bool finished, eof, broken, lazy;
};

/* One of the two pairs of a way. */
struct joint {
	struct way *way;
	struct pair *pair; /* NULL: not there yet, or over */
	uint64_t tapped[2];
	bool held[2], end_held[2], ended[2];
	bool over;
	enum pair_end why;
};

struct way {
	struct world *w;
	uint32_t no;
	enum plan plan;
	uint64_t at; /* of the plan: after so many bytes */
	struct far far[2];
	struct joint joint[2]; /* 0: where the stream was opened */
};

struct world {
	struct loop *loop;
	uint32_t seed, dice;
	struct mux *mux[2];
	struct mux_account *memory;
	struct way way[WAYS];
	uint32_t n;
	uint64_t moved, dies_at;
	bool dead; /* the session */
	const char *error;
};

static SSL_CTX *server_ctx, *client_ctx;
static const struct tls_client_conf trust_all;

static uint32_t roll(struct world *w, uint32_t sides)
{
	return dice(&w->dice, sides);
}

/* What far end `from` sends as its byte number pos. */
static uint8_t byte_at(const struct way *y, int from, uint64_t pos)
{
	return (uint8_t)(pos ^ pos >> 8 ^ pos >> 16 ^ y->no * 13 ^ (unsigned)from * 101);
}

static void check(struct way *y, int from, uint64_t at, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)buf[i] != byte_at(y, from, at + i)) {
			y->w->error = "another byte than was sent";
			return;
		}
}

/* ---- connections ---- */

static void socket_pair(struct world *w, int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	for (int i = 0; i < 2; i++) {
		int size = 4096 << roll(w, 8);
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
}

static void dice_tls(struct world *w, SSL *client)
{
	static const uint8_t lengths[] = {TLSEXT_max_fragment_length_512,
					  TLSEXT_max_fragment_length_1024,
					  TLSEXT_max_fragment_length_2048,
					  TLSEXT_max_fragment_length_4096};

	if (!roll(w, 3))
		SSL_set_max_proto_version(client, TLS1_2_VERSION);
	if (!roll(w, 4))
		SSL_set_tlsext_max_fragment_length(client, lengths[roll(w, 4)]);
}

/* Our end of a connection, with the far one shaken hands with. */
static struct stream *near_stream(struct world *w, struct far *f, bool tls)
{
	struct stream *s;
	int fd[2];

	socket_pair(w, fd);
	f->fd = fd[0];
	s = stream_new_direct(w->loop, fd[1], tls ? tls_accept_ssl(server_ctx) : NULL);
	if (tls) {
		f->ssl = tls_connect_ssl(client_ctx, &trust_all, "localhost");
		SSL_set_mode(f->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
		dice_tls(w, f->ssl);
		SSL_set_fd(f->ssl, f->fd);
		while (SSL_do_handshake(f->ssl) != 1 || stream_handshake(s) != STREAM_OK) {
			assert_int_not_equal(stream_handshake(s), STREAM_ABORT);
			ERR_clear_error();
		}
	}
	return stream_settle(s);
}

static void far_close(struct far *f)
{
	if (f->fd < 0)
		return;
	SSL_free(f->ssl);
	close(f->fd);
	f->ssl = NULL;
	f->fd = -1;
	f->broken = true;
}

/* ---- far ends ---- */

static size_t next_piece(struct world *w, const struct far *f)
{
	static const uint32_t most[] = {1, 200, 5000, 16384, 16384, 70000};
	uint32_t max = most[f->sizes];
	size_t n = roll(w, 4) ? 1 + roll(w, max) : max;

	return n < f->total - f->sent ? n : f->total - f->sent;
}

/* >0: bytes, 0: an end, -1: not now, -2: broken. */
static int far_io(struct far *f, void *buf, size_t len, bool reads)
{
	ssize_t n;

	ERR_clear_error();
	if (f->ssl) {
		int rc = reads ? SSL_read(f->ssl, buf, (int)len) : SSL_write(f->ssl, buf, (int)len);
		if (rc > 0)
			return rc;
		switch (SSL_get_error(f->ssl, rc)) {
		case SSL_ERROR_ZERO_RETURN:
			return 0;
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			return -1;
		default:
			return -2;
		}
	}
	n = reads ? recv(f->fd, buf, len, 0) : send(f->fd, buf, len, MSG_NOSIGNAL);
	return n >= 0 ? (int)n : errno == EAGAIN ? -1 : -2;
}

static void far_write(struct way *y, int side)
{
	static char buf[70000];
	struct far *f = &y->far[side];
	int n;

	if (f->sent == f->total) {
		if (f->ssl)
			f->finished = SSL_shutdown(f->ssl) >= 0;
		else
			f->finished = shutdown(f->fd, SHUT_WR) == 0;
		y->w->moved += f->finished;
		return;
	}
	if (!f->piece)
		f->piece = next_piece(y->w, f);
	for (size_t i = 0; i < f->piece; i++)
		buf[i] = (char)byte_at(y, side, f->sent + i);
	n = far_io(f, buf, f->piece, false);
	if (n == -2)
		f->broken = true;
	if (n <= 0)
		return;
	f->sent += (size_t)n;
	f->piece = 0;
	y->w->moved += (size_t)n;
}

static void far_read(struct way *y, int side)
{
	static char buf[70000];
	struct far *f = &y->far[side];
	int n = far_io(f, buf, 1 + roll(y->w, sizeof(buf)), true);

	f->broken |= n == -2;
	f->eof |= n == 0;
	if (n == 0)
		y->w->moved++;
	if (n <= 0)
		return;
	check(y, !side, f->got, buf, (size_t)n);
	f->got += (size_t)n;
	y->w->moved += (size_t)n;
}

static void far_drive(struct way *y, int side)
{
	struct far *f = &y->far[side];
	struct world *w = y->w;

	if (f->fd < 0)
		return;
	for (uint32_t i = roll(w, 4); i > 0 && !f->finished && !f->broken; i--)
		far_write(y, side);
	if (!f->eof && !f->broken && !roll(w, f->lazy ? 60 : 2))
		far_read(y, side);
	if (y->plan == PLAN_RESET && f->sent + f->got > y->at)
		far_close(f);
}

/* ---- pairs ---- */

static bool cuts(const struct way *y)
{
	return y->plan == PLAN_STOP || y->plan == PLAN_CUT;
}

static enum judge on_judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct joint *j = arg;
	struct way *y = j->way;
	struct world *w = y->w;
	bool opener = j == &y->joint[0];

	check(y, opener ? from : !from, j->tapped[from], buf, len);
	*pass = len;
	if (cuts(y) && opener && from == 0 && j->tapped[from] > y->at) {
		*pass = roll(w, (uint32_t)len + 1);
		return y->plan == PLAN_CUT ? JUDGE_CUT : JUDGE_STOP;
	}
	if (j->ended[from] || roll(w, 2))
		return JUDGE_PASS;
	*pass -= roll(w, (uint32_t)(len < KEEP_MAX ? len : KEEP_MAX) + 1);
	j->held[from] = !roll(w, 3);
	return j->held[from] ? JUDGE_HOLD : JUDGE_PASS;
}

static void on_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct joint *j = arg;
	struct way *y = j->way;

	check(y, j == &y->joint[0] ? from : !from, j->tapped[from], buf, len);
	j->tapped[from] += len;
}

static bool on_eof(void *arg, enum side from)
{
	struct joint *j = arg;

	j->end_held[from] = !roll(j->way->w, 3);
	j->ended[from] = !j->end_held[from];
	return j->ended[from];
}

static void on_done(void *arg, enum pair_end why)
{
	struct joint *j = arg;

	j->over = true;
	j->why = why;
	pair_close(j->pair, why == PAIR_ABORT);
	j->pair = NULL;
	j->way->w->moved++;
}

static const struct pair_hooks judged = {
	.judge = on_judge, .tap = on_tap, .eof = on_eof, .done = on_done};
static const struct pair_hooks plain = {.done = on_done};

static void join(struct way *y, int side, struct stream *s)
{
	struct world *w = y->w;
	struct joint *j = &y->joint[side];
	struct stream *near = near_stream(w, &y->far[side], roll(w, 2));
	bool hooked = cuts(y) || roll(w, 2);

	j->pair = pair_new(near, s, hooked ? &judged : &plain, j);
	pair_start(j->pair);
}

static void drive_joint(struct joint *j)
{
	for (int from = 0; from < 2; from++) {
		if (!j->pair || !(j->held[from] || j->end_held[from]) || roll(j->way->w, 4))
			continue;
		j->held[from] = j->end_held[from] = false;
		pair_release(j->pair, from);
	}
}

/* ---- the session ---- */

static void on_accepted(void *arg, struct stream *s)
{
	struct world *w = arg;

	join(&w->way[((struct mstream *)s)->id / 2], 1, s);
}

static void on_down(void *arg, const char *why)
{
	struct world *w = arg;

	w->dead = true;
}

static const struct mux_hooks hooks = {.accepted = on_accepted, .down = on_down};

static void session_new(struct world *w)
{
	static const uint32_t windows[] = {MUX_WINDOW_START, MUX_WINDOW_START, 256u << 10, 5000};
	struct mux_conf conf = {.opens = true,
				.first_id = 1,
				.start_window = windows[roll(w, 4)],
				.max_streams = WAYS};
	struct stream *s[2];
	SSL *ssl[2];
	int fd[2];

	socket_pair(w, fd);
	ssl[0] = tls_accept_ssl(server_ctx);
	ssl[1] = tls_connect_ssl(client_ctx, &trust_all, "localhost");
	dice_tls(w, ssl[1]);
	for (int i = 0; i < 2; i++)
		s[i] = stream_new_direct(w->loop, fd[i], ssl[i]);
	for (int done = 0; done < 2;) {
		done = 0;
		for (int i = 0; i < 2; i++)
			done += stream_handshake(s[i]) == STREAM_OK;
	}
	w->memory = mux_account_new();
	for (int i = 0; i < 2; i++) {
		w->mux[i] = mux_new(stream_settle(s[i]), &conf, w->memory, &hooks, w);
		conf.opens = false;
	}
}

static void way_new(struct world *w, uint32_t no)
{
	struct way *y = &w->way[no];

	y->w = w;
	y->no = no;
	y->plan = roll(w, 3) ? PLAN_WHOLE : (enum plan)roll(w, PLANS);
	y->at = roll(w, 200000);
	for (int i = 0; i < 2; i++) {
		struct far *f = &y->far[i];

		f->fd = -1;
		f->sizes = roll(w, 6);
		f->total = roll(w, f->sizes ? f->sizes < 3 ? 60000 : 400000 : 2000);
		f->lazy = !roll(w, 4);
		y->joint[i].way = y;
	}
	join(y, 0, mux_open(w->mux[0]));
}

static void kill_session(struct world *w)
{
	int i = (int)roll(w, 2);

	w->dead = true;
	mux_close(w->mux[i], true);
	w->mux[i] = NULL;
}

/* ---- a seed ---- */

static bool whole(const struct way *y)
{
	return y->far[0].eof && y->far[1].eof && y->joint[0].over && y->joint[1].over;
}

static bool way_over(const struct way *y)
{
	if (y->plan == PLAN_WHOLE && !y->w->dead)
		return whole(y);
#ifndef PGROK_DEBUG
	/* Stuck between two ends that are gone: a time-out not shortened here ends it. */
	if (y->far[0].fd < 0 && y->far[1].fd < 0)
		return true;
#endif
	/* What was never opened on the other side is not heard of there. */
	return y->joint[0].over && (y->joint[1].over || !y->joint[1].pair);
}

static void check_way(struct way *y)
{
	if (y->plan != PLAN_WHOLE || y->w->dead)
		return;
	for (int i = 0; i < 2; i++) {
		/* On a busy machine the 2.4 s of a half-closed pair may be over before its end. */
		bool ended = y->joint[i].why == PAIR_DONE || y->joint[i].why == PAIR_SILENT;

		if (y->far[i].got != y->far[!i].total || !ended)
			y->w->error = "not all has arrived";
	}
}

static bool turn(struct world *w)
{
	bool over = true;

	turns(w->loop, 1);
	for (uint32_t i = 0; i < w->n; i++) {
		struct way *y = &w->way[i];

		for (int side = 0; side < 2; side++) {
			far_drive(y, side);
			drive_joint(&y->joint[side]);
		}
		if (y->plan == PLAN_WHOLE && !w->dead && (y->far[0].broken || y->far[1].broken))
			w->error = "a connection broke";
		over &= way_over(y);
	}
	if (!w->dead && w->moved > w->dies_at)
		kill_session(w);
	return over || w->error;
}

static void world_free(struct world *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		for (int side = 0; side < 2; side++) {
			far_close(&w->way[i].far[side]);
			if (w->way[i].joint[side].pair)
				pair_close(w->way[i].joint[side].pair, true);
		}
	for (int i = 0; i < 2; i++)
		if (w->mux[i])
			mux_close(w->mux[i], false);
	loop_free(w->loop);
	mux_account_free(w->memory);
	free(w);
}

static void fail_seed(const struct world *w)
{
	for (uint32_t i = 0; i < w->n; i++) {
		const struct way *y = &w->way[i];

		for (int k = 0; k < 2; k++) {
			print_message(
				"way %u, plan %d, far end %d: sent %llu of %llu, got %llu%s%s%s\n",
				i, (int)y->plan, k, (unsigned long long)y->far[k].sent,
				(unsigned long long)y->far[k].total,
				(unsigned long long)y->far[k].got, y->far[k].eof ? ", end" : "",
				y->far[k].broken ? ", broken" : "",
				y->joint[k].over ? ", pair over" : "");
			print_message("  (pair_end %d)\n", (int)y->joint[k].why);
		}
	}
	fail_msg("MUX_SEED=%u: %s", w->seed, w->error);
}

static void run(uint32_t seed)
{
	struct world *w = xcalloc(1, sizeof(*w));
	uint64_t begun = clock_us(), moved = 0;

	w->loop = loop_new();
	w->seed = seed;
	w->dice = seed * 2654435761u + 1;
	for (int i = 0; i < 10; i++)
		roll(w, 2);
	w->dies_at = roll(w, 4) ? UINT64_MAX : roll(w, 1000000);
	session_new(w);
	w->n = 1 + roll(w, WAYS);
	for (uint32_t i = 0; i < w->n; i++)
		way_new(w, i);
	while (!turn(w)) {
		if (w->moved != moved)
			begun = clock_us();
		moved = w->moved;
		if (clock_us() - begun > SECONDS * 1000000u)
			w->error = "nothing moves any more";
	}
	for (uint32_t i = 0; i < w->n && !w->error; i++)
		check_way(&w->way[i]);
	if (w->error)
		fail_seed(w);
	world_free(w);
	assert_int_equal(mux_memory_used(), 0);
}

static void test_path(void **state)
{
	const char *one = getenv("MUX_SEED"), *many = getenv("MUX_SEEDS");
	uint32_t n = many ? (uint32_t)atoi(many) : SEEDS;

	if (one) {
		run((uint32_t)atoi(one));
		return;
	}
	for (uint32_t seed = 1; seed <= n; seed++)
		run(seed);
}

int main(void)
{
	static const char *engines[] = {"direct", "bufferevent"};
	struct tls_server_conf sc = {.domain = "localhost"};
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_path)};
	char note[256];
	struct err err;
	int failed = 0;

	setenv("PGROK_TIME_SCALE", "0.02", 1);
	server_ctx = tls_server_ctx(&sc, note, &err);
	client_ctx = tls_client_ctx(&trust_all, &err);
	if (!server_ctx || !client_ctx)
		return 1;
	for (int i = 0; i < 2; i++) {
		enum stream_engine engine;

		if (!stream_engine_parse(engines[i], &engine))
			return 1;
		stream_set_engine(engine);
		failed += cmocka_run_group_tests_name(engines[i], tests, NULL, NULL);
	}
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return failed;
}
