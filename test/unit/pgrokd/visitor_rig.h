/*
 * Visitors over connections in memory, with a real carrier under them. The test plays three: the
 * visitor, the client (who has the far ends of its connections), and the owner of the tunnels.
 */
#ifndef TEST_UNIT_PGROKD_VISITOR_RIG_H
#define TEST_UNIT_PGROKD_VISITOR_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/stream/pair.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/http.h"
#include "pgrokd/front/lobby.h"
#include "pgrokd/visitor/visitor.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE 0.02 /* of all limits */
#define HOST "Host: a.test\r\n\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define GET2 "GET /2 HTTP/1.1\r\n" HOST
#define HEAD "HEAD / HTTP/1.1\r\n" HOST
#define HOST_B "Host: b.test\r\n\r\n"
#define ELSEWHERE "GET /b HTTP/1.1\r\n" HOST_B
#define NOWHERE "GET /c HTTP/1.1\r\nHost: c.test\r\n\r\n"
#define BAD "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n"
#define UPGRADE "GET / HTTP/1.1\r\nUpgrade: x\r\n" HOST
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct rig {
	struct core core;
	struct worker worker;
	struct visitors at, other; /* a.test, b.test */
	struct visitor_count sum;
	int asked;
	bool open;
	unsigned ends;
};

static inline void on_ask(void *arg)
{
	((struct rig *)arg)->asked++;
}

static inline bool on_begin(void *arg, struct stream *s, const struct carrier_visit *v)
{
	size_t n;

	return stream_write(s, v->url, strlen(v->url), &n) == STREAM_OK;
}

static const struct carrier_hooks hooks = {.ask = on_ask, .begin = on_begin};

#define URL "http://a.test"
#define URL_B "http://b.test"

static inline struct rules *rules_of(const char *auth)
{
	unsigned char owner[PASS_HASH] = {0};
	struct rules_conf conf = {.auth = auth, .owner = owner};
	struct rules *rules;
	struct err err;

	assert_true(rules_make(&conf, &rules, &err));
	return rules;
}

static inline void open_tunnel(struct rig *r, struct visitors *at, const char *url,
			       const char *auth)
{
	static uint64_t id = 7;
	struct obstacle why;

	*at = (struct visitors){
		.worker = &r->worker,
		.route = route_new(PROTO_HTTP, xstrdup(url), rules_of(auth)),
		.carrier = carrier_new(r->worker.loop, "ctl:test", &hooks, r),
		.half_close = true,
		.sum = &r->sum,
	};
	at->route->tunnel_id = id++;
	at->route->mux = true;
	assert_true(registry_claim(r->core.registry, &at->route, 1, &why));
	visitors_open(at);
}

static inline int set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->core.registry = registry_new(2);
	r->core.door = door_new(4, true);
	r->core.back = http_back;
	r->core.n_workers = 1;
	r->core.worker = &r->worker;
	worker_init(&r->worker, &r->core, 0, NULL);
	open_tunnel(r, &r->at, URL, "");
	open_tunnel(r, &r->other, URL_B, "");
	r->open = true;
	*state = r;
	return 0;
}

static inline void close_tunnel(struct rig *r)
{
	registry_unregister(r->core.registry, r->at.route, false);
	visitors_close(&r->at, false);
	r->open = false;
}

static inline int tear_down(void **state)
{
	struct rig *r = *state;

	if (r->open)
		close_tunnel(r);
	visitors_close(&r->other, false);
	visitor_close_all(&r->worker, "the test is over");
	lobby_close_all(&r->worker);
	carrier_close(r->at.carrier, "the test is over");
	carrier_close(r->other.carrier, "the test is over");
	assert_int_equal(r->worker.count.waiting_now, 0);
	assert_int_equal(r->worker.count.joined_now, 0);
	turns(r->worker.loop, 4);
	route_unref(r->at.route);
	route_unref(r->other.route);
	worker_free(&r->worker);
	registry_free(r->core.registry);
	door_free(r->core.door);
	free(r);
	return 0;
}

static inline void pass(struct rig *r)
{
	turns(r->worker.loop, 8);
}

/* ---- far ends ---- */

/* A visitor with the head of its first request, and both ends of its connection. */
static inline struct parcel *a_visitor(struct rig *r, const char *head, struct fake *end[2])
{
	struct parcel *p;
	struct addr peer;

	fake_pair(r->worker.loop, NULL, &r->ends, end);
	assert_true(addr_numeric("192.0.2.7", 1234, &peer));
	p = parcel_new(visitor_adopt, NULL, &peer);
	p->route = route_ref(r->at.route);
	p->unread = xstrdup(head);
	p->unread_len = strlen(head);
	return p;
}

/* It comes; its own end. */
static inline struct fake *come(struct rig *r, const char *head)
{
	struct fake *end[2];
	struct parcel *p = a_visitor(r, head, end);

	parcel_send(p, &r->worker, 0, &end[0]->s);
	pass(r);
	return end[1];
}

/* A connection of the client of this tunnel; its own end. */
static inline struct fake *connection_of(struct rig *r, struct visitors *at)
{
	struct fake *end[2];

	assert_true(carrier_wants(at->carrier, CARRIER_POOLED));
	fake_pair(r->worker.loop, NULL, &r->ends, end);
	carrier_add(at->carrier, CARRIER_POOLED, &end[0]->s);
	pass(r);
	return end[1];
}

static inline struct fake *connection(struct rig *r)
{
	return connection_of(r, &r->at);
}

static inline void say(struct rig *r, struct fake *end, const char *text)
{
	size_t n;

	assert_int_equal(stream_write(&end->s, text, strlen(text), &n), STREAM_OK);
	pass(r);
}

static inline void hear(struct fake *end, const char *text)
{
	char got[2048];
	size_t n = 0, len = strlen(text);

	assert_int_equal(stream_read(&end->s, got, sizeof(got) - 1, &n) == STREAM_OK, len > 0);
	got[n] = '\0';
	assert_string_equal(got, text);
}

/* An answer, and behind it a page of ours. */
static inline void hear_then_status(struct fake *end, const char *answer, int status)
{
	char got[2048], want[1024];
	size_t n;

	assert_int_equal(stream_read(&end->s, got, sizeof(got), &n), STREAM_OK);
	snprintf(want, sizeof(want), "%sHTTP/1.1 %d", answer, status);
	assert_true(n > strlen(want));
	assert_memory_equal(got, want, strlen(want));
}

/* A page of ours, behind which the connection stays or not. */
static inline void hear_page(struct fake *end, int status, bool stays)
{
	char got[2048], want[64];
	size_t n;

	assert_int_equal(stream_read(&end->s, got, sizeof(got) - 1, &n), STREAM_OK);
	got[n] = '\0';
	snprintf(want, sizeof(want), "HTTP/1.1 %d ", status);
	assert_memory_equal(got, want, strlen(want));
	assert_int_equal(!strstr(got, "\r\nConnection: close\r\n"), stays);
}

static inline void hear_status(struct fake *end, int status)
{
	hear_page(end, status, true);
}

static inline void hear_end(struct fake *end, enum stream_rc rc)
{
	char c;
	size_t n;

	assert_int_equal(stream_read(&end->s, &c, 1, &n), rc);
}

static inline void hang_up(struct rig *r, struct fake *end)
{
	stream_close(&end->s, false);
	pass(r);
}

static inline void wait_ms(struct rig *r, int limit)
{
	turns_for(r->worker.loop, (int)(limit * SCALE) + 50);
	pass(r);
}

/* The time scale of the tests of visitors. */
static inline void rig_scale(void)
{
	char scale[16];

	snprintf(scale, sizeof(scale), "%g", SCALE);
	setenv("PGROK_TIME_SCALE", scale, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
