/* The protocols a tunnel may have, and their names on the wire. */
#ifndef MSG_PGROK_PROTO_H
#define MSG_PGROK_PROTO_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

enum proto { PROTO_HTTP, PROTO_HTTPS, PROTO_TCP, PROTOS };

/* "http", "https", "tcp". */
const char *proto_name(enum proto p);
/* These names, in exactly this case (as the Go programs). */
bool proto_parse(const char *text, size_t len, enum proto *out) MUSTCHECK;

#endif
