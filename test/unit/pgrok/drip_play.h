/*
 * A Drip server for the client's unit tests, on the same loop: TLS on a free port, frames,
 * sessions. What it answers is the test's. A test that includes this has included cmocka.
 */
#ifndef TEST_UNIT_PGROK_DRIP_PLAY_H
#define TEST_UNIT_PGROK_DRIP_PLAY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/http/upgrade.h"
#include "common/mux/mux.h"
#include "common/net/listener.h"
#include "common/net/tls.h"
#include "common/stream/ws.h"
#include "msg/drip/frame.h"
#include "test/unit/pgrok/uplink_rig.h"

#define GUESTS 64
#define TUNNEL_ID "c41f214af8d24077659fee25189a0ba0"
#define DISCOVERED(preferred)                                                               \
	"HTTP/1.1 200 OK\r\nContent-Length: 19\r\nConnection: close\r\n\r\n{\"preferred\":" \
	"\"" preferred "\"}"

/* The server's end of one connection. */
struct guest {
	struct play *play;
	struct stream *s; /* NULL: closed, or the session's */
	struct text in;
	struct mux *mux;
	bool data; /* else it is a primary one */
	struct stream *visitor;
};

struct play {
	struct rig rig;
	SSL_CTX *ctx;
	struct listener *listener;
	struct connector *connector;
	char text[ADDR_TEXT], host[16];
	struct mux_account *memory;
	struct config_tunnel *tunnel;

	/* What the server does. */
	const char *discovered;     /* NULL: 404 */
	const char *code, *message; /* of an Error; NULL: none */
	const char *answer;         /* raw bytes instead of one */
	bool silent, no_data, refuse_data, early;
	struct guest guest[GUESTS];
	unsigned guests, registered, joined, visited;
};

/* ---- the server ---- */

static void on_guest_ready(void *arg, int dirs);

static void drop(struct guest *g)
{
	if (g->visitor)
		stream_close(g->visitor, false);
	if (g->mux)
		mux_close(g->mux, true);
	if (g->s)
		stream_close(g->s, false);
	text_free(&g->in);
	g->visitor = NULL;
	g->mux = NULL;
	g->s = NULL;
}

static void say(struct guest *g, const void *bytes, size_t len)
{
	size_t n;

	assert_int_equal(stream_write(g->s, bytes, len, &n), STREAM_OK);
	assert_int_equal(n, len);
}

static void say_msg(struct guest *g, const struct drip_msg *m)
{
	struct err err;
	size_t len;
	char *frame = drip_frame_make(m, &len, &err);

	assert_non_null(frame);
	say(g, frame, len);
	free(frame);
}

static void on_accepted(void *arg, struct stream *s)
{
	fail_msg("the client opened a stream");
}

static void on_down(void *arg, const char *why)
{
	struct guest *g = arg;

	note(&g->play->rig, "Gone(%s) ", g->data ? "data" : "primary");
	drop(g);
	loop_stop(g->play->rig.loop);
}

static void begin_session(struct guest *g)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = 256u << 10,
					     .max_streams = 256,
					     .prompt = true};
	static const struct mux_hooks hooks = {.accepted = on_accepted, .down = on_down};
	struct stream *s = g->s;

	g->s = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	g->mux = mux_new(s, &conf, g->play->memory, &hooks, g);
}

static void answer_register(struct guest *g, const struct drip_register *r)
{
	struct play *p = g->play;
	struct drip_msg m = drip_new(p->code ? DRIP_ERROR : DRIP_REGISTER_ACK);
	char url[64], name[32];

	p->registered++;
	note(&p->rig, "Register(%s,%s) ", r->custom_subdomain, r->token);
	snprintf(name, sizeof(name), "%s", *r->custom_subdomain ? r->custom_subdomain : "tcp-7");
	snprintf(url, sizeof(url), "tcp://x.me:%s", name);
	if (p->code) {
		m.error.code = p->code;
		m.error.message = p->message;
		say_msg(g, &m);
		drop(g);
		return;
	}
	m.ack.subdomain = name;
	m.ack.url = url;
	m.ack.message = "Tunnel registered successfully";
	if (!p->no_data) {
		m.ack.tunnel_id = TUNNEL_ID;
		m.ack.supports_data_conn = true;
	}
	say_msg(g, &m);
	begin_session(g);
	if (p->early) {
		g->visitor = mux_open(g->mux);
		p->visited++;
	}
}

static void answer_data(struct guest *g, const struct drip_data_connect *d)
{
	struct play *p = g->play;
	struct drip_msg m = drip_new(DRIP_DATA_CONNECT_ACK);

	assert_string_equal(d->tunnel_id, TUNNEL_ID);
	g->data = true;
	p->joined++;
	note(&p->rig, "%s ", d->connection_id);
	m.data_ack.accepted = !p->refuse_data;
	m.data_ack.connection_id = p->refuse_data ? "" : d->connection_id;
	m.data_ack.message =
		p->refuse_data ? "join_failed: Tunnel not found" : "Data connection accepted";
	say_msg(g, &m);
	if (p->refuse_data)
		drop(g);
	else
		begin_session(g);
	loop_stop(p->rig.loop);
}

static void answer_http(struct guest *g)
{
	struct play *p = g->play;
	const char *answer = p->discovered ? p->discovered
					   : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

	assert_int_equal(strncmp(g->in.p, "GET /_drip/discover HTTP/1.1\r\nHost: 127.0.0.1:", 46),
			 0);
	note(&p->rig, "Discover ");
	say(g, answer, strlen(answer));
	drop(g);
}

static void answer_upgrade(struct guest *g)
{
	struct http_head h = {0};
	struct text out = {.p = NULL};
	struct stream *ws;

	assert_int_equal(http_request_scan(&h, g->in.p, g->in.len), HTTP_OK);
	assert_non_null(strstr(g->in.p, "\r\nAuthorization: Bearer sekrit\r\n"));
	assert_true(upgrade_grant(&out, g->in.p, &h));
	note(&g->play->rig, "Upgrade ");
	say(g, out.p, out.len);
	text_free(&out);
	ws = stream_ws_new(g->s, WS_SERVER, g->in.p + h.head_len, g->in.len - h.head_len);
	text_free(&g->in);
	g->s = ws;
	stream_on_ready(ws, on_guest_ready, g);
}

static void hear(struct guest *g)
{
	struct play *p = g->play;
	struct drip_msg m;
	enum drip_type type;
	struct err err;
	size_t n;

	if (g->in.p[0] == 'G') {
		if (!strstr(g->in.p, "\r\n\r\n"))
			return;
		if (strncmp(g->in.p, "GET /_drip/ws ", 14) == 0)
			answer_upgrade(g);
		else
			answer_http(g);
		return;
	}
	if (drip_scan(g->in.p, g->in.len, &type, &n) != DRIP_OK || p->silent)
		return;
	if (p->answer) {
		say(g, p->answer, strlen(p->answer));
		drop(g);
		return;
	}
	assert_true(drip_decode(type, g->in.p + DRIP_HEADER, n, &m, &err));
	if (type == DRIP_REGISTER)
		answer_register(g, &m.reg);
	else
		answer_data(g, &m.data);
	drip_free(&m);
}

static void on_guest_ready(void *arg, int dirs)
{
	struct guest *g = arg;
	enum stream_rc rc;
	size_t n;

	while (g->s &&
	       (rc = stream_read(g->s, text_room(&g->in, 4096), 4096, &n)) != STREAM_AGAIN) {
		if (rc != STREAM_OK) {
			drop(g);
			return;
		}
		g->in.len += n;
		g->in.p[g->in.len] = '\0';
		hear(g);
	}
	if (g->s)
		stream_want(g->s, STREAM_READ);
}

static void on_accept(void *arg, int fd, const struct addr *peer)
{
	struct play *p = arg;
	struct guest *g = &p->guest[p->guests++];

	assert_in_range(p->guests, 1, GUESTS);
	g->play = p;
	g->s = stream_new(p->rig.loop, fd, tls_accept_ssl(p->ctx));
	stream_on_ready(g->s, on_guest_ready, g);
	stream_want(g->s, STREAM_READ);
}

/* The n-th session that is up; 0: the first. NULL: there are not so many. */
static struct guest *session(struct play *p, bool data, unsigned n)
{
	for (unsigned i = 0; i < p->guests; i++) {
		if (p->guest[i].mux && p->guest[i].data == data && !n--)
			return &p->guest[i];
	}
	return NULL;
}

#endif
