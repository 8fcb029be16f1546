/* The screen: events in, curses out. */
#include "pgrok/show/term.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "pgrok/show/term_curses.h"
#include "pgrok/show/term_tty.h"

#define DRAW_MS 100    /* at most ten drawings a second */
#define SECOND_MS 1000 /* rates and countdowns */

enum { TERM_SIGNALS = 2 };

struct term {
	struct loop *loop;
	struct model *model;
	struct model_watch watch;
	void (*quit)(void *arg, const char *why);
	void *arg;
	struct term_tty *tty;
	struct event *keys; /* NULL: stdin is not a terminal */
	struct event *signals[TERM_SIGNALS];

	struct term_curses *curses;
	int width, height;
	bool hidden; /* stopped or in the background: the screen belongs to another process */

	struct loop_timer draw;   /* the next drawing */
	struct loop_timer second; /* runs while something changes by itself */
	struct loop_timer back;   /* while hidden: is the terminal ours again? */
	uint64_t drawn_at;        /* loop_now() */

	struct term_requests requests;
	char *web, *note;
	uint64_t retry_at; /* loop_now() of the next attempt; 0: none is waited for */
	uint64_t in, out, rate_in, rate_out, rated_at;
	size_t offset; /* rows scrolled away */
	char escape[8];
	size_t escape_n; /* bytes of a key that has several */
};

/* ---- drawing ---- */

static void make_page(struct term *t, struct term_page *p)
{
	uint64_t now = loop_now(t->loop);
	struct term_view v = {
		.m = t->model,
		.web = t->web,
		.note = t->note,
		.requests = &t->requests,
		.retry_left_ms = t->retry_at > now ? (uint32_t)(t->retry_at - now) : 0,
		.rate_in = t->rate_in,
		.rate_out = t->rate_out,
		.width = t->width,
		.height = t->height,
		.offset = t->offset,
		.utf8 = term_curses_utf8(t->curses),
	};
	size_t most;

	term_page_make(p, &v);
	most = term_page_scroll_max(p, t->height);
	if (t->offset <= most)
		return;
	/* There is less to see than there was. */
	v.offset = t->offset = most;
	term_page_free(p);
	term_page_make(p, &v);
}

static void draw_now(void *arg)
{
	struct term *t = arg;
	struct term_page page = {0};

	if (t->hidden)
		return;
	loop_timer_stop(&t->draw);
	if (term_tty_busy(t->tty)) {
		/* It has not even taken the last one. */
		loop_after(&t->draw, DRAW_MS);
		return;
	}
	make_page(t, &page);
	term_curses_draw(t->curses, &page, t->height, t->offset);
	term_page_free(&page);
	t->drawn_at = loop_now(t->loop);
}

/* Something has changed. */
static void draw_soon(struct term *t)
{
	uint64_t age = loop_now(t->loop) - t->drawn_at;

	if (!loop_timer_pending(&t->draw))
		loop_after(&t->draw, age < DRAW_MS ? DRAW_MS - age : 1);
}

/* ---- what happens ---- */

/* Rates are of the last second; the clock stands still while nothing moves. */
static void on_second(void *arg)
{
	struct term *t = arg;
	uint64_t now = loop_now(t->loop), in, out, ms = now - t->rated_at;
	bool had_rate = t->rate_in || t->rate_out;

	model_bytes(t->model, &in, &out);
	if (ms) {
		t->rate_in = in > t->in ? (in - t->in) * 1000 / ms : 0;
		t->rate_out = out > t->out ? (out - t->out) * 1000 / ms : 0;
	}
	t->in = in;
	t->out = out;
	t->rated_at = now;
	if (t->rate_in || t->rate_out || had_rate || t->retry_at > now)
		draw_soon(t);
	if (t->rate_in || t->rate_out || t->model->counters.open || t->retry_at > now)
		loop_after(&t->second, SECOND_MS);
}

static void start_clock(struct term *t)
{
	if (loop_timer_pending(&t->second))
		return;
	t->rated_at = loop_now(t->loop);
	loop_after(&t->second, SECOND_MS);
}

static void on_event(void *arg, const struct model *m, enum model_event ev)
{
	struct term *t = arg;

	switch (ev) {
	case MODEL_EV_STATE:
		/* Timers run scaled in debug builds. */
		t->retry_at = m->retry_ms ? loop_now(t->loop) + loop_scaled(m->retry_ms) : 0;
		start_clock(t);
		break;
	case MODEL_EV_NOTE:
		free(t->note);
		t->note = xstrdup(m->note);
		break;
	case MODEL_EV_TRAFFIC:
		start_clock(t);
		break;
	case MODEL_EV_TUNNEL:
	case MODEL_EV_GONE:
		break;
	}
	draw_soon(t);
}

void term_request(struct term *t, const struct term_request *r)
{
	if (!t)
		return;
	term_requests_add(&t->requests, r);
	draw_soon(t);
}

void term_set_web(struct term *t, const char *url)
{
	if (!t)
		return;
	free(t->web);
	t->web = url ? xstrdup(url) : NULL;
	draw_soon(t);
}

/* ---- keys ---- */

static void scroll_by(struct term *t, long rows)
{
	if (rows < 0 && (size_t)-rows > t->offset)
		t->offset = 0;
	else
		t->offset += (size_t)rows;
	draw_soon(t);
}

static void on_plain_key(struct term *t, char key)
{
	switch (key) {
	case 'q':
	case 'Q':
	case 3: /* Ctrl+C, where it is no signal */
		t->quit(t->arg, "the person has left");
		break;
	case 'j':
		scroll_by(t, 1);
		break;
	case 'k':
		scroll_by(t, -1);
		break;
	case ' ':
		scroll_by(t, t->height / 2);
		break;
	case 'b':
		scroll_by(t, -(t->height / 2));
		break;
	case 'g':
		scroll_by(t, -100000);
		break;
	case 'G':
		scroll_by(t, 100000);
		break;
	case 12: /* Ctrl+L */
		term_curses_redraw(t->curses);
		draw_soon(t);
		break;
	default:
		break;
	}
}

/* A key of several bytes, by those behind "ESC [" or "ESC O". */
static void on_long_key(struct term *t, const char *name)
{
	static const struct {
		const char *name;
		char key;
	} keys[] = {{"A", 'k'},  {"B", 'j'},  {"5~", 'b'}, {"6~", ' '}, {"H", 'g'}, {"F", 'G'},
		    {"1~", 'g'}, {"4~", 'G'}, {"7~", 'g'}, {"8~", 'G'}, {NULL, 0}};

	for (size_t i = 0; keys[i].name; i++) {
		if (strcmp(keys[i].name, name) == 0)
			on_plain_key(t, keys[i].key);
	}
}

static void on_byte(struct term *t, char c)
{
	if (c == 27) {
		t->escape_n = 1;
	} else if (t->escape_n == 1) {
		t->escape_n = c == '[' || c == 'O' ? 2 : 0;
	} else if (t->escape_n) {
		if (t->escape_n - 2 < sizeof(t->escape) - 1)
			t->escape[t->escape_n++ - 2] = c;
		if (c >= '@') {
			t->escape[t->escape_n - 2] = '\0';
			t->escape_n = 0;
			on_long_key(t, t->escape);
		}
	} else {
		on_plain_key(t, c);
	}
}

static void on_gone(void *arg)
{
	struct term *t = arg;

	t->hidden = true;
	if (t->keys)
		event_del(t->keys);
	t->quit(t->arg, "the terminal is gone");
}

static void on_keys(evutil_socket_t fd, short what, void *arg)
{
	struct term *t = arg;
	char bytes[64];
	ssize_t n;

	if (!term_tty_foreground(t->tty)) {
		/* Reading now would stop the process. */
		event_del(t->keys);
		return;
	}
	n = read(fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		on_gone(t);
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		on_byte(t, bytes[i]);
}

/* ---- size, stop and continue ---- */

static void measure(struct term *t)
{
	if (!term_tty_size(t->tty, &t->width, &t->height)) {
		t->width = 80;
		t->height = 24;
	}
	t->width = t->width > TERM_COLUMNS_MAX ? TERM_COLUMNS_MAX : t->width;
	t->height = t->height > TERM_ROWS_MAX ? TERM_ROWS_MAX : t->height;
}

static void on_winch(evutil_socket_t sig, short what, void *arg)
{
	struct term *t = arg;

	measure(t);
	term_curses_resize(t->curses, t->width, t->height);
	draw_soon(t);
}

static void show(struct term *t)
{
	t->hidden = false;
	term_tty_take(t->tty, term_curses_leave_bytes(t->curses));
	if (t->keys)
		event_add(t->keys, NULL);
	on_winch(0, 0, t);
	draw_now(t);
}

static void hide(struct term *t)
{
	if (t->keys)
		event_del(t->keys);
	if (!t->hidden)
		term_curses_leave(t->curses);
	t->hidden = true;
	term_tty_restore(t->tty);
}

/* In the background the traffic goes on; the screen waits until it is ours again. */
static void on_hidden(void *arg)
{
	struct term *t = arg;

	if (term_tty_foreground(t->tty))
		show(t);
	else
		loop_after(&t->back, SECOND_MS);
}

static void on_tstp(evutil_socket_t sig, short what, void *arg)
{
	struct term *t = arg;

	hide(t);
	(void)kill(getpid(), SIGSTOP);
	/* SIGCONT */
	on_hidden(t);
}

/* ---- start and end ---- */

static void term_free(void *p)
{
	struct term *t = p;

	for (int i = 0; i < TERM_SIGNALS; i++) {
		if (t->signals[i])
			event_free(t->signals[i]);
	}
	/* Not back to the handlers of curses, which would draw. */
	if (t->curses) {
		(void)signal(SIGWINCH, SIG_DFL);
		(void)signal(SIGTSTP, SIG_DFL);
	}
	if (t->keys)
		event_free(t->keys);
	term_tty_close(t->tty);
	term_curses_free(t->curses);
	term_requests_free(&t->requests);
	free(t->web);
	free(t->note);
	free(t);
}

static void catch_signals(struct term *t)
{
	static const struct {
		int sig;
		event_callback_fn fn;
	} table[TERM_SIGNALS] = {{SIGWINCH, on_winch}, {SIGTSTP, on_tstp}};

	for (int i = 0; i < TERM_SIGNALS; i++) {
		t->signals[i] = evsignal_new(loop_base(t->loop), table[i].sig, table[i].fn, t);
		event_add(t->signals[i], NULL);
	}
}

struct term *term_start(struct loop *l, const struct term_conf *conf)
{
	struct term *t = xcalloc(1, sizeof(*t));

	t->loop = l;
	t->model = conf->model;
	t->quit = conf->on_quit;
	t->arg = conf->arg;
	t->hidden = true;
	loop_timer_init(&t->draw, l, draw_now, t);
	loop_timer_init(&t->second, l, on_second, t);
	loop_timer_init(&t->back, l, on_hidden, t);
	t->tty = term_tty_open(l, on_gone, t);
	t->curses = t->tty ? term_curses_start(t->tty) : NULL;
	if (!t->curses)
		goto fail;
	fflush(stdout);
	t->web = conf->web ? xstrdup(conf->web) : NULL;
	if (isatty(STDIN_FILENO))
		t->keys = event_new(loop_base(l), STDIN_FILENO, EV_READ | EV_PERSIST, on_keys, t);
	catch_signals(t);
	t->watch = (struct model_watch){.fn = on_event, .arg = t};
	model_watch(t->model, &t->watch);
	log_debug("term", "Screen of %s", getenv("TERM"));
	show(t);
	return t;

fail:
	term_free(t);
	return NULL;
}

void term_close(struct term *t)
{
	if (!t)
		return;
	model_unwatch(t->model, &t->watch);
	loop_timer_stop(&t->draw);
	loop_timer_stop(&t->second);
	loop_timer_stop(&t->back);
	hide(t);
	log_debug("term", "Screen left");
	loop_free_later(t->loop, t, term_free);
}
