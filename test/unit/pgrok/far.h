/*
 * A server for the client's unit tests, on the same loop: TLS on a free port, messages on each
 * connection, and what it says to them is the test's.
 */
#ifndef TEST_UNIT_PGROK_FAR_H
#define TEST_UNIT_PGROK_FAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/net/listener.h"
#include "common/net/tls.h"
#include "msg/pgrok/chan.h"
#include "pgrok/config/endpoint.h"
#include "pgrok/uplink/connect.h"

#define FAR_GUESTS 4096

/* The server's end of one connection. */
struct far_guest {
	struct far *far;
	struct stream *s; /* NULL: closed */
	struct chan *chan;
	unsigned n; /* 1, 2, 3 ... */
};

struct far {
	struct loop *loop;
	SSL_CTX *ctx;
	struct listener *listener;
	struct far_guest guest[FAR_GUESTS];
	unsigned guests;
	bool deaf; /* connections are closed as soon as they come */
	/* What a client said. May close the connection. */
	void (*on_msg)(void *arg, struct far_guest *g, const struct msg *m);
	/* NULL: not wanted. A client ended its connection. */
	void (*on_gone)(void *arg, struct far_guest *g);
	void *arg;

	struct connector *connector; /* towards it */
	struct endpoint at;
	char text[ADDR_TEXT], host[16];
};

static inline void far_close(struct far_guest *g, bool abort)
{
	chan_free(g->chan);
	g->chan = NULL;
	if (g->s)
		stream_close(g->s, abort);
	g->s = NULL;
}

/* Takes the connection away from far: raw bytes follow. */
static inline struct stream *far_take(struct far_guest *g)
{
	struct stream *s = g->s;

	chan_free(g->chan);
	g->chan = NULL;
	g->s = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	return s;
}

static inline void far_say(struct far_guest *g, struct msg m)
{
	assert_true(chan_send(g->chan, &m));
	assert_false(chan_waiting(g->chan));
}

static inline void far_start_proxy(struct far_guest *g, const char *url, const char *peer)
{
	struct msg m = msg_new(MSG_START_PROXY);

	m.start_proxy.url = url;
	m.start_proxy.client_addr = peer;
	far_say(g, m);
}

static void far_on_ready(void *arg, int dirs)
{
	struct far_guest *g = arg;
	struct far *f = g->far;
	struct msg m;
	enum chan_rc rc;

	while (g->chan && (rc = chan_recv(g->chan, &m)) != CHAN_AGAIN) {
		if (rc != CHAN_OK) {
			far_close(g, false);
			if (f->on_gone)
				f->on_gone(f->arg, g);
			return;
		}
		f->on_msg(f->arg, g, &m);
		msg_free(&m);
	}
	if (g->s)
		stream_want(g->s, STREAM_READ);
}

static void far_on_accept(void *arg, int fd, const struct addr *peer)
{
	struct far *f = arg;
	struct far_guest *g = &f->guest[f->guests++];

	assert_true(f->guests < FAR_GUESTS);
	*g = (struct far_guest){.far = f, .n = f->guests};
	if (f->deaf) {
		close(fd);
		return;
	}
	g->s = stream_new(f->loop, fd, tls_accept_ssl(f->ctx));
	g->chan = chan_new(g->s);
	stream_on_ready(g->s, far_on_ready, g);
	stream_want(g->s, STREAM_READ);
}

/* Returns owned; on_msg and arg are to be set. */
static inline struct far *far_new(struct loop *l)
{
	struct far *f = calloc(1, sizeof(*f));
	struct listener_fds fds;
	char note[256];
	struct err err;

	f->loop = l;
	f->ctx = tls_server_ctx(&(struct tls_server_conf){.domain = "x.me"}, note, &err);
	assert_non_null(f->ctx);
	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	struct addr at = listener_addr(&fds);
	addr_text(&at, f->text);
	strcpy(f->host, "127.0.0.1");
	f->at = (struct endpoint){.text = f->text, .host = f->host, .port = addr_get_port(&at)};
	f->listener = listener_start(l, &fds, far_on_accept, f);
	f->connector = connector_new(l, &(struct connector_conf){.server = &f->at}, &err);
	assert_non_null(f->connector);
	return f;
}

/* Before loop_free(), after all that uses the connector. */
static inline void far_end(struct far *f)
{
	connector_close(f->connector, "the test ends");
	f->connector = NULL;
	for (unsigned i = 0; i < f->guests; i++)
		far_close(&f->guest[i], true);
	if (f->listener)
		listener_close(f->listener);
	f->listener = NULL;
}

/* After loop_free(). */
static inline void far_free(struct far *f)
{
	SSL_CTX_free(f->ctx);
	free(f);
}

#endif
