/* Fields that heads are to have, or not to have, whatever came: names, values, and what may not. */
#ifndef COMMON_HTTP_FIELDS_H
#define COMMON_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/xalloc.h"

#define FIELDS_MAX 32       /* of a list */
#define FIELDS_NAME_MAX 128 /* bytes */
#define FIELDS_VALUE_MAX 4096

struct http_set_field {
	char *name, *value; /* value NULL: there is to be none of that name */
};

/* Zeroed: an empty list. */
struct http_fields {
	struct http_set_field *list;
	size_t n;
};

/*
 * One more field, or another value for one. value NULL or "": it is removed. False: err says what
 * is wrong; among it are the fields that say where a message ends or what becomes of the
 * connection, and Host of a request.
 */
bool http_fields_set(struct http_fields *f, const char *name, const char *value, bool request,
		     struct err *err) MUSTCHECK;
/* Names alone, commas or blanks between: all of them are removed. */
bool http_fields_names(struct http_fields *f, const char *names, struct err *err) MUSTCHECK;
void http_fields_free(struct http_fields *f);
/*
 * Is a field of that name (name_len bytes) in the list? '_' counts as '-' if request, since to what
 * is made of CGI both are the same name.
 */
bool http_fields_have(const struct http_fields *f, const char *name, size_t name_len, bool request);

#endif
