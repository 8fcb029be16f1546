/* The files that are part of the programs: pages, styles, scripts. Embedded when built. */
#ifndef ASSETS_ASSETS_H
#define ASSETS_ASSETS_H

#include <stdbool.h>
#include <stddef.h>

#define ASSET_ETAG 24

struct asset {
	const char *path; /* as in this folder: "inspect/index.html" */
	const char *mime;
	const unsigned char *bytes; /* a NUL that does not count stands behind the last */
	const unsigned char *end;
	size_t len;
	char etag[ASSET_ETAG]; /* a hash of the bytes, with its quotes */
};

/* Those of one page; a program that does not name it does not contain them. */
struct assets {
	struct asset *file;
	size_t n;
	bool ready; /* len and etag are filled in */
};
extern struct assets inspect_assets, admin_assets;

/* NULL: there is none of that path. From any thread. */
const struct asset *asset_find(struct assets *a, const char *path);
/* 0, 1, 2 ...; NULL behind the last. */
const struct asset *asset_at(struct assets *a, size_t i);

#endif
