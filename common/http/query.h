/*
 * Query strings and forms (application/x-www-form-urlencoded): text in, names and values out.
 * Pure.
 */
#ifndef COMMON_HTTP_QUERY_H
#define COMMON_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

#define QUERY_PAIRS_MAX 256

/* Decoded names and values in the order they came; all strings are NUL-terminated. */
struct query {
	size_t n;
	struct query_pair {
		const char *name, *value;
	} * pairs;
	char *text; /* what the pairs point into */
};

/*
 * Splits at '&' and '=', decodes '+' and %XX as browsers do (a '%' that starts nothing stays); a
 * name without '=' has the value "". False: a NUL byte, or more than QUERY_PAIRS_MAX pairs; *q is
 * then empty.
 */
bool query_parse(struct query *q, const char *text, size_t len) MUSTCHECK;
/* The first value of that name; NULL: it is not there. */
const char *query_get(const struct query *q, const char *name);
/* The same as a number; absent: fallback. False: it is not all digits, or not from min to max. */
bool query_number(const struct query *q, const char *name, long min, long max, long fallback,
		  long *out) MUSTCHECK;
void query_free(struct query *q); /* zeroed memory is fine */

#endif
