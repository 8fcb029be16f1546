/* The requests of a joined visitor, and their answers: what may pass, and what is waited for. */
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
	if (v->end_at_rest && verdict == JUDGE_PASS && http_track_at_rest(v->track))
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

	if (from == SIDE_SERVICE) {
		if (v->timer_for == VISITOR_TIMER_FIN)
			visitor_set_timer(v, VISITOR_TIMER_FIN, PAIR_SILENCE_MS);
		verdict = http_track_response(v->track, buf, len, pass);
		return visitor_answered(v, verdict);
	}
	verdict = http_track_request(v->track, buf, len, pass);
	visitor_asked(v, verdict, *pass, len);
	return verdict;
}

int visitor_allow(void *arg, const struct http_head *h, const char *head)
{
	struct visitor *v = arg;

	v->again = v->at && route_allows(v->route, h, head) == 0;
	if (!v->again || (v->asked && v->at->one_request))
		return TRACK_LEAVE;
	v->asked = true;
	return 0;
}

/*
 * A Go client closes everything at the first end it sees, so a visitor that ends its sending side
 * after the request would never get the answer.
 */
bool visitor_eof(void *arg, enum side from)
{
	struct visitor *v = arg;

	if (from == SIDE_SERVICE) {
		http_track_response_eof(v->track);
		visitor_answered(v, JUDGE_STOP);
		return true;
	}
	http_track_request_eof(v->track);
	/* A body that was broken off can't be answered any more. */
	v->fin_held = !v->half_close && http_track_owes(v->track) && v->track->req_left == 0;
	if (v->fin_held)
		visitor_set_timer(v, VISITOR_TIMER_FIN, PAIR_SILENCE_MS);
	return !v->fin_held;
}
