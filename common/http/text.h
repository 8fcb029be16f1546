/* The codings of texts in HTTP: reason phrases, %XX, HTML, base64. Pure. */
#ifndef COMMON_HTTP_TEXT_H
#define COMMON_HTTP_TEXT_H

#include "common/base/text.h"

/* Base64 of what comes in several pieces. Zeroed memory to begin with. */
struct text_base64 {
	unsigned char rest[3];
	unsigned n;
};

void text_base64_add(struct text *t, struct text_base64 *b, const void *bytes, size_t len);
void text_base64_end(struct text *t, struct text_base64 *b);
/* Appends what `in` (padded or not) stands for. False: it is not base64. */
bool text_base64_decode(struct text *t, const char *in) MUSTCHECK;

#endif
