/* For tests of visits: a client's model, a local service, and what is said at both ends. */
#ifndef TEST_UNIT_PGROK_VISIT_RIG_H
#define TEST_UNIT_PGROK_VISIT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/listener.h"
#include "pgrok/config/config.h"
#include "pgrok/visit/page.h"
#include "pgrok/visit/visit.h"

#define URL "http://web.x.me"
#define PEER "203.0.113.9:40112"

struct play {
	struct loop *loop;
	struct config *config;
	struct config_tunnel *tunnel;
	struct model *model;
	struct model_watch watch;
	struct capture *capture;
	struct visits *visits;
	struct listener *listener;
	struct stream *local; /* the service's end of the last connection */
	struct stream *near;  /* the visitor */
	struct addr peer;     /* who came to the service last */
	char said[2048];      /* what came at `near`, or at `local` */
	size_t len;
	enum stream_rc rc; /* how it ended there */
};

static inline void on_local(void *arg, int fd, const struct addr *peer)
{
	struct play *p = arg;

	if (p->local) {
		close(fd);
		return;
	}
	p->local = stream_new(p->loop, fd, NULL);
	p->peer = *peer;
	loop_stop(p->loop);
}

static inline void on_model(void *arg, const struct model *m, enum model_event ev)
{
	struct play *p = arg;

	if (ev == MODEL_EV_TRAFFIC)
		loop_stop(p->loop);
}

static inline int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	struct capture_limits limits = {1u << 20, 1u << 20};
	struct listener_fds fds;
	char text[ADDR_TEXT];
	struct err err;

	p->loop = loop_new();
	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	struct addr at = listener_addr(&fds);
	p->listener = listener_start(p->loop, &fds, on_local, p);
	p->config = config_new();
	p->tunnel = config_add_tunnel(p->config, "web");
	assert_true(config_set_protos(p->tunnel, "http+tcp", addr_text(&at, text), "web", &err));
	p->model = model_new();
	model_session(p->model, "3.0");
	p->capture = capture_new(&limits);
	p->visits = visits_new(p->loop,
			       &(struct visits_conf){.model = p->model, .capture = p->capture});
	*state = p;
	return 0;
}

static inline int end(void **state)
{
	struct play *p = *state;

	visits_close(p->visits, "the test ends");
	if (p->local)
		stream_close(p->local, true);
	if (p->near)
		stream_close(p->near, true);
	if (p->listener)
		listener_close(p->listener);
	loop_free(p->loop);
	capture_free(p->capture);
	model_free(p->model);
	config_free(p->config);
	free(p);
	return 0;
}

static inline void no_service(struct play *p)
{
	listener_close(p->listener);
	p->listener = NULL;
}

static inline void tunnel_up(struct play *p, enum proto proto)
{
	model_add_tunnel(p->model, p->tunnel, proto, "1",
			 proto == PROTO_TCP ? "tcp://x.me:1" : URL);
	visits_tunnel_up(p->visits);
}

static inline void say(struct stream *s, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(s, text, strlen(text), &n), STREAM_OK);
	assert_int_equal(n, strlen(text));
}

struct reader {
	struct play *p;
	struct stream *s;
	size_t want;
};

static inline void on_ready(void *arg, int dirs)
{
	struct reader *r = arg;
	struct play *p = r->p;
	size_t n;

	while ((p->rc = stream_read(r->s, p->said + p->len, sizeof(p->said) - 1 - p->len, &n)) ==
	       STREAM_OK)
		p->len += n;
	p->said[p->len] = '\0';
	if (p->rc != STREAM_AGAIN || p->len >= r->want)
		loop_stop(p->loop);
}

/* Until s has said so much, or ended (want SIZE_MAX). */
static inline const char *hear(struct play *p, struct stream *s, size_t want)
{
	struct reader r = {p, s, want};

	p->len = 0;
	stream_on_ready(s, on_ready, &r);
	stream_want(s, STREAM_READ);
	loop_run(p->loop);
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	return p->said;
}

static inline void stop(void *arg)
{
	loop_stop(arg);
}

/* What can be done now is done. */
static inline void one_turn(struct play *p)
{
	struct loop_tick tick = {.fn = stop, .arg = p->loop};

	loop_next_tick(p->loop, &tick);
	loop_run(p->loop);
}

#endif
