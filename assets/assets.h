/* The files that are part of the programs: pages, styles, scripts. Embedded when built. */
#ifndef ASSETS_ASSETS_H
#define ASSETS_ASSETS_H

#include <stddef.h>

#define ASSET_ETAG 24

struct asset {
	const char *path; /* as in this folder: "inspect/index.html" */
	const char *mime;
	const unsigned char *bytes; /* a NUL that does not count stands behind the last */
	size_t len;
	const char *etag; /* a hash of the bytes, with its quotes */
};

/* NULL: there is none of that path. From any thread. */
const struct asset *asset_find(const char *path);
/* 0, 1, 2 ...; NULL behind the last. */
const struct asset *asset_at(size_t i);

#endif
