/*
 * Bytes on their way through a pair, in some places of which other bytes are written: the judge
 * finds the places, the editor hands over what came of it. Pure.
 */
#ifndef COMMON_HTTP_SPLICE_H
#define COMMON_HTTP_SPLICE_H

#include "common/base/text.h"

/* Zeroed at first; out is its owner's to free. */
struct http_splice {
	const char *from; /* the bytes at hand, borrowed */
	size_t done;      /* of them: what is written instead stands in out */
	struct text out;
};

/* Other bytes are at hand, from `from` on. */
void http_splice_begin(struct http_splice *s, const char *from);
/*
 * The len bytes at `at` are not written, but what the caller appends to the text returned. From one
 * place to the next.
 */
struct text *http_splice(struct http_splice *s, const char *at, size_t len);
/*
 * What is written instead of the first len bytes, *made of them, until http_splice_begin(); NULL:
 * they themselves.
 */
const char *http_splice_made(struct http_splice *s, size_t len, size_t *made);

#endif
