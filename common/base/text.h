/*
 * Text and bytes that grow while they are written, and may be taken from the front: the one growing
 * buffer. JSON, times and hex digits written into it.
 */
#ifndef COMMON_BASE_TEXT_H
#define COMMON_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/xalloc.h"

/*
 * Zeroed memory is an empty one. There is always a NUL behind what text_add(), text_put(),
 * text_fmt() and the JSON functions have written. p moves on as bytes are taken: never free it,
 * text_free() does.
 */
struct text {
	char *p; /* the first byte; NULL: nothing was ever written, or all was taken */
	size_t len;
	size_t off;  /* bytes taken from the front: p - off is the block */
	size_t cap;  /* of the block */
	bool secret; /* set at first: memory it leaves when it grows or ends is wiped */
};

void text_free(struct text *t);
/*
 * Room for n more bytes (and a NUL) behind its text; the caller adds to len what it has
 * written. What is there may move.
 */
char *text_room(struct text *t, size_t n) MUSTCHECK;
void text_add(struct text *t, const void *bytes, size_t len);
void text_put(struct text *t, const char *s);
void text_fmt(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Takes n bytes off the front; when they were the last, the memory goes back. */
void text_drop(struct text *t, size_t n);

/* A JSON string, quotes included, as Go writes it; invalid UTF-8 becomes U+FFFD. */
void text_json(struct text *t, const char *s, size_t len);
/* The same; NULL is null. */
void text_json_str(struct text *t, const char *s);
/* ,"name":  without the comma behind an opening bracket. name needs no escapes. */
void text_key(struct text *t, const char *name);
/* A comma, but not behind an opening bracket or a key. */
void text_comma(struct text *t);
/* "2026-11-22T09:20:37.123456Z", with the quotes. us: since 1970. */
void text_time(struct text *t, int64_t us);

/* The value of a hex digit of either case; -1: not one. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
/*
 * 2 * len lower-case digits and a NUL into out. bytes may be the upper half of out's first 2 * len
 * bytes.
 */
void hex_text(char *out, const void *bytes, size_t len);
/* The other way: exactly 2 * len digits of either case into len bytes. */
bool hex_bytes(const char *text, unsigned char *out, size_t len) MUSTCHECK;

#endif
