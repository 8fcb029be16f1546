/* The terminal's screen before any terminal is involved: texts, numbers, rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/config/config.h"
#include "pgrok/show/term_page.h"
#include "pgrok/show/term_text.h"

/* ---- texts ---- */

static void fits_texts(void **state)
{
	static const struct {
		const char *text;
		int columns;
		bool utf8, mark;
		const wchar_t *want;
		int used;
	} table[] = {
		{"abc", 5, true, true, L"abc", 3},
		{"abc", 3, true, true, L"abc", 3},
		{"abcd", 3, true, true, L"ab\u2026", 3},
		{"abcd", 3, false, true, L"ab~", 3},
		{"abcd", 3, true, false, L"abc", 3},
		{"abcd", 0, true, true, L"", 0},
		{"", 3, true, true, L"", 0},
		{"日本", 4, true, true, L"日本", 4},
		{"日本", 3, true, true, L"日\u2026", 3},
		{"日本", 3, true, false, L"日", 2},
		{"日本", 1, true, false, L"", 0},
		{"日本", 20, false, false, L"??", 2},
		{"e\xcc\x81x", 2, true, false, L"e\u0301x", 2}, /* a combining accent */
		{"a\x1b[31mb", 20, true, false, L"a?[31mb", 7},
		{"a\nb\tc\x7f", 20, true, false, L"a?b?c?", 6},
		{"a\xc2\x9b"
		 "b",
		 20, true, false, L"a?b", 3}, /* C1 */
		{"a\xe2\x80\xae"
		 "b",
		 20, true, false, L"a?b", 3}, /* right to left from here */
		{"a\xe2\x80\x8b"
		 "b",
		 20, true, false, L"a?b", 3}, /* no width */
		{"a\xff"
		 "b",
		 20, true, false, L"a?b", 3}, /* no UTF-8 */
		{"a\xc0\xaf"
		 "b",
		 20, true, false, L"a??b", 4},                     /* overlong */
		{"a\xed\xa0\x80", 20, true, false, L"a???", 4},    /* a surrogate */
		{"a\xe6\x97", 20, true, false, L"a??", 3},         /* cut short */
		{"\xf4\x90\x80\x80", 20, true, false, L"????", 4}, /* beyond Unicode */
	};
	wchar_t out[64];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int used = term_fit(table[i].text, table[i].columns, table[i].utf8, table[i].mark,
				    out, 64);
		if (wcscmp(out, table[i].want) != 0 || used != table[i].used)
			fail_msg("row %zu '%s': '%ls' of %d columns", i, table[i].text, out, used);
	}
	assert_int_equal(term_columns("日本x", true), 5);
	assert_int_equal(term_columns("日本x", false), 3);
	/* A small buffer bounds it, whatever the columns. */
	assert_int_equal(term_fit("abcdefgh", 8, true, false, out, 4), 2);
	assert_true(wcslen(out) < 4);
}

static void writes_numbers(void **state)
{
	static const struct {
		uint64_t n;
		const char *want;
	} bytes[] = {{0, "0 B"},          {999, "999 B"},         {1000, "1.0 kB"},
		     {1234567, "1.2 MB"}, {999949, "999.9 kB"},   {999950, "1.0 MB"},
		     {999999, "1.0 MB"},  {5000000000, "5.0 GB"}, {UINT64_MAX, "18.4 EB"}};
	static const struct {
		uint32_t us;
		const char *want;
	} times[] = {{1, "0.00 ms"},       {420, "0.42 ms"},    {23400, "23.4 ms"},
		     {999000, "999.0 ms"}, {1200000, "1.20 s"}, {UINT32_MAX, "4294.97 s"}};
	char buf[TERM_NUMBER];

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		assert_string_equal(term_bytes(bytes[i].n, buf), bytes[i].want);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_string_equal(term_latency(times[i].us, buf), times[i].want);
}

/* ---- rows ---- */

struct scene {
	struct model *m;
	struct config_tunnel tunnel;
	struct term_requests requests;
	struct term_page page;
	struct term_view view;
};

static int set_up(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	s->m = model_new();
	s->tunnel.name = (char *)(uintptr_t) "t";
	for (int i = 0; i < PROTOS; i++)
		s->tunnel.local[i].text = (char *)(uintptr_t) "127.0.0.1:18888";
	s->view = (struct term_view){
		.m = s->m, .requests = &s->requests, .width = 80, .height = 24, .utf8 = true};
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	term_page_free(&s->page);
	term_requests_free(&s->requests);
	model_free(s->m);
	free(s);
	return 0;
}

static void go_online(struct scene *s)
{
	model_session(s->m, "3.0");
	model_add_tunnel(s->m, &s->tunnel, PROTO_HTTP, "1", "http://tui.pgrok.me:18080");
	model_add_tunnel(s->m, &s->tunnel, PROTO_HTTPS, "1", "https://tui.pgrok.me:18443");
	model_set_state(s->m, MODEL_ONLINE, NULL, 0);
}

static const char *row_text_of(const struct term_page *p, size_t y)
{
	static char line[600];
	size_t n = 0;

	for (int i = 0; y < p->n && i < p->rows[y].cells_n; i++) {
		const struct term_cell *c = &p->rows[y].cells[i];
		while (n < (size_t)c->column)
			line[n++] = ' ';
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s", c->columns, c->text);
	}
	line[n] = '\0';
	return line;
}

static void make(struct scene *s)
{
	term_page_free(&s->page);
	term_page_make(&s->page, &s->view);
}

static void assert_rows(const struct term_page *p, const char *const *want)
{
	for (size_t y = 0; want[y]; y++)
		assert_string_equal(row_text_of(p, y), want[y]);
}

static void shows_the_rows_of_old(void **state)
{
	static const char *const rows[] = {
		"pgrok                                                           (Ctrl+C to quit)",
		"",
		"Tunnel Status                 online",
		"Version                       3.0/3.0",
		"Latency                       23.4 ms",
		"Forwarding                    http://tui.pgrok.me:18080 -> 127.0.0.1:18888",
		"Forwarding                    https://tui.pgrok.me:18443 -> 127.0.0.1:18888",
		"Web Interface                 http://127.0.0.1:4040",
		"# Conn                        1",
		"Avg Conn Time                 7.00ms",
		"Bytes In/Out                  82 B / 1.2 kB (5 B/s, 2.0 kB/s)",
		"",
		"HTTP Requests",
		"-------------",
		"",
		"DELETE /x                                   200 OK",
		"GET /a/very/long/path/that/goes/on/for/ever 404 Not Found",
		"GET /slow",
		NULL};
	struct scene *s = *state;

	go_online(s);
	model_set_latency(s->m, 23400);
	model_conn_begin(s->m, NULL);
	model_conn_end(s->m, NULL, 7, 82, 1234);
	s->view.web = "http://127.0.0.1:4040";
	s->view.rate_in = 5;
	s->view.rate_out = 2000;
	term_requests_add(&s->requests, &(struct term_request){3, "GET", "/slow?a=1", 0, NULL});
	term_requests_add(&s->requests,
			  &(struct term_request){1, "GET",
						 "/a/very/long/path/that/goes/on/for/ever/and/ever",
						 0, ""});
	term_requests_add(&s->requests, &(struct term_request){2, "DELETE", "/x", 200, "OK"});
	term_requests_add(&s->requests,
			  &(struct term_request){1, "GET",
						 "/a/very/long/path/that/goes/on/for/ever/and/ever",
						 404, "Not Found"});
	make(s);
	assert_rows(&s->page, rows);
	assert_int_equal(s->page.fixed, 3);
	assert_int_equal(s->page.rows[0].cells[0].style, STYLE_TITLE);
	assert_int_equal(s->page.rows[2].cells[1].style, STYLE_GOOD);
	assert_int_equal(s->page.rows[16].cells[1].style, STYLE_WARN);
	assert_true(s->page.rows[16].cells[0].mark);
}

static void colours_status(void **state)
{
	static const struct {
		int status;
		enum term_style style;
	} table[] = {{101, STYLE_PLAIN}, {200, STYLE_PLAIN}, {304, STYLE_WAIT}, {399, STYLE_WAIT},
		     {400, STYLE_WARN},  {499, STYLE_WARN},  {500, STYLE_BAD},  {599, STYLE_BAD}};
	struct scene *s = *state;

	for (size_t i = 0; i < 8; i++) {
		term_requests_add(&s->requests,
				  &(struct term_request){i, "GET", "/", table[i].status, ""});
		make(s);
		assert_int_equal(s->page.rows[s->page.before + 4].cells[1].style, table[i].style);
	}
}

static void tells_why_it_is_not_online(void **state)
{
	struct scene *s = *state;

	model_set_state(s->m, MODEL_CONNECTING, NULL, 0);
	make(s);
	assert_string_equal(row_text_of(&s->page, 2), "Tunnel Status                 connecting");
	assert_int_equal(s->page.rows[2].cells[1].style, STYLE_WAIT);
	assert_string_equal(row_text_of(&s->page, 3), "Version                       3.0/");
	model_set_state(s->m, MODEL_RECONNECTING, "no route", 4000);
	s->view.retry_left_ms = 3001;
	make(s);
	assert_string_equal(row_text_of(&s->page, 2),
			    "Tunnel Status                 reconnecting (in 4 s: no route)");
	assert_int_equal(s->page.rows[2].cells[0].style, STYLE_BAD);
}

static void narrows(void **state)
{
	static const char *const rows[] = {"pgrok                   (Ctrl+C to quit)",
					   "Tunnel Status   online",
					   "Forwarding",
					   "  http://tui.pgrok.me:18080",
					   "  -> 127.0.0.1:18888",
					   "  https://tui.pgrok.me:18443",
					   "  -> 127.0.0.1:18888",
					   "Web Interface   disabled",
					   "# Conn          0",
					   "Avg Conn Time   0.00ms",
					   "Bytes In/Out    0 B / 0 B",
					   "Version         3.0/3.0",
					   NULL};
	struct scene *s = *state;

	go_online(s);
	s->view.width = 40;
	s->view.height = 12;
	make(s);
	assert_rows(&s->page, rows);
	/* Nothing ever stands beyond the edge, however narrow it is. */
	s->view.note = "A note that has to be broken into several rows of such a screen";
	for (s->view.width = 1; s->view.width < 120; s->view.width++) {
		make(s);
		for (size_t y = 0; y < s->page.n; y++)
			for (int i = 0; i < s->page.rows[y].cells_n; i++)
				assert_in_range(s->page.rows[y].cells[i].column +
							s->page.rows[y].cells[i].columns,
						1, s->view.width);
	}
}

/* Of a small screen's rows the requests have three, whatever else has to go. */
static void makes_room_for_requests(void **state)
{
	static const char *const dense[] = {"# Conn          0",
					    "Avg Conn Time   0.00ms",
					    "Bytes In/Out    0 B / 0 B",
					    "Version         3.0/3.0",
					    "HTTP Requests",
					    "GET /4                              200 OK",
					    NULL};
	static const char *const bare[] = {"Bytes In/Out    0 B / 0 B", "HTTP Requests",
					   "GET /4                              200 OK", NULL};
	struct scene *s = *state;
	char path[] = "/0";

	go_online(s);
	for (uint64_t i = 0; i < 5; i++) {
		path[1] = (char)('0' + i);
		term_requests_add(&s->requests, &(struct term_request){i, "GET", path, 200, "OK"});
	}
	s->view.width = 60;
	for (s->view.height = 11; s->view.height < 40; s->view.height++) {
		make(s);
		assert_in_range(s->page.n - 2, 1, s->view.height);
	}
	s->view.height = 14;
	make(s);
	for (size_t y = 0; dense[y]; y++)
		assert_string_equal(row_text_of(&s->page, 6 + y), dense[y]);
	s->view.height = 13;
	make(s);
	for (size_t y = 0; bare[y]; y++)
		assert_string_equal(row_text_of(&s->page, 6 + y), bare[y]);
}

/* A note keeps one row of a usual screen, even beside requests. */
static void keeps_the_note(void **state)
{
	struct scene *s = *state;

	go_online(s);
	s->view.note = "Nothing is checked. To check it, put this into the configuration: x: y";
	s->view.width = 80;
	s->view.height = 24;
	make(s);
	assert_string_equal(row_text_of(&s->page, s->page.n - 1), s->view.note);
	term_requests_add(&s->requests, &(struct term_request){1, "GET", "/", 200, "OK"});
	make(s);
	assert_string_equal(row_text_of(&s->page, s->page.before - 1), "Nothing is checked.");
	assert_in_range(s->page.n, 1, 24);
}

static void scrolls(void **state)
{
	struct scene *s = *state;
	char url[64];
	struct config_tunnel many[30];

	model_session(s->m, "3.0");
	for (int i = 0; i < 30; i++) {
		many[i] = s->tunnel;
		snprintf(url, sizeof(url), "http://n%d.pgrok.me", i);
		model_add_tunnel(s->m, &many[i], PROTO_HTTP, "1", url);
	}
	s->view.offset = 5;
	make(s);
	assert_int_equal(s->page.n, 3 + 1 + 30 + 4);
	assert_int_equal(term_page_scroll_max(&s->page, 24), 38 - 24);
	assert_non_null(strstr(row_text_of(&s->page, 0), "j/k: 5 above, 9 below"));
	/* A list of requests below everything is no reason for the hint. */
	s->view.offset = 0;
	s->view.height = 50;
	for (uint64_t i = 0; i < 500; i++)
		term_requests_add(&s->requests, &(struct term_request){i, "GET", "/", 200, "OK"});
	make(s);
	assert_null(strstr(row_text_of(&s->page, 0), "j/k"));
	assert_int_equal(s->page.n, 38 + 4 + TERM_REQUESTS);
	assert_int_equal(term_requests_at(&s->requests, 0)->id, 499);
	assert_int_equal(term_requests_at(&s->requests, TERM_REQUESTS - 1)->id, 300);
	assert_null(term_requests_at(&s->requests, TERM_REQUESTS));
}

static void counts_what_is_open(void *arg, uint64_t *in, uint64_t *out)
{
	*in = 18;
	*out = 1000;
}

static uint32_t measures(void *arg)
{
	return *(uint32_t *)arg;
}

static void asks_who_is_live(void **state)
{
	struct scene *s = *state;
	uint32_t rtt = 0;
	struct model_live live = {.bytes = counts_what_is_open, .rtt_us = measures, .arg = &rtt};

	model_conn_begin(s->m, NULL);
	model_conn_end(s->m, NULL, 1, 82, 234);
	model_set_latency(s->m, 5000);
	model_set_live(s->m, &live);
	make(s);
	assert_string_equal(row_text_of(&s->page, 4), "Latency                       5.00 ms");
	assert_string_equal(row_text_of(&s->page, 8),
			    "Bytes In/Out                  100 B / 1.2 kB");
	rtt = 700;
	assert_int_equal(model_latency_us(s->m), 700);
	model_set_live(s->m, NULL);
	assert_int_equal(model_latency_us(s->m), 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fits_texts),
		cmocka_unit_test(writes_numbers),
		cmocka_unit_test_setup_teardown(shows_the_rows_of_old, set_up, tear_down),
		cmocka_unit_test_setup_teardown(colours_status, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_why_it_is_not_online, set_up, tear_down),
		cmocka_unit_test_setup_teardown(narrows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(makes_room_for_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_the_note, set_up, tear_down),
		cmocka_unit_test_setup_teardown(scrolls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_who_is_live, set_up, tear_down),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests_name("pgrok_term", tests, NULL, NULL);
}
