/*
 * Connections to a server, counted: handshakes resumed, and ClientHellos (a second one in a
 * handshake is a round trip lost).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net/listener.h"
#include "pgrok/uplink/connect.h"

#define MANY 20

/* The server's end of one connection. */
struct guest {
	struct far *far;
	struct stream *s;
	bool served;
};

/* A server that says one byte to everybody. */
struct far {
	struct loop *loop;
	SSL_CTX *ctx;
	struct listener *listener;
	struct guest guest[8 * MANY];
	int guests, full, resumed, hellos;
	bool rude; /* says what is no TLS */
};

struct near {
	struct loop *loop;
	struct connector *c;
	struct stream *s[MANY];
	int connected, heard, expected;
	bool rude;
};

static void on_message(int write_p, int version, int type, const void *buf, size_t len, SSL *ssl,
		       void *arg)
{
	struct far *f = arg;

	if (!write_p && type == SSL3_RT_HANDSHAKE && len &&
	    *(const unsigned char *)buf == SSL3_MT_CLIENT_HELLO)
		f->hellos++;
}

static void on_guest(void *arg, int dirs)
{
	struct guest *g = arg;
	size_t n;

	if (stream_handshake(g->s) != STREAM_OK)
		return;
	stream_want(g->s, 0);
	if (g->served)
		return;
	g->served = true;
	if (SSL_session_reused(stream_ssl(g->s)))
		g->far->resumed++;
	else
		g->far->full++;
	assert_int_equal(stream_write(g->s, "x", 1, &n), STREAM_OK);
	if (g->far->rude)
		assert_int_equal(write(stream_fd(g->s), "nonsense", 8), 8);
}

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct far *f = arg;
	struct guest *g = &f->guest[f->guests++];

	assert_true(f->guests < 8 * MANY);
	g->far = f;
	g->s = stream_new(f->loop, fd, tls_accept_ssl(f->ctx));
	stream_on_ready(g->s, on_guest, g);
	on_guest(g, 0);
}

static SSL_CTX *far_ctx(struct far *f, const char *groups, int max_version)
{
	struct tls_server_conf conf = {.domain = "x.me"};
	char note[256];
	struct err err;
	SSL_CTX *ctx = tls_server_ctx(&conf, note, &err);

	assert_non_null(ctx);
	if (groups)
		assert_int_equal(SSL_CTX_set1_groups_list(ctx, groups), 1);
	SSL_CTX_set_max_proto_version(ctx, max_version);
	SSL_CTX_set_msg_callback(ctx, on_message);
	SSL_CTX_set_msg_callback_arg(ctx, f);
	return ctx;
}

static void far_change(struct far *f, const char *groups, int max_version)
{
	SSL_CTX_free(f->ctx);
	f->ctx = far_ctx(f, groups, max_version);
	f->full = f->resumed = f->hellos = 0;
}

static void on_heard(void *arg, int dirs)
{
	struct near *n = arg;
	char byte;
	size_t got;

	for (int i = 0; i < MANY; i++) {
		enum stream_rc rc = n->s[i] ? stream_read(n->s[i], &byte, 1, &got) : STREAM_AGAIN;

		if (rc == STREAM_AGAIN || (rc == STREAM_OK && n->rude))
			continue;
		assert_int_equal(rc, n->rude ? STREAM_ABORT : STREAM_OK);
		n->heard++;
		stream_close(n->s[i], false);
		n->s[i] = NULL;
	}
	if (n->heard == n->expected)
		loop_stop(n->loop);
}

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct near *n = arg;

	if (!s)
		fail_msg("%s", error);
	n->s[n->connected++] = s;
	stream_on_ready(s, on_heard, n);
	stream_want(s, STREAM_READ);
}

/* So many connections at a time, until each has heard its byte (and got its ticket). */
static void connect_at_once(struct near *n, int count)
{
	n->connected = n->heard = 0;
	for (int i = 0; i < count; i++)
		assert_non_null(connect_start(n->c, on_connected, n));
	n->expected = count;
	loop_run(n->loop); /* a connection that is not made in time fails the test */
	assert_int_equal(n->heard, count);
}

struct world {
	struct loop *loop;
	struct far far;
	struct near near;
	struct endpoint server;
	char text[ADDR_TEXT];
};

static struct world *world_new(const char *groups, int max_version)
{
	struct world *w = calloc(1, sizeof(*w));
	struct listener_fds fds;
	struct err err;

	w->loop = w->far.loop = w->near.loop = loop_new();
	w->far.ctx = far_ctx(&w->far, groups, max_version);
	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	struct addr at = listener_addr(&fds);
	addr_text(&at, w->text);
	w->server = (struct endpoint){
		.text = w->text, .host = strdup("127.0.0.1"), .port = addr_get_port(&at)};
	w->far.listener = listener_start(w->loop, &fds, on_accept, &w->far);
	w->near.c = connector_new(w->loop, &(struct connector_conf){.server = &w->server}, &err);
	assert_non_null(w->near.c);
	return w;
}

static void world_free(struct world *w)
{
	for (int i = 0; i < w->far.guests; i++)
		stream_close(w->far.guest[i].s, false);
	listener_close(w->far.listener);
	connector_close(w->near.c, "the test ends");
	loop_free(w->loop);
	SSL_CTX_free(w->far.ctx);
	free(w->server.host);
	free(w);
}

static void is_resumed(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	for (int v = 0; v < 2; v++) {
		struct world *w = world_new(NULL, versions[v]);

		connect_at_once(&w->near, 1);
		assert_int_equal(w->far.full, 1);
		for (int i = 0; i < MANY; i++)
			connect_at_once(&w->near, 1);
		assert_int_equal(w->far.resumed, MANY);
		/* Each with a ticket of its own, though there is only one to be had. */
		connect_at_once(&w->near, MANY);
		assert_int_equal(w->far.resumed, 2 * MANY);
		assert_int_equal(w->far.full, 1);
		assert_int_equal(w->far.hellos, 2 * MANY + 1);
		world_free(w);
	}
}

/* A connection that breaks says nothing about the session that it was resumed from. */
static void survives_a_break(void **state)
{
	struct world *w = world_new(NULL, TLS1_3_VERSION);

	connect_at_once(&w->near, 1);
	SSL_CTX_set_num_tickets(w->far.ctx, 0);
	connect_at_once(&w->near, 1);
	w->far.rude = w->near.rude = true;
	connect_at_once(&w->near, 3);
	w->far.rude = w->near.rude = false;
	connect_at_once(&w->near, 3);
	assert_int_equal(w->far.resumed, 1 + 3 + 3);
	world_free(w);
}

/* As the Go server: the client's usual first offer is not what it wants. */
static void needs_no_second_hello(void **state)
{
	static const char *const wants[] = {"P-521", "P-384", "P-256"};

	for (int i = 0; i < 3; i++) {
		struct world *w = world_new(wants[i], TLS1_3_VERSION);

		connect_at_once(&w->near, 1);
		assert_int_equal(w->far.hellos, 2);
		connect_at_once(&w->near, 1);
		connect_at_once(&w->near, MANY);
		assert_int_equal(w->far.hellos, 2 + 1 + MANY);
		assert_int_equal(w->far.resumed, 1 + MANY);
		world_free(w);
	}
}

/* Its tickets are worth nothing, but the group is known after two. */
static void another_server_is_asked_again(void **state)
{
	struct world *w = world_new("P-521", TLS1_3_VERSION);

	connect_at_once(&w->near, 1);
	connect_at_once(&w->near, 1);
	far_change(&w->far, NULL, TLS1_3_VERSION);
	connect_at_once(&w->near, 1);
	assert_int_equal(w->far.full, 1);
	connect_at_once(&w->near, 1);
	connect_at_once(&w->near, 1);
	/* Not P-521 any more, which it would take as well but pay dearly for. */
	SSL *last = stream_ssl(w->far.guest[w->far.guests - 1].s);
	assert_int_equal(SSL_get_negotiated_group(last), NID_X25519);
	assert_int_equal(w->far.hellos, 3);
	assert_true(w->far.resumed >= 1);
	world_free(w);
}

/* A server that gives no tickets: no handshake is resumed, and none needs a second round. */
static void without_tickets(void **state)
{
	struct world *w = world_new("P-521", TLS1_3_VERSION);

	SSL_CTX_set_num_tickets(w->far.ctx, 0);
	connect_at_once(&w->near, 1);
	for (int i = 0; i < MANY; i++)
		connect_at_once(&w->near, 1);
	assert_int_equal(w->far.hellos, 2 + MANY);
	assert_int_equal(w->far.full, 1 + MANY);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_resumed),
		cmocka_unit_test(survives_a_break),
		cmocka_unit_test(needs_no_second_hello),
		cmocka_unit_test(another_server_is_asked_again),
		cmocka_unit_test(without_tickets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
