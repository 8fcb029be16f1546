/* A run of frames as it may come: parsed, decoded, framed again, and parsed back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "msg/pgrok/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_body(const char *body, size_t len)
{
	char *frame, *frame2;
	struct err err;
	struct msg m, again;
	size_t frame_len, n, n2;

	if (msg_decode(body, len, &m, &err) != MSG_OK)
		return;
	frame = frame_make(&m, FRAME_HEADER + FRAME_BODY_MAX, &frame_len, &err);
	/* Escapes can make a message longer than it came. */
	if (frame) {
		enum frame_rc rc = frame_parse(frame, frame_len, &n);

		assert(rc == FRAME_OK && n + FRAME_HEADER == frame_len);
		rc = frame_parse(frame, frame_len - 1, &n2);
		assert(rc == FRAME_MORE && n2 == n);
		enum msg_rc mrc = msg_decode(frame + FRAME_HEADER, n, &again, &err);
		assert(mrc == MSG_OK && again.type == m.type);
		frame2 = frame_make(&again, FRAME_HEADER + FRAME_BODY_MAX, &n2, &err);
		assert(frame2 && n2 == frame_len && !memcmp(frame, frame2, n2));
		free(frame2);
		msg_free(&again);
	}
	free(frame);
	msg_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n;

	while (frame_parse(data, size, &n) == FRAME_OK) {
		assert(n > 0 && n <= FRAME_BODY_MAX && n <= size - FRAME_HEADER);
		check_body((const char *)data + FRAME_HEADER, n);
		data += FRAME_HEADER + n;
		size -= FRAME_HEADER + n;
	}
	return 0;
}
