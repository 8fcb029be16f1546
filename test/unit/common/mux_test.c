/*
 * Two ends of a session over a transport that splits, delays and refuses by dice: whatever the
 * users of its streams do, data arrives intact, ends are told, and nothing is left. A failed seed
 * is printed; MUX_SEED=n runs it alone, MUX_SEEDS=n runs so many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "test/unit/common/mux_pipe.h"

#define APPS 48
#define SEEDS 100
#define SECONDS 10 /* without a frame: it is stuck */

enum plan {
	PLAN_WHOLE,  /* says all, hears all, closes */
	PLAN_LINGER, /* says all, then lingers: hears nothing more */
	PLAN_CLOSE,  /* closes in the middle */
	PLAN_ABORT   /* aborts in the middle */
};

enum death {
	DEATH_NONE,
	DEATH_CUT,   /* the connection breaks */
	DEATH_CLOSE, /* an owner aborts the session */
	DEATH_LEAVE, /* an owner leaves it to its streams */
	DEATHS
};

struct world;

/* One end of one stream. */
struct app {
	struct world *w;
	struct stream *s; /* NULL: not opened yet, or closed */
	struct loop_tick nap;
	uint32_t no;
	int side;
	enum plan plan;
	uint64_t to_send, sent, got, leave_at;
	bool started, finished, eof, aborted;
};

struct world {
	struct loop *loop;
	uint32_t seed, dice;
	struct fake *end[2];
	struct wire *wire[2];
	struct mux *mux[2]; /* NULL: given back */
	struct mux_account *memory;
	bool down[2];
	struct app app[2][APPS];
	uint32_t n, opened, live;
	enum death death;
	bool lazy; /* readers nap often */
	unsigned open;
	struct loop_tick spawn;
	const char *error;
};

static uint8_t byte_at(const struct app *from, uint64_t pos)
{
	return (uint8_t)(pos ^ pos >> 8 ^ pos >> 16 ^ from->no * 13 ^ (unsigned)from->side * 101);
}

static struct app *other(struct app *a)
{
	return &a->w->app[!a->side][a->no];
}

static uint32_t roll(struct world *w, uint32_t sides)
{
	return dice(&w->dice, sides);
}

static void app_gone(struct app *a)
{
	stream_on_ready(a->s, NULL, NULL);
	a->s = NULL;
	loop_tick_cancel(a->w->loop, &a->nap);
	a->w->live--;
}

static void app_close(struct app *a, bool abort)
{
	struct stream *s = a->s;

	app_gone(a);
	stream_close(s, abort);
}

static void leave(struct world *w, int side, bool abort)
{
	struct mux *m = w->mux[side];

	w->mux[side] = NULL;
	if (m)
		mux_close(m, abort);
}

/* Something terrible, from inside whatever callback this is. */
static void maybe_die(struct app *a)
{
	struct world *w = a->w;

	if (w->death == DEATH_NONE || roll(w, 150))
		return;
	if (w->death == DEATH_CUT && w->open == 2)
		fake_kill(w->end[0]);
	if (w->death == DEATH_CLOSE)
		leave(w, (int)roll(w, 2), true);
	if (w->death == DEATH_LEAVE)
		leave(w, (int)roll(w, 2), false);
	/* A stream that is not the caller's goes, too. */
	struct app *b = &w->app[a->side][roll(w, w->n)];
	if (b != a && b->s)
		app_close(b, roll(w, 2));
}

static bool check_bytes(struct app *a, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++, a->got++)
		if (p[i] != byte_at(other(a), a->got))
			a->w->error = "a wrong byte";
	return !a->w->error;
}

/* False: closed. */
static bool app_read(struct app *a)
{
	uint8_t buf[20000];
	size_t n;

	for (uint32_t i = roll(a->w, 6); i > 0 && !a->eof; i--) {
		switch (stream_read(a->s, buf, 1 + roll(a->w, sizeof(buf)), &n)) {
		case STREAM_OK:
			if (!check_bytes(a, buf, n))
				return false;
			break;
		case STREAM_AGAIN:
			return true;
		case STREAM_EOF:
			a->eof = true;
			/* At the end the books are even, windows included. */
			struct mstream *ms = (struct mstream *)a->s;
			if (ms->unread || ms->recv_window + ms->credit != ms->window)
				a->w->error = "the window has drifted";
			break;
		case STREAM_ABORT:
			a->aborted = true;
			app_close(a, true);
			return false;
		}
	}
	return true;
}

static void app_write(struct app *a)
{
	uint8_t buf[30000];
	size_t n;

	for (uint32_t i = roll(a->w, 6); i > 0 && a->sent < a->to_send; i--) {
		size_t len = 1 + roll(a->w, sizeof(buf));
		if (len > a->to_send - a->sent)
			len = a->to_send - a->sent;
		for (size_t k = 0; k < len; k++)
			buf[k] = byte_at(a, a->sent + k);
		switch (stream_write(a->s, buf, len, &n)) {
		case STREAM_OK:
			a->sent += n;
			break;
		case STREAM_ABORT:
			a->to_send = a->sent;
			return;
		default:
			return;
		}
	}
}

static bool app_leaves(struct app *a)
{
	if (a->plan >= PLAN_CLOSE && a->sent + a->got >= a->leave_at) {
		app_close(a, a->plan == PLAN_ABORT);
		return true;
	}
	if (a->sent < a->to_send)
		return false;
	if (a->plan == PLAN_LINGER) {
		struct stream *s = a->s;
		app_gone(a);
		stream_linger(s);
		return true;
	}
	if (!a->finished)
		a->finished = stream_finish(a->s) != STREAM_AGAIN;
	if (!a->finished || !a->eof)
		return false;
	app_close(a, false);
	return true;
}

static void app_want(struct app *a)
{
	bool nap = !roll(a->w, a->w->lazy ? 2 : 10);

	if (nap)
		loop_next_tick(a->w->loop, &a->nap);
	/* Mostly said again, but that is not necessary. */
	if (nap || roll(a->w, 8) || a->eof)
		stream_want(a->s, (a->eof || nap ? 0 : STREAM_READ) |
					  (a->sent < a->to_send ? STREAM_WRITE : 0));
}

static void app_ready(void *arg, int dirs)
{
	struct app *a = arg;

	maybe_die(a);
	if (a->w->error || ((dirs & STREAM_READ) && !app_read(a)))
		return;
	if (dirs & STREAM_WRITE)
		app_write(a);
	if (app_leaves(a))
		return;
	/* What it no longer wants it has to say. */
	if (a->sent == a->to_send || !(dirs & STREAM_WRITE) || a->eof)
		stream_want(a->s,
			    (a->eof ? 0 : STREAM_READ) | (a->sent < a->to_send ? STREAM_WRITE : 0));
	app_want(a);
}

static void app_nap_over(void *arg)
{
	struct app *a = arg;

	if (roll(a->w, a->w->lazy ? 8 : 3))
		loop_next_tick(a->w->loop, &a->nap);
	else
		stream_want(a->s,
			    (a->eof ? 0 : STREAM_READ) | (a->sent < a->to_send ? STREAM_WRITE : 0));
}

static void app_start(struct app *a, struct stream *s)
{
	a->s = s;
	a->started = true;
	a->w->live++;
	stream_on_ready(s, app_ready, a);
	if (a->side == 0 && !roll(a->w, 20)) {
		app_close(a, roll(a->w, 2)); /* before its first frame */
		a->started = false;
		return;
	}
	if (roll(a->w, 2))
		app_write(a); /* the first frame brings bytes */
	if (!app_leaves(a))
		stream_want(s, STREAM_READ | (a->sent < a->to_send ? STREAM_WRITE : 0));
}

static void world_accepted(void *arg, struct stream *s)
{
	struct world *w = arg;
	struct app *a = &w->app[1][((struct mstream *)s)->id / 2];

	if (a->started)
		w->error = "accepted twice";
	else
		app_start(a, s);
	if (a->s)
		maybe_die(a);
}

static void down0(void *arg, const char *why)
{
	struct world *w = arg;
	w->down[0] = true;
	leave(w, 0, false);
}

static void down1(void *arg, const char *why)
{
	struct world *w = arg;
	w->down[1] = true;
	leave(w, 1, roll(w, 2) && w->death != DEATH_NONE);
}

static const struct mux_hooks hooks0 = {.down = down0};
static const struct mux_hooks hooks1 = {.accepted = world_accepted, .down = down1};

/* ---- a world ---- */

static void spawn(void *arg)
{
	struct world *w = arg;

	for (uint32_t i = roll(w, 6); i > 0 && w->opened < w->n && w->mux[0]; i--) {
		struct stream *s = mux_open(w->mux[0]);
		if (!s)
			break;
		app_start(&w->app[0][w->opened++], s);
	}
	if (!w->mux[0])
		w->n = w->opened;
	if (w->opened < w->n)
		loop_next_tick(w->loop, &w->spawn);
	else if (roll(w, 2))
		leave(w, 0, false); /* the rest ends by itself */
}

static uint64_t some_size(struct world *w, uint32_t window)
{
	static const uint32_t sizes[] = {1, 100, 20000, 250000};
	uint32_t most = sizes[roll(w, 4)];

	if (most > 500 * window)
		most = 500 * window;
	return roll(w, most);
}

static void apps_init(struct world *w, uint32_t window)
{
	bool rude = roll(w, 2);

	w->n = 1 + roll(w, APPS);
	w->lazy = !roll(w, 3);
	for (uint32_t i = 0; i < 2 * w->n; i++) {
		struct app *a = &w->app[i & 1][i / 2];

		a->w = w;
		a->side = (int)(i & 1);
		a->no = i / 2;
		a->plan = rude ? (enum plan)roll(w, PLAN_ABORT + 1) : PLAN_WHOLE;
		a->to_send = some_size(w, window);
		a->leave_at = roll(w, (uint32_t)a->to_send + 1);
		a->nap.fn = app_nap_over;
		a->nap.arg = a;
	}
}

static struct world *world_new(uint32_t seed)
{
	static const uint32_t windows[] = {1, 100, 4096, MUX_WINDOW_START, 256u << 10};
	static const uint32_t rooms[] = {64, 4096, 65536, 1u << 20};
	struct world *w = xcalloc(1, sizeof(*w));
	struct mux_conf conf = {.opens = true, .first_id = 1, .max_streams = APPS};

	w->seed = seed;
	w->dice = seed * 2654435761u | 1;
	w->loop = loop_new();
	conf.start_window = windows[roll(w, 5)];
	conf.max_streams = roll(w, 2) ? APPS : 1 + roll(w, 8);
	fake_pair(w->loop, roll(w, 8) ? &w->dice : NULL, &w->open, w->end);
	for (int i = 0; i < 2; i++) {
		w->wire[i] = xcalloc(1, sizeof(struct wire));
		w->wire[i]->start_window = conf.start_window;
		w->wire[i]->opens = i == 0;
		w->end[i]->wire = w->wire[i];
		w->end[i]->room = rooms[roll(w, 4)];
	}
	w->wire[0]->other = w->wire[1];
	w->wire[1]->other = w->wire[0];
	apps_init(w, conf.start_window);
	w->memory = mux_account_new();
	w->mux[0] = mux_new(&w->end[0]->s, &conf, w->memory, &hooks0, w);
	conf.opens = false;
	conf.max_streams = MUX_STREAMS_MAX;
	w->mux[1] = mux_new(&w->end[1]->s, &conf, w->memory, &hooks1, w);
	w->spawn.fn = spawn;
	w->spawn.arg = w;
	loop_next_tick(w->loop, &w->spawn);
	return w;
}

/* Did this end hear what it should have? */
static bool app_good(struct app *a)
{
	struct app *b = other(a);

	if (a->side == 1 && !b->started)
		return !a->started;
	if (!a->started || a->plan != PLAN_WHOLE || b->plan == PLAN_ABORT)
		return a->got <= b->sent;
	return a->eof && !a->aborted && a->got == b->sent;
}

static void world_check(struct world *w)
{
	for (int i = 0; i < 2 && !w->error; i++)
		w->error = w->wire[i]->error;
	if (!w->error && (mux_memory_used() || w->memory->used[0] || w->memory->used[1]))
		w->error = "memory is still counted";
	if (!w->error && w->open)
		w->error = "a transport is still open";
	for (uint32_t i = 0; i < 2 * w->n && !w->error && w->death == DEATH_NONE; i++)
		if (!app_good(&w->app[i & 1][i / 2]))
			w->error = "not all was heard";
}

static void world_free(struct world *w)
{
	for (uint32_t i = 0; i < 2 * APPS; i++)
		if (w->app[i & 1][i / 2].s)
			app_close(&w->app[i & 1][i / 2], true);
	leave(w, 0, true);
	leave(w, 1, true);
	loop_tick_cancel(w->loop, &w->spawn);
	loop_free(w->loop);
	mux_account_free(w->memory);
	free(w->wire[0]);
	free(w->wire[1]);
	free(w);
}

static bool quiet(struct world *w)
{
	return w->opened == w->n && !w->live;
}

/* Turns until cond, or until nothing moves; what waits for a timer spins here. */
static void run_until(struct world *w, bool (*cond)(struct world *w), const char *else_error)
{
	uint64_t since = clock_us(), frames = 0;

	while (!w->error && !cond(w)) {
		turns(w->loop, 20);
		if (w->wire[0]->frames + w->wire[1]->frames != frames)
			since = clock_us();
		frames = w->wire[0]->frames + w->wire[1]->frames;
		if (clock_us() - since > SECONDS * 1000000ull)
			w->error = else_error;
	}
}

static bool all_closed(struct world *w)
{
	return !w->open;
}

static void run_seed(uint32_t seed, enum death death)
{
	struct world *w = world_new(seed);
	const char *error;

	w->death = death;
	run_until(w, quiet, "streams wait for ever");
	leave(w, (int)roll(w, 2), false);
	leave(w, 0, false);
	leave(w, 1, false);
	run_until(w, all_closed, "a session does not end");
	turns(w->loop, 3);
	world_check(w);
	error = w->error;
	world_free(w);
	if (!error && mux_memory_used())
		error = "memory is counted when all is gone";
	if (error)
		fail_msg("seed %u, death %d: %s", seed, (int)death, error);
}

static void run_seeds(enum death death)
{
	const char *one = getenv("MUX_SEED"), *many = getenv("MUX_SEEDS");
	uint32_t n = many ? (uint32_t)atoi(many) : SEEDS;

	if (one)
		run_seed((uint32_t)atoi(one), death);
	for (uint32_t seed = 1; seed <= n && !one; seed++)
		run_seed(seed, death);
}

static void test_intact(void **state)
{
	run_seeds(DEATH_NONE);
}

static void test_cut(void **state)
{
	run_seeds(DEATH_CUT);
}

static void test_closed_inside(void **state)
{
	run_seeds(DEATH_CLOSE);
}

static void test_left_inside(void **state)
{
	run_seeds(DEATH_LEAVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intact),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_closed_inside),
		cmocka_unit_test(test_left_inside),
	};

	setenv("PGROK_TIME_SCALE", "0.01", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
