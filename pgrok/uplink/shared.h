/*
 * The mux sessions that all visitors share: one, or on a long path several. Each: connect ->
 * RegProxy with Mux -> StartProxy "mux:" -> session -> lost -> again, as long as the control
 * connection that granted it lives.
 */
#ifndef PGROK_UPLINK_SHARED_H
#define PGROK_UPLINK_SHARED_H

#include "common/mux/mux.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/visit/visit.h"

/* All of them. */
struct shared;

/* Takes s, on which the server will say StartProxy; on_ready must be set before it returns. */
typedef void shared_fn(void *arg, struct stream *s);

/*
 * Everything is borrowed. Does nothing until it is granted. Visitors come through fn, or straight
 * to visits from a server that took a session for a proxy connection.
 */
struct shared *shared_new(struct loop *l, struct connector *connector, struct visits *visits,
			  struct mux_account *memory, shared_fn *fn, void *arg) MUSTCHECK;
/*
 * Both ends of the control connection named FEATURE_MUX: opens a session for this ClientId, and
 * keeps it.
 */
void shared_grant(struct shared *all, const char *client_id);
/* The control connection is gone: nothing new; visitors that are there are served to their end. */
void shared_revoke(struct shared *all);
/* Round trip in microseconds as the first session last measured it; 0: no session, or not yet. */
uint32_t shared_rtt_us(const struct shared *all);
/* Takes all; visitors on it see a reset. */
void shared_close(struct shared *all, const char *reason);

#endif
