/* RegProxy out, StartProxy in: how the handshake of a proxy connection ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/unit/pgrok/far.h"
#include "pgrok/uplink/register.h"

struct play {
	struct loop *loop;
	struct far *far;
	struct registration reg;
	bool registered, ended;
	enum register_end how;
	struct stream *s;
	char url[64], peer[64], why[320];
	char said[128]; /* what the server heard */
};

static void on_registered(void *arg)
{
	struct play *p = arg;

	p->registered = true;
}

static void on_end(void *arg, enum register_end how, struct stream *s,
		   const struct msg_start_proxy *start, const char *why)
{
	struct play *p = arg;

	assert_false(p->ended);
	p->ended = true;
	p->how = how;
	p->s = s;
	assert_int_equal(how == REGISTER_OK, start != NULL);
	assert_int_equal(how == REGISTER_OK, why == NULL);
	if (start) {
		snprintf(p->url, sizeof(p->url), "%s", start->url);
		snprintf(p->peer, sizeof(p->peer), "%s", start->client_addr);
	} else {
		snprintf(p->why, sizeof(p->why), "%s", why);
	}
	loop_stop(p->loop);
}

static const struct register_hooks hooks = {.on_registered = on_registered, .on_end = on_end};

static void hear(struct play *p, const struct msg *m)
{
	assert_int_equal(m->type, MSG_REG_PROXY);
	snprintf(p->said, sizeof(p->said), "%s %d", m->reg_proxy.client_id, (int)m->reg_proxy.mux);
}

static int begin(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->loop = loop_new();
	p->far = far_new(p->loop);
	p->far->arg = p;
	*state = p;
	return 0;
}

static int end(void **state)
{
	struct play *p = *state;

	if (p->s)
		stream_close(p->s, true);
	register_cancel(&p->reg, true);
	far_end(p->far);
	loop_free(p->loop);
	far_free(p->far);
	free(p);
	return 0;
}

static void run(struct play *p, int64_t mux)
{
	register_connect(&p->reg, p->far->connector, "me", mux, &hooks, p);
	loop_run(p->loop);
	assert_true(p->ended);
}

static void start_and_talk(void *arg, struct far_guest *g, const struct msg *m)
{
	size_t n;

	hear(arg, m);
	far_start_proxy(g, "http://a", "1.2.3.4:5");
	assert_int_equal(stream_write(g->s, "raw", 3, &n), STREAM_OK);
}

static void on_raw(void *arg, int dirs)
{
	loop_stop(arg);
}

static void starts(void **state)
{
	struct play *p = *state;
	char buf[8];
	size_t n;

	p->far->on_msg = start_and_talk;
	run(p, MUX_REUSED);
	assert_true(p->registered);
	assert_string_equal(p->said, "me 2");
	assert_int_equal(p->how, REGISTER_OK);
	assert_string_equal(p->url, "http://a");
	assert_string_equal(p->peer, "1.2.3.4:5");
	/* What follows is the visitor's, untouched. */
	stream_on_ready(p->s, on_raw, p->loop);
	while (stream_read(p->s, buf, sizeof(buf), &n) == STREAM_AGAIN) {
		stream_want(p->s, STREAM_READ);
		loop_run(p->loop);
	}
	assert_int_equal(n, 3);
	assert_memory_equal(buf, "raw", 3);
}

static void hang_up(void *arg, struct far_guest *g, const struct msg *m)
{
	hear(arg, m);
	far_close(g, false);
}

static void is_not_needed(void **state)
{
	struct play *p = *state;

	p->far->on_msg = hang_up;
	run(p, 0);
	assert_string_equal(p->said, "me 0");
	assert_int_equal(p->how, REGISTER_EOF);
	assert_non_null(p->s);
}

static void say_pong(void *arg, struct far_guest *g, const struct msg *m)
{
	hear(arg, m);
	far_say(g, msg_new(MSG_PONG));
}

static void say_garbage(void *arg, struct far_guest *g, const struct msg *m)
{
	size_t n;

	assert_int_equal(stream_write(g->s, "HTTP/1.1 400 Bad", 16, &n), STREAM_OK);
}

/* A Go server drops such a message on a control connection; here nothing else can follow. */
static void say_nothing(void *arg, struct far_guest *g, const struct msg *m)
{
	static const char json[] = "{\"Type\":\"StartProxy\",\"Payload\":null}";
	char frame[8 + sizeof(json)] = {sizeof(json) - 1};
	size_t n;

	memcpy(frame + 8, json, sizeof(json) - 1);
	assert_int_equal(stream_write(g->s, frame, 8 + sizeof(json) - 1, &n), STREAM_OK);
}

static void hears_something_else(void **state)
{
	static void (*const says[])(void *, struct far_guest *,
				    const struct msg *) = {say_pong, say_garbage, say_nothing};
	struct play *p = *state;

	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		p->ended = false;
		p->far->on_msg = says[i];
		run(p, 0);
		assert_int_equal(p->how, REGISTER_BAD);
		assert_string_equal(p->why, "not a StartProxy");
		assert_non_null(p->s);
		stream_close(p->s, true);
		p->s = NULL;
	}
}

static void is_broken(void **state)
{
	struct play *p = *state;
	int fds[2];
	size_t n;

	/* The end in the middle of a message. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	register_stream(&p->reg, stream_new(p->loop, fds[0], NULL), &hooks, p);
	struct stream *other = stream_new(p->loop, fds[1], NULL);
	assert_int_equal(stream_write(other, "\x20\0\0\0\0\0\0\0{", 9, &n), STREAM_OK);
	stream_close(other, false);
	loop_run(p->loop);
	assert_int_equal(p->how, REGISTER_ABORT);
	assert_false(p->registered);
}

static void is_not_connected(void **state)
{
	struct play *p = *state;

	listener_close(p->far->listener);
	p->far->listener = NULL;
	run(p, 0);
	assert_int_equal(p->how, REGISTER_UNCONNECTED);
	assert_null(p->s);
	assert_false(p->registered);
	assert_non_null(strstr(p->why, "refused"));
}

/* A stream of a mux session: nothing is said, StartProxy comes in pieces. */
static void waits_on_a_stream(void **state)
{
	struct play *p = *state;
	struct msg m = msg_new(MSG_START_PROXY);
	char *frame;
	struct err err;
	int fds[2];
	size_t len, n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	register_stream(&p->reg, stream_new(p->loop, fds[0], NULL), &hooks, p);
	struct stream *other = stream_new(p->loop, fds[1], NULL);
	m.start_proxy.url = START_PROXY_MUX;
	frame = frame_make(&m, FRAME_GO_MAX, &len, &err);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(stream_write(other, frame + i, 1, &n), STREAM_OK);
	free(frame);
	loop_run(p->loop);
	assert_int_equal(p->how, REGISTER_OK);
	assert_true(register_is_mux(&(struct msg_start_proxy){.url = p->url}));
	assert_false(register_is_mux(&(struct msg_start_proxy){.url = "mux"}));
	assert_int_equal(stream_read(other, err.text, 1, &n), STREAM_AGAIN);
	stream_close(other, true);
}

static void see_the_end(void *arg, struct far_guest *g)
{
	struct play *p = arg;

	if (*p->said)
		loop_stop(p->loop);
}

static void stop_there(void *arg, struct far_guest *g, const struct msg *m)
{
	struct play *p = arg;

	hear(p, m);
	loop_stop(p->loop);
}

static void is_cancelled(void **state)
{
	struct play *p = *state;

	p->far->on_msg = stop_there;
	p->far->on_gone = see_the_end;
	/* While it is connected, and while it waits. */
	register_connect(&p->reg, p->far->connector, "me", 0, &hooks, p);
	register_cancel(&p->reg, false);
	register_connect(&p->reg, p->far->connector, "me", 0, &hooks, p);
	loop_run(p->loop);
	assert_string_equal(p->said, "me 0");
	register_cancel(&p->reg, false);
	register_cancel(&p->reg, false);
	loop_run(p->loop);
	assert_false(p->ended);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(starts, begin, end),
		cmocka_unit_test_setup_teardown(is_not_needed, begin, end),
		cmocka_unit_test_setup_teardown(hears_something_else, begin, end),
		cmocka_unit_test_setup_teardown(is_broken, begin, end),
		cmocka_unit_test_setup_teardown(is_not_connected, begin, end),
		cmocka_unit_test_setup_teardown(waits_on_a_stream, begin, end),
		cmocka_unit_test_setup_teardown(is_cancelled, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
