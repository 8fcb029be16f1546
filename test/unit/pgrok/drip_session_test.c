/* A client on a Drip server: what it says, what it makes of the answers, how it comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/pgrok/drip_play.h"

/* ---- the client ---- */

static void listen_for(struct play *p)
{
	struct listener_fds fds;
	char text[256];
	struct err err;

	p->ctx = tls_server_ctx(&(struct tls_server_conf){.domain = "x.me"}, text, &err);
	assert_non_null(p->ctx);
	assert_true(listener_bind("127.0.0.1:0", &fds, &err));
	struct addr at = listener_addr(&fds);
	addr_text(&at, p->text);
	strcpy(p->host, "127.0.0.1");
	p->listener = listener_start(p->rig.loop, &fds, on_accept, p);
	p->rig.config->server = (struct endpoint){
		.text = strdup(p->text), .host = strdup(p->host), .port = addr_get_port(&at)};
	p->connector =
		connector_new(p->rig.loop,
			      &(struct connector_conf){.server = &p->rig.config->server}, &err);
	assert_non_null(p->connector);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	rig_init(&p->rig);
	p->memory = mux_account_new();
	p->rig.config->transport = TRANSPORT_TCP;
	p->rig.config->auth_token = strdup("sekrit");
	p->tunnel = rig_tunnel(&p->rig, "a");
	listen_for(p);
	*state = p;
	return 0;
}

static void start(struct play *p)
{
	rig_start(&p->rig, &uplink_drip, p->connector);
}

static int end(void **state)
{
	struct play *p = *state;

	rig_stop(&p->rig);
	connector_close(p->connector, "the test ends");
	listener_close(p->listener); /* who still waits there becomes a guest */
	for (unsigned i = 0; i < p->guests; i++)
		drop(&p->guest[i]);
	mux_account_free(p->memory);
	rig_free(&p->rig);
	SSL_CTX_free(p->ctx);
	free(p);
	return 0;
}

static void run_until_joined(struct play *p, unsigned n)
{
	while (p->joined < n)
		loop_run(p->rig.loop);
}

static void run_until_gone(struct play *p, const struct guest *g)
{
	while (g->mux)
		loop_run(p->rig.loop);
}

/* ---- registered ---- */

static void goes_online(void **state)
{
	struct play *p = *state;

	start(p);
	assert_int_equal(p->rig.model->tunnels_owed, 1);
	run_until_online(&p->rig);
	run_until_joined(p, 3);
	assert_string_equal(p->rig.heard, "Register(,sekrit) data-1 data-2 data-3 ");
	assert_int_equal(p->rig.model->tunnels_n, 1);
	assert_string_equal(p->rig.model->tunnels[0].url, "tcp://x.me:tcp-7");
	assert_int_equal(p->rig.model->tunnels_owed, 0);
	assert_string_equal(p->rig.model->server_version, "Drip");
}

static void asks_for_its_port(void **state)
{
	struct play *p = *state;

	p->tunnel->remote_port = 21007;
	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Register(tcp-21007,sekrit) ");
}

static void asks_how_first(void **state)
{
	struct play *p = *state;

	p->rig.config->transport = TRANSPORT_AUTO;
	p->no_data = true;
	start(p);
	run_until_online(&p->rig); /* 404 is an answer, too */
	assert_string_equal(p->rig.heard, "Discover Register(,sekrit) ");
}

static void believes_what_it_discovers(void **state)
{
	struct play *p = *state;

	p->tunnel->transport = TRANSPORT_AUTO; /* counts more than that of all */
	p->discovered = DISCOVERED("tcp");
	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Discover Register(,sekrit) ");
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	while ((text = strstr(text, word))) {
		text++;
		n++;
	}
	return n;
}

static void speaks_wss(void **state)
{
	struct play *p = *state;

	p->rig.config->transport = TRANSPORT_WSS;
	start(p);
	run_until_online(&p->rig);
	run_until_joined(p, 3);
	assert_int_equal(strncmp(p->rig.heard, "Upgrade Register(,sekrit) Upgrade ", 34), 0);
	assert_int_equal(count(p->rig.heard, "Upgrade"), 4);
	assert_int_equal(count(p->rig.heard, "data-"), 3);
	assert_int_equal(count(p->rig.heard, "Discover"), 0);
}

static void discovers_wss(void **state)
{
	struct play *p = *state;

	p->rig.config->transport = TRANSPORT_AUTO;
	p->discovered = DISCOVERED("wss");
	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Discover Upgrade Register(,sekrit) ");
}

/* One that takes nothing else closes without a word. */
static void needs_wss(void **state)
{
	struct play *p = *state;

	p->answer = "";
	p->discovered = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
			"{\"preferred\":\"wss\",\"transports\":[\"wss\"]}";
	start(p);
	while (!*p->rig.refused)
		loop_run(p->rig.loop);
	assert_non_null(strstr(p->rig.refused, "server only supports [wss] transport(s)"));
	assert_string_equal(p->rig.heard, "Discover ");
	assert_int_equal(p->rig.tries, 1);
}

/* ---- visitors ---- */

static void run_until_refused(struct play *p, unsigned visitors)
{
	while (p->rig.model->counters.refused < visitors)
		loop_run(p->rig.loop);
}

static void takes_visitors(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_joined(p, 3);
	for (unsigned i = 0; i < 3; i++) {
		struct guest *g = session(p, true, i);

		assert_non_null(g);
		g->visitor = mux_open(g->mux);
		assert_non_null(g->visitor);
		run_until_refused(p, i + 1);
	}
	struct guest *primary = session(p, false, 0);

	primary->visitor = mux_open(primary->mux);
	run_until_refused(p, 4);
}

/* Somewhere to connect to, as long as it is open. */
static int listening(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Two tunnels that a server gave the same URL: the connection tells them apart. */
static void tells_tunnels_apart(void **state)
{
	struct play *p = *state;
	struct config_tunnel *b;
	char addr[32];
	struct err err;
	uint16_t port;
	int fd = listening(&port);

	snprintf(addr, sizeof(addr), "127.0.0.1:%u", port);
	b = config_add_more(p->rig.config, "b", NULL, NULL);
	assert_true(config_set_protos(b, "tcp", addr, "b", &err));
	b->start = true;
	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	assert_int_equal(p->rig.model->tunnels_n, 2);
	assert_string_equal(p->rig.model->tunnels[0].url, p->rig.model->tunnels[1].url);
	for (unsigned i = 0; i < 2; i++) {
		struct guest *g = session(p, false, i);

		g->visitor = mux_open(g->mux);
	}
	while (!p->rig.model->counters.refused || !p->rig.model->counters.connections)
		loop_run(p->rig.loop);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(p->rig.model->tunnels[i].open, p->rig.model->tunnels[i].conf == b);
	close(fd);
}

/* The first stream may stand right behind the ack. */
static void takes_a_visitor_at_once(void **state)
{
	struct play *p = *state;

	p->early = p->no_data = true;
	start(p);
	run_until_refused(p, 1);
}

/* ---- refused ---- */

static void is_refused(void **state)
{
	struct play *p = *state;

	p->code = "registration_failed";
	p->message = "tunnel registration failed: subdomain is already taken";
	start(p);
	while (!*p->rig.refused)
		loop_run(p->rig.loop);
	assert_string_equal(
		p->rig.refused,
		"Server failed to allocate tunnel a: registration error: "
		"registration_failed - tunnel registration failed: subdomain is already "
		"taken");
	assert_int_equal(p->rig.tries, 0);
}

static void tries_again(void **state)
{
	struct play *p = *state;
	uint32_t step = 1000;

	p->code = "registration_failed";
	p->message = "tunnel registration failed: maximum tunnel limit reached";
	start(p);
	run_until_tried(&p->rig, 4);
	for (int i = 0; i < 4; i++, step *= 2)
		assert_in_range(p->rig.waits[i], step * 3 / 4, step * 5 / 4);
	assert_int_equal(p->rig.model->state, MODEL_CONNECTING);
	assert_string_equal(p->rig.refused, "");
	p->code = NULL;
	run_until_online(&p->rig);
}

/* Once it has worked, a name that stays taken is not the end: its old connection may linger. */
static void is_not_refused_later(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	p->code = "registration_failed";
	p->message = "tunnel registration failed: subdomain is already taken";
	drop(session(p, false, 0));
	run_until_tried(&p->rig, 3);
	assert_string_equal(p->rig.refused, "");
	assert_int_equal(p->rig.model->state, MODEL_RECONNECTING);
	p->code = NULL;
	run_until_online(&p->rig);
	assert_non_null(strstr(p->rig.heard, "Register(tcp-7,sekrit) "));
}

/* A name that was not asked for is not worth waiting for. */
static void forgets_a_random_name(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	p->code = "x";
	p->message = "x";
	drop(session(p, false, 0));
	run_until_tried(&p->rig, 6);
	p->rig.heard[0] = '\0';
	p->code = NULL;
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Register(,sekrit) ");
}

static void hears_nonsense(void **state)
{
	static const struct {
		const char *answer, *error;
	} cases[] = {
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "what the server says is not Drip's protocol"},
		{"", "closed by the server without an answer"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *each;

		assert_int_equal(begin(&each), 0);
		struct play *p = each;
		p->answer = cases[i].answer;
		start(p);
		run_until_tried(&p->rig, 1);
		assert_string_equal(p->rig.error, cases[i].error);
		assert_int_equal(end(&each), 0);
	}
}

static void gets_no_answer(void **state)
{
	struct play *p = *state;

	p->silent = true;
	start(p);
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "no answer within 30 s");
}

/* ---- lost ---- */

static void comes_back(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_joined(p, 3);
	p->rig.heard[0] = '\0';
	struct guest *data = session(p, true, 0);

	drop(session(p, false, 0));
	run_until_tried(&p->rig, 1);
	assert_in_range(p->rig.waits[0], 750, 1250);
	assert_int_equal(p->rig.model->state, MODEL_RECONNECTING);
	run_until_gone(p, data);
	run_until_joined(p, 6);
	assert_non_null(strstr(p->rig.heard, "Register(tcp-7,sekrit) data-4 data-5 data-6 "));
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
	assert_int_equal(p->rig.model->tunnels_n, 1);
	assert_int_equal(p->registered, 2);
}

static void replaces_a_data_session(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_joined(p, 3);
	drop(session(p, true, 1));
	run_until_joined(p, 4);
	assert_int_equal(p->registered, 1);
	assert_int_equal(p->rig.tries, 0);
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
}

/* What no load needs: one a minute. Its server hears of it, and the others stay. */
static void gives_up_idle_sessions(void **state)
{
	struct play *p = *state;
	unsigned up = 3;

	start(p);
	run_until_joined(p, 3);
	while (up > 2) {
		loop_run(p->rig.loop);
		up = 0;
		for (unsigned i = 0; i < p->guests; i++)
			up += p->guest[i].mux && p->guest[i].data;
	}
	assert_non_null(strstr(p->rig.heard, "Gone(data)"));
	assert_null(strstr(p->rig.heard, "Gone(primary)"));
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
	assert_int_equal(p->joined, 3);
}

static void does_without_data_sessions(void **state)
{
	struct play *p = *state;

	p->refuse_data = p->early = true;
	start(p);
	run_until_joined(p, 3);
	run_until_refused(p, 1);
	assert_int_equal(p->registered, 1);
	assert_int_equal(p->joined, 3);
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
}

/* ---- several, and at run time ---- */

static void opens_and_closes(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	struct config_tunnel *b = config_add_more(p->rig.config, "b", NULL, NULL);
	struct err err;

	assert_true(config_set_protos(b, "tcp", "127.0.0.1:9", "b", &err));
	b->remote_port = 8;
	b->start = true;
	assert_true(p->rig.uplink->ops->open_tunnel(p->rig.uplink, b));
	assert_true(p->rig.uplink->ops->asks_for(p->rig.uplink, b));
	while (!*p->rig.ordered)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.ordered, "b: up");
	assert_int_equal(p->rig.model->tunnels_n, 2);

	struct guest *second = session(p, false, 1);

	assert_int_equal(p->rig.uplink->ops->close_tunnel(p->rig.uplink, b), UPLINK_CLOSED);
	assert_false(p->rig.uplink->ops->asks_for(p->rig.uplink, b));
	run_until_gone(p, second);
	assert_int_equal(p->rig.model->tunnels_n, 1);
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
	assert_non_null(session(p, false, 0));
}

static void fails_to_open(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(&p->rig);
	p->code = "registration_failed";
	p->message = "maximum tunnel limit reached";
	struct config_tunnel *b = config_add_more(p->rig.config, "b", NULL, NULL);
	struct err err;

	assert_true(config_set_protos(b, "tcp", "127.0.0.1:9", "b", &err));
	assert_true(p->rig.uplink->ops->open_tunnel(p->rig.uplink, b));
	while (!*p->rig.ordered)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.ordered, "b: registration error: registration_failed - maximum "
					    "tunnel limit reached");
	assert_false(p->rig.uplink->ops->asks_for(p->rig.uplink, b));
	assert_int_equal(p->rig.model->state, MODEL_ONLINE);
	assert_int_equal(p->rig.model->tunnels_n, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(goes_online),
		TEST(asks_for_its_port),
		TEST(asks_how_first),
		TEST(believes_what_it_discovers),
		TEST(speaks_wss),
		TEST(discovers_wss),
		TEST(needs_wss),
		TEST(takes_visitors),
		TEST(tells_tunnels_apart),
		TEST(takes_a_visitor_at_once),
		TEST(is_refused),
		TEST(tries_again),
		TEST(is_not_refused_later),
		TEST(forgets_a_random_name),
		cmocka_unit_test(hears_nonsense),
		TEST(gets_no_answer),
		TEST(comes_back),
		TEST(replaces_a_data_session),
		TEST(gives_up_idle_sessions),
		TEST(does_without_data_sessions),
		TEST(opens_and_closes),
		TEST(fails_to_open),
	};

	setenv("PGROK_TIME_SCALE", "0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
