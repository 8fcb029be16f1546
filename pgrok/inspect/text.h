/* Text that grows while it is written: JSON, base64, times. */
#ifndef PGROK_INSPECT_TEXT_H
#define PGROK_INSPECT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

/* Zeroed memory is an empty one. There is always a NUL behind what text_* has written. */
struct text {
	char *p;
	size_t len, cap;
};

void text_free(struct text *t);
/* Room for n more bytes: where to write them; the caller adds to len what it has written. */
char *text_room(struct text *t, size_t n) MUSTCHECK;
void text_add(struct text *t, const void *bytes, size_t len);
void text_put(struct text *t, const char *s);
void text_fmt(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* A JSON string, quotes included; what is no UTF-8 becomes U+FFFD. In the second NULL is null. */
void text_json(struct text *t, const char *s, size_t len);
void text_json_str(struct text *t, const char *s);
/* ,"name":  without the comma behind an opening bracket. name needs no escapes. */
void text_key(struct text *t, const char *name);
/* A comma, but not behind an opening bracket or a key. */
void text_comma(struct text *t);
/* "2026-11-22T09:20:37.123456Z", with the quotes. us: since 1970. */
void text_time(struct text *t, int64_t us);

/* Base64 of what comes in several pieces. Zeroed memory to begin with. */
struct text_base64 {
	unsigned char rest[3];
	unsigned n;
};

void text_base64_add(struct text *t, struct text_base64 *b, const void *bytes, size_t len);
void text_base64_end(struct text *t, struct text_base64 *b);

#endif
