/* The server's end of a WebSocket (RFC 6455): messages in and out of a stream, framed by wslay. */
#ifndef COMMON_HTTPD_WS_H
#define COMMON_HTTPD_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/stream/stream.h"

#define WS_RECV_MAX (64u << 10) /* a message from the peer; a longer one ends it with 1009 */
#define WS_QUEUE_MAX (8u << 20) /* waiting to be sent, unless hooks say otherwise */
#define WS_PING_MS 30000        /* a peer that is silent gets a ping, and as long again to answer */
#define WS_CLOSE_MS 2000        /* from our close frame to the peer's */

struct httpd_ws;

struct httpd_ws_hooks {
	/* A message; it may be closed from inside. NULL: what comes is dropped. */
	void (*message)(void *arg, struct httpd_ws *ws, const char *msg, size_t len, bool binary);
	/*
	 * Once, from the loop (or from httpd_close()): it is over; ws is not to be used any more.
	 */
	void (*closed)(void *arg, struct httpd_ws *ws, const char *why);
	size_t queue_max; /* bytes; 0: WS_QUEUE_MAX */
};

/*
 * Queues a message (text must be UTF-8); it leaves in this turn of the loop. Never blocks and
 * never calls back. A peer too slow to take what is queued is dropped: false, and `closed`
 * follows with "slow reader". A message that finds an empty queue is taken whatever its length.
 */
bool httpd_ws_send(struct httpd_ws *ws, const void *msg, size_t len, bool binary);
/* Ends it: what is queued goes first. code: 1000 = done, 1001 = going away ... `closed` follows. */
void httpd_ws_close(struct httpd_ws *ws, uint16_t code, const char *why);

/* ---- for httpd alone ---- */

/*
 * Takes s. in: bytes read behind the request's head; out: the answer's bytes still to be written;
 * both are copied. over(owner) is called right after hooks->closed.
 */
struct httpd_ws *ws_new(struct stream *s, const char *in, size_t in_len, const char *out,
			size_t out_len, const struct httpd_ws_hooks *hooks, void *arg,
			void (*over)(void *owner), void *owner) MUSTCHECK;
/* Ends it now: a close frame is tried, `closed` is called, over is not. */
void ws_end(struct httpd_ws *ws, const char *why);

#endif
