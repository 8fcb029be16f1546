/* A connection to the service that a tunnel leads to, whatever kind of address that has. */
#ifndef PGROK_VISIT_LOCAL_H
#define PGROK_VISIT_LOCAL_H

#include "common/stream/stream.h"
#include "pgrok/config/endpoint.h"

struct local;

/*
 * Called once, never from inside local_open(): s (owned by arg's owner, ready for the first byte)
 * and error NULL, or s NULL and the reason, borrowed for the call.
 */
typedef void local_fn(void *arg, struct stream *s, const char *error);
/*
 * peer: the visitor, "203.0.113.9:40112", for a service that wants a PROXY head. to is borrowed
 * until fn was called.
 */
struct local *local_open(struct loop *l, const struct endpoint *to, const char *peer, local_fn *fn,
			 void *arg) MUSTCHECK;
/* fn will not be called. Only before it was. */
void local_cancel(struct local *o);

#endif
