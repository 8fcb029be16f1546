/*
 * How many proxy connections there are: the server asks for each, the limits say when it is made,
 * and when the control connection is gone those that wait are of no use any more.
 */
#ifndef PGROK_UPLINK_PROXIES_H
#define PGROK_UPLINK_PROXIES_H

#include "common/mux/mux.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/visit/visit.h"

struct proxies;

/* Everything is borrowed. */
struct proxies *proxies_new(struct loop *l, struct connector *connector, struct visits *visits,
			    struct mux_account *memory) MUSTCHECK;
/* Takes all. */
void proxies_close(struct proxies *all, const char *reason);

/*
 * Until proxies_drop_waiting(): the server knows connections that carry one visitor after the
 * other, so those that are made from now on say that they are such.
 */
void proxies_reuse(struct proxies *all);
/* The server asked for one more. Bounded: what is over the limits is ignored. */
void proxies_add(struct proxies *all, const char *client_id);
/* Takes a stream of a mux session, on which the server will say StartProxy. */
void proxies_accept(struct proxies *all, struct stream *s);
/* The control connection is gone: ends what serves no visitor yet. */
void proxies_drop_waiting(struct proxies *all, const char *reason);

#endif
