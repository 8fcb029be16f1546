/*
 * A bound port on one or more loops. Accepted sockets are non-blocking, close-on-exec, TCP_NODELAY,
 * have keep-alive on as after socket_keepalive() and are bounded as after socket_short_queue().
 */
#ifndef COMMON_NET_LISTENER_H
#define COMMON_NET_LISTENER_H

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/net/socket.h"

struct listener;

/* Takes fd. Called on the listener's loop. */
typedef void listener_accept_fn(void *arg, int fd, const struct addr *peer);

#define LISTENER_FDS 2 /* ":80" is one socket per IP family */

/* Sockets of one port, bound and listening but not yet accepting. */
struct listener_fds {
	int fd[LISTENER_FDS]; /* -1: unused */
};

/*
 * Binds addr ("host:port"; host may be a name, port a service). ":port", "0.0.0.0:port" and
 * "[::]:port" are every address of both families, as in Go; a family that the machine lacks is
 * skipped. port 0 = the system's choice, the same for both families. The first socket of a port is
 * bound WITHOUT SO_REUSEPORT, so that a second daemon on it is an error; the option is set
 * afterwards, so that siblings may join. False: err says "listen tcp 0.0.0.0:80: bind: address
 * already in use", as does errno, and *out is closed. May block if host is a name.
 */
bool listener_bind(const char *addr, struct listener_fds *out, struct err *err) MUSTCHECK;
/* Another set of sockets on the port that `first` is bound to (one per further worker). */
bool listener_bind_sibling(const struct listener_fds *first, struct listener_fds *out,
			   struct err *err) MUSTCHECK;
/* The bound address; for a pair of families the IPv4 one. */
struct addr listener_addr(const struct listener_fds *fds);
void listener_fds_close(struct listener_fds *fds);

/*
 * Starts to accept on l; takes the sockets (fds is emptied). At EMFILE/ENFILE/ENOMEM it uses the
 * process's reserve descriptor to shed one connection, and pauses 100 ms: it never spins. All
 * listeners together log it once a minute. fn may close the listener.
 */
struct listener *listener_start(struct loop *l, struct listener_fds *fds, listener_accept_fn *fn,
				void *arg) MUSTCHECK;
/*
 * Leaves the last `spare` descriptors of the process to others: for it they count as used up.
 * Connections that are shed are added to *shed, which is borrowed.
 */
void listener_spare(struct listener *ln, int spare, uint64_t *shed);
/* Accepts what is queued until EAGAIN (through fn), then closes. Memory on the next tick. */
void listener_close(struct listener *ln);

#endif
