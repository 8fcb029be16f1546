/*
 * Connections whose first bytes have not decided yet what they are: TLS, then the bytes that tell
 * which of its port's protocols it is (core->spoken), then what that protocol wants to read first.
 * What is decided goes, as a parcel, to the worker where its client is at home.
 */
#ifndef PGROKD_FRONT_LOBBY_H
#define PGROKD_FRONT_LOBBY_H

#include "common/net/listener.h"
#include "pgrokd/core/worker.h"

/* Starts to accept on w; takes fds. */
struct listener *lobby_listen(struct worker *w, enum port p, struct listener_fds *fds) MUSTCHECK;
/* A connection has come; takes fd. */
void lobby_accept(struct worker *w, enum port port, int fd, const struct addr *peer);
void lobby_close_all(struct worker *w);

#endif
