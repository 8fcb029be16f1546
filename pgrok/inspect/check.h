/* Is a text JSON, or XML? If not: what Go's decoders say about it, and where. Pure. */
#ifndef PGROK_INSPECT_CHECK_H
#define PGROK_INSPECT_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

/*
 * False: err says why in the words of Go's encoding/json ("invalid character '}' looking for
 * beginning of object key string"); *offset: bytes read until then, the bad one included.
 */
bool check_json(const char *text, size_t len, struct err *err, size_t *offset) MUSTCHECK;

/*
 * Are all elements closed, in order, and is nothing cut off? False: err says why not ("XML syntax
 * error on line 2: unexpected EOF"); *offset: bytes read until then. No validation beyond that.
 */
bool check_xml(const char *text, size_t len, struct err *err, size_t *offset) MUSTCHECK;

#endif
