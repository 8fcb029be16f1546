/*
 * The opening handshake of WebSockets, both ends (RFC 6455 section 4). No extensions, no
 * subprotocols. Pure, but for the client's random key.
 */
#ifndef COMMON_HTTP_UPGRADE_H
#define COMMON_HTTP_UPGRADE_H

#include "common/base/text.h"
#include "common/http/head.h"

#define UPGRADE_KEY 25    /* base64 of 16 bytes, and a NUL */
#define UPGRADE_ACCEPT 29 /* of 20 bytes */

/* A new Sec-WebSocket-Key. */
void upgrade_key(char out[static UPGRADE_KEY]);
/* The answer to a Sec-WebSocket-Key of len bytes. False: it is not base64 of 16 bytes. */
bool upgrade_accept(const char *key, size_t len, char out[static UPGRADE_ACCEPT]) MUSTCHECK;

/* Appends a request. more: further lines, each with its CRLF. */
void upgrade_request(struct text *out, const char *host, const char *target, const char *key,
		     const char *more);
/* What is wrong with the head at buf, complete, as the answer to this key; NULL: nothing. */
const char *upgrade_refused(const char *buf, const struct http_head *h, const char *key) MUSTCHECK;

/* Appends the 101 for a complete request at buf. False: it is not one for a WebSocket. */
bool upgrade_grant(struct text *out, const char *buf, const struct http_head *h) MUSTCHECK;

#endif
