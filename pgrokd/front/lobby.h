/*
 * Connections whose first bytes have not decided yet what they are: on the tunnel port TLS and the
 * first message, on the public ports TLS and the first request head. What is decided goes, as a
 * parcel, to the worker where its client is at home.
 */
#ifndef PGROKD_FRONT_LOBBY_H
#define PGROKD_FRONT_LOBBY_H

#include "common/net/listener.h"
#include "pgrokd/core/worker.h"

/* Starts to accept on w; takes fds. */
struct listener *lobby_listen(struct worker *w, enum port p, struct listener_fds *fds) MUSTCHECK;
void lobby_close_all(struct worker *w);

#endif
