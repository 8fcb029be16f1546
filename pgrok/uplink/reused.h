/*
 * Connections to the server that carry one visitor after the other: the server pools them as it
 * pools ordinary proxy connections, and opens a stream for each visitor.
 */
#ifndef PGROK_UPLINK_REUSED_H
#define PGROK_UPLINK_REUSED_H

#include "common/mux/mux.h"
#include "common/stream/stream.h"

struct lanes;

/* Takes s, on which the server will say StartProxy. */
typedef void lane_fn(void *arg, struct stream *s);

/* l, memory and arg are borrowed. Returns owned. */
struct lanes *lanes_new(struct loop *l, struct mux_account *memory, lane_fn *fn,
			void *arg) MUSTCHECK;
/* Takes s, on which the server has just said that it speaks yamux. */
void lanes_add(struct lanes *all, struct stream *s);
/* Those that carry nobody. */
unsigned lanes_idle(const struct lanes *all);
/* They take no new visitors, and end with the one they have. */
void lanes_drop(struct lanes *all);
/* Drops them. */
void lanes_free(struct lanes *all);

#endif
