/* Small parts of the client: back-off, the model of what a person sees, the 502 page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgrok/config/config.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/show/console.h"
#include "pgrok/model/model.h"
#include "pgrok/visit/page.h"
#include "pgrok/uplink/machine.h"

static void backs_off(void **state)
{
	static const uint32_t steps[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
	uint32_t low = UINT32_MAX, high = 0;

	for (int round = 0; round < 200; round++) {
		struct backoff b = {0};
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			uint32_t ms = backoff_next(&b);
			assert_in_range(ms, steps[i] * 3 / 4, steps[i] * 5 / 4);
			if (i == 0) {
				low = ms < low ? ms : low;
				high = ms > high ? ms : high;
			}
		}
		backoff_reset(&b);
		assert_in_range(backoff_next(&b), 750, 1250);
	}
	/* 200 clients do not come back at the same moment. */
	assert_true(low < 850 && high > 1150);
}

struct seen {
	struct model_watch watch;
	char text[512];
};

static void on_event(void *arg, const struct model *m, enum model_event ev)
{
	static const char letters[] = "STGCN";
	struct seen *s = arg;
	size_t used = strlen(s->text);

	snprintf(s->text + used, sizeof(s->text) - used, "%c%s%s ", letters[ev],
		 m->changed ? m->changed->url : "", m->note ? m->note : "");
}

static void replaces_old_urls(void **state)
{
	struct config_tunnel conf = {.name = (char *)(uintptr_t) "t"};
	struct seen seen = {.watch = {.fn = on_event, .arg = &seen}};
	struct model *m = model_new();

	model_watch(m, &seen.watch);
	model_session(m, "3.0");
	model_add_tunnel(m, &conf, PROTO_HTTP, "1", "http://a");
	model_add_tunnel(m, &conf, PROTO_HTTPS, "1", "https://a");
	model_add_tunnel(m, &conf, PROTO_TCP, "1", "tcp://a:1");
	model_drop_stale(m);
	assert_int_equal(m->tunnels_n, 3);
	assert_ptr_equal(model_find(m, "https://a")->local, &conf.local[PROTO_HTTPS]);
	assert_null(model_find(m, "https://A"));

	/* A restarted server gives another name, and one answer is missing. */
	model_session(m, "3.1");
	assert_int_equal(m->tunnels_n, 3);
	assert_null(model_find(m, "http://a"));
	model_add_tunnel(m, &conf, PROTO_HTTP, "2", "http://b");
	model_add_tunnel(m, &conf, PROTO_TCP, "2", "tcp://a:1");
	assert_int_equal(m->tunnels_n, 3);
	model_drop_stale(m);
	assert_int_equal(m->tunnels_n, 2);
	assert_null(model_find(m, "http://a"));
	assert_null(model_find(m, "https://a"));
	assert_string_equal(model_find(m, "http://b")->req_id, "2");
	assert_string_equal(seen.text, "Thttp://a Thttps://a Ttcp://a:1 Thttp://b Ttcp://a:1 "
				       "Ghttps://a ");
	model_free(m);
}

static void counts(void **state)
{
	struct seen seen = {.watch = {.fn = on_event, .arg = &seen}};
	struct model *m = model_new();

	model_watch(m, &seen.watch);
	model_conn_begin(m, NULL);
	model_conn_begin(m, NULL);
	model_conn_end(m, NULL, 1500, 10, 20);
	model_note(m, "x");
	model_set_state(m, MODEL_RECONNECTING, "why", 2000);
	/* The old reason may be given again. */
	model_set_state(m, MODEL_RECONNECTING, m->last_error, 0);
	assert_string_equal(m->last_error, "why");
	assert_int_equal(m->counters.connections, 2);
	assert_int_equal(m->counters.open, 1);
	assert_int_equal(m->counters.ended, 1);
	assert_int_equal(m->counters.duration_ms, 1500);
	assert_int_equal(m->counters.bytes_in, 10);
	assert_int_equal(m->counters.bytes_out, 20);
	assert_string_equal(seen.text, "C C C Nx S S ");
	model_unwatch(m, &seen.watch);
	model_note(m, "y");
	assert_string_equal(seen.text, "C C C Nx S S ");
	model_free(m);
}

static void makes_a_page(void **state)
{
	struct text t = {0};

	page_unavailable(&t, "http://<b>&\"x", "127.0.0.1:80\r\n");
	const char *page = t.p;
	char *body = strstr(page, "\r\n\r\n");
	char length[64];

	assert_int_equal(t.len, strlen(page));
	assert_non_null(body);
	body += 4;
	assert_int_equal(strncmp(page, "HTTP/1.1 502 Bad Gateway\r\n", 26), 0);
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen(body));
	assert_non_null(strstr(page, length));
	assert_non_null(strstr(page, "\r\nConnection: close\r\n"));
	assert_non_null(strstr(body, "http://&#60;b&#62;&#38;&#34;x"));
	assert_non_null(strstr(body, "127.0.0.1:80??"));
	text_free(&t);

	/* One record: the page must fit, whatever the names are. */
	char longest[4096];
	memset(longest, '<', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	page_unavailable(&t, longest, longest);
	assert_true(t.len < 4096);
	text_free(&t);
}

static void writes_safe_lines(void **state)
{
	char out[64] = "";
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	console_line(stderr, "%s",
		     "a\x1b[2J\n\xc2\x9b"
		     "1m\x7f\xc3\xa9");
	dup2(saved, STDERR_FILENO);
	assert_true(read(ends[0], out, sizeof(out) - 1) > 0);
	close(ends[0]);
	close(ends[1]);
	close(saved);
	assert_string_equal(out, "a?[2J???1m?\xc3\xa9\n");
}

static void knows_the_machine(void **state)
{
#if defined(__linux__)
	assert_string_equal(machine_os(), "linux");
#endif
#if defined(__x86_64__)
	assert_string_equal(machine_arch(), "amd64");
#elif defined(__aarch64__)
	assert_string_equal(machine_arch(), "arm64");
#endif
	assert_true(*machine_arch());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backs_off),
		cmocka_unit_test(replaces_old_urls),
		cmocka_unit_test(counts),
		cmocka_unit_test(makes_a_page),
		cmocka_unit_test(writes_safe_lines),
		cmocka_unit_test(knows_the_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
