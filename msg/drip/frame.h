/* Framing: 4 bytes big-endian length of the body, a type byte, the body. */
#ifndef MSG_DRIP_FRAME_H
#define MSG_DRIP_FRAME_H

#include "common/base/err.h"
#include "msg/drip/drip.h"

#define DRIP_HEADER 5
#define DRIP_BODY_MAX (1u << 20)

enum drip_scan { DRIP_MORE, DRIP_OK, DRIP_BAD };

/*
 * Looks at the start of buf. OK: a frame of *type whose *body_len bytes of JSON stand at buf +
 * DRIP_HEADER. BAD, as soon as the first bytes show it: a length over DRIP_BODY_MAX, or a type that
 * has no message. MORE: *body_len is what the header names, or 0 while it is not whole.
 */
enum drip_scan drip_scan(const void *buf, size_t len, enum drip_type *type,
			 size_t *body_len) MUSTCHECK;

/*
 * A message as one contiguous frame: owned, *len bytes; it may hold a token. NULL with err: a text
 * is not UTF-8, or the body is larger than DRIP_BODY_MAX.
 */
char *drip_frame_make(const struct drip_msg *m, size_t *len, struct err *err) MUSTCHECK;

#endif
