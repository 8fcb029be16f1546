/* A URL of a web service, taken apart: "https://auth.example.com:9091/verify?a=b". Pure. */
#ifndef COMMON_HTTP_WEB_URL_H
#define COMMON_HTTP_WEB_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

struct web_url {
	bool tls;
	uint16_t port;
	char *host;      /* without brackets: to connect to */
	char *authority; /* as it stands in Host */
	char *path;      /* and the query: as it stands in a request line */
};

/* False: err says what is wrong; out is all zero then. */
bool web_url_read(struct web_url *out, const char *text, struct err *err) MUSTCHECK;
void web_url_free(struct web_url *u);

#endif
