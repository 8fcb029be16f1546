/*
 * A carrier over connections in memory: which connection a visitor gets, who waits, when the client
 * is asked. The test plays the client: it has the far end of each connection.
 */
#ifndef TEST_UNIT_PGROKD_CARRIER_RIG_H
#define TEST_UNIT_PGROKD_CARRIER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pgrokd/carrier/carrier.h"
#include "pgrokd/limits.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE "0.5" /* LIMIT_ASKED_MS are 1.5 s */

/* ---- the client ---- */

struct rig {
	struct loop *loop;
	struct carrier *c;
	struct carrier_hooks hooks;
	int asked;
	struct mux_account *memory; /* of the client's ends */
	unsigned open;              /* ends of connections that are not closed */
	char said[64];              /* by the carrier's user, on the last stream */
};

static inline void on_ask(void *arg)
{
	struct rig *r = arg;

	r->asked++;
}

static inline bool on_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	struct rig *r = arg;
	char peer[ADDR_TEXT];
	size_t n;

	snprintf(r->said, sizeof(r->said), "%s %s", v->url, addr_text(v->peer, peer));
	return stream_write(s, r->said, strlen(r->said), &n) == STREAM_OK && n == strlen(r->said);
}

static inline int set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->loop = loop_new();
	r->memory = mux_account_new();
	r->hooks = (struct carrier_hooks){.ask = on_ask, .begin = on_begin};
	r->c = carrier_new(r->loop, "ctl:test", &r->hooks, r);
	*state = r;
	return 0;
}

static inline int tear_down(void **state)
{
	struct rig *r = *state;

	if (r->c)
		carrier_close(r->c, "the test is over");
	mux_account_free(r->memory);
	turns(r->loop, 3);
	loop_free(r->loop);
	free(r);
	return 0;
}

/* A connection, given to the carrier; the client's end of it. NULL: it is not wanted. */
static inline struct fake *add(struct rig *r, enum carrier_kind kind)
{
	struct fake *end[2];

	if (!carrier_wants(r->c, kind))
		return NULL;
	fake_pair(r->loop, NULL, &r->open, end);
	carrier_add(r->c, kind, &end[0]->s);
	return end[1];
}

/* The same, of one that breaks before the carrier's user hears of it. */
static inline void add_dead(struct rig *r, enum carrier_kind kind)
{
	struct fake *end[2];

	assert_true(carrier_wants(r->c, kind));
	fake_pair(r->loop, NULL, &r->open, end);
	end[0]->dead = true;
	carrier_add(r->c, kind, &end[0]->s);
	stream_close(&end[1]->s, false);
}

/* What has come at the client's end, up to now. */
static inline const char *heard(struct fake *end)
{
	static char text[256];
	size_t n = 0;

	if (stream_read(&end->s, text, sizeof(text) - 1, &n) != STREAM_OK)
		n = 0;
	text[n] = '\0';
	return text;
}

static inline void hang_up(struct fake *end)
{
	stream_close(&end->s, false);
}

/* A client's end of a mux session: reads and drops. */
static inline void far_ready(void *arg, int dirs)
{
	struct stream *s = arg;
	char sink[4096];
	size_t n;

	(void)dirs;
	for (;;) {
		switch (stream_read(s, sink, sizeof(sink), &n)) {
		case STREAM_OK:
			continue;
		case STREAM_AGAIN:
			stream_want(s, STREAM_READ);
			return;
		default:
			stream_close(s, false);
			return;
		}
	}
}

static inline void far_accepted(void *arg, struct stream *s)
{
	int *streams = arg;

	++*streams;
	stream_on_ready(s, far_ready, s);
	stream_want(s, STREAM_READ);
}

static inline void far_down(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static const struct mux_hooks far_hooks = {.accepted = far_accepted, .down = far_down};

/* *streams counts the visitors that come over it. */
static inline struct mux *add_mux(struct rig *r, enum carrier_kind kind, int *streams)
{
	static const struct mux_conf conf = {.start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};
	struct fake *end = add(r, kind);

	return end ? mux_new(&end->s, &conf, r->memory, &far_hooks, streams) : NULL;
}

/* ---- visitors ---- */

struct visit {
	struct carrier_waiter w;
	struct addr peer;
	struct stream *s; /* NULL: not served yet */
	int nth;          /* served as the nth */
};

static int n_served;

static inline void on_served(void *arg, struct stream *s)
{
	struct visit *v = arg;

	v->s = s;
	v->nth = ++n_served;
}

static inline enum carrier_rc visit_url(struct rig *r, struct visit *v, const char *url,
					bool may_share)
{
	struct stream *s;

	memset(v, 0, sizeof(*v));
	assert_true(addr_numeric("192.0.2.7", 1234, &v->peer));
	v->w = (struct carrier_waiter){
		.visit = {url, &v->peer, may_share}, .fn = on_served, .arg = v};
	enum carrier_rc rc = carrier_serve(r->c, &v->w, &s);

	if (rc == CARRIER_OK)
		on_served(v, s);
	return rc;
}

static inline enum carrier_rc visit(struct rig *r, struct visit *v)
{
	return visit_url(r, v, "tcp://x:1", false);
}

static inline enum carrier_rc visit_sharing(struct rig *r, struct visit *v)
{
	return visit_url(r, v, "tcp://x:1", true);
}

static inline void leave(struct visit *v)
{
	stream_close(v->s, false);
	v->s = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
