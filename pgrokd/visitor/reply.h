/* The server's own short answers to visitors. */
#ifndef PGROKD_VISITOR_REPLY_H
#define PGROKD_VISITOR_REPLY_H

#include "common/stream/stream.h"

#define REPLY_MAX 1024

/* The whole answer (head and, unless head_only, text) into out; returns its length. */
size_t reply_make(int status, bool head_only, char out[static REPLY_MAX]);
/*
 * Takes s: writes the answer, then closes lingering, so that the visitor sees it even while it is
 * still sending. Needs no owner.
 */
void reply_send(struct stream *s, int status, bool head_only);

#endif
