/*
 * A worker: one event_base, one thread, an inbox for other threads, timers and a next-tick list.
 * Every object lives and dies on one loop. Only loop_post() and loop_stop() may be called from
 * another thread.
 */
#ifndef COMMON_BASE_LOOP_H
#define COMMON_BASE_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/xalloc.h"

struct loop;

/* Returns owned. Also ignores SIGPIPE, once. */
struct loop *loop_new(void) MUSTCHECK;
/*
 * Frees what is queued: messages through their drop function, ticks by running them, exit hooks
 * by calling them. All objects of the loop must have been closed or be on the exit list.
 */
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);

/* Runs until loop_stop(). One turn = poll, callbacks, then the next-tick list once. */
void loop_run(struct loop *l);
/*
 * From any thread: loop_run() returns after the current turn; messages not delivered yet are
 * dropped.
 */
void loop_stop(struct loop *l);
/* Milliseconds of a monotonic clock, read once per turn. Not scaled by PGROK_TIME_SCALE. */
uint64_t loop_now(struct loop *l);

/* ---- inbox: what another thread hands over ---- */

/* Embedded as the first member of what is sent. */
struct loop_msg {
	struct loop_msg *next;
	void (*deliver)(struct loop_msg *m, struct loop *l); /* takes m, on l's thread */
	void (*drop)(struct loop_msg *m);                    /* takes m: the loop ends */
};

/* From any thread: m is taken; delivered in the order posted by one thread. */
void loop_post(struct loop *l, struct loop_msg *m);

/* ---- timers: all time-outs go through these ---- */

struct loop_timer {
	struct event ev;
	struct loop *loop; /* NULL: never initialised */
	void (*fn)(void *arg);
	void *arg;
};

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fn)(void *arg), void *arg);
/*
 * Fires once, ms milliseconds from now; re-arms when pending. Debug and sanitizer builds multiply
 * by the environment variable PGROK_TIME_SCALE (for example 0.05), so that tests need not wait.
 */
void loop_after(struct loop_timer *t, uint64_t ms);
/* No-op when not pending or never initialised (zeroed memory). */
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_pending(const struct loop_timer *t);
/* A time-out as PGROK_TIME_SCALE leaves it: for the rare comparison with loop_now(). */
uint64_t loop_scaled(uint64_t ms);

/* ---- next tick: after the callbacks of this turn ---- */

struct loop_tick {
	void (*fn)(void *arg);
	void *arg;
	struct loop_tick *next, **prev; /* prev NULL: not queued */
};

/*
 * Runs fn(arg) once after all callbacks of the current turn. Queued again from inside fn: runs in
 * the next turn, after a poll, so neither timers nor sockets starve. No-op when already queued.
 */
void loop_next_tick(struct loop *l, struct loop_tick *t);
void loop_tick_cancel(struct loop *l, struct loop_tick *t);
/*
 * Frees p (with free_fn, or free() if NULL) on the next tick. free_fn may not queue anything on p.
 * This is how every object returns its memory: never inside a callback chain.
 */
void loop_free_later(struct loop *l, void *p, void (*free_fn)(void *p));

/* ---- exit hooks: for objects that have no owner any more (a lingering close) ---- */

struct loop_exit {
	struct loop_exit *prev, *next;
	void (*fn)(void *arg); /* must loop_exit_del() itself */
	void *arg;
};

void loop_exit_add(struct loop *l, struct loop_exit *e);
void loop_exit_del(struct loop *l, struct loop_exit *e);

#endif
