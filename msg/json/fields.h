/*
 * Objects as JSON by a table of their fields: struct -> text in Go's bytes, text -> struct with
 * Go's leniency (keys in any case, unknown keys ignored, null changes nothing, the last of equal
 * keys counts) and its strictness (types). Stricter than Go: a NUL inside a text is refused.
 */
#ifndef MSG_JSON_FIELDS_H
#define MSG_JSON_FIELDS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/text.h"

#define FIELDS_ROWS 24 /* rows of a table */

enum field_kind {
	FIELD_TEXT,   /* const char *: UTF-8; NULL is written as "", read is never NULL */
	FIELD_TEXTS,  /* struct field_texts */
	FIELD_BOOL,   /* bool */
	FIELD_PORT,   /* uint16_t */
	FIELD_NUMBER, /* int64_t */
	FIELD_OBJECT  /* a struct with a table of its own; its first member: bool, is it there? */
};

/* A list of texts. Read, it has a NULL behind the last. */
struct field_texts {
	const char *const *text;
	size_t n;
};

struct field {
	const char *name;
	size_t offset; /* in the object */
	enum field_kind kind;
	bool omit;   /* left out when it has its default value (and an object always if absent) */
	int64_t def; /* of a NUMBER; the others' default is nothing, 0 and false */
	const struct fields *inner; /* of an OBJECT */
};

/* A row for a member of an object: FIELD("Mux", struct hello, mux, NUMBER, .omit = true). */
#define FIELD(key, object, member, type, ...)                                            \
	{                                                                                \
		.name = (key), .offset = offsetof(object, member), .kind = FIELD_##type, \
		##__VA_ARGS__                                                            \
	}

/* A table; its rows are written in this order. */
struct fields {
	const char *name; /* for error texts */
	const struct field *row;
	size_t n;
};
#define FIELDS(title, rows)                                                           \
	{                                                                             \
		.name = (title), .row = (rows), .n = sizeof(rows) / sizeof((rows)[0]) \
	}

/* The memory that the texts of an object live in after fields_get(). */
struct fields_owner;

/* Every field at its default. */
void fields_init(const struct fields *f, void *object);
/* Appends {"Name":value,...}. False: a text is not UTF-8. */
bool fields_put(struct text *out, const struct fields *f, const void *object) MUSTCHECK;
/*
 * Reads all fields of a JSON object; *owner is the caller's to free.
 * False: err says which field has a wrong type or value, *object is unchanged and *owner NULL.
 */
bool fields_get(const struct fields *f, json_t *from, void *object, struct fields_owner **owner,
		struct err *err) MUSTCHECK;
/* Wipes it: tokens may be among the texts. NULL is fine. */
void fields_free(struct fields_owner *owner);

#endif
