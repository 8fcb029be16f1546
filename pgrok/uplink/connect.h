/*
 * A ready TLS connection to the server: look-up, dial, an HTTP proxy's CONNECT if there is one,
 * handshake and the check of who answered, all under one deadline.
 */
#ifndef PGROK_UPLINK_CONNECT_H
#define PGROK_UPLINK_CONNECT_H

#include "common/base/err.h"
#include "common/stream/stream.h"
#include "common/net/tls.h"
#include "pgrok/config/endpoint.h"
#include "pgrok/uplink/http_proxy.h"

/* What all connections of this client have in common. Lives as long as the client. */
struct connector;

struct connector_conf {
	const struct endpoint *server;
	const struct http_proxy *proxy; /* NULL: direct */
	struct tls_client_conf tls;
};

/* conf and what it points at are borrowed. NULL: err names the option or file. */
struct connector *connector_new(struct loop *l, const struct connector_conf *conf,
				struct err *err) MUSTCHECK;
/* Takes c (NULL is fine). All attempts must have ended. */
void connector_close(struct connector *c, const char *reason);
/*
 * Is any certificate accepted? Then note says so, and how to accept only that of the server that
 * answered last.
 */
#define CONNECTOR_NOTE 320
bool connector_trusts_any(const struct connector *c, char note[static CONNECTOR_NOTE]);

struct connect; /* one attempt */

/*
 * Called once, from the loop, never from inside connect_start(): s is owned by fn's owner, its
 * handshake done, no on_ready set; or NULL and the reason.
 */
typedef void connect_fn(void *arg, struct stream *s, const char *error);
struct connect *connect_start(struct connector *c, connect_fn *fn, void *arg) MUSTCHECK;
/* fn will not be called. Only before fn was called. */
void connect_cancel(struct connect *a);

#endif
