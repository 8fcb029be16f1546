/*
 * Visitors of a client whose streams carry one request each: requests are said as a proxy says
 * them, answers are reframed, so that a visitor's connection outlives the stream. Between two
 * requests it rests, and holds no stream.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/http/edit.h"
#include "common/net/nets.h"
#include "pgrokd/access/origin.h"
#include "pgrokd/visitor/parts.h"

#define PIECE 16384 /* read at once when a visitor that rests speaks again */

/* ---- the request ---- */

/* What its proxies say of it is passed on if they are to be believed. */
static void edit_request(struct visitor *v, struct text *out, const struct http_head *h,
			 const char *head)
{
	const struct nets *trusted = v->worker->core->trusted;
	bool https = v->route->proto == PROTO_HTTPS || origin_https(trusted, &v->peer, h, head);
	char from[ADDR_TEXT];
	const struct http_edit edit = {
		.from = addr_ip_text(&v->peer, from),
		.proto = https ? "https" : "http",
		.said = nets_have(trusted, &v->peer) ? EDIT_TRUSTED : EDIT_REPLACED,
		.origin_form = true,
	};

	http_edit_head(out, &edit, h, head);
}

/* Its client need not say this, and Go's does not: the visitor is not to wait for it. */
static void say_go_on(struct visitor *v, const struct http_head *h, const char *head)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_span expects;

	v->single->told_to_go_on = (h->chunked || h->length) && h->minor > 0 &&
				   http_field(head, h, "Expect", &expects) &&
				   http_span_is_nocase(head, expects, "100-continue");
	if (v->single->told_to_go_on)
		pair_say(v->pair, SIDE_SERVICE, go_on, strlen(go_on));
}

void single_request(struct visitor *v, const struct http_head *h, const char *head)
{
	struct single *s = v->single;

	s->answer = (struct http_reframe){
		.minor = h->minor,
		.chunks = h->minor > 0,
		.head_only = http_span_is(head, h->method, "HEAD"),
		.url = v->route->url,
	};
	edit_request(v, http_splice(&s->splice, head, h->head_len), h, head);
	say_go_on(v, h, head);
}

/* ---- the answer ---- */

void single_answer(struct visitor *v, const struct http_head *h, const char *head)
{
	struct single *s = v->single;

	if (h->status == 101)
		return; /* from here on it is another protocol's connection */
	/* What is still to come of the request is not read any more behind its answer. */
	s->answer.close =
		v->track->last || s->answer.minor == 0 || !http_track_request_whole(v->track);
	http_reframe_head(&s->answer, http_splice(&s->splice, head, h->head_len), h, head);
}

void visitor_interim(void *arg, const struct http_head *h, const char *head)
{
	struct visitor *v = arg;
	struct single *s = v->single;

	/* HTTP/1.0 knows none (RFC 9110 section 15.2). */
	if (s && (s->answer.minor == 0 || (h->status == 100 && s->told_to_go_on)))
		http_splice(&s->splice, head, h->head_len);
}

const char *visitor_made(void *arg, enum side from, const char *buf, size_t len, size_t *made)
{
	struct visitor *v = arg;

	if (from == SIDE_SERVICE)
		return http_reframe_made(&v->single->answer, &v->single->splice, len, made);
	return http_splice_made(&v->single->splice, len, made);
}

/* All of the answer has passed: the stream is done. */
static bool stays(const struct visitor *v)
{
	return !v->single->answer.close && !v->track->last;
}

enum judge single_answered(struct visitor *v, enum judge verdict)
{
	if (!http_track_answered(v->track))
		return verdict;
	if (!stays(v))
		return JUDGE_CUT;
	v->single->untaken = pair_forgo(v->pair, SIDE_VISITOR);
	pair_let_go(v->pair, SIDE_VISITOR);
	return verdict;
}

/* ---- ends ---- */

/* It ends its direction: its request is there and has no answer yet, or it breaks off. */
static void visitor_ended(struct visitor *v)
{
	if (!http_track_request_whole(v->track) || !http_track_owes(v->track))
		pair_fail(v->pair);
	else if (v->timer_for == VISITOR_TIMER_NONE)
		visitor_set_timer(v, VISITOR_TIMER_FIN, LIMIT_GONE_MS);
	v->fin_held = true; /* another protocol's connection may want to know of it */
}

static void stream_ended(struct visitor *v)
{
	struct text last = {0};

	http_track_response_eof(v->track);
	if (http_track_answered(v->track)) {
		http_reframe_end(&v->single->answer, &last);
		pair_say(v->pair, SIDE_SERVICE, last.p, last.len);
		text_free(&last);
	}
	if (v->track->stopped) {
		if (!http_track_owes(v->track))
			pair_cut(v->pair);
	} else if (single_answered(v, JUDGE_PASS) == JUDGE_CUT) {
		pair_cut(v->pair);
	}
}

void single_eof(struct visitor *v, enum side from)
{
	if (from == SIDE_VISITOR)
		visitor_ended(v);
	else
		stream_ended(v);
}

const char *single_cut(const struct visitor *v)
{
	return v->track->error ? v->track->error : "its last answer is out";
}

bool single_lost(struct visitor *v)
{
	const struct stream *to = pair_stream(v->pair, SIDE_SERVICE);

	return *stream_error(to) && pair_heard(v->pair, SIDE_VISITOR) &&
	       http_track_fail(v->track, 502, "its stream was reset");
}

/* ---- between two requests ---- */

static void on_word(void *arg, int dirs)
{
	struct visitor *v = arg;
	char buf[PIECE];
	size_t n;

	switch (stream_read(v->stream, buf, sizeof(buf), &n)) {
	case STREAM_OK:
		stream_on_ready(v->stream, NULL, NULL);
		v->unread = xmalloc(n);
		v->unread_len = n;
		memcpy(v->unread, buf, n);
		v->asked_us = clock_us();
		visitor_next(v);
		break;
	case STREAM_AGAIN:
		break;
	case STREAM_EOF:
		visitor_close(v, false, "done");
		break;
	case STREAM_ABORT:
		visitor_close(v, true, stream_error(v->stream));
		break;
	}
}

void single_rest(struct visitor *v)
{
	text_free(&v->single->splice.out);
	visitor_set_timer(v, VISITOR_TIMER_REST, LIMIT_KEPT_MS);
	stream_on_ready(v->stream, on_word, v);
	stream_want(v->stream, STREAM_READ);
}
