/*
 * An answer reframed. It came over a stream that carries one request and its answer, so that the
 * stream's end may be its own; its reader is on another connection, which may live on, or on
 * another such stream. Pure. What http_track.single lets pass is good for it.
 */
#ifndef COMMON_HTTP_REFRAME_H
#define COMMON_HTTP_REFRAME_H

#include "common/base/text.h"
#include "common/http/fields.h"
#include "common/http/head.h"
#include "common/http/splice.h"

enum reframe_body {
	REFRAME_AS_IT_CAME,
	REFRAME_INTO_CHUNKS,
	REFRAME_OUT_OF_CHUNKS /* its end is the connection's */
};

/* Set by its owner before the head; the rest is its own. */
struct http_reframe {
	int minor;                     /* the answer is one in HTTP/1.minor */
	bool chunks;                   /* its reader knows chunked bodies */
	bool head_only;                /* the request was a HEAD */
	bool close;                    /* its reader is told that no other one follows */
	const char *url;               /* "https://a.me", for Location; NULL: as it came */
	const struct http_fields *set; /* http_edit_answer(); NULL: none */

	enum reframe_body body;
	struct http_chunked in;
};

/*
 * Appends the final head that http_response_scan() found good at `head`. Its status, reason and
 * fields stay, in their order, but those that are about the connection (Connection, Keep-Alive,
 * Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade); folded lines become one. A Location
 * on localhost or 127.0.0.1, which to its visitor is another machine, gets url instead.
 */
void http_reframe_head(struct http_reframe *r, struct text *out, const struct http_head *h,
		       const char *head);
/*
 * As http_splice_made(), for bytes of the backend: what of them stands behind the head's splice, or
 * has no head before it, is of the body.
 */
const char *http_reframe_made(struct http_reframe *r, struct http_splice *s, size_t len,
			      size_t *made);
/* The stream has ended, and with it the answer: appends what says so to its reader. */
void http_reframe_end(const struct http_reframe *r, struct text *out);

#endif
