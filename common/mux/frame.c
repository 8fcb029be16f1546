/* yamux frame headers. */
#include "common/mux/frame.h"

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void mux_frame_put(uint8_t out[static MUX_HEADER], struct mux_frame f)
{
	out[0] = 0;
	out[1] = (uint8_t)f.type;
	out[2] = (uint8_t)(f.flags >> 8);
	out[3] = (uint8_t)f.flags;
	put32(out + 4, f.id);
	put32(out + 8, f.length);
}

bool mux_frame_get(const uint8_t in[static MUX_HEADER], struct mux_frame *f, const char **why)
{
	f->type = (enum mux_type)in[1];
	f->flags = (uint16_t)(in[2] << 8 | in[3]);
	f->id = get32(in + 4);
	f->length = get32(in + 8);
	*why = "";
	if (in[0] != 0)
		*why = "unknown version";
	else if (in[1] > MUX_GOAWAY)
		*why = "unknown frame type";
	else if (f->flags & ~(MUX_SYN | MUX_ACK | MUX_FIN | MUX_RST))
		*why = "unknown flag";
	else if ((f->type == MUX_DATA || f->type == MUX_WINDOW) != (f->id != 0))
		*why = "stream id does not fit the frame type";
	else if ((f->flags & MUX_SYN) && (f->flags & (MUX_ACK | MUX_RST)))
		*why = "contradictory flags";
	else
		return true;
	return false;
}
