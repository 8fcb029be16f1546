/*
 * Frames of the yamux protocol (hashicorp/yamux spec.md): a header of 12 bytes, big endian:
 * version u8 = 0 | type u8 | flags u16 | stream id u32 | length u32. Pure.
 */
#ifndef COMMON_MUX_FRAME_H
#define COMMON_MUX_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/xalloc.h"

#define MUX_HEADER 12

enum mux_type {
	MUX_DATA,   /* length bytes follow */
	MUX_WINDOW, /* length is added to the peer's send window */
	MUX_PING,   /* length is an opaque value, echoed with ACK */
	MUX_GOAWAY  /* length is a reason */
};

/* A GOAWAY's reasons. */
#define GOAWAY_NORMAL 0
#define GOAWAY_PROTOCOL 1

#define MUX_SYN 1
#define MUX_ACK 2
#define MUX_FIN 4
#define MUX_RST 8

struct mux_frame {
	enum mux_type type;
	uint16_t flags;
	uint32_t id; /* stream; 0 for PING and GOAWAY */
	uint32_t length;
};

void mux_frame_put(uint8_t out[static MUX_HEADER], struct mux_frame f);
/*
 * False: not a yamux frame (*why says what is wrong): another version, an unknown type or flag, a
 * stream id where none belongs or none where one does, SYN and ACK or SYN and RST together.
 */
bool mux_frame_get(const uint8_t in[static MUX_HEADER], struct mux_frame *f,
		   const char **why) MUSTCHECK;

#endif
