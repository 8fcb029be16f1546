/*
 * Heads of our own HTTP answers: one writer, so that every answer of both programs has the same
 * form and the same security fields. Pure but for the Date.
 */
#ifndef COMMON_HTTP_ANSWER_HEAD_H
#define COMMON_HTTP_ANSWER_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/text.h"

/* Whose the content is, and so what a browser may do with it. */
enum answer_content {
	ANSWER_PAGE, /* ours, whole in itself: text, or HTML with its styles inside */
	ANSWER_FORM, /* the same with a form that goes to where it came from */
	ANSWER_APP,  /* ours, with scripts, styles and data from the same server */
	ANSWER_USER  /* a user's file: what it may load and who may embed it is the user's affair */
};

enum answer_end {
	ANSWER_LENGTH,   /* Content-Length (none with 204 and 304, which have no body) */
	ANSWER_CHUNKED,  /* the last chunk */
	ANSWER_UNTIL_EOF /* the connection's, as HTTP/1.0 needs it for a body of unknown length */
};

/* Zeroed: a page without a body that is not to be cached, before the connection is closed. */
struct answer_head {
	int status;
	const char *mime; /* NULL: no Content-Type */
	enum answer_content content;
	enum answer_end end;
	uint64_t length;
	bool cached;       /* may be kept if it is asked about each time; else not at all */
	bool keep;         /* the connection stays, */
	bool http10;       /* which must be said to HTTP/1.0 */
	const char *extra; /* further lines, each with its CRLF; NULL: none */
};

/* Appends the head, its empty line included. */
void answer_head(struct text *out, const struct answer_head *h);

#endif
