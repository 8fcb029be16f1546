/*
 * A WebSocket as a kind of stream (RFC 6455): the bytes of its binary messages, whose borders mean
 * nothing. Text messages are skipped, pings answered, and one is sent every WS_STREAM_PING_MS. A
 * close frame is the end of a direction; without one the end is an abort, as on TLS without
 * close_notify. stream_finish() says 1000 and ends the direction of the stream below.
 */
#ifndef COMMON_STREAM_WS_H
#define COMMON_STREAM_WS_H

#include "common/stream/stream.h"

#define WS_STREAM_PING_MS 30000

enum ws_role { WS_SERVER, WS_CLIENT }; /* a client masks what it sends */

/*
 * Takes low, on which the upgrade is done; early: len bytes that were read behind its head, copied.
 * Returns owned. Its loop, socket and TLS are low's.
 */
struct stream *stream_ws_new(struct stream *low, enum ws_role role, const void *early,
			     size_t len) MUSTCHECK;

bool stream_is_ws(const struct stream *s);
/*
 * To move it to another thread: takes out what is below, which the caller owns then; s is an empty
 * shell on no loop. NULL: it can't be moved now (something waits to be sent, or it is at its end).
 */
struct stream *stream_ws_part(struct stream *s) MUSTCHECK;
/* Takes low into the shell s, on low's loop. on_ready must be set again. */
void stream_ws_join(struct stream *s, struct stream *low);

#endif
