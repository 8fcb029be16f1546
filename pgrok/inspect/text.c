/* Text that grows while it is written. See inspect_text.h. */
#include "pgrok/inspect/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/utf8.h"

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){0};
}

char *text_room(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 256;

	while (cap < t->len + n + 1)
		cap *= 2;
	if (cap > t->cap) {
		t->p = xrealloc(t->p, cap);
		t->cap = cap;
	}
	return t->p + t->len;
}

void text_add(struct text *t, const void *bytes, size_t len)
{
	char *to = text_room(t, len);

	if (len)
		memcpy(to, bytes, len);
	to[len] = '\0';
	t->len += len;
}

void text_put(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_fmt(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n <= 0)
		return;
	char *to = text_room(t, (size_t)n);

	va_start(ap, fmt);
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

/* ---- JSON ---- */

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* Escapes one ASCII character; '<' too, so that it can stand anywhere in a page. */
static void escape(struct text *t, unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		text_fmt(t, "\\%c", c);
		break;
	case '\n':
		text_add(t, "\\n", 2);
		break;
	case '\r':
		text_add(t, "\\r", 2);
		break;
	case '\t':
		text_add(t, "\\t", 2);
		break;
	default:
		text_fmt(t, "\\u%04x", c);
	}
}

void text_json(struct text *t, const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t i = 0;

	text_add(t, "\"", 1);
	while (i < len) {
		size_t run = i;

		while (run < len && plain(u[run]))
			run++;
		if (run > i) {
			text_add(t, s + i, run - i);
			i = run;
			continue;
		}
		size_t n = utf8_len(s + i, len - i);

		if (n > 1)
			text_add(t, s + i, n);
		else if (n == 1)
			escape(t, u[i]);
		else
			text_add(t, "\\ufffd", 6);
		i += n ? n : 1;
	}
	text_add(t, "\"", 1);
}

void text_json_str(struct text *t, const char *s)
{
	if (s)
		text_json(t, s, strlen(s));
	else
		text_put(t, "null");
}

void text_comma(struct text *t)
{
	if (t->len && !strchr("{[:", t->p[t->len - 1]))
		text_add(t, ",", 1);
}

void text_key(struct text *t, const char *name)
{
	text_comma(t);
	text_add(t, "\"", 1);
	text_put(t, name);
	text_add(t, "\":", 2);
}

void text_time(struct text *t, int64_t us)
{
	time_t s = us / 1000000;
	struct tm tm;
	char buf[32];

	gmtime_r(&s, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	text_fmt(t, "\"%s.%06dZ\"", buf, (int)(us % 1000000));
}

/* ---- base64 ---- */

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void group(const unsigned char *in, char *out)
{
	out[0] = base64_digits[in[0] >> 2];
	out[1] = base64_digits[(in[0] & 3) << 4 | in[1] >> 4];
	out[2] = base64_digits[(in[1] & 15) << 2 | in[2] >> 6];
	out[3] = base64_digits[in[2] & 63];
}

void text_base64_add(struct text *t, struct text_base64 *b, const void *bytes, size_t len)
{
	const unsigned char *in = bytes;
	char *to = text_room(t, (len + 2) / 3 * 4 + 4);

	while (len > 0) {
		if (!b->n && len >= 3) {
			group(in, to);
			in += 3;
			len -= 3;
		} else {
			b->rest[b->n++] = *in++;
			len--;
			if (b->n < 3)
				continue;
			group(b->rest, to);
			b->n = 0;
		}
		to += 4;
		t->len += 4;
	}
	*to = '\0';
}

void text_base64_end(struct text *t, struct text_base64 *b)
{
	char out[4];

	if (!b->n)
		return;
	for (unsigned i = b->n; i < 3; i++)
		b->rest[i] = 0;
	group(b->rest, out);
	for (unsigned i = b->n + 1; i < 4; i++)
		out[i] = '=';
	text_add(t, out, 4);
	b->n = 0;
}
