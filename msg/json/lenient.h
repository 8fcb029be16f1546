/*
 * JSON as Go's encoding/json takes it, into jansson's tree. Whatever jansson frees is wiped, as
 * tokens may be among it.
 */
#ifndef MSG_JSON_LENIENT_H
#define MSG_JSON_LENIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/err.h"

#define LENIENT_VALUES 4096 /* no message of either protocol has a quarter of that */

/*
 * Bytes that are not UTF-8 and lone surrogates are U+FFFD, as in Go. Refused, though Go takes them
 * below an unknown key: integers beyond 64 bits, 1e999, and keys with \u0000; and more than
 * LENIENT_VALUES values. Returns owned; NULL: the reason is in err and never quotes the text.
 */
json_t *lenient_load(const char *json, size_t len, struct err *err) MUSTCHECK;
/* Is this the key of that name (letters, digits and '_')? In any case, whatever the locale. */
bool lenient_key(const char *key, const char *name) MUSTCHECK;

#endif
