/* A frame of Drip as it may come, at every split; decoded, framed again, and scanned back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "msg/drip/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fewer bytes never said anything that more of them take back. */
static void check_splits(const uint8_t *data, size_t size, enum drip_scan whole)
{
	enum drip_type type;
	size_t n;

	for (size_t have = 0; have < size && have <= DRIP_HEADER; have++) {
		enum drip_scan part = drip_scan(data, have, &type, &n);

		assert(part == DRIP_MORE || part == whole);
	}
}

static void check_body(enum drip_type type, const char *body, size_t len)
{
	struct drip_msg m;
	struct err err;
	enum drip_type type2;
	size_t frame_len, n;
	char *frame;

	if (!drip_decode(type, body, len, &m, &err))
		return;
	frame = drip_frame_make(&m, &frame_len, &err);
	/* Escapes can make a message longer than it came. */
	if (frame) {
		enum drip_scan rc = drip_scan(frame, frame_len, &type2, &n);

		assert(rc == DRIP_OK && type2 == type && n + DRIP_HEADER == frame_len);
		rc = drip_scan(frame, frame_len - 1, &type2, &n);
		assert(rc == DRIP_MORE);
	}
	free(frame);
	drip_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum drip_type type;
	size_t n;
	enum drip_scan rc = drip_scan(data, size, &type, &n);

	check_splits(data, size, rc);
	if (rc != DRIP_OK)
		return 0;
	assert(n <= DRIP_BODY_MAX && n <= size - DRIP_HEADER && type != DRIP_DISCOVER);
	check_body(type, (const char *)data + DRIP_HEADER, n);
	return 0;
}
