/*
 * Clients whose protocol is the test: requests for tunnels and how they are answered, names that
 * are contested. Two workers, whose turns the test gives them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/listener.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/settings.h"
#include "test/unit/common/mux_pipe.h"

#define SCALE 0.02
#define WORKERS 2

/* ---- the protocol ---- */

struct session {
	struct client *client;
	int answers;
	char last[600]; /* the last answer */
	int asked;      /* for connections */
	int asked_alive;
	bool seems_alive, quiet, stopped;
	char withdrawn[300];
};

static void on_answer(void *arg, const struct proto_answer *a)
{
	struct session *s = arg;

	assert_false(s->quiet);
	s->answers++;
	if (a->url)
		snprintf(s->last, sizeof(s->last), "%s %s %s", a->request, proto_name(a->proto),
			 a->url);
	else
		snprintf(s->last, sizeof(s->last), "%s", a->error);
}

static void on_ask_alive(void *arg)
{
	((struct session *)arg)->asked_alive++;
}

static bool on_seems_alive(void *arg)
{
	return ((struct session *)arg)->seems_alive;
}

static void on_withdrawn(void *arg, const char *url, const char *why)
{
	struct session *s = arg;

	snprintf(s->withdrawn, sizeof(s->withdrawn), "%s: %s", url, why);
}

static uint32_t on_rtt_us(const void *arg)
{
	return 1500;
}

static void on_quiet(void *arg)
{
	((struct session *)arg)->quiet = true;
}

static void on_stopped(void *arg)
{
	((struct session *)arg)->stopped = true;
}

static void on_ask(void *arg)
{
	((struct session *)arg)->asked++;
}

static const struct carrier_hooks carry = {.ask = on_ask};
static const struct proto_ops ops = {
	.name = "test",
	.carry = &carry,
	.answer = on_answer,
	.ask_alive = on_ask_alive,
	.seems_alive = on_seems_alive,
	.withdrawn = on_withdrawn,
	.rtt_us = on_rtt_us,
	.quiet = on_quiet,
	.stopped = on_stopped,
};

/* ---- the server ---- */

struct rig {
	struct config config;
	struct settings settings;
	struct core core;
	struct worker worker[WORKERS];
};

static int set_up(void **state)
{
	struct rig *r = xcalloc(1, sizeof(*r));

	r->config = (struct config){.tcp_host = "127.0.0.1",
				    .tcp_port_min = 1024,
				    .tcp_port_max = 65535,
				    .tcp_port_random = 10000};
	r->settings.reserved = reserved_new("www", "t.test", NULL);
	r->core.config = &r->config;
	r->core.registry = registry_new(WORKERS);
	r->core.site = (struct name_site){.domain = "t.test", .http_port = 80, .https_port = 443};
	r->core.on[PORT_HTTP] = r->core.on[PORT_HTTPS] = true;
	r->core.n_workers = WORKERS;
	r->core.worker = r->worker;
	for (int i = 0; i < WORKERS; i++)
		worker_init(&r->worker[i], &r->core, i, &r->settings);
	*state = r;
	return 0;
}

static void pass(struct rig *r)
{
	for (int i = 0; i < 4 * WORKERS; i++)
		turns(r->worker[i % WORKERS].loop, 2);
}

static int tear_down(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < WORKERS; i++)
		client_close_all(&r->worker[i], "the test is over");
	pass(r);
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(idmap_count(r->worker[i].tickets), 0);
		worker_free(&r->worker[i]);
	}
	registry_free(r->core.registry);
	reserved_free(r->settings.reserved);
	free(r);
	return 0;
}

static void come(struct rig *r, int worker, struct session *s, const char *id, const char *token)
{
	struct client_conf conf = {
		.proto = &ops, .session = s, .client_id = id, .token = token_of(token)};

	*s = (struct session){.seems_alive = true};
	assert_true(addr_numeric("127.0.0.1", 1234, &conf.peer));
	registry_enter(r->core.registry, id);
	s->client = client_new(&r->worker[worker], &conf);
}

static void want(struct session *s, struct wanted w)
{
	w.req_id = w.req_id ? w.req_id : "req";
	w.hostname = w.hostname ? w.hostname : "";
	w.subdomain = w.subdomain ? w.subdomain : "";
	w.http_auth = w.http_auth ? w.http_auth : "";
	w.category = w.category ? w.category : "";
	w.last_name = w.last_name ? w.last_name : "";
	assert_true(client_request(s->client, &w));
}

#define WANT(s, ...) want(s, (struct wanted){__VA_ARGS__})

static bool open_at(struct rig *r, const char *key)
{
	struct route *route = registry_find(r->core.registry, key);

	route_unref(route);
	return route != NULL;
}

/* ---- requests ---- */

static void test_opens_what_is_wanted(void **state)
{
	struct rig *r = *state;
	static struct session s;

	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "http", .subdomain = " X ");
	assert_string_equal(s.last, "req http http://x.t.test");
	assert_true(open_at(r, "http://x.t.test"));
	WANT(&s, .protocols = "https", .hostname = "Y.test.", .req_id = "2");
	assert_string_equal(s.last, "2 https https://y.test");
	assert_int_equal(client_tunnels(s.client), 2);
	assert_int_equal(s.asked, 1); /* a connection waits for the first visitor */
	client_give_back(s.client, "http://x.t.test");
	client_give_back(s.client, "http://nope.t.test");
	assert_false(open_at(r, "http://x.t.test"));
	assert_true(open_at(r, "https://y.test"));
	client_close(s.client, "the test closes it");
	assert_true(s.quiet && s.stopped);
	assert_false(open_at(r, "https://y.test"));
	pass(r);
}

/* One random name for both, each announced in its turn; not the former one if half is taken. */
static void test_random_name_for_both(void **state)
{
	struct rig *r = *state;
	static struct session s, t;
	char former[64], both[64], key[80];

	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "http");
	assert_int_equal(sscanf(s.last, "req http http://%8[0-9a-f].", former), 1);
	come(r, 0, &t, "b", "");
	WANT(&t, .protocols = "https", .subdomain = former);
	snprintf(key, sizeof(key), "http://%s.t.test", former);
	client_give_back(s.client, key);
	WANT(&s, .protocols = "http+https");
	assert_int_equal(s.answers, 3);
	assert_int_equal(sscanf(s.last, "req https https://%60s", both), 1);
	snprintf(key, sizeof(key), "http://%s", both);
	assert_true(open_at(r, key));
}

/* The https name was opened with the http one, then an error came: it is free again. */
static void test_half_opened_is_closed(void **state)
{
	struct rig *r = *state;
	static struct session s;
	char name[64], key[80];

	r->config.tcp_port_min = 2000;
	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "http+tcp+https", .remote_port = 1500);
	assert_string_equal(s.last, "Port 1500 is not allowed here: only 2000-65535");
	assert_int_equal(s.answers, 2);
	assert_int_equal(client_tunnels(s.client), 1);
	WANT(&s, .protocols = "http");
	assert_int_equal(sscanf(s.last, "req http http://%60s", name), 1);
	snprintf(key, sizeof(key), "https://%s", name);
	assert_false(open_at(r, key));
	assert_int_equal(client_tunnels(s.client), 2);
}

/* A port that could be bound, on this machine and now. */
static uint16_t any_port(void)
{
	struct listener_fds fds;
	struct addr a;
	struct err err;

	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	a = listener_addr(&fds);
	listener_fds_close(&fds);
	return addr_get_port(&a);
}

/* The port that it had before it gets again, unless such ports are no longer given. */
static void test_former_port(void **state)
{
	struct rig *r = *state;
	static struct session s;
	uint16_t port = any_port();
	char had[64];

	snprintf(had, sizeof(had), "req tcp tcp://t.test:%u", port);
	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "tcp", .last_port = port);
	assert_string_equal(s.last, had);
	client_give_back(s.client, had + 8);
	assert_int_equal(client_tunnels(s.client), 0);
	r->config.tcp_port_min = port + 1;
	registry_set_ports(r->core.registry, (uint16_t)(port + 1), 65535);
	WANT(&s, .protocols = "tcp", .last_port = port);
	assert_string_not_equal(s.last, had);
	assert_memory_equal(s.last, had, 20);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	static struct session s;
	char auth[LIMIT_AUTH + 2];

	r->core.on[PORT_HTTPS] = false;
	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "udp");
	assert_string_equal(s.last, "Protocol udp is not supported");
	WANT(&s, .protocols = "");
	assert_string_equal(s.last, "Protocol  is not supported");
	WANT(&s, .protocols = "https");
	assert_string_equal(s.last, "Not listening for https connections");
	WANT(&s, .protocols = "http", .subdomain = "a_b c");
	assert_memory_equal(s.last, "Invalid subdomain: ", 19);
	WANT(&s, .protocols = "http", .subdomain = "www");
	assert_string_equal(s.last, "The name www.t.test is reserved.");
	memset(auth, 'x', sizeof(auth));
	auth[LIMIT_AUTH + 1] = '\0';
	WANT(&s, .protocols = "http", .subdomain = "x", .http_auth = auth);
	assert_memory_equal(s.last, "HttpAuth is longer", 18);
	assert_int_equal(client_tunnels(s.client), 0);
	auth[LIMIT_AUTH] = '\0';
	WANT(&s, .protocols = "http", .subdomain = "x", .http_auth = auth);
	assert_int_equal(client_tunnels(s.client), 1);
	WANT(&s, .protocols = "http+udp+http", .subdomain = "y");
	assert_string_equal(s.last, "Protocol udp is not supported");
	assert_int_equal(client_tunnels(s.client), 2);
}

static void test_so_many_tunnels(void **state)
{
	struct rig *r = *state;
	static struct session s;
	char name[16];

	come(r, 0, &s, "a", "");
	for (int i = 0; i < LIMIT_TUNNELS - 2; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		WANT(&s, .protocols = "http", .subdomain = name);
	}
	WANT(&s, .protocols = "http+https"); /* opened together, and both count */
	assert_int_equal(s.answers, LIMIT_TUNNELS);
	assert_memory_equal(s.last, "req https", 9);
	assert_int_equal(client_tunnels(s.client), LIMIT_TUNNELS);
	WANT(&s, .protocols = "http", .subdomain = "more");
	assert_memory_equal(s.last, "Too many tunnels", 16);
}

static void test_replaced_by_itself(void **state)
{
	struct rig *r = *state;
	static struct session s, t;

	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "http", .subdomain = "x");
	come(r, 0, &t, "a", "");
	assert_true(s.stopped);
	assert_ptr_equal(client_find(&r->worker[0], "a"), t.client);
	WANT(&t, .protocols = "http", .subdomain = "x");
	assert_string_equal(t.last, "req http http://x.t.test");
	assert_null(client_find(&r->worker[1], "a"));
	assert_null(client_session(t.client, NULL));
	assert_ptr_equal(client_session(t.client, &ops), &t);
}

/* Where many leave in one turn, some do in later ones; until then they say nothing. */
static void test_many_leave_at_once(void **state)
{
	struct rig *r = *state;
	static struct session s[3];
	char id[2] = "a", name[16];

	for (int i = 0; i < 3; i++, id[0]++) {
		come(r, 0, &s[i], id, "");
		for (int n = 0; n < LIMIT_CLOSES / 2; n++) {
			snprintf(name, sizeof(name), "%s%d", id, n);
			WANT(&s[i], .protocols = "http", .subdomain = name);
		}
	}
	for (int i = 0; i < 3; i++)
		client_close(s[i].client, "the test closes it");
	assert_true(s[0].stopped);
	assert_true(s[2].quiet);
	assert_false(s[2].stopped);
	pass(r);
	assert_true(s[1].stopped);
	assert_true(s[2].stopped);
	assert_false(open_at(r, "http://c1.t.test"));
}

/* ---- takeovers ---- */

#define TAKEN "The tunnel http://x.t.test is already registered."

/* An owner on worker 0, and one who asks for its name on worker 1. */
static void contest(struct rig *r, struct session *owner, struct session *asker, const char *token)
{
	come(r, 0, owner, "owner", "t");
	WANT(owner, .protocols = "http", .subdomain = "x");
	come(r, 1, asker, "asker", token);
	WANT(asker, .protocols = "http", .subdomain = "x");
}

static void wait_ms(struct rig *r, double limit)
{
	for (int i = 0; i < WORKERS; i++)
		turns_for(r->worker[i].loop, (int)(limit * SCALE) + 20);
	pass(r);
}

static void test_stranger_is_refused(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "other");
	assert_string_equal(asker.last, TAKEN);
	pass(r);
	assert_int_equal(owner.asked_alive, 0);
	WANT(&asker, .protocols = "http", .subdomain = "mine");
	WANT(&asker, .protocols = "http", .subdomain = "mine");
	assert_string_equal(asker.last, "The tunnel http://mine.t.test is already registered.");
}

static void test_owner_lives(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "t");
	assert_int_equal(asker.answers, 0);
	pass(r);
	assert_int_equal(owner.asked_alive, 1);
	assert_int_equal(asker.answers, 0);
	client_alive(owner.client);
	pass(r);
	assert_string_equal(asker.last, TAKEN);
	client_alive(owner.client); /* nothing is asked any more */
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_false(owner.stopped);
	assert_int_equal(asker.answers, 1);
}

/* It says nothing, but its system takes what is sent to it. */
static void test_owner_seems_alive(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "t");
	pass(r);
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_string_equal(asker.last, TAKEN);
	assert_false(owner.stopped);
}

static void test_owner_is_dead(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "t");
	owner.seems_alive = false;
	pass(r);
	assert_int_equal(asker.answers, 0);
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_true(owner.stopped);
	assert_string_equal(asker.last, "req http http://x.t.test");
	struct route *route = registry_find(r->core.registry, "http://x.t.test");

	assert_non_null(route);
	assert_int_equal(route->home, 1);
	route_unref(route);
}

/* What was done before the name was contested is not done again. */
static void test_goes_on_where_it_was(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	come(r, 0, &owner, "owner", "t");
	WANT(&owner, .protocols = "https", .subdomain = "x");
	come(r, 1, &asker, "asker", "t");
	WANT(&asker, .protocols = "http+https+http", .subdomain = "x");
	assert_string_equal(asker.last, "req http http://x.t.test");
	owner.seems_alive = false;
	pass(r);
	assert_int_equal(asker.answers, 1);
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_int_equal(asker.answers, 3); /* https is its own now, the second http not again */
	assert_string_equal(asker.last, TAKEN);
	assert_int_equal(client_tunnels(asker.client), 2);
}

static void test_owner_goes_by_itself(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "t");
	pass(r);
	client_close(owner.client, "the test closes it");
	pass(r);
	assert_string_equal(asker.last, "req http http://x.t.test");
}

/* A new connection of the owner's is a sign of life. */
static void test_owner_comes_back(void **state)
{
	struct rig *r = *state;
	static struct session owner, again, asker;

	contest(r, &owner, &asker, "t");
	pass(r);
	come(r, 0, &again, "owner", "t");
	pass(r);
	assert_string_equal(asker.last, TAKEN);
	WANT(&again, .protocols = "http", .subdomain = "x");
	assert_string_equal(again.last, "req http http://x.t.test");
}

/* The name is free, but another was faster: its new owner is not asked once more. */
static void test_another_was_faster(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker, other;

	contest(r, &owner, &asker, "t");
	pass(r);
	client_close(owner.client, "the test closes it");
	come(r, 0, &other, "other", "t");
	WANT(&other, .protocols = "http", .subdomain = "x");
	assert_string_equal(other.last, "req http http://x.t.test");
	pass(r);
	assert_string_equal(asker.last, TAKEN);
	assert_int_equal(other.asked_alive, 0);
}

/* The first of several that ask gets it; those that ask meanwhile are refused. */
static void test_one_question_a_name(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker, other;

	contest(r, &owner, &asker, "t");
	pass(r);
	come(r, 1, &other, "other", "t");
	WANT(&other, .protocols = "http", .subdomain = "x");
	pass(r);
	assert_string_equal(other.last, TAKEN);
	assert_int_equal(owner.asked_alive, 1);
	owner.seems_alive = false;
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_string_equal(asker.last, "req http http://x.t.test");
}

/* One that asks and leaves takes its question along: the owner need not show that it lives. */
static void test_asker_leaves(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;

	contest(r, &owner, &asker, "t");
	owner.seems_alive = false;
	pass(r);
	client_close(asker.client, "the test closes it");
	pass(r);
	wait_ms(r, LIMIT_TAKEOVER_MS);
	assert_false(owner.stopped);
	assert_int_equal(asker.answers, 0);
}

/* Requests that wait are bounded, too. */
static void test_so_many_wait(void **state)
{
	struct rig *r = *state;
	static struct session owner, asker;
	struct wanted one = {"req", "http", "", "x", "", "", NULL, NULL, "", 0, 0, true};
	char name[16];

	come(r, 0, &owner, "owner", "t");
	for (int i = 0; i < LIMIT_TUNNELS; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		WANT(&owner, .protocols = "http", .subdomain = name);
	}
	come(r, 1, &asker, "asker", "t");
	for (int i = 0; i < LIMIT_TUNNELS; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		WANT(&asker, .protocols = "http", .subdomain = name);
	}
	assert_false(client_request(asker.client, &one));
	pass(r);
	client_alive(owner.client);
	pass(r);
	assert_int_equal(asker.answers, LIMIT_TUNNELS);
	assert_true(client_request(asker.client, &one));
}

/* An operator looks at a tunnel, and closes it: its client hears of it, the name is free. */
static void test_operator(void **state)
{
	struct rig *r = *state;
	static struct session s;
	struct tunnel_view v;

	come(r, 0, &s, "a", "");
	WANT(&s, .protocols = "http", .subdomain = "x");
	struct route *route = registry_find(r->core.registry, "http://x.t.test");
	uint64_t id = route->tunnel_id;

	route_unref(route);
	assert_true(client_tunnel_view(&r->worker[0], id, &v));
	assert_string_equal(v.url, "http://x.t.test");
	assert_string_equal(v.name, "x.t.test");
	assert_string_equal(v.owner, "");
	assert_int_equal(v.rtt_us, 1500);
	assert_int_equal(v.last, 0);
	assert_false(client_tunnel_view(&r->worker[1], id, &v));
	assert_false(client_withdraw(&r->worker[1], id, "why"));
	assert_true(client_withdraw(&r->worker[0], id, "why"));
	assert_string_equal(s.withdrawn, "http://x.t.test: why");
	assert_false(open_at(r, "http://x.t.test"));
	assert_false(registry_held(r->core.registry, "http://x.t.test"));
	assert_false(client_withdraw(&r->worker[0], id, "why"));
	assert_false(client_tunnel_view(&r->worker[0], id, &v));
	WANT(&s, .protocols = "gopher");
	WANT(&s, .protocols = "http", .subdomain = "www");
	assert_int_equal(r->worker[0].count.no_tunnel[NO_TUNNEL_PROTOCOL], 1);
	assert_int_equal(r->worker[0].count.no_tunnel[NO_TUNNEL_NAME], 1);
}

int main(void)
{
	char scale[16];

	snprintf(scale, sizeof(scale), "%g", SCALE);
	setenv("PGROK_TIME_SCALE", scale, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_opens_what_is_wanted),
		TEST(test_random_name_for_both),
		TEST(test_half_opened_is_closed),
		TEST(test_former_port),
		TEST(test_refused),
		TEST(test_so_many_tunnels),
		TEST(test_replaced_by_itself),
		TEST(test_many_leave_at_once),
		TEST(test_stranger_is_refused),
		TEST(test_owner_lives),
		TEST(test_owner_seems_alive),
		TEST(test_owner_is_dead),
		TEST(test_goes_on_where_it_was),
		TEST(test_owner_goes_by_itself),
		TEST(test_owner_comes_back),
		TEST(test_another_was_faster),
		TEST(test_one_question_a_name),
		TEST(test_asker_leaves),
		TEST(test_so_many_wait),
		TEST(test_operator),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
