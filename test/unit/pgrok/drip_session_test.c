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

static void on_refused(void *arg, const char *text)
{
	struct play *p = arg;

	snprintf(p->refused, sizeof(p->refused), "%s", text);
	loop_stop(p->loop);
}

static void on_ordered(void *arg, const struct config_tunnel *t, const char *error)
{
	struct play *p = arg;

	snprintf(p->ordered, sizeof(p->ordered), "%s: %s", t->name, error ? error : "up");
	loop_stop(p->loop);
}

static const struct uplink_hooks hooks = {.on_refused = on_refused, .on_ordered = on_ordered};

static void on_model(void *arg, const struct model *m, enum model_event ev)
{
	struct play *p = arg;

	if (ev == MODEL_EV_STATE && m->retry_ms) {
		snprintf(p->error, sizeof(p->error), "%s", m->last_error);
		if (p->tries < TRIES)
			p->waits[p->tries++] = m->retry_ms;
	}
	loop_stop(p->loop);
}

static struct config_tunnel *add_tunnel(struct play *p, const char *name)
{
	struct config_tunnel *t = config_add_tunnel(p->config, name);
	struct err err;

	/* Nothing listens there. */
	assert_true(config_set_protos(t, "tcp", "127.0.0.1:9", name, &err));
	t->start = true;
	return t;
}

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
	p->listener = listener_start(p->loop, &fds, on_accept, p);
	p->config->server = (struct endpoint){
		.text = strdup(p->text), .host = strdup(p->host), .port = addr_get_port(&at)};
	p->connector = connector_new(p->loop,
				     &(struct connector_conf){.server = &p->config->server}, &err);
	assert_non_null(p->connector);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->loop = loop_new();
	p->memory = mux_account_new();
	p->config = config_new();
	p->config->transport = TRANSPORT_TCP;
	p->config->auth_token = strdup("sekrit");
	p->tunnel = add_tunnel(p, "a");
	listen_for(p);
	p->model = model_new();
	p->watch = (struct model_watch){.fn = on_model, .arg = p};
	model_watch(p->model, &p->watch);
	p->visits = visits_new(p->loop, &(struct visits_conf){.model = p->model});
	*state = p;
	return 0;
}

static void start(struct play *p)
{
	p->uplink = uplink_drip.start(&(struct uplink_conf){.loop = p->loop,
							    .connector = p->connector,
							    .config = p->config,
							    .model = p->model,
							    .visits = p->visits,
							    .hooks = &hooks,
							    .arg = p});
}

static int end(void **state)
{
	struct play *p = *state;

	visits_close(p->visits, "the test ends");
	if (p->uplink)
		p->uplink->ops->close(p->uplink, "the test ends");
	connector_close(p->connector, "the test ends");
	listener_close(p->listener); /* who still waits there becomes a guest */
	for (unsigned i = 0; i < p->guests; i++)
		drop(&p->guest[i]);
	mux_account_free(p->memory);
	loop_free(p->loop);
	model_free(p->model);
	config_free(p->config);
	SSL_CTX_free(p->ctx);
	free(p);
	return 0;
}

static void run_until_online(struct play *p)
{
	while (p->model->state != MODEL_ONLINE)
		loop_run(p->loop);
}

static void run_until_tried(struct play *p, unsigned tries)
{
	while (p->tries < tries)
		loop_run(p->loop);
}

static void run_until_joined(struct play *p, unsigned n)
{
	while (p->joined < n)
		loop_run(p->loop);
}

static void run_until_gone(struct play *p, const struct guest *g)
{
	while (g->mux)
		loop_run(p->loop);
}

/* ---- registered ---- */

static void goes_online(void **state)
{
	struct play *p = *state;

	start(p);
	assert_int_equal(p->model->tunnels_owed, 1);
	run_until_online(p);
	run_until_joined(p, 3);
	assert_string_equal(p->heard, "Register(,sekrit) data-1 data-2 data-3 ");
	assert_int_equal(p->model->tunnels_n, 1);
	assert_string_equal(p->model->tunnels[0].url, "tcp://x.me:tcp-7");
	assert_int_equal(p->model->tunnels_owed, 0);
	assert_string_equal(p->model->server_version, "Drip");
}

static void asks_for_its_port(void **state)
{
	struct play *p = *state;

	p->tunnel->remote_port = 21007;
	p->no_data = true;
	start(p);
	run_until_online(p);
	assert_string_equal(p->heard, "Register(tcp-21007,sekrit) ");
}

static void asks_how_first(void **state)
{
	struct play *p = *state;

	p->config->transport = TRANSPORT_AUTO;
	p->no_data = true;
	start(p);
	run_until_online(p); /* 404 is an answer, too */
	assert_string_equal(p->heard, "Discover Register(,sekrit) ");
}

static void believes_what_it_discovers(void **state)
{
	struct play *p = *state;

	p->tunnel->transport = TRANSPORT_AUTO; /* counts more than that of all */
	p->discovered = DISCOVERED("tcp");
	p->no_data = true;
	start(p);
	run_until_online(p);
	assert_string_equal(p->heard, "Discover Register(,sekrit) ");
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

	p->config->transport = TRANSPORT_WSS;
	start(p);
	run_until_online(p);
	run_until_joined(p, 3);
	assert_int_equal(strncmp(p->heard, "Upgrade Register(,sekrit) Upgrade ", 34), 0);
	assert_int_equal(count(p->heard, "Upgrade"), 4);
	assert_int_equal(count(p->heard, "data-"), 3);
	assert_int_equal(count(p->heard, "Discover"), 0);
}

static void discovers_wss(void **state)
{
	struct play *p = *state;

	p->config->transport = TRANSPORT_AUTO;
	p->discovered = DISCOVERED("wss");
	p->no_data = true;
	start(p);
	run_until_online(p);
	assert_string_equal(p->heard, "Discover Upgrade Register(,sekrit) ");
}

/* One that takes nothing else closes without a word. */
static void needs_wss(void **state)
{
	struct play *p = *state;

	p->answer = "";
	p->discovered = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n"
			"{\"preferred\":\"wss\",\"transports\":[\"wss\"]}";
	start(p);
	while (!*p->refused)
		loop_run(p->loop);
	assert_non_null(strstr(p->refused, "server only supports [wss] transport(s)"));
	assert_string_equal(p->heard, "Discover ");
	assert_int_equal(p->tries, 1);
}

/* ---- visitors ---- */

static void run_until_refused(struct play *p, unsigned visitors)
{
	while (p->model->counters.refused < visitors)
		loop_run(p->loop);
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
	b = config_add_more(p->config, "b", NULL, NULL);
	assert_true(config_set_protos(b, "tcp", addr, "b", &err));
	b->start = true;
	p->no_data = true;
	start(p);
	run_until_online(p);
	assert_int_equal(p->model->tunnels_n, 2);
	assert_string_equal(p->model->tunnels[0].url, p->model->tunnels[1].url);
	for (unsigned i = 0; i < 2; i++) {
		struct guest *g = session(p, false, i);

		g->visitor = mux_open(g->mux);
	}
	while (!p->model->counters.refused || !p->model->counters.connections)
		loop_run(p->loop);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(p->model->tunnels[i].open, p->model->tunnels[i].conf == b);
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
	while (!*p->refused)
		loop_run(p->loop);
	assert_string_equal(
		p->refused,
		"Server failed to allocate tunnel a: registration error: "
		"registration_failed - tunnel registration failed: subdomain is already "
		"taken");
	assert_int_equal(p->tries, 0);
}

static void tries_again(void **state)
{
	struct play *p = *state;
	uint32_t step = 1000;

	p->code = "registration_failed";
	p->message = "tunnel registration failed: maximum tunnel limit reached";
	start(p);
	run_until_tried(p, 4);
	for (int i = 0; i < 4; i++, step *= 2)
		assert_in_range(p->waits[i], step * 3 / 4, step * 5 / 4);
	assert_int_equal(p->model->state, MODEL_CONNECTING);
	assert_string_equal(p->refused, "");
	p->code = NULL;
	run_until_online(p);
}

/* Once it has worked, a name that stays taken is not the end: its old connection may linger. */
static void is_not_refused_later(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(p);
	p->code = "registration_failed";
	p->message = "tunnel registration failed: subdomain is already taken";
	drop(session(p, false, 0));
	run_until_tried(p, 3);
	assert_string_equal(p->refused, "");
	assert_int_equal(p->model->state, MODEL_RECONNECTING);
	p->code = NULL;
	run_until_online(p);
	assert_non_null(strstr(p->heard, "Register(tcp-7,sekrit) "));
}

/* A name that was not asked for is not worth waiting for. */
static void forgets_a_random_name(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(p);
	p->code = "x";
	p->message = "x";
	drop(session(p, false, 0));
	run_until_tried(p, 6);
	p->heard[0] = '\0';
	p->code = NULL;
	run_until_online(p);
	assert_string_equal(p->heard, "Register(,sekrit) ");
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
		run_until_tried(p, 1);
		assert_string_equal(p->error, cases[i].error);
		assert_int_equal(end(&each), 0);
	}
}

static void gets_no_answer(void **state)
{
	struct play *p = *state;

	p->silent = true;
	start(p);
	run_until_tried(p, 1);
	assert_string_equal(p->error, "no answer within 30 s");
}

/* ---- lost ---- */

static void comes_back(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_joined(p, 3);
	p->heard[0] = '\0';
	struct guest *data = session(p, true, 0);

	drop(session(p, false, 0));
	run_until_tried(p, 1);
	assert_in_range(p->waits[0], 750, 1250);
	assert_int_equal(p->model->state, MODEL_RECONNECTING);
	run_until_gone(p, data);
	run_until_joined(p, 6);
	assert_non_null(strstr(p->heard, "Register(tcp-7,sekrit) data-4 data-5 data-6 "));
	assert_int_equal(p->model->state, MODEL_ONLINE);
	assert_int_equal(p->model->tunnels_n, 1);
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
	assert_int_equal(p->tries, 0);
	assert_int_equal(p->model->state, MODEL_ONLINE);
}

/* What no load needs: one a minute. Its server hears of it, and the others stay. */
static void gives_up_idle_sessions(void **state)
{
	struct play *p = *state;
	unsigned up = 3;

	start(p);
	run_until_joined(p, 3);
	while (up > 2) {
		loop_run(p->loop);
		up = 0;
		for (unsigned i = 0; i < p->guests; i++)
			up += p->guest[i].mux && p->guest[i].data;
	}
	assert_non_null(strstr(p->heard, "Gone(data)"));
	assert_null(strstr(p->heard, "Gone(primary)"));
	assert_int_equal(p->model->state, MODEL_ONLINE);
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
	assert_int_equal(p->model->state, MODEL_ONLINE);
}

/* ---- several, and at run time ---- */

static void opens_and_closes(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(p);
	struct config_tunnel *b = config_add_more(p->config, "b", NULL, NULL);
	struct err err;

	assert_true(config_set_protos(b, "tcp", "127.0.0.1:9", "b", &err));
	b->remote_port = 8;
	b->start = true;
	assert_true(p->uplink->ops->open_tunnel(p->uplink, b));
	assert_true(p->uplink->ops->asks_for(p->uplink, b));
	while (!*p->ordered)
		loop_run(p->loop);
	assert_string_equal(p->ordered, "b: up");
	assert_int_equal(p->model->tunnels_n, 2);

	struct guest *second = session(p, false, 1);

	assert_int_equal(p->uplink->ops->close_tunnel(p->uplink, b), UPLINK_CLOSED);
	assert_false(p->uplink->ops->asks_for(p->uplink, b));
	run_until_gone(p, second);
	assert_int_equal(p->model->tunnels_n, 1);
	assert_int_equal(p->model->state, MODEL_ONLINE);
	assert_non_null(session(p, false, 0));
}

static void fails_to_open(void **state)
{
	struct play *p = *state;

	p->no_data = true;
	start(p);
	run_until_online(p);
	p->code = "registration_failed";
	p->message = "maximum tunnel limit reached";
	struct config_tunnel *b = config_add_more(p->config, "b", NULL, NULL);
	struct err err;

	assert_true(config_set_protos(b, "tcp", "127.0.0.1:9", "b", &err));
	assert_true(p->uplink->ops->open_tunnel(p->uplink, b));
	while (!*p->ordered)
		loop_run(p->loop);
	assert_string_equal(p->ordered, "b: registration error: registration_failed - maximum "
					"tunnel limit reached");
	assert_false(p->uplink->ops->asks_for(p->uplink, b));
	assert_int_equal(p->model->state, MODEL_ONLINE);
	assert_int_equal(p->model->tunnels_n, 1);
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
