/* The codings of texts in HTTP: reason phrases, dates, %XX, HTML, base64. Pure. */
#ifndef COMMON_HTTP_TEXT_H
#define COMMON_HTTP_TEXT_H

#include <time.h>

#include "common/base/text.h"

/* The phrase of a status (RFC 9110 section 15); "Answer" for one that no answer of ours has. */
const char *http_reason(int status);

#define HTTP_DATE 40
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), whatever the locale. Returns buf. */
const char *http_date(time_t t, char buf[static HTTP_DATE]);
/* False: not of that form. */
bool http_date_parse(const char *text, size_t len, time_t *out) MUSTCHECK;

/*
 * Decodes the %XX of a path into out (len + 1 bytes; NUL-terminated; may be text itself). False: a
 * '%' without two hex digits behind it, or a NUL byte.
 */
bool percent_decode(const char *text, size_t len, char *out) MUSTCHECK;
/*
 * The same as browsers do it: a '%' that starts nothing stays, a NUL byte is one like others; plus:
 * a '+' is a blank. Returns the bytes before the NUL.
 */
size_t percent_decode_loose(const char *text, size_t len, bool plus, char *out);
/* Appends a path for use in a URL: slashes stay, all that is not plainly harmless becomes %XX. */
void text_percent(struct text *t, const char *path);
/* Appends len bytes of text for use in HTML, attributes included; controls become '?'. */
void text_html(struct text *t, const char *s, size_t len);

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
