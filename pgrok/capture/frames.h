/* Inside of the capture: WebSocket messages and server-sent events out of a connection's bytes. */
#ifndef PGROK_CAPTURE_FRAMES_H
#define PGROK_CAPTURE_FRAMES_H

#include "pgrok/capture/store_in.h"

/* Of a message's decoded bytes: a bomb is not decoded any further. */
#define CAPTURE_INFLATE_MAX (4u << 20)
/* Of a line of an event stream; the rest of it is dropped. */
#define CAPTURE_LINE_MAX (64u << 10)

struct capture_ws;

/*
 * Both directions behind a 101. ext: the value of the answer's Sec-WebSocket-Extensions, of which
 * permessage-deflate (RFC 7692) is understood. t is borrowed until it is freed. Returns owned.
 */
struct capture_ws *capture_ws_new(struct capture *s, struct capture_txn *t, const char *ext,
				  size_t ext_len) MUSTCHECK;
/* False: the peer broke the protocol, nothing more can be read; a frame of type ERROR says why. */
bool capture_ws_bytes(struct capture_ws *ws, bool from_client, const char *buf,
		      size_t len) MUSTCHECK;
void capture_ws_free(struct capture_ws *ws);

struct capture_sse;

/* An answer's body of text/event-stream. t is borrowed until it is freed. Returns owned. */
struct capture_sse *capture_sse_new(struct capture *s, struct capture_txn *t) MUSTCHECK;
void capture_sse_bytes(struct capture_sse *e, const char *buf, size_t len);
void capture_sse_free(struct capture_sse *e);

#endif
