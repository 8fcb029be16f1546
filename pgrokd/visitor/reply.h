/* The server's own short answers to visitors. */
#ifndef PGROKD_VISITOR_REPLY_H
#define PGROKD_VISITOR_REPLY_H

#include "common/base/text.h"
#include "common/stream/stream.h"

#define REPLY_PLAIN_HTTP 497 /* a 400 that says so; the number is nginx's */

/* Appends the whole answer: its head and, unless head_only, its text. */
void reply_make(struct text *out, int status, bool head_only);
/*
 * Takes s: writes the answer, then closes lingering, so that the visitor sees it even while it is
 * still sending. Needs no owner.
 */
void reply_send(struct stream *s, int status, bool head_only);

#endif
