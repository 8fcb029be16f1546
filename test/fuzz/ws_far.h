/* For fuzzers of WebSockets: the far end makes frames, right or nearly so, and takes what comes. */
#ifndef TEST_FUZZ_WS_FAR_H
#define TEST_FUZZ_WS_FAR_H

#include "common/base/text.h"
#include "test/unit/common/mux_pipe.h"

#define WS_FAR_HEAD 14

/* Lengths at which the form of a head changes, by the lowest bits of `which`. */
static inline size_t ws_far_length(uint8_t which)
{
	static const size_t lengths[] = {0, 1, 5, 125, 126, 4000, 65535, 65537};

	return lengths[which & 7];
}

/* The head of a frame (RFC 6455 section 5.2) into h, its first byte as said. Returns its length. */
static inline size_t ws_far_head(uint8_t h[static WS_FAR_HEAD], uint8_t first, size_t len,
				 bool masked, uint8_t mask)
{
	size_t n = 2;

	memset(h, 0, WS_FAR_HEAD);
	h[0] = first;
	h[1] = masked ? 0x80 : 0;
	if (len < 126) {
		h[1] |= (uint8_t)len;
	} else if (len < 65536) {
		h[1] |= 126;
		h[n++] = (uint8_t)(len >> 8);
		h[n++] = (uint8_t)len;
	} else {
		h[1] |= 127;
		n += 5;
		h[n++] = (uint8_t)(len >> 16);
		h[n++] = (uint8_t)(len >> 8);
		h[n++] = (uint8_t)len;
	}
	h[n] = masked ? mask : h[n]; /* and three zeros */
	return n + (masked ? 4 : 0);
}

/* Takes n bytes at most of what waits at the far end. */
static inline void ws_far_takes(struct fake *far, struct text *heard, size_t n)
{
	static char buf[64u << 10];
	size_t got;

	for (; n && stream_read(&far->s, buf, n < sizeof(buf) ? n : sizeof(buf), &got) == STREAM_OK;
	     n -= got)
		text_add(heard, buf, got);
}

#endif
