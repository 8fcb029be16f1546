/* A worker: event_base, inbox (lock-free list + eventfd), timers, next-tick list, exit hooks. */
#include "common/base/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop_cells.h"

/* Memory that goes back after this turn. */
struct garbage {
	void *p;
	void (*free_fn)(void *p);
};

struct loop {
	struct event_base *base;
	atomic_bool stop;

	/* Newest first; only the owner takes it, whole. */
	_Atomic(struct loop_msg *) inbox;
	int wake_fd;
	struct event wake;

	struct loop_tick *ticks, **ticks_end;
	struct loop_tick *running; /* what is left of the list that run_ticks() took off */
	struct garbage *garbage;
	size_t garbage_n, garbage_cap;
	struct loop_exit exits; /* list head */

	uint64_t now; /* 0: not read yet in this turn */
};

static void wake_up(struct loop *l)
{
	uint64_t one = 1;
	/* Can only fail when the counter is full, and then the loop is awake. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* The inbox in the order of posting. */
static struct loop_msg *inbox_take(struct loop *l)
{
	struct loop_msg *m = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
	struct loop_msg *in_order = NULL;

	while (m) {
		struct loop_msg *next = m->next;
		m->next = in_order;
		in_order = m;
		m = next;
	}
	return in_order;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	for (struct loop_msg *m = inbox_take(l), *next; m; m = next) {
		next = m->next;
		/* What comes behind the message that stops the loop would find nothing there. */
		if (atomic_load_explicit(&l->stop, memory_order_relaxed))
			m->drop(m);
		else
			m->deliver(m, l);
	}
}

void loop_post(struct loop *l, struct loop_msg *m)
{
	struct loop_msg *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);

	do {
		m->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&l->inbox, &head, m, memory_order_release,
							memory_order_relaxed));
	/* Whoever finds the inbox empty wakes the loop; the others' messages go along. */
	if (!head)
		wake_up(l);
}

static void first_of_all(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop_cells_use();
}

struct loop *loop_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct loop *l = xcalloc(1, sizeof(*l));
	struct event_config *cfg;

	pthread_once(&once, first_of_all);
	cfg = event_config_new();
	/* One thread per base: no locks in libevent, whatever else the process does with it. */
	if (cfg)
		event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = cfg ? event_base_new_with_config(cfg) : NULL;
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!l->base || l->wake_fd < 0) {
		perror("event loop");
		exit(1);
	}
	event_config_free(cfg);
	l->ticks_end = &l->ticks;
	l->exits.next = l->exits.prev = &l->exits;
	event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	event_add(&l->wake, NULL);
	return l;
}

static void run_ticks(struct loop *l)
{
	/*
	 * Taken off whole: what is queued from here on runs after the next poll. (libevent's own
	 * way, event_active() from a callback, would run it before any poll and starve all others.)
	 */
	l->running = l->ticks;
	l->running->prev = &l->running;
	l->ticks = NULL;
	l->ticks_end = &l->ticks;
	while (l->running) {
		struct loop_tick *t = l->running;

		loop_tick_cancel(l, t);
		t->fn(t->arg);
	}
}

static void free_garbage(struct loop *l)
{
	/* A free function may close another object, whose memory then joins the list. */
	for (size_t i = 0; i < l->garbage_n; i++) {
		struct garbage g = l->garbage[i];
		g.free_fn(g.p);
	}
	l->garbage_n = 0;
}

static void end_of_turn(struct loop *l)
{
	if (l->ticks)
		run_ticks(l);
	if (l->garbage_n)
		free_garbage(l);
	l->now = 0;
}

void loop_run(struct loop *l)
{
	while (!atomic_load_explicit(&l->stop, memory_order_acquire)) {
		event_base_loop(l->base, EVLOOP_ONCE | (l->ticks ? EVLOOP_NONBLOCK : 0));
		end_of_turn(l);
	}
	atomic_store(&l->stop, false);
}

void loop_stop(struct loop *l)
{
	atomic_store_explicit(&l->stop, true, memory_order_release);
	wake_up(l);
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	/*
	 * What an exit hook, a tick or a thread that is about to end still adds goes the same way.
	 */
	do {
		for (struct loop_msg *m = inbox_take(l), *next; m; m = next) {
			next = m->next;
			m->drop(m);
		}
		if (l->exits.next != &l->exits)
			l->exits.next->fn(l->exits.next->arg);
		end_of_turn(l);
	} while (l->exits.next != &l->exits || l->ticks || l->garbage_n || atomic_load(&l->inbox));
	event_del(&l->wake);
	close(l->wake_fd);
	event_base_free(l->base);
	free(l->garbage);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

uint64_t loop_now(struct loop *l)
{
	if (!l->now)
		l->now = clock_coarse_ms();
	return l->now;
}

/* ---- timers ---- */

uint64_t loop_scaled(uint64_t ms)
{
#ifdef PGROK_DEBUG
	static _Atomic double scale;
	double s = atomic_load_explicit(&scale, memory_order_relaxed);

	if (s == 0) {
		const char *text = getenv("PGROK_TIME_SCALE");
		s = text ? strtod(text, NULL) : 1;
		if (!(s > 0))
			s = 1;
		atomic_store_explicit(&scale, s, memory_order_relaxed);
	}
	return (uint64_t)((double)ms * s);
#else
	return ms;
#endif
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	t->fn(t->arg);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *arg), void *arg)
{
	t->loop = l;
	t->fn = fn;
	t->arg = arg;
	event_assign(&t->ev, l->base, -1, 0, on_timer, t);
}

void loop_after(struct loop_timer *t, uint64_t ms)
{
	ms = loop_scaled(ms);
	struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
			     .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
	/* libevent counts from when this turn began, which may have been a while ago. */
	event_base_update_cache_time(t->loop->base);
	event_add(&t->ev, &tv);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->loop)
		event_del(&t->ev);
}

bool loop_timer_pending(const struct loop_timer *t)
{
	return t->loop && event_pending(&t->ev, EV_TIMEOUT, NULL);
}

/* ---- next tick ---- */

void loop_next_tick(struct loop *l, struct loop_tick *t)
{
	if (t->prev)
		return;
	t->next = NULL;
	t->prev = l->ticks_end;
	*l->ticks_end = t;
	l->ticks_end = &t->next;
}

void loop_tick_cancel(struct loop *l, struct loop_tick *t)
{
	if (!t->prev)
		return;
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else if (l->ticks_end == &t->next)
		l->ticks_end = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

void loop_free_later(struct loop *l, void *p, void (*free_fn)(void *p))
{
	if (l->garbage_n == l->garbage_cap) {
		l->garbage_cap = l->garbage_cap ? 2 * l->garbage_cap : 64;
		l->garbage = xrealloc(l->garbage, l->garbage_cap * sizeof(*l->garbage));
	}
	l->garbage[l->garbage_n++] = (struct garbage){p, free_fn ? free_fn : free};
}

/* ---- exit hooks ---- */

void loop_exit_add(struct loop *l, struct loop_exit *e)
{
	e->next = &l->exits;
	e->prev = l->exits.prev;
	e->prev->next = e;
	l->exits.prev = e;
}

void loop_exit_del(struct loop *l, struct loop_exit *e)
{
	if (!e->next)
		return;
	e->prev->next = e->next;
	e->next->prev = e->prev;
	e->next = e->prev = NULL;
}
