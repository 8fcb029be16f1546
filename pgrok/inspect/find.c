/* The search in heads and bodies. See inspect_find.h. */
#include "pgrok/inspect/find.h"

#include <stdlib.h>
#include <string.h>

#include "pgrok/inspect/decode.h"
#include "pgrok/capture/head.h"

#define SLICE (64u << 10) /* of a body at once */
#define TXN_COST 512      /* of looking at a transaction at all, in bytes */
#define DECODED_COST 4    /* of a byte that has to be decoded first */

enum part { PART_REQUEST, PART_ANSWER, PART_FRAMES, PART_END };

static void fold(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(p[i] + (p[i] >= 'A' && p[i] <= 'Z' ? 'a' - 'A' : 0));
}

bool find_init(struct finder *f, const char *text, bool bodies)
{
	size_t len = strlen(text);

	*f = (struct finder){.len = len, .bodies = bodies};
	if (len == 0 || len >= FIND_TEXT)
		return false;
	memcpy(f->text, text, len);
	fold(f->text, len);
	f->window = xmalloc(SLICE + FIND_TEXT);
	return true;
}

void find_free(struct finder *f)
{
	free(f->window);
	f->window = NULL;
}

void find_begin(struct finder *f)
{
	f->part = PART_REQUEST;
	f->frame = 0;
	f->at = 0;
}

static void spend(size_t *budget, size_t n)
{
	*budget -= n < *budget ? n : *budget;
}

/* p is folded on the way. */
static bool has(const struct finder *f, char *p, size_t n)
{
	fold(p, n);
	return memmem(p, n, f->text, f->len) != NULL;
}

/* ---- heads ---- */

static void put_lines(struct text *t, const struct capture_head *h, bool trailers)
{
	struct head_part name, value;

	for (size_t at = 0; head_next(h, trailers, &at, &name, &value);) {
		text_add(t, name.p, name.len);
		text_put(t, ": ");
		text_add(t, value.p, value.len);
		text_put(t, "\n");
	}
}

static enum find_rc in_heads(const struct finder *f, const struct capture_txn *x, size_t *budget)
{
	struct text t = {0};
	bool found;

	put_lines(&t, &x->req_head, false);
	put_lines(&t, &x->req_trailers, true);
	put_lines(&t, &x->resp_head, false);
	put_lines(&t, &x->resp_trailers, true);
	found = t.len && has(f, t.p, t.len);
	spend(budget, t.len);
	text_free(&t);
	return found ? FIND_YES : FIND_NO;
}

/* ---- bodies ---- */

static enum find_rc in_plain(struct finder *f, const struct blob *b, size_t *budget)
{
	for (; f->at < b->len; f->at += SLICE) {
		size_t n;

		if (!*budget)
			return FIND_MORE;
		/* A little of the next slice, for what stands across the border. */
		n = blob_read(b, f->at, f->window, SLICE + f->len - 1);
		spend(budget, n);
		if (has(f, f->window, n))
			return FIND_YES;
	}
	return FIND_NO;
}

static enum find_rc in_coded(const struct finder *f, const struct blob *b, struct head_part coding,
			     size_t *budget)
{
	struct decoded d;
	size_t len = b->len < FIND_DECODE_MAX ? b->len : FIND_DECODE_MAX;
	char *bytes;
	bool found;

	if (!*budget)
		return FIND_MORE;
	bytes = xmalloc(len + 1);
	len = blob_read(b, 0, bytes, len);
	decode(&d, coding.p, coding.len, bytes, len, FIND_DECODE_MAX);
	free(bytes);
	spend(budget, len + DECODED_COST * d.text.len);
	found = d.text.len && has(f, d.text.p, d.text.len);
	decoded_free(&d);
	return found ? FIND_YES : FIND_NO;
}

static enum find_rc in_body(struct finder *f, const struct capture_head *h,
			    const struct capture_body *b, size_t *budget)
{
	struct head_part coding = head_field(h, "content-encoding");

	if (!b->blob.len)
		return FIND_NO;
	if (coding.len && !head_part_is(coding, "identity"))
		return in_coded(f, &b->blob, coding, budget);
	return in_plain(f, &b->blob, budget);
}

static enum find_rc in_frames(struct finder *f, const struct capture_txn *x, size_t *budget)
{
	for (const struct capture_frame *one = x->frames; one; one = one->next) {
		enum find_rc rc;

		if (one->n < f->frame)
			continue;
		if (one->n > f->frame)
			f->at = 0;
		f->frame = one->n;
		rc = in_plain(f, &one->blob, budget);
		if (rc != FIND_NO)
			return rc;
	}
	return FIND_NO;
}

enum find_rc find_step(struct finder *f, const struct capture_txn *x, size_t *budget)
{
	enum find_rc rc = FIND_NO;

	spend(budget, TXN_COST);
	if (!f->bodies)
		return in_heads(f, x, budget);
	for (; rc == FIND_NO && f->part < PART_END; f->part += rc == FIND_NO) {
		if (f->part == PART_REQUEST)
			rc = in_body(f, &x->req_head, &x->req, budget);
		else if (f->part == PART_ANSWER)
			rc = in_body(f, &x->resp_head, &x->resp, budget);
		else
			rc = in_frames(f, x, budget);
		if (rc == FIND_NO)
			f->at = 0;
	}
	return rc;
}
