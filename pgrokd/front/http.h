/* Visitors of http and https tunnels: the first request's head says whose they are. */
#ifndef PGROKD_FRONT_HTTP_H
#define PGROKD_FRONT_HTTP_H

#include "pgrokd/core/parcel.h"
#include "pgrokd/core/proto.h"

extern const struct proto_ops http_proto;

/* core->back: a visitor without a tunnel, its request in hand: it gets its page, or is routed. */
parcel_adopt_fn http_back;

#endif
