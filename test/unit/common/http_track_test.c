/* Dialogues through the tracker: what passes, what is said; each with every split of its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "test/unit/common/http_track_dialogues.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A pair as far as the judge sees it. */
struct side {
	char pending[4096], passed[4096];
	size_t pending_len, passed_len;
	bool deaf; /* HOLD, STOP or CUT */
	enum judge verdict;
};

struct play {
	struct http_track t;
	struct side side[2];
	int asked;
};

static int allow(void *arg, const struct http_head *h, const char *head)
{
	struct play *p = arg;

	p->asked++;
	if (http_span_is(head, h->authority, "c"))
		return TRACK_LEAVE;
	return http_span_is(head, h->authority, "a") ? 0 : 421;
}

static const struct http_track_hooks hooks = {.allow = allow};

/* Judges what is pending, from memory that ends where the bytes end. */
static void play_judge(struct play *p, int from)
{
	struct side *s = &p->side[from];
	char *copy = malloc(s->pending_len + !s->pending_len);
	size_t pass = SIZE_MAX;

	assert_non_null(copy);
	memcpy(copy, s->pending, s->pending_len);
	s->verdict = from == 0 ? http_track_request(&p->t, copy, s->pending_len, &pass)
			       : http_track_response(&p->t, copy, s->pending_len, &pass);
	free(copy);
	assert_true(pass <= s->pending_len);
	assert_true(s->passed_len + pass <= sizeof(s->passed));
	memcpy(s->passed + s->passed_len, s->pending, pass);
	s->passed_len += pass;
	memmove(s->pending, s->pending + pass, s->pending_len - pass);
	s->pending_len -= pass;
	s->deaf = s->verdict != JUDGE_PASS;
	if (s->verdict == JUDGE_STOP || s->verdict == JUDGE_CUT)
		s->pending_len = 0;
	if (s->verdict == JUDGE_CUT)
		p->side[1].deaf = p->side[0].deaf = true;
}

static void play_bytes(struct play *p, int from, const char *bytes, size_t len)
{
	struct side *s = &p->side[from];

	if (s->deaf && s->verdict != JUDGE_HOLD)
		return;
	assert_true(s->pending_len + len <= sizeof(s->pending));
	memcpy(s->pending + s->pending_len, bytes, len);
	s->pending_len += len;
	if (!s->deaf)
		play_judge(p, from);
}

/* One step in pieces: cut at `cut` (0: whole), or in single bytes. */
static void play_step(struct play *p, const struct step *s, size_t cut, bool bytewise)
{
	int from = s->who == 'b';
	size_t at = 0;

	p->side[0].passed_len = p->side[1].passed_len = 0;
	assert_int_equal(p->t.resume, s->who == 'r');
	if (s->who == 'f') {
		http_track_request_eof(&p->t);
		play_judge(p, 0);
		return;
	}
	if (s->who == 'e') {
		http_track_response_eof(&p->t);
		return;
	}
	if (s->who == 'r') {
		p->t.resume = p->side[0].deaf = false;
		play_judge(p, 0);
	}
	while (at < s->bytes.len) {
		size_t n = bytewise ? 1 : at < cut ? cut - at : s->bytes.len - at;

		play_bytes(p, from, s->bytes.p + at, n);
		at += n;
	}
	if (p->side[from].verdict != s->verdict)
		fail_msg("%.30s: verdict %d", s->bytes.p, p->side[from].verdict);
}

/*
 * Plays a dialogue with step `which` cut at `cut`. When a head is kept back in one step and passes
 * in a later one, that step's `pass` has it all.
 */
static void play_dialogue(const struct dialogue *d, size_t which, size_t cut, bool bytewise)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, !(d->flags & OPEN), &hooks, p);
	p->t.single = d->flags & SINGLE;
	for (size_t i = 0; d->steps[i].who; i++) {
		const struct step *s = &d->steps[i];
		struct side *side = &p->side[s->who == 'b'];

		play_step(p, s, i == which ? cut : 0, bytewise);
		if (side->passed_len != s->pass.len || memcmp(side->passed, s->pass.p, s->pass.len))
			fail_msg("%s, step %zu, cut %zu of step %zu: passed \"%.*s\"", d->name, i,
				 cut, which, (int)side->passed_len, side->passed);
	}
	if (p->t.resume || p->asked != d->asked ||
	    p->t.refused != (d->refused > 0 ? d->refused : 0) ||
	    p->t.stopped != (d->refused != 0) || (d->refused == 400) > (p->t.error != NULL))
		fail_msg("%s: refused %d, asked %d", d->name, p->t.refused, p->asked);
	if (p->t.refused && p->t.head_only != !!(d->flags & BODILESS))
		fail_msg("%s: head_only %d", d->name, p->t.head_only);
	if (p->t.stopped) {
		size_t pass = 1;

		assert_true(http_track_request(&p->t, GET, strlen(GET), &pass) >= JUDGE_STOP);
		assert_int_equal(pass, 0);
	}
	if (http_track_answered(&p->t) != !!(d->flags & ANSWERED))
		fail_msg("%s: answered %d", d->name, http_track_answered(&p->t));
	if (p->t.raw != !!(d->flags & RAW) || p->t.unfollowed != !!(d->flags & UNFOLLOWED) ||
	    http_track_at_rest(&p->t) != !!(d->flags & REST) ||
	    (!p->t.stopped && http_track_owes(&p->t) != !!(d->flags & OWES)))
		fail_msg("%s: raw %d, unfollowed %d, rest %d, owes %d", d->name, p->t.raw,
			 p->t.unfollowed, http_track_at_rest(&p->t), http_track_owes(&p->t));
	free(p);
}

static void all_dialogues(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(dialogues); i++) {
		const struct dialogue *d = &dialogues[i];

		play_dialogue(d, 0, 0, false);
		play_dialogue(d, 0, 0, true);
		for (size_t s = 0; d->steps[s].who; s++)
			for (size_t cut = 1; cut < d->steps[s].bytes.len; cut++)
				play_dialogue(d, s, cut, false);
	}
}

/* More requests than may be owed: the rest waits for answers, one for one, and none is lost. */
static void owed_max(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	for (int i = 0; i < TRACK_OWED_MAX + 3; i++)
		play_bytes(p, 0, GET, strlen(GET));
	assert_int_equal(p->side[0].verdict, JUDGE_HOLD);
	assert_int_equal(p->asked, TRACK_OWED_MAX);
	for (int i = 0; i < 3; i++) {
		assert_false(p->t.resume);
		play_bytes(p, 1, OK5, strlen(OK5));
		assert_true(p->t.resume);
		p->t.resume = false;
		play_judge(p, 0);
		assert_int_equal(p->asked, TRACK_OWED_MAX + i + 1);
	}
	assert_int_equal(p->side[0].verdict, JUDGE_PASS);
	for (int i = 0; i < TRACK_OWED_MAX; i++)
		play_bytes(p, 1, OK0, strlen(OK0));
	assert_true(http_track_at_rest(&p->t));
	free(p);
}

/*
 * Unfollowed, answers are no longer counted: no number of requests may hold the visitor for ever.
 */
static void unfollowed_never_holds(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	play_bytes(p, 1, "x", 1);
	for (int i = 0; i < 3 * TRACK_OWED_MAX; i++) {
		p->side[0].passed_len = 0;
		play_bytes(p, 0, GET, strlen(GET));
		assert_int_equal(p->side[0].verdict, JUDGE_PASS);
	}
	assert_int_equal(p->asked, 3 * TRACK_OWED_MAX);
	free(p);
}

/* After the cut nothing passes: not even the 101 to an upgrade whose own body broke. */
static void after_a_cut(void **state)
{
	static const char ask[] = "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n"
				  "Transfer-Encoding: chunked\r\n\r\nzz";
	struct play *p = calloc(1, sizeof(*p));
	size_t pass = 1;

	assert_non_null(p);
	http_track_init(&p->t, true, &hooks, p);
	play_bytes(p, 0, ask, strlen(ask));
	assert_int_equal(p->side[0].verdict, JUDGE_CUT);
	assert_int_equal(http_track_response(&p->t, R101, strlen(R101), &pass), JUDGE_CUT);
	assert_int_equal(pass, 0);
	assert_true(!p->t.raw && p->t.refused == 400);
	free(p);
}

/* Tens of thousands of idle connections each have one. */
static void small(void **state)
{
	assert_true(sizeof(struct http_track) < 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_dialogues),
		cmocka_unit_test(owed_max),
		cmocka_unit_test(unfollowed_never_holds),
		cmocka_unit_test(after_a_cut),
		cmocka_unit_test(small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
