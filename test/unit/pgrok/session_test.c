/* The control connection: what it makes of the server's answers, and how often it tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "test/unit/pgrok/far.h"
#include "test/unit/pgrok/uplink_rig.h"

struct play {
	struct rig rig;
	struct far *far;

	/* What the server does. */
	const char *client_id, *features;
	unsigned refuse_from; /* that session refuses the second tunnel; 0: none does */
	bool no_id;           /* ... without saying which, as a Go server */
	unsigned auths, asked;
	struct far_guest *control;
};

/* ---- the server ---- */

static void answer_auth(struct play *p, struct far_guest *g, const struct msg_auth *a)
{
	struct msg m = msg_new(MSG_AUTH_RESP);

	p->control = g;
	p->auths++;
	p->asked = 0;
	note(&p->rig, "Auth(%.8s) ", a->client_id);
	m.auth_resp.version = MSG_PROTO_VERSION;
	m.auth_resp.mm_version = "9.9";
	m.auth_resp.client_id = p->client_id;
	m.auth_resp.features = p->features;
	far_say(g, m);
}

static void answer_request(struct play *p, struct far_guest *g, const struct msg_req_tunnel *r)
{
	struct msg m = msg_new(MSG_NEW_TUNNEL);
	char url[64];

	p->asked++;
	note(&p->rig, "Req(%s) ", r->category);
	snprintf(url, sizeof(url), "tcp://x.me:%u", p->asked);
	m.new_tunnel.req_id = r->req_id;
	if (p->refuse_from && p->auths >= p->refuse_from && p->asked >= 2) {
		m.new_tunnel.error = "taken";
		if (p->no_id)
			m.new_tunnel.req_id = "";
	} else {
		m.new_tunnel.url = url;
		m.new_tunnel.protocol = "tcp";
	}
	far_say(g, m);
}

static void on_msg(void *arg, struct far_guest *g, const struct msg *m)
{
	struct play *p = arg;

	switch (m->type) {
	case MSG_AUTH:
		answer_auth(p, g, &m->auth);
		break;
	case MSG_REQ_TUNNEL:
		answer_request(p, g, &m->req_tunnel);
		break;
	case MSG_REG_PROXY:
		note(&p->rig, "Reg(%s,%d) ", m->reg_proxy.client_id, (int)m->reg_proxy.mux);
		loop_stop(p->rig.loop);
		break;
	case MSG_NEW_TUNNEL:
		note(&p->rig, "Closed(%s) ", m->new_tunnel.url);
		loop_stop(p->rig.loop);
		break;
	default:
		note(&p->rig, "%s ", msg_type_name(m->type));
		loop_stop(p->rig.loop);
	}
}

/* ---- the client ---- */

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	rig_init(&p->rig);
	p->client_id = "the client";
	p->far = far_new(p->rig.loop);
	p->far->on_msg = on_msg;
	p->far->arg = p;
	(void)rig_tunnel(&p->rig, "a");
	(void)rig_tunnel(&p->rig, "b");
	*state = p;
	return 0;
}

static void start(struct play *p)
{
	rig_start(&p->rig, &uplink_pgrok, p->far->connector);
}

static int end(void **state)
{
	struct play *p = *state;

	rig_stop(&p->rig);
	far_end(p->far);
	rig_free(&p->rig);
	far_free(p->far);
	free(p);
	return 0;
}

static void run_until_heard(struct play *p, const char *what)
{
	while (!strstr(p->rig.heard, what))
		loop_run(p->rig.loop);
}

static void goes_online(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Auth() Req(a) Req(b) ");
	assert_int_equal(p->rig.model->tunnels_n, 2);
	assert_int_equal(p->rig.model->tunnels_owed, 0);
	assert_string_equal(p->rig.model->server_version, "9.9");
	assert_true(model_latency_us(p->rig.model) > 0);

	/* A proxy connection for whoever may come, and an answer to a question. */
	far_say(p->control, msg_new(MSG_REQ_PROXY));
	run_until_heard(p, "Reg(the client,0) ");
	far_say(p->control, msg_new(MSG_PING));
	run_until_heard(p, "Pong ");

	/* The next one says who it is. */
	far_close(p->control, false);
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "closed by the server");
	run_until_online(&p->rig);
	run_until_heard(p, "Auth(the clie) Req(a) Req(b) ");
}

/* Both ends speak yamux: one connection for all visitors, and later ones can be used again. */
static void shares_a_connection(void **state)
{
	struct play *p = *state;

	p->features = "ping mux x";
	start(p);
	run_until_heard(p, "Reg(the client,1) ");
	far_say(p->control, msg_new(MSG_REQ_PROXY));
	run_until_heard(p, "Reg(the client,2) ");
}

/* A ClientId is a credential: a part of it is none. */
static void takes_no_long_client_id(void **state)
{
	struct play *p = *state;
	char id[4001];

	memset(id, 'x', sizeof(id));
	id[4000] = '\0';
	p->client_id = id;
	start(p);
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "the server gave a ClientId of more than 256 bytes");
	assert_int_equal(p->rig.model->state, MODEL_CONNECTING);
	assert_string_equal(p->rig.heard, "Auth() ");
	/* It has not become ours. */
	id[256] = '\0';
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Auth() Auth() Req(a) Req(b) ");
}

static void is_refused(void **state)
{
	struct play *p = *state;

	p->refuse_from = 1;
	start(p);
	while (!*p->rig.refused)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.refused, "Server failed to allocate tunnel: taken");
	assert_int_equal(p->rig.tries, 0);
}

/* One that is lost after all of its tunnels were up begins with the shortest wait again. */
static void forgets_earlier_failures(void **state)
{
	struct play *p = *state;

	start(p);
	for (unsigned i = 1; i <= 4; i++) {
		run_until_online(&p->rig);
		far_close(p->control, false);
		run_until_tried(&p->rig, i);
		assert_in_range(p->rig.waits[i - 1], 750, 1250);
	}
}

/* A name that stays taken: each session has a tunnel, and is a failure all the same. */
static void waits_longer_if_partly_refused(void **state)
{
	struct play *p = *state;
	uint32_t step = 1000;

	p->refuse_from = 2;
	start(p);
	run_until_online(&p->rig);
	far_close(p->control, false);
	run_until_tried(&p->rig, 5);
	assert_int_equal(p->auths, 5);
	for (int i = 0; i < 5; i++, step *= 2)
		assert_in_range(p->rig.waits[i], step * 3 / 4, step * 5 / 4);
	assert_string_equal(p->rig.error, "Server failed to allocate tunnel: taken");
	assert_string_equal(p->rig.refused, "");
}

static void gets_no_answer(void **state)
{
	struct play *p = *state;

	p->far->on_msg = NULL;
	p->far->deaf = true;
	start(p);
	run_until_tried(&p->rig, 2);
	assert_in_range(p->rig.waits[0], 750, 1250);
	assert_in_range(p->rig.waits[1], 1500, 2500);
}

static void hears(void *arg, struct far_guest *g, const struct msg *m)
{
	struct play *p = arg;

	note(&p->rig, "%s ", msg_type_name(m->type));
}

static void hears_nothing(void **state)
{
	struct play *p = *state;

	p->far->on_msg = hears;
	start(p);
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "no AuthResp within 10 s");
}

static void says_something_else(void *arg, struct far_guest *g, const struct msg *m)
{
	far_say(g, msg_new(MSG_PONG));
}

static void hears_something_else(void **state)
{
	struct play *p = *state;

	p->far->on_msg = says_something_else;
	start(p);
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "Pong where AuthResp was due");
}

/* A server that says nothing to a Ping has gone. */
static void hears_no_pong(void **state)
{
	struct play *p = *state;

	start(p);
	run_until_online(&p->rig);
	run_until_heard(p, "Ping ");
	run_until_tried(&p->rig, 1);
	assert_string_equal(p->rig.error, "no Pong within 15 s of a Ping");
}

/* Opened at run time: what comes of it only the one who ordered it hears. */
static void opens_one_more(void **state)
{
	struct play *p = *state;
	struct config_tunnel c = {.name = (char *)(uintptr_t) "c", .mux = true};
	static char local[] = "127.0.0.1:9";

	c.local[PROTO_TCP].text = local;
	start(p);
	assert_false(p->rig.uplink->ops->open_tunnel(p->rig.uplink, &c));
	run_until_online(&p->rig);
	assert_true(p->rig.uplink->ops->open_tunnel(p->rig.uplink, &c));
	assert_int_equal(p->rig.model->tunnels_owed, 1);
	while (!*p->rig.ordered)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.ordered, "c: up");
	assert_int_equal(p->rig.model->tunnels_n, 3);

	*p->rig.ordered = '\0';
	p->refuse_from = 1;
	p->no_id = true;
	assert_true(p->rig.uplink->ops->open_tunnel(p->rig.uplink, &c));
	while (!*p->rig.ordered)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.ordered, "c: taken");
	assert_string_equal(p->rig.refused, "");
	assert_int_equal(p->rig.tries, 0);

	/* It has no answer when the session is lost. */
	*p->rig.ordered = '\0';
	assert_true(p->rig.uplink->ops->open_tunnel(p->rig.uplink, &c));
	assert_true(p->rig.uplink->ops->asks_for(p->rig.uplink, &c));
	far_close(p->control, false);
	while (!*p->rig.ordered)
		loop_run(p->rig.loop);
	assert_string_equal(p->rig.ordered, "c: the session was lost");
	assert_int_equal(p->rig.model->tunnels_owed, 0);
}

static void closes_one(void **state)
{
	struct play *p = *state;
	struct config_tunnel *b = config_find_tunnel(p->rig.config, "b");

	p->features = "close";
	start(p);
	run_until_online(&p->rig);
	assert_int_equal(p->rig.uplink->ops->close_tunnel(p->rig.uplink, b), UPLINK_CLOSED);
	run_until_heard(p, "Closed(tcp://x.me:2) ");
	assert_int_equal(p->rig.model->tunnels_n, 1);
	assert_false(p->rig.uplink->ops->asks_for(p->rig.uplink, b));
}

/* The server knows no such message: the session begins again without it. */
static void closes_one_the_long_way(void **state)
{
	struct play *p = *state;
	struct config_tunnel *b = config_find_tunnel(p->rig.config, "b");

	start(p);
	run_until_online(&p->rig);
	assert_int_equal(p->rig.uplink->ops->close_tunnel(p->rig.uplink, b), UPLINK_RESTARTED);
	run_until_online(&p->rig);
	assert_string_equal(p->rig.heard, "Auth() Req(a) Req(b) Auth(the clie) Req(a) ");
	assert_int_equal(p->rig.tries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(goes_online, begin, end),
		cmocka_unit_test_setup_teardown(shares_a_connection, begin, end),
		cmocka_unit_test_setup_teardown(takes_no_long_client_id, begin, end),
		cmocka_unit_test_setup_teardown(is_refused, begin, end),
		cmocka_unit_test_setup_teardown(forgets_earlier_failures, begin, end),
		cmocka_unit_test_setup_teardown(waits_longer_if_partly_refused, begin, end),
		cmocka_unit_test_setup_teardown(gets_no_answer, begin, end),
		cmocka_unit_test_setup_teardown(hears_nothing, begin, end),
		cmocka_unit_test_setup_teardown(hears_something_else, begin, end),
		cmocka_unit_test_setup_teardown(hears_no_pong, begin, end),
		cmocka_unit_test_setup_teardown(opens_one_more, begin, end),
		cmocka_unit_test_setup_teardown(closes_one, begin, end),
		cmocka_unit_test_setup_teardown(closes_one_the_long_way, begin, end),
	};

	setenv("PGROK_TIME_SCALE", "0.1", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
