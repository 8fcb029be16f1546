/* A visitor of a tunnel, from the tunnel's home to closed. */
#include "pgrokd/visitor/visitor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/randid.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/visitor/parts.h"
#include "pgrokd/visitor/reply.h"

#define DOUBTS 3 /* after a pause of the whole server, too, its client has time to answer */

static void visitor_timeout(void *arg);
static void visitor_join(void *arg, struct stream *s);

static const char *visitor_prefix(const struct visitor *v, char out[static 32])
{
	snprintf(out, 32, "vis:%llu", (unsigned long long)v->id);
	return out;
}

static void visitor_state(struct visitor *v, enum visitor_state next)
{
	static const char *const names[] = {"new", "waiting", "joined", "resting", "closed"};
	struct counters *c = &v->worker->count;
	int joined = (next == VISITOR_JOINED) - (v->state == VISITOR_JOINED);
	char prefix[32];

	if (log_wants(LOG_DEBUG))
		log_line(LOG_DEBUG, visitor_prefix(v, prefix), "%s -> %s", names[v->state],
			 names[next]);
	c->waiting_now -= v->state == VISITOR_WAITING;
	c->waiting_now += next == VISITOR_WAITING;
	c->joined_now += (uint64_t)joined;
	if (joined)
		registry_joined(v->worker->core->registry, v->worker->index, joined);
	v->state = next;
}

void visitor_set_timer(struct visitor *v, enum visitor_timer what, uint64_t ms)
{
	v->timer_for = what;
	if (what == VISITOR_TIMER_NONE) {
		if (v->timer)
			loop_timer_stop(v->timer);
		return;
	}
	if (!v->timer) {
		v->timer = xcalloc(1, sizeof(*v->timer));
		loop_timer_init(v->timer, v->worker->loop, visitor_timeout, v);
	}
	loop_after(v->timer, ms);
}

void visitor_no_timer(struct visitor *v)
{
	visitor_set_timer(v, VISITOR_TIMER_NONE, 0);
}

/* It has left its pair, or is known at its client. */
static void visitor_heard(struct visitor *v)
{
	if (v->unheard)
		TAILQ_REMOVE(&v->worker->unheard, v, new_link);
	v->unheard = false;
}

static void visitor_leave_tunnel(struct visitor *v)
{
	struct visitors *at = v->at;

	assert(at);
	v->at = NULL;
	TAILQ_REMOVE(&at->list, v, at_link);
	at->now--;
}

static bool is_http(const struct visitor *v)
{
	return v->route->proto != PROTO_TCP;
}

/* ---- step 1: made ---- */

static struct visitor *visitor_new(struct visitors *at, struct stream *s, const struct addr *peer,
				   const struct addr *origin)
{
	bool http = at->route->proto != PROTO_TCP;
	struct visitor *v = xcalloc(1, sizeof(*v) + (http ? sizeof(*v->track) : 0));
	char prefix[32], text[ADDR_TEXT];

	v->worker = at->worker;
	v->at = at;
	v->route = route_ref(at->route);
	v->id = id_next();
	v->born = loop_now(at->worker->loop);
	v->peer = *peer;
	v->origin = *origin;
	v->stream = s;
	v->half_close = at->half_close;
	v->single = http && at->one_request ? xcalloc(1, sizeof(*v->single)) : NULL;
	STAILQ_INIT(&v->entries);
	TAILQ_INSERT_TAIL(&at->worker->visitors, v, link);
	TAILQ_INSERT_TAIL(&at->list, v, at_link);
	at->now++;
	at->last = v->born;
	v->asked_us = http ? clock_us() : 0;
	if (log_wants(LOG_DEBUG))
		log_line(LOG_DEBUG, visitor_prefix(v, prefix), "New visitor of %s from %s",
			 v->route->url, addr_text(origin, text));
	return v;
}

/* ---- step 2: a stream to its client, now or later ---- */

/* Not joined, http: takes v, hands on its connection and its request. */
static void visitor_back(struct visitor *v, int status, const char *why)
{
	struct worker *w = v->worker;
	struct stream *s = v->stream;
	struct parcel *p = parcel_new(w->core->back, NULL, &v->peer);

	p->route = route_ref(v->route);
	p->seat = seat_take(&v->seat);
	p->status = status;
	p->asked_us = v->asked_us;
	p->unread = v->unread;
	p->unread_len = v->unread_len;
	v->unread = NULL;
	v->stream = NULL;
	visitor_close(v, false, why);
	parcel_send(p, w, w->index, s);
}

/* Not joined: gets a page (http), or is closed. */
static void visitor_refuse(struct visitor *v, enum no_visit reason, const char *why)
{
	static const int status[] = {[NO_VISIT_FULL] = 503,
				     [NO_VISIT_TIME] = 504,
				     [NO_VISIT_GONE] = 502,
				     [NO_VISIT_LIMIT] = 503};

	v->worker->count.no_visit[reason]++;
	if (is_http(v))
		visitor_back(v, status[reason], why);
	else
		visitor_close(v, false, why);
}

/* One more of its owner's visitors. False: there are too many. */
static bool visitor_enter(struct visitor *v)
{
	struct tally *t = v->at->tally;

	if (!tally_enter(t, &t->visitors, 1, v->at->most))
		return false;
	v->tally = tally_ref(t);
	return true;
}

static void visitor_claim(struct visitor *v)
{
	struct stream *s;

	if (v->at->tally && !v->tally && !visitor_enter(v)) {
		visitor_refuse(v, NO_VISIT_LIMIT,
			       "its owner has as many visitors as the token allows");
		return;
	}
	v->waiter = (struct carrier_waiter){
		.visit = {v->route->url, &v->origin, v->route->mux}, .fn = visitor_join, .arg = v};
	switch (carrier_serve(v->at->carrier, &v->waiter, &s)) {
	case CARRIER_OK:
		visitor_join(v, s);
		break;
	case CARRIER_WAITS:
		stream_want(v->stream, 0);
		visitor_state(v, VISITOR_WAITING);
		visitor_set_timer(v, VISITOR_TIMER_WAIT, LIMIT_WAIT_MS);
		break;
	case CARRIER_FULL:
		visitor_refuse(v, NO_VISIT_FULL, "too many visitors wait");
		break;
	}
}

void visitor_adopt(struct worker *w, struct stream *s, struct parcel *parcel)
{
	struct visitors *at = idmap_get(w->tunnels, parcel->route->tunnel_id);

	if (!at) { /* it died while the visitor was on its way */
		w->core->back(w, s, parcel);
		return;
	}
	struct visitor *v = visitor_new(at, stream_settle(s), &parcel->peer, &parcel->origin);

	v->unread = parcel->unread;
	v->unread_len = parcel->unread_len;
	parcel->unread = NULL;
	v->seat = seat_take(&parcel->seat);
	visitor_claim(v);
}

void visitor_accept(struct visitors *at, int fd, const struct addr *peer, struct seat seat)
{
	struct worker *w = at->worker;

	if (!rules_admit(at->route->rules, peer)) {
		w->count.no_visit[NO_VISIT_RULES]++;
		crowd_leave(w->core->crowd, &seat);
		close(fd);
		return;
	}
	struct visitor *v = visitor_new(at, stream_new(w->loop, fd, NULL), peer, peer);

	v->seat = seat;
	visitor_claim(v);
}

/* ---- step 3: joined, and back ---- */

void visitor_next(struct visitor *v)
{
	bool waits = v->single && !v->unread_len;
	bool same = v->at && v->again && v->unread_len && !v->route->asks;

	visitor_no_timer(v);
	visitor_state(v, waits ? VISITOR_RESTING : VISITOR_NEW);
	if (waits)
		single_rest(v);
	else if (same && (!v->single || visitor_may_go_on(v)))
		visitor_claim(v);
	else
		visitor_back(v, 0,
			     v->unread_len ? "left for another tunnel" : "its way was closed");
}

/* The pair is at rest, and the next request in hand, if there is one: it goes another way. */
static void visitor_leave(struct visitor *v, enum pair_end end)
{
	visitor_heard(v);
	visitor_unpace(v);
	v->stream = end == PAIR_LEFT ? pair_leave(v->pair, SIDE_VISITOR, &v->unread, &v->unread_len)
				     : pair_take(v->pair, SIDE_VISITOR);
	/* All has been said on it: there is nothing to linger for. */
	if (v->single)
		stream_close(pair_take(v->pair, SIDE_SERVICE), v->single->untaken);
	pair_close(v->pair, false);
	v->pair = NULL;
	visitor_next(v);
}

/* A later request was refused, or has no answer, and all answers before it are out. */
static void visitor_refused(struct visitor *v)
{
	const struct http_track *t = v->track;
	char reason[128];

	snprintf(reason, sizeof(reason), "its request got %d%s%.80s", t->refused,
		 t->error ? ": " : "", t->error ? t->error : "");
	count_page(&v->worker->count, t->refused);
	size_t bytes =
		reply_send(pair_take(v->pair, SIDE_VISITOR),
			   &(struct reply_page){.status = t->refused, .head_only = t->head_only});

	visitor_paged(v, t->refused, bytes);
	visitor_close(v, false, reason);
}

/* Between two requests. */
static bool rests(const struct visitor *v)
{
	return is_http(v) && http_track_at_rest(v->track);
}

/* No page may follow its answer. */
static bool told_last(const struct visitor *v)
{
	return v->single && v->single->answer.close;
}

static void visitor_done(void *arg, enum pair_end end)
{
	static const char *const why[] = {
		[PAIR_DONE] = "done",
		[PAIR_CUT] = "its tunnel closed",
		[PAIR_ABORT] = "aborted",
		[PAIR_SILENT] = "half-closed and silent",
	};
	struct visitor *v = arg;
	char reason[128];
	/* What has come of its answer must not look whole. */
	bool broken = v->single && http_track_broken_off(v->track);

	if (end == PAIR_LEFT || (end == PAIR_ABORT && rests(v) && !v->track->last &&
				 pair_clean(v->pair, SIDE_VISITOR))) {
		visitor_leave(v, end);
	} else if (end == PAIR_CUT && v->track->refused && !told_last(v)) {
		visitor_refused(v);
	} else if (end == PAIR_ABORT && v->single && single_lost(v)) {
		visitor_refused(v);
	} else {
		const char *text = end == PAIR_CUT && v->single ? single_cut(v) : why[end];

		snprintf(reason, sizeof(reason), "%.80s%s%.40s", text,
			 *pair_error(v->pair) ? ": " : "", pair_error(v->pair));
		visitor_close(v, end == PAIR_ABORT || broken, reason);
	}
}

/* Joined, and there is nobody to answer: a page, if that can be said, else an end that shows. */
static void visitor_fail(struct visitor *v, int status, const char *why)
{
	visitor_heard(v);
	if (is_http(v) && http_track_fail(v->track, status, why))
		pair_cut(v->pair);
	else
		visitor_close(v, true, why);
}

static void hear_later(struct worker *w);

/*
 * Nothing waits for this: what a visitor says goes to its client at once. But who has had nothing
 * from there is asked about; a client that does not even know of it is frozen, or its line is cut.
 */
static void hear(void *arg)
{
	struct worker *w = arg;
	uint64_t now = loop_now(w->loop), age;
	struct visitor *v, *next;

	for (v = TAILQ_FIRST(&w->unheard); v; v = next) {
		next = TAILQ_NEXT(v, new_link);
		age = now - v->joined;
		if (age < loop_scaled(LIMIT_ASK_MS))
			break;
		if (pair_bytes(v->pair, SIDE_SERVICE) ||
		    stream_known(pair_stream(v->pair, SIDE_SERVICE)))
			visitor_heard(v);
		else if (++v->doubts >= DOUBTS && age >= loop_scaled(LIMIT_HEAR_MS))
			visitor_fail(v, 504, "its client took no notice of it");
	}
	hear_later(w);
}

static void hear_later(struct worker *w)
{
	if (TAILQ_EMPTY(&w->unheard) || loop_timer_pending(&w->hear))
		return;
	if (!w->hear.loop)
		loop_timer_init(&w->hear, w->loop, hear, w);
	loop_after(&w->hear, LIMIT_LOOK_MS);
}

static const struct http_track_hooks track_hooks = {
	.allow = visitor_allow,
	.answer = visitor_answer,
	.interim = visitor_interim,
	.complete = visitor_complete,
};
static const struct pair_hooks http_hooks = {.judge = visitor_judge,
					     .eof = visitor_eof,
					     .awaited = visitor_awaited,
					     .tap = visitor_tap,
					     .done = visitor_done};
static const struct pair_hooks single_hooks = {.judge = visitor_judge,
					       .eof = visitor_eof,
					       .edit = visitor_made,
					       .awaited = visitor_awaited,
					       .tap = visitor_tap,
					       .done = visitor_done,
					       .ends_unheard = true};
static const struct pair_hooks tcp_hooks = {.tap = visitor_tap, .done = visitor_done};

/* A visitor is one, however many streams it is given for its requests. */
static void count_joined(struct visitor *v)
{
	if (v->single && v->single->joined)
		return;
	if (v->single)
		v->single->joined = true;
	v->worker->count.joined++;
	v->at->count.visitors++;
	v->at->sum->visitors++;
}

static struct pair *pair_for(struct visitor *v, struct stream *s)
{
	const struct pair_hooks *hooks = v->single ? &single_hooks : &http_hooks;

	if (is_http(v)) {
		http_track_init(v->track, route_guarded(v->route), &track_hooks, v);
		v->track->single = v->single;
	}
	return pair_new(v->stream, s, is_http(v) ? hooks : &tcp_hooks, v);
}

/* Takes s, which leads to the client and has begun. */
static void visitor_join(void *arg, struct stream *s)
{
	struct visitor *v = arg;

	visitor_no_timer(v);
	v->asked = false;
	v->fin_held = false;
	v->told = 0;
	v->pair = pair_for(v, s);
	v->stream = NULL;
	if (v->unread_len)
		pair_feed(v->pair, SIDE_VISITOR, v->unread, v->unread_len);
	free(v->unread);
	v->unread = NULL;
	v->unread_len = 0;
	visitor_state(v, VISITOR_JOINED);
	count_joined(v);
	v->joined = loop_now(v->worker->loop);
	v->unheard = true;
	v->doubts = 0;
	TAILQ_INSERT_TAIL(&v->worker->unheard, v, new_link);
	hear_later(v->worker);
	visitor_pace(v);
	pair_start(v->pair);
}

/* ---- the ends ---- */

static void visitor_free(void *arg)
{
	struct visitor *v = arg;

	if (v->single)
		text_free(&v->single->splice.out);
	free(v->single);
	free(v->timer);
	free(v);
}

void visitor_close(struct visitor *v, bool abort, const char *why)
{
	char prefix[32];

	visitor_heard(v);
	visitor_in_flight(v, 0);
	visitor_bulk_end(v);
	if (!STAILQ_EMPTY(&v->entries))
		visitor_broken_off(v);
	visitor_unpace(v);
	if (v->pair)
		pair_close(v->pair, abort);
	else if (v->stream)
		stream_close(v->stream, abort);
	if (log_wants(LOG_DEBUG))
		log_closed(LOG_DEBUG, visitor_prefix(v, prefix), why,
			   loop_now(v->worker->loop) - v->born, ", %llu bytes in, %llu out",
			   (unsigned long long)v->bytes[SIDE_VISITOR],
			   (unsigned long long)v->bytes[SIDE_SERVICE]);
	if (v->state == VISITOR_WAITING)
		carrier_cancel(v->at->carrier, &v->waiter);
	visitor_state(v, VISITOR_CLOSED);
	visitor_no_timer(v);
	if (v->at)
		visitor_leave_tunnel(v);
	TAILQ_REMOVE(&v->worker->visitors, v, link);
	crowd_leave(v->worker->core->crowd, &v->seat);
	if (v->tally)
		atomic_fetch_sub(&v->tally->visitors, 1);
	tally_unref(v->tally);
	route_unref(v->route);
	if (v->unread)
		xfree_secret(v->unread, v->unread_len); /* a head may carry a password */
	loop_free_later(v->worker->loop, v, visitor_free);
}

static void visitor_timeout(void *arg)
{
	struct visitor *v = arg;
	static const char *const why[] = {
		[VISITOR_TIMER_HEAD] = "a request head took too long",
		[VISITOR_TIMER_OWED] = "answers owed took too long",
		[VISITOR_TIMER_FIN] = "ended, and has gone",
		[VISITOR_TIMER_REST] = "no request in time",
	};

	if (v->timer_for == VISITOR_TIMER_WAIT)
		visitor_refuse(v, NO_VISIT_TIME, "no connection of its client in time");
	else if (v->timer_for == VISITOR_TIMER_FIN && visitor_awaited(v))
		visitor_set_timer(v, VISITOR_TIMER_FIN, LIMIT_GONE_MS);
	else /* a client of single requests is to take notice of one who has gone */
		visitor_close(v, v->single && v->pair, why[v->timer_for]);
}

/* Its tunnel closes. */
static void visitor_bereft(struct visitor *v, bool lost)
{
	if (v->state == VISITOR_WAITING) {
		visitor_refuse(v, NO_VISIT_GONE, "its client went away");
		return;
	}
	if (v->state == VISITOR_RESTING) {
		visitor_leave_tunnel(v);
		return;
	}
	visitor_leave_tunnel(v);
	if (rests(v) && v->track->last) {
		pair_cut(v->pair);
	} else if (rests(v)) {
		pair_let_go(v->pair, SIDE_VISITOR);
	} else if (lost) {
		visitor_fail(v, 502, "its client is lost");
	} else {
		v->end_at_rest = is_http(v);
		if (v->end_at_rest)
			v->track->guarded = true; /* nothing new begins on it */
	}
}

void visitors_open(struct visitors *at)
{
	TAILQ_INIT(&at->list);
	idmap_put(at->worker->tunnels, at->route->tunnel_id, at);
}

void visitors_close(struct visitors *at, bool lost)
{
	idmap_del(at->worker->tunnels, at->route->tunnel_id);
	while (!TAILQ_EMPTY(&at->list))
		visitor_bereft(TAILQ_FIRST(&at->list), lost);
	visitors_unlimit(at);
}

void visitor_settle_all(struct worker *w)
{
	const struct tokens *tokens = w->settings ? w->settings->tokens : NULL;
	struct visitor *v, *next;

	for (v = tokens ? TAILQ_FIRST(&w->visitors) : NULL; v; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->at || !v->tally || tokens_have(tokens, v->tally))
			continue;
		visitor_close(v, true, "the token of its tunnel's owner is not known any more");
	}
}

void visitor_close_all(struct worker *w, const char *why)
{
	while (!TAILQ_EMPTY(&w->visitors))
		visitor_close(TAILQ_FIRST(&w->visitors), false, why);
}
