/*
 * Framing: 8 bytes little-endian signed length, then that many bytes of JSON (compat facts,
 * section 1).
 */
#ifndef MSG_PGROK_FRAME_H
#define MSG_PGROK_FRAME_H

#include "common/base/err.h"
#include "msg/pgrok/msg.h"

#define FRAME_HEADER 8
#define FRAME_BODY_MAX (64u << 10)
/* Header and body towards a Go peer, which reads a body with one read: one TLS record. */
#define FRAME_GO_MAX 16384

enum frame_rc { FRAME_MORE, FRAME_OK, FRAME_BAD };

/*
 * Looks at the start of buf. OK: *body_len bytes of JSON stand at buf + FRAME_HEADER. BAD: length
 * negative, zero or over FRAME_BODY_MAX; known as soon as the header is there. MORE: *body_len is
 * the length the header names, or 0 while the header itself is not whole.
 */
enum frame_rc frame_parse(const void *buf, size_t len, size_t *body_len) MUSTCHECK;

/*
 * A message as one contiguous frame: owned, *len bytes. NULL with err: a text is not UTF-8, or the
 * frame is larger than max bytes (FRAME_GO_MAX or FRAME_HEADER + FRAME_BODY_MAX).
 */
char *frame_make(const struct msg *m, size_t max, size_t *len, struct err *err) MUSTCHECK;

#endif
