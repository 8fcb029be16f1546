/*
 * A connection to host:port: look-up, then each address in turn, under one deadline. Or to a Unix
 * socket.
 */
#ifndef COMMON_NET_DIAL_H
#define COMMON_NET_DIAL_H

#include "common/base/addr.h"
#include "common/base/loop.h"

struct dial;

/*
 * fn is called once, never from inside this call: fd >= 0 (owned by fn's owner, connected,
 * non-blocking, TCP_NODELAY, keep-alive) and error NULL, or fd -1 and the reason, borrowed for the
 * call, which names the last address ("dial tcp 127.0.0.1:8080: connect: connection refused",
 * "dial tcp: lookup nope.example: no such host", "dial tcp 10.0.0.1:80: i/o timeout"). Numeric
 * hosts need no thread; "" is this machine, 127.0.0.1 or else ::1 (errors name the first). With
 * several addresses, each gets an equal share of the time (at least 2 s), as in Go.
 */
typedef void dial_fn(void *arg, int fd, const char *error);
struct dial *dial_start(struct loop *l, const char *host, uint16_t port, uint64_t timeout_ms,
			dial_fn *fn, void *arg) MUSTCHECK;
/* The same to a Unix socket ("dial unix /run/app.sock: connect: no such file or directory"). */
struct dial *dial_unix(struct loop *l, const char *path, uint64_t timeout_ms, dial_fn *fn,
		       void *arg) MUSTCHECK;
/* May it be one? */
bool dial_unix_fits(const char *path) MUSTCHECK;
/* fn will not be called. Only before fn was called. */
void dial_cancel(struct dial *d);

#endif
