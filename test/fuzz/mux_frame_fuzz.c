/* Fuzzes frame headers: what is understood says the same when it is written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mux/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (; size >= MUX_HEADER; data += MUX_HEADER, size -= MUX_HEADER) {
		uint8_t again[MUX_HEADER];
		struct mux_frame f;
		const char *why = NULL;
		bool ok = mux_frame_get(data, &f, &why);

		check(why && ok == (why[0] == '\0'));
		if (!ok)
			continue;
		check(f.type <= MUX_GOAWAY && f.flags < 2 * MUX_RST);
		check((f.id != 0) == (f.type == MUX_DATA || f.type == MUX_WINDOW));
		mux_frame_put(again, f);
		check(!memcmp(again, data, MUX_HEADER));
	}
	return 0;
}
