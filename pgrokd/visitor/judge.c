/* The requests of a joined visitor, and their answers: what may pass, and what is waited for. */
#include "common/base/clock.h"
#include "common/net/nets.h"
#include "common/net/socket.h"
#include "pgrokd/access/origin.h"
#include "pgrokd/core/admit.h"
#include "pgrokd/visitor/parts.h"

/* What may follow once an answer is complete. */
static enum judge visitor_answered(struct visitor *v, enum judge verdict)
{
	if (v->track->resume) {
		v->track->resume = false;
		pair_release(v->pair, SIDE_VISITOR);
	}
	if (v->fin_held && !http_track_owes(v->track)) {
		v->fin_held = false;
		if (v->timer_for == VISITOR_TIMER_FIN)
			visitor_no_timer(v);
		pair_release(v->pair, SIDE_VISITOR);
	}
	if (v->single && verdict == JUDGE_STOP)
		return single_answered(v, verdict);
	if (!v->end_at_rest || verdict != JUDGE_PASS || !http_track_at_rest(v->track))
		return verdict;
	if (v->track->last)
		return JUDGE_CUT;
	pair_let_go(v->pair, SIDE_VISITOR);
	return verdict;
}

/* A head that has begun must end in time; after a refusal the answers owed must. */
static void visitor_asked(struct visitor *v, enum judge verdict, size_t pass, size_t len)
{
	bool head_begun = verdict == JUDGE_PASS && pass < len;

	if (v->track->stopped) {
		if (v->timer_for != VISITOR_TIMER_OWED)
			visitor_set_timer(v, VISITOR_TIMER_OWED, LIMIT_OWED_MS);
	} else if (head_begun && (v->timer_for != VISITOR_TIMER_HEAD || pass > 0)) {
		visitor_set_timer(v, VISITOR_TIMER_HEAD, LIMIT_HEAD_MS);
	} else if (!head_begun && v->timer_for == VISITOR_TIMER_HEAD) {
		visitor_no_timer(v);
	}
}

enum judge visitor_judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct visitor *v = arg;
	enum judge verdict;

	if (v->single)
		http_splice_begin(&v->single->splice, buf);
	if (from == SIDE_SERVICE) {
		verdict = http_track_response(v->track, buf, len, pass);
		return visitor_answered(v, verdict);
	}
	verdict = http_track_request(v->track, buf, len, pass);
	visitor_asked(v, verdict, *pass, len);
	return verdict;
}

/* ---- the access log ---- */

static void end_first(struct visitor *v, uint64_t out)
{
	struct journal_entry *e = STAILQ_FIRST(&v->entries), *next = STAILQ_NEXT(e, link);
	uint64_t in = (next ? next->mark : v->track->req_passed) - e->mark;

	STAILQ_REMOVE_HEAD(&v->entries, link);
	journal_end(v->worker->journal, e, in, out);
}

void visitor_broken_off(struct visitor *v)
{
	uint64_t out = v->track->resp_passed - v->told;

	while (!STAILQ_EMPTY(&v->entries)) {
		end_first(v, out);
		out = 0;
	}
}

static struct journal_entry *begin(struct visitor *v, const struct http_head *h, const char *head)
{
	/* Of several that are asked at once the first is measured. */
	bool first = STAILQ_EMPTY(&v->entries) && v->asked_us;

	return journal_begin(v->worker->journal,
			     &(struct journal_request){
				     .peer = &v->origin,
				     .owner = v->at && v->at->owner ? v->at->owner : "",
				     .head = h,
				     .bytes = head,
				     .https = v->route->proto == PROTO_HTTPS,
				     .began_us = first ? v->asked_us : clock_us(),
			     });
}

/* A request passes. */
static void note_request(struct visitor *v, const struct http_head *h, const char *head)
{
	if (v->track->unfollowed) /* whose answers can't be told apart */
		visitor_broken_off(v);
	struct journal_entry *e = begin(v, h, head);

	e->mark = v->track->req_at;
	STAILQ_INSERT_TAIL(&v->entries, e, link);
}

void visitor_paged(struct visitor *v, int status, size_t bytes)
{
	struct journal_entry *e;

	if (!v->worker->journal)
		return;
	if (STAILQ_EMPTY(&v->entries)) {
		e = begin(v, NULL, NULL);
		e->mark = v->track->req_passed;
		STAILQ_INSERT_TAIL(&v->entries, e, link);
	}
	journal_answer(STAILQ_FIRST(&v->entries), status, clock_us());
	end_first(v, bytes);
	visitor_broken_off(v);
}

/* ---- how many are under way, and how long they take ---- */

void visitor_in_flight(struct visitor *v, uint32_t n)
{
	v->worker->count.in_flight += (uint64_t)n - v->in_flight;
	v->in_flight = n;
}

/* A request passes. Of several that are asked at once the first is measured. */
static void time_request(struct visitor *v, const struct http_head *h, const char *head)
{
	if (v->track->unfollowed) /* the end of the answers before it can't be seen */
		visitor_in_flight(v, 0);
	if (!v->in_flight) {
		v->timed_us = v->track->unfollowed ? 0 : v->asked_us;
		v->timed_method = (uint8_t)counted_method(head + h->method.off, h->method.len);
	}
	visitor_in_flight(v, v->in_flight + 1);
}

static void time_answer(struct visitor *v)
{
	if (v->timed_us)
		histogram_add(&v->worker->count.whole[v->timed_method][v->timed_class],
			      clock_us() - v->timed_us);
	v->timed_us = 0;
	if (v->in_flight)
		visitor_in_flight(v, v->in_flight - 1);
}

void visitor_complete(void *arg)
{
	struct visitor *v = arg;

	time_answer(v);
	if (STAILQ_EMPTY(&v->entries))
		return;
	end_first(v, v->track->resp_at - v->told);
	v->told = v->track->resp_at;
}

/* ---- hooks ---- */

/* On the connection of a proxy: is this request another visitor's than the one before? */
static bool of_another(struct visitor *v, const struct http_head *h, const char *head)
{
	const struct nets *trusted = v->worker->core->trusted;

	if (!nets_have(trusted, &v->peer))
		return false;
	struct addr origin = origin_of(trusted, &v->peer, h, head);
	bool other = !addr_same_ip(&origin, &v->origin);

	v->origin = origin;
	return other;
}

/* Does its tunnel let in this request, which came over s? */
static bool lets_in(const struct visitor *v, const struct stream *s, const struct http_head *h,
		    const char *head)
{
	struct admit_from from = {
		.addr = &v->origin,
		.ssl = stream_ssl(s),
		.https = origin_https(v->worker->core->trusted, &v->peer, h, head),
	};
	struct visit visit = admit_visit(v->route, h, head, &from);

	return v->at && route_allows(v->route, &visit) == 0;
}

bool visitor_may_go_on(struct visitor *v)
{
	struct http_head h = {0};
	const char *head = v->unread + http_empty_lines(v->unread, v->unread_len);

	if (http_request_scan(&h, head, (size_t)(v->unread + v->unread_len - head)) != HTTP_OK)
		return false;
	(void)of_another(v, &h, head);
	return lets_in(v, v->stream, &h, head);
}

int visitor_allow(void *arg, const struct http_head *h, const char *head)
{
	struct visitor *v = arg;
	bool other = of_another(v, h, head);

	/* Where each request is asked about the first one comes from; the others go back there. */
	v->again = !(v->asked && v->route->asks) &&
		   lets_in(v, pair_stream(v->pair, SIDE_VISITOR), h, head);
	/* Of several that are asked at once the first is measured. */
	if (!v->asked_us)
		v->asked_us = clock_us();
	if (!v->again || (v->asked && (v->at->one_request || other)))
		return TRACK_LEAVE;
	v->asked = true;
	v->at->last = loop_now(v->worker->loop);
	v->worker->count.requests++;
	time_request(v, h, head);
	if (v->worker->journal)
		note_request(v, h, head);
	if (v->single)
		single_request(v, h, head);
	return 0;
}

void visitor_answer(void *arg, const struct http_head *h, const char *head)
{
	struct visitor *v = arg;

	uint64_t now = v->asked_us || !STAILQ_EMPTY(&v->entries) ? clock_us() : 0;

	count_answer(&v->worker->count, h->status, v->asked_us ? now - v->asked_us : 0);
	v->timed_class = (uint8_t)counted_class(h->status);
	v->asked_us = 0;
	if (!STAILQ_EMPTY(&v->entries))
		journal_answer(STAILQ_FIRST(&v->entries), h->status, now);
	if (v->single)
		single_answer(v, h, head);
}

static void add(struct visitor_count *count, enum side from, size_t len)
{
	count->bytes[from] += len;
}

void visitor_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct visitor *v = arg;

	v->bytes[from] += len;
	if (v->paced)
		visitor_pay(v, from, len);
	if (from == SIDE_SERVICE &&
	    v->bytes[from] / LIMIT_BULK != (v->bytes[from] - len) / LIMIT_BULK)
		visitor_bulk(v);
	v->worker->count.bytes[from] += len;
	if (v->at) {
		add(&v->at->count, from, len);
		add(v->at->sum, from, len);
	}
}

/*
 * A Go client closes everything at the first end it sees, so a visitor that ends its sending side
 * after the request would never get the answer.
 */
bool visitor_eof(void *arg, enum side from)
{
	struct visitor *v = arg;

	if (v->single && !v->track->raw) {
		single_eof(v, from);
		return false;
	}
	if (from == SIDE_SERVICE) {
		http_track_response_eof(v->track);
		visitor_answered(v, JUDGE_STOP);
		return true;
	}
	http_track_request_eof(v->track);
	/* A body that was broken off can't be answered any more. */
	v->fin_held = !v->half_close && http_track_owes(v->track) && v->track->req_left == 0;
	if (v->fin_held)
		visitor_set_timer(v, VISITOR_TIMER_FIN, LIMIT_GONE_MS);
	return !v->fin_held;
}

bool visitor_awaited(void *arg)
{
	const struct visitor *v = arg;
	int fd = stream_fd(pair_stream(v->pair, SIDE_VISITOR));

	return http_track_owes(v->track) && !(fd >= 0 && socket_broken(fd));
}
