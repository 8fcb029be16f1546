/* Whatever decodes, encodes; and what was encoded says the same and is a fixed point. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "msg/pgrok/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *one, *two;
	struct err err;
	struct msg m, again;
	size_t len, len2;
	enum msg_rc rc;

	memset(&err, 'x', sizeof(err.text)); /* unterminated: BAD has to write it */
	rc = msg_decode((const char *)data, size, &m, &err);
	if (rc == MSG_BAD)
		assert(memchr(err.text, '\0', sizeof(err.text)) && *err.text && !m.owner);
	if (rc != MSG_OK)
		return 0;
	one = msg_encode(&m, &len);
	assert(one && strlen(one) == len);
	rc = msg_decode(one, len, &again, &err);
	assert(rc == MSG_OK && again.type == m.type);
	two = msg_encode(&again, &len2);
	assert(two && len2 == len && !memcmp(one, two, len));
	free(one);
	free(two);
	msg_free(&m);
	msg_free(&again);
	return 0;
}
