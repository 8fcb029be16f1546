/* Framing: a length and a body. */
#include "msg/pgrok/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum frame_rc frame_parse(const void *buf, size_t len, size_t *body_len)
{
	const unsigned char *p = buf;
	uint64_t n = 0;

	*body_len = 0;
	if (len < FRAME_HEADER)
		return FRAME_MORE;
	for (int i = FRAME_HEADER - 1; i >= 0; i--)
		n = n << 8 | p[i];
	if (n == 0 || n > FRAME_BODY_MAX) /* a negative length is a huge one here */
		return FRAME_BAD;
	*body_len = (size_t)n;
	return len - FRAME_HEADER < n ? FRAME_MORE : FRAME_OK;
}

char *frame_make(const struct msg *m, size_t max, size_t *len, struct err *err)
{
	size_t body_len;
	char *body = msg_encode(m, &body_len), *frame;

	if (!body) {
		err_set(err, "%s: a text is not UTF-8", msg_type_name(m->type));
		return NULL;
	}
	if (max > FRAME_HEADER + FRAME_BODY_MAX)
		max = FRAME_HEADER + FRAME_BODY_MAX;
	if (body_len + FRAME_HEADER > max) {
		err_set(err, "%s: a message of %zu bytes is too large for this peer (%zu)",
			msg_type_name(m->type), body_len + FRAME_HEADER, max);
		xfree_secret(body, body_len);
		return NULL;
	}
	frame = xmalloc(FRAME_HEADER + body_len);
	for (int i = 0; i < FRAME_HEADER; i++)
		frame[i] = (char)((uint64_t)body_len >> (8 * i) & 0xff);
	memcpy(frame + FRAME_HEADER, body, body_len);
	xfree_secret(body, body_len);
	*len = FRAME_HEADER + body_len;
	return frame;
}
