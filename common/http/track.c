/*
 * The requests and answers of one connection. The request side decides what may pass; it leans on
 * the response side for two things only: that a request with Upgrade was answered, and with what;
 * and when a refusal may be said. So whatever a backend sends, no request gets by unjudged.
 */
#include "common/http/track.h"

#include <assert.h>
#include <string.h>

enum req_state {
	REQ_HEAD,    /* at the start of a request, or in its head, all of it still unpassed */
	REQ_LENGTH,  /* req_left bytes of body to come */
	REQ_CHUNKED, /* a chunked body */
};

enum resp_state {
	RESP_HEAD, /* at the start of an answer, or in its head, all of it still unpassed */
	RESP_LENGTH,
	RESP_CHUNKED,
	RESP_UNTIL_EOF,
	RESP_DONE,  /* single: the answer is complete, nothing is to follow it */
	RESP_ENDED, /* the backend's EOF: no answer comes any more */
};

/* owed_kind: what the answer to a request depends on */
#define OWED_HEAD 1    /* no body, whatever its fields say */
#define OWED_UPGRADE 2 /* a 101 is to be believed */
#define OWED_H2C 4     /* ... and what comes behind it may be requests */

void http_track_init(struct http_track *t, bool guarded, const struct http_track_hooks *hooks,
		     void *arg)
{
	memset(t, 0, sizeof(*t));
	t->guarded = guarded;
	t->hooks = hooks;
	t->arg = arg;
}

/* Are answers still counted? */
static bool following(const struct http_track *t)
{
	return !t->unfollowed && t->resp_state != RESP_ENDED;
}

static void owe(struct http_track *t, uint8_t kind)
{
	if (!following(t)) {
		t->owed = t->resp_state != RESP_ENDED;
		return;
	}
	assert(t->owed < TRACK_OWED_MAX);
	t->owed_kind[(t->owed_head + t->owed) % TRACK_OWED_MAX] = kind;
	t->owed++;
}

static bool must_hold(const struct http_track *t)
{
	bool must_wait = t->leaves && t->owed > 0 && following(t);

	return t->upgrade_wait || t->owed == TRACK_OWED_MAX || must_wait;
}

/* Called wherever a reason to hold can have gone. */
static void maybe_resume(struct http_track *t)
{
	if (t->held && !must_hold(t)) {
		t->held = false;
		t->resume = true;
	}
}

static void answer_complete(struct http_track *t)
{
	if (t->hooks->complete)
		t->hooks->complete(t->arg);
	t->resp_state = t->single ? RESP_DONE : RESP_HEAD;
	t->owed_head = (t->owed_head + 1) % TRACK_OWED_MAX;
	t->owed--;
	maybe_resume(t);
}

/* There will be no answer, or no more of it. */
static void give_up(struct http_track *t, int status, const char *why)
{
	t->owed = 0;
	t->upgrade_wait = false;
	t->stopped = true;
	t->refused = status;
	t->error = why;
}

/* The backend's bytes no longer say where its answers end. */
static void unfollow(struct http_track *t, const char *why)
{
	if (t->single) {
		if (!http_track_fail(t, 502, why))
			give_up(t, 0, why);
		return;
	}
	t->unfollowed = true;
	t->upgrade_wait = false;
	t->owed = t->owed > 0;
	t->refused = 0;
	maybe_resume(t);
}

/*
 * After a refusal: has the visitor had every answer that is owed? The answer to a request whose own
 * body broke need not come at all, but once its head has passed it must end before the cut.
 */
static bool may_cut(struct http_track *t)
{
	if (t->resp_state == RESP_ENDED)
		return true;
	if (t->unfollowed)
		return false;
	if (t->broken && t->owed == 0)
		t->refused = 0; /* it has its answer: a page would be a second one */
	return t->owed == 0 || (t->broken && t->owed == 1 && t->resp_state == RESP_HEAD);
}

static enum judge refuse(struct http_track *t, int status, const char *why)
{
	t->stopped = true;
	t->error = why;
	t->refused = following(t) ? status : 0;
	return may_cut(t) ? JUDGE_CUT : JUDGE_STOP;
}

static void go_raw(struct http_track *t)
{
	t->raw = true;
	t->owed = 0;
	t->upgrade_wait = false;
	maybe_resume(t);
}

/* May what comes now be something else than a request, for who took the connection over? */
static bool may_hijack(const struct http_track *t)
{
	return !t->guarded && !t->single && t->bodiless && !must_hold(t);
}

/* No later request could have an answer: the one under way has no other end than the backend's. */
static bool answer_is_last(const struct http_track *t)
{
	return t->resp_state == RESP_UNTIL_EOF && !t->unfollowed;
}

/* RFC 9112 section 9.3 */
static bool says_last(const struct http_head *h)
{
	return h->conn_close || (h->minor == 0 && !h->conn_keep_alive);
}

/* A head that passes: what comes behind it? */
static void request_begins(struct http_track *t)
{
	const struct http_head *h = &t->req;
	uint8_t kind = 0;

	if (t->head_only)
		kind |= OWED_HEAD;
	if (h->upgrade)
		kind |= OWED_UPGRADE;
	if (h->upgrade_h2c)
		kind |= OWED_H2C;
	owe(t, kind);
	t->upgrade_wait = h->upgrade && following(t);
	t->bodiless = !h->chunked && h->length == 0;
	t->last |= says_last(h);
	if (h->chunked) {
		t->req_state = REQ_CHUNKED;
		http_chunked_init(&t->req_chunks, true);
	} else if (h->length > 0) {
		t->req_state = REQ_LENGTH;
		t->req_left = h->length;
	}
	memset(&t->req, 0, sizeof(t->req));
}

/* The request at hand is for another backend. */
static enum judge leave(struct http_track *t)
{
	if (!following(t))
		return refuse(t, 421, "it is for another backend");
	t->leaves = true;
	t->held = must_hold(t);
	if (t->last && !t->held)
		return refuse(t, 0, "it is behind the last one");
	return t->held ? JUDGE_HOLD : JUDGE_LEAVE;
}

static enum judge hijacked(struct http_track *t, size_t len, size_t *pos)
{
	go_raw(t);
	*pos = len;
	return JUDGE_PASS;
}

/* From the start of a head. Moves *pos over what may pass. */
static enum judge request_head(struct http_track *t, const char *buf, size_t len, size_t *pos,
			       bool *more)
{
	const char *head = buf + *pos;
	int status = 0;

	/* What follows an upgrade need not be HTTP: it is not even looked at before the answer. */
	if (must_hold(t)) {
		t->held = true;
		return JUDGE_HOLD;
	}
	if (t->leaves)
		return leave(t);
	if (may_hijack(t) && answer_is_last(t))
		return hijacked(t, len, pos);
	/*
	 * Empty lines pass on as they came, so that no byte is changed. Servers skip them or, some,
	 * end the connection; none takes one for a request, or for a part of one.
	 */
	if (t->req.scanned == 0)
		head += http_empty_lines(head, len - *pos);
	*pos = (size_t)(head - buf);
	switch (http_request_scan(&t->req, head, len - *pos)) {
	case HTTP_MORE:
		return JUDGE_PASS;
	case HTTP_BAD:
		if (t->req.no_request && may_hijack(t))
			return hijacked(t, len, pos);
		status = t->req.status;
		break;
	case HTTP_OK:
		t->req_at = t->req_passed + *pos;
		t->req.error = t->early;
		status = t->early ? 502 : t->hooks->allow(t->arg, &t->req, head);
		break;
	}
	t->head_only = http_span_is(head, t->req.method, "HEAD");
	if (status == TRACK_LEAVE)
		return leave(t);
	if (status)
		return refuse(t, status, t->req.error);
	*pos += t->req.head_len;
	request_begins(t);
	*more = true;
	return JUDGE_PASS;
}

/* Part of a body; *more: it may have ended. */
static enum judge request_body(struct http_track *t, const char *buf, size_t len, size_t *pos,
			       bool *more)
{
	size_t n = len - *pos;
	enum http_rc rc;

	if (t->req_state == REQ_LENGTH) {
		n = t->req_left < n ? (size_t)t->req_left : n;
		t->req_left -= n;
		rc = t->req_left > 0 ? HTTP_MORE : HTTP_OK;
	} else {
		rc = http_chunked_scan(&t->req_chunks, buf + *pos, n, &n, NULL, NULL);
	}
	*pos += n;
	if (rc == HTTP_BAD) {
		t->broken = true;
		return refuse(t, 400, "bad chunked body");
	}
	if (rc == HTTP_OK)
		t->req_state = REQ_HEAD;
	*more = true;
	return JUDGE_PASS;
}

static enum judge judge_request(struct http_track *t, const char *buf, size_t len, size_t *pass)
{
	enum judge verdict = JUDGE_PASS;
	bool more = true;

	*pass = 0;
	if (t->stopped)
		return may_cut(t) ? JUDGE_CUT : JUDGE_STOP;
	t->held = false;
	if (t->raw)
		*pass = len;
	while (more && *pass < len) {
		more = false;
		verdict = t->req_state == REQ_HEAD ? request_head(t, buf, len, pass, &more)
						   : request_body(t, buf, len, pass, &more);
	}
	return verdict;
}

enum judge http_track_request(struct http_track *t, const char *buf, size_t len, size_t *pass)
{
	enum judge verdict = judge_request(t, buf, len, pass);

	t->req_passed += *pass;
	return verdict;
}

void http_track_request_eof(struct http_track *t)
{
	bool no_method = t->req_state == REQ_HEAD && t->req.scanned > 0 && t->req.method.len == 0;

	if (no_method && may_hijack(t) && !t->stopped)
		go_raw(t);
}

/* A complete head that is not an interim answer: how does its body end? */
static void final_head(struct http_track *t, uint8_t kind)
{
	const struct http_head *h = &t->resp;

	if (kind & OWED_UPGRADE) {
		t->upgrade_wait = false;
		maybe_resume(t);
	}
	if (!t->single)
		t->last |= says_last(h);
	if ((kind & OWED_HEAD) || h->status == 204 || h->status == 304) {
		answer_complete(t);
	} else if (h->chunked) {
		t->resp_state = RESP_CHUNKED;
		http_chunked_init(&t->resp_chunks, false);
	} else if (!h->has_length) {
		t->resp_state = RESP_UNTIL_EOF;
	} else if (h->length == 0) {
		answer_complete(t);
	} else {
		t->resp_state = RESP_LENGTH;
		t->resp_left = h->length;
	}
}

/* A 101 that would open the way to requests which are not judged. The visitor does not get it. */
static void refuse_switch(struct http_track *t)
{
	give_up(t, 502, "an upgrade to more requests was accepted");
}

/* From the start of an answer's head. False: all of it must come first. */
static bool response_head(struct http_track *t, const char *buf, size_t len, size_t *pos)
{
	enum http_rc rc = HTTP_BAD;
	uint8_t kind = t->owed_kind[t->owed_head];

	if (t->owed > 0)
		rc = http_response_scan(&t->resp, buf + *pos, len - *pos);
	if (rc == HTTP_MORE)
		return false;
	bool switches = t->resp.status == 101 && (kind & OWED_UPGRADE);
	const char *why = rc == HTTP_BAD ? "no answer in HTTP" : NULL;

	if (t->single && t->resp.status == 101 && !switches)
		why = "a 101 without an offer";
	else if (t->single && t->resp.coded)
		why = "an answer in a transfer coding beside chunked";
	if (why) {
		unfollow(t, why);
		return true;
	}
	if (t->resp.status == 101 && (kind & OWED_H2C) && t->guarded) {
		refuse_switch(t);
		return true;
	}
	*pos += t->resp.head_len;
	t->resp_at = t->resp_passed + *pos;
	const char *head = buf + *pos - t->resp.head_len;

	if (t->hooks->answer && (switches || t->resp.status >= 200))
		t->hooks->answer(t->arg, &t->resp, head);
	else if (t->hooks->interim && t->resp.status != 101 && t->resp.status < 200)
		t->hooks->interim(t->arg, &t->resp, head);
	if (switches)
		go_raw(t);
	else if (t->resp.status == 101)
		unfollow(t, "");
	else if (t->resp.status >= 200)
		final_head(t, kind);
	memset(&t->resp, 0, sizeof(t->resp));
	return true;
}

static void response_body(struct http_track *t, const char *buf, size_t len, size_t *pos)
{
	size_t n = len - *pos;
	enum http_rc rc = HTTP_MORE;

	if (t->resp_state == RESP_LENGTH) {
		n = t->resp_left < n ? (size_t)t->resp_left : n;
		t->resp_left -= n;
		rc = t->resp_left > 0 ? HTTP_MORE : HTTP_OK;
	} else if (t->resp_state == RESP_CHUNKED) {
		rc = http_chunked_scan(&t->resp_chunks, buf + *pos, n, &n, NULL, NULL);
	}
	*pos += n;
	t->resp_at = t->resp_passed + *pos;
	if (rc == HTTP_OK)
		answer_complete(t);
	else if (rc == HTTP_BAD)
		unfollow(t, "bad chunked answer");
}

static enum judge judge_response(struct http_track *t, const char *buf, size_t len, size_t *pass)
{
	*pass = 0;
	for (;;) {
		if (t->raw || !following(t)) {
			*pass = len;
			return JUDGE_PASS;
		}
		if (t->stopped && may_cut(t))
			return JUDGE_CUT;
		if (t->resp_state == RESP_DONE || t->early)
			return JUDGE_STOP;
		if (*pass == len)
			return JUDGE_PASS;
		if (t->single && !t->owed) {
			t->early = "an answer before the request";
			return JUDGE_STOP;
		}
		if (t->resp_state != RESP_HEAD)
			response_body(t, buf, len, pass);
		else if (!response_head(t, buf, len, pass))
			return JUDGE_PASS;
	}
}

enum judge http_track_response(struct http_track *t, const char *buf, size_t len, size_t *pass)
{
	enum judge verdict = judge_response(t, buf, len, pass);

	t->resp_passed += *pass;
	return verdict;
}

static void single_eof(struct http_track *t)
{
	if (t->resp_state == RESP_UNTIL_EOF)
		answer_complete(t);
	else if (t->owed)
		unfollow(t, "its answer broke off");
	else if (t->resp_state == RESP_HEAD && !t->early)
		t->early = "an end before the request";
}

void http_track_response_eof(struct http_track *t)
{
	if (t->stopped && may_cut(t))
		return; /* the cut has been said, with its page */
	if (t->single && !t->raw) {
		single_eof(t);
		return;
	}
	if (answer_is_last(t) && !t->raw && t->hooks->complete)
		t->hooks->complete(t->arg);
	t->resp_state = RESP_ENDED;
	t->owed = 0;
	t->upgrade_wait = false;
	t->refused = 0;
	maybe_resume(t);
}

bool http_track_fail(struct http_track *t, int status, const char *why)
{
	if (t->raw || !following(t) || t->resp_state != RESP_HEAD || t->owed == 0)
		return false;
	t->head_only = t->owed_kind[t->owed_head] & OWED_HEAD;
	give_up(t, status, why);
	return true;
}

bool http_track_request_whole(const struct http_track *t)
{
	return t->req_state == REQ_HEAD;
}

bool http_track_answered(const struct http_track *t)
{
	return t->resp_state == RESP_DONE;
}

bool http_track_broken_off(const struct http_track *t)
{
	return t->single && t->stopped && !t->owed && t->resp_state != RESP_HEAD &&
	       t->resp_state != RESP_DONE;
}

bool http_track_at_rest(const struct http_track *t)
{
	return !t->raw && !t->stopped && following(t) && t->req_state == REQ_HEAD &&
	       t->req.scanned == 0 && t->owed == 0;
}

bool http_track_owes(const struct http_track *t)
{
	return !t->raw && t->owed > 0;
}
