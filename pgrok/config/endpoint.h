/* An address as people write it and as it is dialled: a host and a port, or a folder of files. */
#ifndef PGROK_CONFIG_ENDPOINT_H
#define PGROK_CONFIG_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

/* text NULL: none. */
struct endpoint {
	char *text; /* "127.0.0.1:8080", "unix:/run/app.sock", a folder's path: what is shown */
	char *host; /* name or address, no brackets; NULL for a folder and a Unix socket */
	uint16_t port;
	char *folder;        /* absolute path; NULL: none */
	char *socket;        /* path of a Unix socket; NULL: none */
	bool here;           /* no host was given: this machine, host or else ::1 */
	bool tls;            /* TLS is spoken to it */
	bool checked;        /* and its certificate has to be good */
	uint8_t proxy_proto; /* the version of the PROXY head that it is to get first; 0: none */
};

/*
 * A port alone ("8080" is 127.0.0.1:8080), ":8080" or "host:port". Service names are looked up
 * ("localhost:ssh"). False: err says why, in Go's words ("address foo: missing port in address"),
 * and e is what it was.
 */
bool endpoint_parse(struct endpoint *e, const char *text, struct err *err) MUSTCHECK;
/*
 * The same for where a tunnel leads: "https://host:port", "unix:/run/app.sock" and a folder of
 * files ("./site", "file:///srv/www"), too. A certificate is checked unless host is this machine.
 */
bool endpoint_parse_local(struct endpoint *e, const char *text, struct err *err) MUSTCHECK;
/* Of one that is to be dialled: port 0 is only for those that listen. */
bool endpoint_port_given(const struct endpoint *e, struct err *err) MUSTCHECK;
/* Returns an owned copy. */
struct endpoint endpoint_copy(const struct endpoint *e) MUSTCHECK;
void endpoint_free(struct endpoint *e);

#endif
