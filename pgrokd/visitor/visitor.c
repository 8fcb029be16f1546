/* A visitor of a tunnel, from the tunnel's home to closed. */
#include "pgrokd/visitor/visitor.h"

#include <stdlib.h>
#include <string.h>

#include "pgrokd/client/client.h"
#include "pgrokd/visitor/reply.h"
#include "pgrokd/client/tunnel.h"

static void public_timeout(void *arg);
static void public_close(struct public *p, bool abort, const char *why);
static void public_join(void *arg, struct stream *s);

static void public_prefix(const struct public *p, char out[static 32])
{
	snprintf(out, 32, "pub:%llu", (unsigned long long)p->id);
}

static void public_count_state(struct public *p, enum public_state next)
{
	struct counters *c = &p->worker->count;

	c->waiting_now -= p->state == PUBLIC_WAITING;
	c->joined_now -= p->state == PUBLIC_JOINED;
	c->waiting_now += next == PUBLIC_WAITING;
	c->joined_now += next == PUBLIC_JOINED;
	p->state = next;
}

static void public_state(struct public *p, enum public_state next)
{
	static const char *const names[] = {"new", "waiting", "joined", "closed"};
	char prefix[32];

	if (log_wants(LOG_DEBUG)) {
		public_prefix(p, prefix);
		log_line(LOG_DEBUG, prefix, "%s -> %s", names[p->state], names[next]);
	}
	public_count_state(p, next);
}

static void public_start_timer(struct public *p, uint64_t ms)
{
	if (!p->timer) {
		p->timer = xcalloc(1, sizeof(*p->timer));
		loop_timer_init(p->timer, p->worker->loop, public_timeout, p);
	}
	loop_after(p->timer, ms);
}

static void public_stop_timer(struct public *p)
{
	if (p->timer)
		loop_timer_stop(p->timer);
}

static bool is_http(const struct public *p)
{
	return p->route->proto != PROTO_TCP;
}

/* ---- step 1, on the worker that accepted: whose is it ---- */

int public_route(struct worker *w, enum port port, const struct http_head *h, const char *head,
		 struct route **route, const char **why)
{
	enum proto proto = port == PORT_HTTP ? PROTO_HTTP : PROTO_HTTPS;
	char key[ROUTE_KEY_MAX];
	struct route *found = NULL;

	*why = "no such tunnel";
	if (route_key(proto, head + h->authority.off, h->authority.len, key))
		found = registry_find(w->core->registry, key);
	if (!found)
		return 404;
	int status = route_allows(found, h, head);

	if (status) {
		*why = "refused by the tunnel's rules";
		route_unref(found);
		return status;
	}
	*route = found;
	return 0;
}

/* ---- step 2, at home: made ---- */

static struct public *public_new(struct tunnel *t, struct stream *s, const struct addr *peer)
{
	struct worker *w = t->control->worker;
	bool http = t->route->proto != PROTO_TCP;
	struct public *p = xcalloc(1, sizeof(*p) + (http ? sizeof(*p->track) : 0));
	char prefix[32], text[ADDR_TEXT];

	p->worker = w;
	p->tunnel = t;
	p->route = route_ref(t->route);
	p->id = id_next();
	p->born = loop_now(w->loop);
	p->peer = *peer;
	p->stream = s;
	p->peer_features = t->control->features;
	TAILQ_INSERT_TAIL(&w->publics, p, link);
	TAILQ_INSERT_TAIL(&t->publics, p, tunnel_link);
	if (log_wants(LOG_DEBUG)) {
		public_prefix(p, prefix);
		log_line(LOG_DEBUG, prefix, "New visitor of %s from %s", p->route->url,
			 addr_text(peer, text));
	}
	return p;
}

/* ---- step 3: a proxy connection, now or later ---- */

static void public_claim(struct public *p)
{
	struct stream *s;

	p->waiter = (struct carrier_waiter){
		.visit = {p->route->url, &p->peer, p->route->mux}, .fn = public_join, .arg = p};
	switch (carrier_serve(p->tunnel->control->carrier, &p->waiter, &s)) {
	case CARRIER_OK:
		public_join(p, s);
		break;
	case CARRIER_WAITS:
		public_state(p, PUBLIC_WAITING);
		public_start_timer(p, LIMIT_WAIT_MS);
		break;
	case CARRIER_FULL:
		public_refuse(p, 503, "too many visitors wait");
		break;
	}
}

void public_adopt(struct worker *w, struct stream *s, struct parcel *parcel)
{
	struct tunnel *t = idmap_get(w->tunnels, parcel->route->tunnel_id);

	if (!t) { /* it died while the visitor was on its way */
		w->count.pages++;
		reply_send(s, 404, parcel->head_only);
		return;
	}
	struct public *p = public_new(t, stream_settle(s), &parcel->peer);

	p->unread = parcel->unread;
	p->unread_len = parcel->unread_len;
	p->head_only = parcel->head_only;
	parcel->unread = NULL;
	public_claim(p);
}

void public_accept_tcp(struct tunnel *t, int fd, const struct addr *peer)
{
	public_claim(public_new(t, stream_new(t->control->worker->loop, fd, NULL), peer));
}

/* ---- step 4: joined ---- */

static void public_set_timer(struct public *p, enum public_timer what, uint64_t ms)
{
	p->timer_for = what;
	if (what == TIMER_NONE)
		public_stop_timer(p);
	else
		public_start_timer(p, ms);
}

/* What may follow once an answer is complete. */
static enum judge public_answered(struct public *p, enum judge verdict)
{
	if (p->track->resume) {
		p->track->resume = false;
		pair_release(p->pair, SIDE_VISITOR);
	}
	if (p->fin_held && !http_track_owes(p->track)) {
		p->fin_held = false;
		if (p->timer_for == TIMER_FIN)
			public_set_timer(p, TIMER_NONE, 0);
		pair_release(p->pair, SIDE_VISITOR);
	}
	if (p->end_at_rest && verdict == JUDGE_PASS && http_track_at_rest(p->track))
		return JUDGE_CUT;
	return verdict;
}

/* A head that has begun must end in time; after a refusal the answers owed must. */
static void public_asked(struct public *p, enum judge verdict, size_t pass, size_t len)
{
	bool head_begun = verdict == JUDGE_PASS && pass < len;

	if (p->track->stopped) {
		if (p->timer_for != TIMER_OWED)
			public_set_timer(p, TIMER_OWED, LIMIT_OWED_MS);
	} else if (head_begun && (p->timer_for != TIMER_HEAD || pass > 0)) {
		public_set_timer(p, TIMER_HEAD, LIMIT_HEAD_MS);
	} else if (!head_begun && p->timer_for == TIMER_HEAD) {
		public_set_timer(p, TIMER_NONE, 0);
	}
}

static enum judge public_judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct public *p = arg;
	enum judge verdict;

	if (from == SIDE_SERVICE) {
		if (p->timer_for == TIMER_FIN)
			public_set_timer(p, TIMER_FIN, PAIR_SILENCE_MS);
		verdict = http_track_response(p->track, buf, len, pass);
		return public_answered(p, verdict);
	}
	verdict = http_track_request(p->track, buf, len, pass);
	public_asked(p, verdict, *pass, len);
	return verdict;
}

static int public_allow(void *arg, const struct http_head *h, const char *head)
{
	struct public *p = arg;

	p->head_only = http_span_is(head, h->method, "HEAD");
	return p->tunnel ? route_allows(p->route, h, head) : 404;
}

/*
 * A Go client closes everything at the first end it sees, so a visitor that ends its sending side
 * after the request would never get the answer.
 */
static bool public_eof(void *arg, enum side from)
{
	struct public *p = arg;

	if (from == SIDE_SERVICE) {
		http_track_response_eof(p->track);
		public_answered(p, JUDGE_STOP);
		return true;
	}
	/* A body that was broken off can't be answered any more. */
	p->fin_held = !p->peer_features && http_track_owes(p->track) && p->track->req_left == 0;
	if (p->fin_held)
		public_set_timer(p, TIMER_FIN, PAIR_SILENCE_MS);
	return !p->fin_held;
}

static void public_done(void *arg, enum pair_end end)
{
	static const char *const why[] = {
		[PAIR_DONE] = "done",
		[PAIR_CUT] = "its tunnel closed",
		[PAIR_ABORT] = "aborted",
		[PAIR_SILENT] = "half-closed and silent",
	};
	struct public *p = arg;
	char reason[128];

	if (end == PAIR_CUT && p->track->refused) {
		snprintf(reason, sizeof(reason), "a later request was refused with %d%s%.80s",
			 p->track->refused, p->track->error ? ": " : "",
			 p->track->error ? p->track->error : "");
		p->worker->count.pages++;
		reply_send(pair_take(p->pair, SIDE_VISITOR), p->track->refused, p->head_only);
	} else {
		snprintf(reason, sizeof(reason), "%s%s%.80s", why[end],
			 *pair_error(p->pair) ? ": " : "", pair_error(p->pair));
	}
	public_close(p, end == PAIR_ABORT, reason);
}

static const struct http_track_hooks track_hooks = {.allow = public_allow};
static const struct pair_hooks http_hooks = {
	.judge = public_judge, .eof = public_eof, .done = public_done};
static const struct pair_hooks tcp_hooks = {.done = public_done};

/* Takes s, which leads to the client and has begun. */
static void public_join(void *arg, struct stream *s)
{
	struct public *p = arg;

	public_stop_timer(p);
	if (is_http(p))
		http_track_init(p->track, route_guarded(p->route), &track_hooks, p);
	p->pair = pair_new(p->stream, s, is_http(p) ? &http_hooks : &tcp_hooks, p);
	p->stream = NULL;
	if (p->unread_len)
		pair_feed(p->pair, SIDE_VISITOR, p->unread, p->unread_len);
	free(p->unread);
	p->unread = NULL;
	public_state(p, PUBLIC_JOINED);
	p->worker->count.joined++;
	p->tunnel->visitors++;
	p->tunnel->control->visitors++;
	registry_joined(p->worker->core->registry, p->worker->index, 1);
	pair_start(p->pair);
}

/* ---- the ends ---- */

/* What moved, added up where it is wanted. */
static void public_count(struct public *p, const uint64_t bytes[static 2])
{
	for (int i = 0; i < 2; i++) {
		p->worker->count.bytes[i] += bytes[i];
		if (p->tunnel) {
			p->tunnel->bytes[i] += bytes[i];
			p->tunnel->control->bytes[i] += bytes[i];
		}
	}
}

static void public_free(void *arg)
{
	struct public *p = arg;

	free(p->timer);
	free(p);
}

/* Takes p. Its stream may be somebody else's by now (NULL). */
static void public_close(struct public *p, bool abort, const char *why)
{
	uint64_t bytes[2] = {0, 0};
	char prefix[32];

	if (p->pair) {
		bytes[0] = pair_bytes(p->pair, SIDE_VISITOR);
		bytes[1] = pair_bytes(p->pair, SIDE_SERVICE);
		public_count(p, bytes);
		pair_close(p->pair, abort);
		registry_joined(p->worker->core->registry, p->worker->index, -1);
	} else if (p->stream) {
		stream_close(p->stream, abort);
	}
	if (log_wants(LOG_DEBUG)) {
		public_prefix(p, prefix);
		log_line(LOG_DEBUG, prefix, "Closed: %s (age %llu ms, %llu bytes in, %llu out)",
			 why, (unsigned long long)(loop_now(p->worker->loop) - p->born),
			 (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
	}
	if (p->state == PUBLIC_WAITING)
		carrier_cancel(p->tunnel->control->carrier, &p->waiter);
	public_count_state(p, PUBLIC_CLOSED);
	public_stop_timer(p);
	if (p->tunnel)
		TAILQ_REMOVE(&p->tunnel->publics, p, tunnel_link);
	TAILQ_REMOVE(&p->worker->publics, p, link);
	route_unref(p->route);
	free(p->unread);
	loop_free_later(p->worker->loop, p, public_free);
}

void public_refuse(struct public *p, int status, const char *why)
{
	if (is_http(p)) {
		p->worker->count.pages++;
		reply_send(p->stream, status, p->head_only);
		p->stream = NULL;
	}
	public_close(p, false, why);
}

static void public_timeout(void *arg)
{
	struct public *p = arg;

	static const char *const why[] = {
		[TIMER_HEAD] = "a request head took too long",
		[TIMER_OWED] = "answers owed took too long",
		[TIMER_FIN] = "ended, and the answer stopped coming",
	};

	if (p->state == PUBLIC_WAITING)
		public_refuse(p, 504, "no proxy connection in time");
	else
		public_close(p, false, why[p->timer_for]);
}

void public_tunnel_gone(struct public *p)
{
	if (p->state == PUBLIC_WAITING) {
		public_refuse(p, 502, "its client went away");
		return;
	}
	bool ends = is_http(p) && !p->track->raw;

	if (ends && http_track_at_rest(p->track)) {
		public_close(p, false, "its tunnel closed");
		return;
	}
	TAILQ_REMOVE(&p->tunnel->publics, p, tunnel_link);
	p->tunnel = NULL;
	p->end_at_rest = ends;
}

void public_close_all(struct worker *w, const char *why)
{
	while (!TAILQ_EMPTY(&w->publics))
		public_close(TAILQ_FIRST(&w->publics), false, why);
}
