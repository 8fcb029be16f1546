/* The Drip protocol: what Drip's clients say, and what they look for on the same port over HTTP. */
#ifndef PGROKD_PROTO_DRIP_H
#define PGROKD_PROTO_DRIP_H

#include "pgrokd/core/proto.h"

extern const struct proto_ops drip_proto;
/* Over HTTP, on a port of its own and on one of tunnels. */
extern const struct proto_ops drip_web_proto, drip_beside_proto;

#endif
