/* The protocols a tunnel may have, and their names on the wire. */
#include "msg/pgrok/proto.h"

#include <string.h>

static const char *const names[PROTOS] = {"http", "https", "tcp"};

const char *proto_name(enum proto p)
{
	return names[p];
}

bool proto_parse(const char *text, size_t len, enum proto *out)
{
	for (int i = 0; i < PROTOS; i++)
		if (strlen(names[i]) == len && memcmp(names[i], text, len) == 0) {
			*out = (enum proto)i;
			return true;
		}
	return false;
}
