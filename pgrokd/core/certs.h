/*
 * Which tunnel's CA has vouched for a visitor: asked for in the handshake, by the name in the
 * ClientHello, and looked at with every request.
 */
#ifndef PGROKD_CORE_CERTS_H
#define PGROKD_CORE_CERTS_H

#include "pgrokd/access/rules.h"
#include "pgrokd/names/registry.h"

/* Before ctx is used: its handshakes ask for what the tunnel that is asked for wants. Borrows r. */
void certs_watch(SSL_CTX *ctx, struct registry *r);
/*
 * Who has vouched for the peer, as of now (seconds since 1970); borrowed. NULL: no CA has. ssl may
 * be NULL.
 */
const struct vouch *certs_vouch(SSL *ssl, int64_t now);

#endif
