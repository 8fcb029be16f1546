/* The pgrok protocol: what the Go client says, and what ours says besides. */
#ifndef PGROKD_PROTO_PGROK_H
#define PGROKD_PROTO_PGROK_H

#include "pgrokd/core/proto.h"

extern const struct proto_ops pgrok_proto;

#endif
