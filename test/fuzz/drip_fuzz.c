/* Whatever decodes as a message of Drip, encodes; what was encoded is a fixed point. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "msg/drip/drip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum drip_type type, const char *json, size_t size)
{
	struct drip_msg m, again;
	struct err err;
	char *one, *two;
	size_t len, len2;
	bool good;

	memset(&err, 'x', sizeof(err.text)); /* unterminated: false has to write it */
	if (!drip_decode(type, json, size, &m, &err)) {
		assert(memchr(err.text, '\0', sizeof(err.text)) && *err.text && !m.owner);
		return;
	}
	one = drip_encode(&m, &len);
	assert(one && strlen(one) == len);
	good = drip_decode(type, one, len, &again, &err);
	assert(good && again.type == type);
	two = drip_encode(&again, &len2);
	assert(two && len2 == len && !memcmp(one, two, len));
	if (type == DRIP_ERROR)
		good = drip_fatal(&again.error);
	free(one);
	free(two);
	drip_free(&m);
	drip_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned t = 0; t < DRIP_TYPES; t++) {
		if (drip_known(t))
			check((enum drip_type)t, (const char *)data, size);
	}
	return 0;
}
