/* Framing: a length, a type and a body. */
#include "msg/drip/frame.h"

#include <string.h>

#include "common/base/xalloc.h"

/* Is there no frame that begins with these bytes of a length? */
static bool too_large(const unsigned char *p, size_t len)
{
	uint32_t least = 0;

	for (size_t i = 0; i < 4; i++)
		least = least << 8 | (i < len ? p[i] : 0);
	return least > DRIP_BODY_MAX;
}

enum drip_scan drip_scan(const void *buf, size_t len, enum drip_type *type, size_t *body_len)
{
	const unsigned char *p = buf;
	uint32_t n;

	*body_len = 0;
	if (too_large(p, len))
		return DRIP_BAD;
	if (len < DRIP_HEADER)
		return DRIP_MORE;
	if (p[4] == DRIP_DISCOVER || !drip_known(p[4]))
		return DRIP_BAD;
	n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	*type = (enum drip_type)p[4];
	*body_len = n;
	return len - DRIP_HEADER < n ? DRIP_MORE : DRIP_OK;
}

char *drip_frame_make(const struct drip_msg *m, size_t *len, struct err *err)
{
	size_t body_len;
	char *body = drip_encode(m, &body_len), *frame;

	if (!body) {
		err_set(err, "%s: a text is not UTF-8", drip_type_name(m->type));
		return NULL;
	}
	if (body_len > DRIP_BODY_MAX) {
		err_set(err, "%s: a message of %zu bytes is too large (%u)",
			drip_type_name(m->type), body_len, DRIP_BODY_MAX);
		xfree_secret(body, body_len);
		return NULL;
	}
	frame = xmalloc(DRIP_HEADER + body_len);
	for (int i = 0; i < 4; i++)
		frame[i] = (char)(body_len >> (24 - 8 * i) & 0xff);
	frame[4] = (char)m->type;
	memcpy(frame + DRIP_HEADER, body, body_len);
	xfree_secret(body, body_len);
	*len = DRIP_HEADER + body_len;
	return frame;
}
