/* What a visitor of an http(s) tunnel sees when nothing listens at the local address. */
#ifndef PGROK_VISIT_PAGE_H
#define PGROK_VISIT_PAGE_H

#include "common/base/text.h"
#include "common/stream/stream.h"

struct page; /* on its way */

/* Called once, from the loop, never from inside page_send(). error NULL: all of it was written. */
typedef void page_fn(void *arg, const char *error);

struct page_conf {
	const char *url, *local; /* borrowed for the call */
	bool asked;              /* the request was read already */
	bool head_only;          /* ... and is a HEAD */
	bool drain;              /* the rest of it is read before the page is: LIMIT_DRAIN_MS */
};

/*
 * Takes s; it lingers, for the request is still coming in. A HEAD, as far as it can be read within
 * LIMIT_PAGE_MS, gets no body. Returns owned until fn is called.
 */
struct page *page_send(struct stream *s, const struct page_conf *c, page_fn *fn,
		       void *arg) MUSTCHECK;
/* fn will not be called. abort: the visitor sees a reset. Only before fn was called. */
void page_cancel(struct page *p, bool abort);

/* Appends the page: a whole HTTP response. */
void page_unavailable(struct text *out, const char *url, const char *local);

#endif
