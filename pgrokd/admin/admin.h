/*
 * The operator's side door: state, tunnels and metrics over HTTP, on an address of its own, served
 * on the main loop. What workers know is asked by message, and waits for nobody.
 */
#ifndef PGROKD_ADMIN_ADMIN_H
#define PGROKD_ADMIN_ADMIN_H

#include <openssl/ssl.h>

#include "common/net/listener.h"
#include "pgrokd/access/tokens.h"
#include "pgrokd/core/worker.h"

struct admin;

/*
 * Binds what c names. *tls: it can be reached from other machines, so that it is to speak TLS.
 * False: err names the option; so it does if there is no token where one is needed.
 */
bool admin_bind(const struct config *c, struct listener_fds *fds, bool *tls,
		struct err *err) MUSTCHECK;
/* What the server does for it; main thread. */
struct admin_hooks {
	/* The tokens in force, borrowed; NULL: they are not checked. */
	const struct tokens *(*tokens)(void *arg);
	/* What has this owner's token goes, at once. False: err says why not. */
	bool (*revoke)(void *arg, const char *owner, struct err *err);
};
/*
 * Takes fds. The workers run. tls: NULL, or the context, borrowed; so are hooks and arg. Returns
 * owned.
 */
struct admin *admin_start(struct loop *l, struct listener_fds *fds, const struct core *core,
			  SSL_CTX *tls, const struct admin_hooks *hooks, void *arg) MUSTCHECK;
/* After a reload. */
void admin_set_tls(struct admin *a, SSL_CTX *tls);
/* From now on the server is not ready. */
void admin_stopping(struct admin *a);
/* Takes a, when its loop has ended; NULL is fine. What is under way goes with the loop. */
void admin_close(struct admin *a);

#endif
