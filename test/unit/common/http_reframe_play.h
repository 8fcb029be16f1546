/*
 * An answer on its way through tracker, splice and reframer, as a pair lets it pass: for the tests
 * and the fuzzer.
 */
#ifndef TEST_UNIT_COMMON_HTTP_REFRAME_PLAY_H
#define TEST_UNIT_COMMON_HTTP_REFRAME_PLAY_H

#include <stdlib.h>
#include <string.h>

#include "common/http/reframe.h"
#include "common/http/track.h"

struct play {
	struct http_track t;
	struct http_reframe r;
	struct http_splice s;
	struct text pending, out;
	enum judge verdict; /* the last one */
	bool interim;       /* interim answers pass */
	int heads, interims;
};

static inline int play_allow(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	p->r.head_only = http_span_is(head, h->method, "HEAD");
	return 0;
}

static inline void play_answer(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	p->heads++;
	if (h->status != 101)
		http_reframe_head(&p->r, http_splice(&p->s, head, h->head_len), h, head);
}

static inline void play_interim(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	p->interims++;
	if (!p->interim)
		http_splice(&p->s, head, h->head_len);
}

static const struct http_track_hooks play_hooks = {
	.allow = play_allow, .answer = play_answer, .interim = play_interim};

/* The request passes. */
static inline void play_begin(struct play *p, const char *request)
{
	size_t pass;

	http_track_init(&p->t, true, &play_hooks, p);
	p->t.single = true;
	if (http_track_request(&p->t, request, strlen(request), &pass) > JUDGE_HOLD ||
	    pass != strlen(request))
		abort();
}

/* The backend says it, from memory that ends where the bytes end. */
static inline void play_bytes(struct play *p, const char *bytes, size_t len)
{
	size_t pass = SIZE_MAX, made = SIZE_MAX;

	if (p->verdict != JUDGE_PASS)
		return;
	text_add(&p->pending, bytes, len);
	size_t all = p->pending.len;
	char *copy = malloc(all + !all);

	if (!copy)
		abort();
	if (all)
		memcpy(copy, p->pending.p, all);
	http_splice_begin(&p->s, copy);
	p->verdict = http_track_response(&p->t, copy, all, &pass);
	if (pass > all)
		abort();
	const char *out = http_reframe_made(&p->r, &p->s, pass, &made);

	text_add(&p->out, out ? out : copy, out ? made : pass);
	text_drop(&p->pending, pass);
	free(copy);
}

static inline void play_eof(struct play *p)
{
	bool answered = http_track_answered(&p->t);

	if (p->verdict != JUDGE_PASS)
		return;
	http_track_response_eof(&p->t);
	if (p->t.stopped && !http_track_owes(&p->t))
		p->verdict = JUDGE_CUT;
	if (!answered && http_track_answered(&p->t))
		http_reframe_end(&p->r, &p->out);
}

static inline void play_free(struct play *p)
{
	text_free(&p->pending);
	text_free(&p->out);
	text_free(&p->s.out);
}

#endif
