/* An address as people write it and as it is dialled: a host and a port, or a folder of files. */
#ifndef PGROK_CONFIG_ENDPOINT_H
#define PGROK_CONFIG_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

/* text NULL: none. */
struct endpoint {
	char *text; /* "127.0.0.1:8080", or the folder's path: what is shown */
	char *host; /* name or address, no brackets; NULL for a folder */
	uint16_t port;
	char *folder; /* absolute path; NULL: none, there is a host and a port */
};

/*
 * A port alone ("8080" is 127.0.0.1:8080), ":8080" or "host:port". Service names are looked up
 * ("localhost:ssh"). False: err says why, in Go's words ("address foo: missing port in address").
 */
bool endpoint_parse(struct endpoint *e, const char *text, struct err *err) MUSTCHECK;
/* The same for where a tunnel leads: a folder of files, too ("./site", "file:///srv/www"). */
bool endpoint_parse_local(struct endpoint *e, const char *text, struct err *err) MUSTCHECK;
void endpoint_free(struct endpoint *e);

#endif
