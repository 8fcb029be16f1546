/* The mux sessions of one control, over which its visitors go as streams. */
#ifndef PGROKD_CARRIER_SHARED_H
#define PGROKD_CARRIER_SHARED_H

#include <sys/queue.h>

#include "common/stream/stream.h"

struct control;

TAILQ_HEAD(mux_link_list, mux_link);

/* A RegProxy with Mux has come: takes s (settled). Waiting visitors go over it at once. */
void mux_link_add(struct control *c, struct stream *s);
/* Tells the other end of a RegProxy with Mux that yamux follows. False: s is dead. */
bool mux_link_say(struct stream *s) MUSTCHECK;
/* A stream for a visitor, owned by the caller; NULL: there is no session that can carry one. */
struct stream *mux_link_open(struct control *c) MUSTCHECK;
/* The control closes: the sessions take no new streams and end with their last one. */
void mux_link_close_all(struct control *c);

#endif
