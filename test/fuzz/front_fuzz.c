/*
 * Fuzzes the server between its sockets and its clients: guests of both kinds whose bytes come in
 * any pieces, a client with tunnels, its proxy connections, visitors. In the end nothing is left.
 * Input: operations {code, argument} and what they take.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "msg/drip/frame.h"
#include "msg/pgrok/frame.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/http.h"
#include "pgrokd/front/lobby.h"
#include "pgrokd/proto/drip.h"
#include "pgrokd/proto/pgrok.h"
#include "pgrokd/visitor/visitor.h"
#include "test/unit/common/mux_pipe.h"

#define CONNS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct config config;
	struct settings settings;
	struct core core;
	struct worker worker;
	int fd[CONNS]; /* -1: none */
};

static const struct proto_ops *const only_http[] = {&http_proto, NULL};
static const struct proto_ops *const all[] = {&pgrok_proto, &drip_proto, &http_proto, NULL};

static void check(bool good)
{
	if (!good)
		abort();
}

static void pass(struct play *p, int n)
{
	turns(p->worker.loop, n);
}

static void come(struct play *p, unsigned at, enum port port)
{
	int pair[2], small = 4608;
	struct addr peer;

	if (p->fd[at] >= 0)
		close(p->fd[at]);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	check(addr_numeric("192.0.2.1", 1234, &peer));
	/* So that writes are short. */
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	p->fd[at] = pair[1];
	lobby_accept(&p->worker, port, pair[0], &peer);
}

static void say(struct play *p, unsigned at, const void *bytes, size_t len)
{
	if (p->fd[at] >= 0)
		(void)!send(p->fd[at], bytes, len, MSG_NOSIGNAL);
}

static void say_message(struct play *p, unsigned at, uint8_t which)
{
	static const enum msg_type types[] = {MSG_AUTH, MSG_REQ_TUNNEL, MSG_REG_PROXY, MSG_PING};
	struct msg m = msg_new(types[which & 3]);
	struct err err;
	size_t len;

	if (m.type == MSG_AUTH) {
		m.auth.version = "2";
		m.auth.mm_version = "3.0";
		m.auth.user = which & 4 ? "token" : "";
		m.auth.client_id = which & 8 ? "" : "abc";
		m.auth.features = which & 16 ? "mux ping close" : "";
	} else if (m.type == MSG_REQ_TUNNEL) {
		m.req_tunnel.req_id = "1";
		m.req_tunnel.protocol = which & 4 ? "http" : "http+https";
		m.req_tunnel.subdomain = which & 8 ? "x" : "y";
		m.req_tunnel.http_auth = which & 8 ? "u:p" : "";
		m.req_tunnel.mux = which & 16;
	} else if (m.type == MSG_REG_PROXY) {
		m.reg_proxy.client_id = "abc";
		m.reg_proxy.mux = which >> 3 & 3;
	}
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, &err);

	check(frame != NULL);
	say(p, at, frame, len);
	free(frame);
}

static void keep_id(void *value, void *arg)
{
	const struct client *c = value;

	if (client_session(c, &drip_proto))
		*(const char **)arg = client_id(c);
}

static void say_frame(struct play *p, unsigned at, const struct drip_msg *m)
{
	struct err err;
	size_t len;
	char *frame = drip_frame_make(m, &len, &err);

	check(frame != NULL);
	say(p, at, frame, len);
	free(frame);
}

static void say_drip(struct play *p, unsigned at, uint8_t which)
{
	struct drip_msg m = drip_new(which & 1 ? DRIP_REGISTER : DRIP_DATA_CONNECT);

	if (which & 1) {
		m.reg.tunnel_type = "http";
		m.reg.custom_subdomain = which & 4 ? "drip" : "";
		m.reg.token = which & 8 ? "token" : "";
		m.reg.connection_type = DRIP_PRIMARY;
		m.reg.pool_capabilities.there = true;
	} else {
		m.data.tunnel_id = "";
		m.data.connection_id = "data-1";
		idmap_each(p->worker.clients, keep_id, &m.data.tunnel_id);
	}
	say_frame(p, at, &m);
}

/* What a client of Drip's says on a session. */
static void say_yamux(struct play *p, unsigned at, uint8_t which)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	static const struct mux_frame frames[] = {
		{MUX_WINDOW, MUX_ACK, 1, 1 << 18},
		{MUX_DATA, 0, 1, sizeof(answer) - 1},
		{MUX_WINDOW, MUX_FIN, 1, 0},
		{MUX_WINDOW, MUX_RST, 1, 0},
		{MUX_PING, MUX_SYN, 0, 7},
		{MUX_PING, MUX_ACK, 0, 1},
		{MUX_GOAWAY, 0, 0, 0},
		{MUX_DATA, MUX_FIN, 1, 0},
	};
	struct mux_frame f = frames[which & 7];
	uint8_t head[MUX_HEADER];

	if (f.id)
		f.id += (which >> 3) * 2u;
	mux_frame_put(head, f);
	say(p, at, head, sizeof(head));
	if (f.type == MUX_DATA)
		say(p, at, answer, f.length);
}

static void say_http(struct play *p, unsigned at, uint8_t which)
{
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\nHost: y.t.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x.t.test\r\nAuthorization: Basic dTpw\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x.t.test\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: y.t.test\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: y.t.test\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: nope.t.test\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: drip.t.test\r\n\r\n",
	};

	const char *text = texts[which == 31 ? 8 : which & 7];

	say(p, at, text, strlen(text));
}

static void leave(struct play *p, unsigned at, uint8_t how)
{
	struct linger now = {.l_onoff = 1};

	if (p->fd[at] < 0)
		return;
	if (how & 1) {
		shutdown(p->fd[at], SHUT_WR);
		return;
	}
	setsockopt(p->fd[at], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(p->fd[at]);
	p->fd[at] = -1;
}

static void hear(struct play *p, unsigned at, size_t max)
{
	char buf[4096];

	if (p->fd[at] >= 0)
		(void)!recv(p->fd[at], buf, max < sizeof(buf) ? max : sizeof(buf), 0);
}

static size_t step(struct play *p, const uint8_t *op, size_t left)
{
	unsigned at = op[1] % CONNS, arg = op[1] / CONNS;

	switch (op[0] % 8) {
	case 0:
		come(p, at, arg & 1 ? PORT_TUNNEL : PORT_HTTP);
		return 0;
	case 1: { /* raw bytes, their number before them */
		size_t n = left ? op[2] : 0;

		n = n < left ? n : left ? left - 1 : 0;
		say(p, at, op + 3, n);
		return left ? 1 + n : 0;
	}
	case 2:
		if (op[0] < 64)
			say_message(p, at, (uint8_t)arg);
		else if (op[0] < 160)
			say_yamux(p, at, (uint8_t)arg);
		else
			say_drip(p, at, (uint8_t)arg);
		break;
	case 3:
		say_http(p, at, (uint8_t)arg);
		break;
	case 4:
		pass(p, 1 + (int)(arg & 3));
		break;
	case 5:
		hear(p, at, arg & 16 ? SIZE_MAX : arg);
		break;
	case 6:
		leave(p, at, (uint8_t)arg);
		break;
	default: /* a message and its turns: what most have in common */
		say_message(p, at, (uint8_t)arg);
		pass(p, 3);
	}
	return 0;
}

static void play_begin(struct play *p)
{
	struct err err;

	check(log_open("none", "ERROR", &err));
	p->config = (struct config){.mux = true,
				    .reserved = RESERVED_DEFAULT,
				    .tcp_host = "127.0.0.1",
				    .tcp_port_min = 1024,
				    .tcp_port_max = 65535,
				    .tcp_port_random = 10000};
	p->settings.reserved = reserved_new("www", "t.test", NULL);
	p->core.config = &p->config;
	p->core.registry = registry_new(1);
	p->core.door = door_new(1000, true);
	p->core.back = http_back;
	p->core.site = (struct name_site){.domain = "t.test", .http_port = 80, .https_port = 443};
	p->core.on[PORT_HTTP] = p->core.on[PORT_HTTPS] = true;
	p->core.spoken[PORT_HTTP] = only_http;
	p->core.spoken[PORT_TUNNEL] = all;
	p->core.n_workers = 1;
	p->core.worker = &p->worker;
	worker_init(&p->worker, &p->core, 0, &p->settings);
	for (int i = 0; i < CONNS; i++)
		p->fd[i] = -1;
	/* Somebody is there already. */
	come(p, 0, PORT_TUNNEL);
	say_message(p, 0, 0);
	pass(p, 4);
	for (uint8_t i = 1; i <= 9; i += 8)
		say_message(p, 0, i);
	pass(p, 4);
}

static void play_end(struct play *p)
{
	for (unsigned i = 0; i < CONNS; i++)
		leave(p, i, 0);
	pass(p, 4);
	lobby_close_all(&p->worker);
	client_close_all(&p->worker, "the end");
	visitor_close_all(&p->worker, "the end");
	pass(p, 4);
	check(!p->worker.n_guests && TAILQ_EMPTY(&p->worker.visitors));
	check(!p->worker.count.waiting_now && !p->worker.count.joined_now);
	worker_free(&p->worker);
	door_free(p->core.door);
	registry_free(p->core.registry);
	reserved_free(p->settings.reserved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play *p = xcalloc(1, sizeof(*p));

	play_begin(p);
	for (size_t at = 0; at + 2 <= size;)
		at += 2 + step(p, data + at, size - at - 2);
	play_end(p);
	free(p);
	return 0;
}
