/* From a connection to a WebSocket over it: the client's end of the handshake. */
#ifndef PGROK_UPLINK_WS_DIAL_H
#define PGROK_UPLINK_WS_DIAL_H

#include "common/stream/stream.h"

struct ws_dial; /* under way */

/*
 * Called once, from the loop, never from inside ws_dial_start(). Takes s, a stream of the bytes in
 * the WebSocket; NULL: error says why there is none, and is borrowed.
 */
typedef void ws_dial_fn(void *arg, struct stream *s, const char *error);

/*
 * Takes s, a connection to host (as in Host). more: further lines of the request, each with its
 * CRLF. The caller keeps the time. Returns owned until fn is called.
 */
struct ws_dial *ws_dial_start(struct stream *s, const char *host, const char *target,
			      const char *more, ws_dial_fn *fn, void *arg) MUSTCHECK;
/* fn will not be called. Only before it was. */
void ws_dial_cancel(struct ws_dial *d);

#endif
