/*
 * Connections to the server that carry one visitor after the other: the server pools them as it
 * pools ordinary proxy connections, and opens a stream for each visitor.
 */
#ifndef PGROK_UPLINK_REUSED_H
#define PGROK_UPLINK_REUSED_H

#include "common/mux/mux.h"
#include "common/stream/stream.h"

/* All of them. */
struct reused;

/* Takes s, on which the server will say StartProxy; on_ready must be set before it returns. */
typedef void reused_fn(void *arg, struct stream *s);

/* Everything is borrowed. Returns owned. */
struct reused *reused_new(struct loop *l, struct mux_account *memory, reused_fn *fn,
			  void *arg) MUSTCHECK;
/* Takes s, on which the server has just said that it speaks yamux. */
void reused_add(struct reused *all, struct stream *s);
/* Those without a visitor. */
unsigned reused_idle(const struct reused *all);
/* They take no new visitors, and end with the one they have. */
void reused_drop(struct reused *all, const char *reason);
/* Takes all: they are dropped. */
void reused_close(struct reused *all, const char *reason);

#endif
