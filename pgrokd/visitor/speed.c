/*
 * How fast visitors may be. One that has used up what its tunnel or its owner may carry now is not
 * read any more, and stands in a queue of its worker, which has one timer for all of them.
 */
#include "common/base/clock.h"
#include "pgrokd/visitor/parts.h"

#define TIMER_LEAST_MS 2 /* several are woken together */

/* What the visitors of a tunnel share; on its worker. */
struct speed {
	unsigned refs;
	uint64_t rate, owner_rate; /* bytes a second in each direction; 0: any */
	struct pace pace[2];
	struct tally *tally; /* a reference; NULL: there is no owner */
};

/* One of its directions, while it waits. */
struct pause {
	TAILQ_ENTRY(pause) link;
	struct visitor *visitor; /* NULL: it does not wait */
	enum side from;
	uint64_t until; /* clock_ns() */
};

struct paced {
	struct speed *speed; /* a reference */
	struct pause pause[2];
};

static void speed_unref(struct speed *s)
{
	if (!s || --s->refs)
		return;
	tally_unref(s->tally);
	free(s);
}

/* ---- the queue ---- */

static void on_time(void *arg);

static void wake_at(struct worker *w, uint64_t until, uint64_t now)
{
	uint64_t ms = until > now ? (until - now) / 1000000 + 1 : 1;

	if (loop_timer_pending(&w->pace) && w->pace_due <= until)
		return;
	if (!w->pace.loop)
		loop_timer_init(&w->pace, w->loop, on_time, w);
	w->pace_due = until;
	loop_after(&w->pace, ms < TIMER_LEAST_MS ? TIMER_LEAST_MS : ms);
}

static void pause_at(struct visitor *v, enum side from, uint64_t until, uint64_t now)
{
	struct pause *p = &v->paced->pause[from];

	p->until = until;
	if (!p->visitor) {
		p->visitor = v;
		p->from = from;
		TAILQ_INSERT_TAIL(&v->worker->paused, p, link);
	}
	wake_at(v->worker, until, now);
}

static void pause_end(struct pause *p)
{
	if (p->visitor)
		TAILQ_REMOVE(&p->visitor->worker->paused, p, link);
	p->visitor = NULL;
}

/* Who came first is first to try; who tries in vain stands behind the others again. */
static void on_time(void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_ns(), next = UINT64_MAX;
	struct pause *p, *after;

	for (p = TAILQ_FIRST(&w->paused); p; p = after) {
		struct visitor *v = p->visitor;

		after = TAILQ_NEXT(p, link);
		if (p->until <= now) {
			pause_end(p);
			pair_resume(v->pair, p->from);
		} else if (p->until < next) {
			next = p->until;
		}
	}
	if (next != UINT64_MAX)
		wake_at(w, next, now);
}

/* ---- one visitor ---- */

static size_t budget(void *arg, enum side from)
{
	struct visitor *v = arg;
	const struct speed *s = v->paced->speed;
	uint64_t now = clock_ns(), until = 0;
	size_t n = SIZE_MAX;

	if (s->rate)
		n = pace_budget(&s->pace[from], s->rate, now, &until);
	if (n && s->owner_rate) {
		size_t more = pace_budget(&s->tally->pace[from], s->owner_rate, now, &until);

		n = more < n ? more : n;
	}
	if (!n)
		pause_at(v, from, until, now);
	return n;
}

void visitor_pay(struct visitor *v, enum side from, size_t len)
{
	struct speed *s = v->paced->speed;
	uint64_t now = clock_ns();

	if (s->rate)
		pace_pay(&s->pace[from], s->rate, now, len);
	if (s->owner_rate)
		pace_pay(&s->tally->pace[from], s->owner_rate, now, len);
}

void visitor_pace(struct visitor *v)
{
	if (v->paced || !v->at || !v->at->speed)
		return;
	v->paced = xcalloc(1, sizeof(*v->paced));
	v->paced->speed = v->at->speed;
	v->paced->speed->refs++;
	pair_pace(v->pair, budget);
}

void visitor_unpace(struct visitor *v)
{
	if (!v->paced)
		return;
	pause_end(&v->paced->pause[0]);
	pause_end(&v->paced->pause[1]);
	speed_unref(v->paced->speed);
	free(v->paced);
	v->paced = NULL;
}

/* ---- a tunnel ---- */

void visitors_limit(struct visitors *at, uint64_t rate, uint64_t owner_rate)
{
	struct visitor *v;

	if (!at->speed) {
		if (!rate && !owner_rate)
			return;
		at->speed = xcalloc(1, sizeof(*at->speed));
		at->speed->refs = 1;
		at->speed->tally = tally_ref(at->tally);
	}
	at->speed->rate = rate;
	at->speed->owner_rate = at->tally ? owner_rate : 0;
	TAILQ_FOREACH(v, &at->list, at_link)
	if (v->pair)
		visitor_pace(v);
}

void visitors_unlimit(struct visitors *at)
{
	speed_unref(at->speed);
	at->speed = NULL;
}
