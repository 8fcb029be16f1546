/* What a request for a file means: paths, ranges, types, tags. Pure: text in, verdict out. */
#ifndef PGROK_FILES_PATH_H
#define PGROK_FILES_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

enum files_path_rc {
	FILES_PATH_OK,
	FILES_PATH_BAD,   /* makes no sense: 400 */
	FILES_PATH_HIDDEN /* never served, whether it is there or not: 404 */
};

/*
 * The path of a request target (origin or absolute form; a query is left out) below the served
 * folder: decoded, without a leading slash, "" for the folder itself. *rel is owned by the caller
 * if OK. *slash: it ends in a slash. Empty segments are passed over. HIDDEN: a segment that begins
 * with a dot ("." and ".." included), or holds an encoded slash.
 */
enum files_path_rc files_path(const char *target, size_t len, char **rel, bool *slash) MUSTCHECK;
/* The query of a target, with its '?'; *len 0: none. Points into target. */
const char *files_query(const char *target, size_t len, size_t *query_len);

enum files_range_rc {
	FILES_RANGE_NONE, /* absent, not understood, or several: the whole file is the answer */
	FILES_RANGE_OK,
	FILES_RANGE_BEYOND /* 416 */
};

/* A Range field's value against a file's size (RFC 9110 section 14). OK: *first <= *last < size. */
enum files_range_rc files_range(const char *text, size_t len, uint64_t size, uint64_t *first,
				uint64_t *last) MUSTCHECK;

/* By the name's extension; never NULL. */
const char *files_mime(const char *name);

/* Is the entity tag in the list of an If-None-Match field (weakly), or the list "*"? */
bool files_etag_listed(const char *list, size_t len, const char *etag);

#endif
