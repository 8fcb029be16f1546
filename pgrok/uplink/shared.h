/*
 * The mux sessions to the server, where visitors arrive as streams: one, or on a long path several.
 * Each: connect -> RegProxy with Mux -> StartProxy "mux:" -> session -> lost -> again, as long as
 * the control session that granted it lives.
 */
#ifndef PGROK_UPLINK_SHARED_H
#define PGROK_UPLINK_SHARED_H

#include "common/mux/mux.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/uplink/pgrok_proxy.h"

struct mux_link;

/* Everything is borrowed. Does nothing until it is granted. */
struct mux_link *mux_link_new(struct loop *l, struct connector *connector, struct proxies *proxies,
			      struct mux_account *memory) MUSTCHECK;
/*
 * Both ends of the control connection named "mux": opens a session for this ClientId, and keeps it.
 */
void mux_link_grant(struct mux_link *k, const char *client_id);
/* The control session is gone: nothing new; visitors that are there are served to their end. */
void mux_link_revoke(struct mux_link *k);
/* Round trip in microseconds as the first session last measured it; 0: no session, or not yet. */
uint32_t mux_link_rtt_us(const struct mux_link *k);
/* Takes k; visitors on it see a reset. */
void mux_link_close(struct mux_link *k);

#endif
