/* Text that grows while it is written. */
#include "common/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/utf8.h"

#define TEXT_LEAST 256

static void release(const struct text *t)
{
	char *block = t->p ? t->p - t->off : NULL;

	if (t->secret)
		xfree_secret(block, t->cap);
	else
		free(block);
}

void text_free(struct text *t)
{
	release(t);
	*t = (struct text){.secret = t->secret};
}

/* A block of cap bytes; off is 0. */
static void grow(struct text *t, size_t cap)
{
	char *block;

	if (t->secret) {
		block = xmalloc(cap);
		if (t->p)
			memcpy(block, t->p, t->len);
		release(t);
	} else {
		block = xrealloc(t->p, cap);
	}
	t->p = block;
	t->cap = cap;
}

char *text_room(struct text *t, size_t n)
{
	size_t need = t->len + n + 1, cap = 2 * t->cap;

	if (t->p && t->off && t->off + need > t->cap) {
		memmove(t->p - t->off, t->p, t->len);
		t->p -= t->off;
		t->off = 0;
	}
	if (need > t->cap - t->off) {
		if (cap < TEXT_LEAST)
			cap = TEXT_LEAST;
		grow(t, need > cap ? need : cap);
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
	size_t room = t->cap - t->off - t->len;
	va_list ap;
	int n;

	/* Most often there is room, and once is enough. */
	va_start(ap, fmt);
	n = vsnprintf(t->p ? t->p + t->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n >= room) {
		char *to = text_room(t, (size_t)n);

		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	if (n > 0)
		t->len += (size_t)n;
}

void text_drop(struct text *t, size_t n)
{
	assert(n <= t->len);
	if (n == t->len) {
		text_free(t);
		return;
	}
	t->p += n;
	t->off += n;
	t->len -= n;
}

/* ---- JSON ---- */

static bool plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* Escapes one ASCII character; '<' too, so that it can stand anywhere in a page. */
static void escape(struct text *t, char c)
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
		text_fmt(t, "\\u%04x", (unsigned)c);
	}
}

/* What is not plain at s; returns how many bytes it has. */
static size_t put_special(struct text *t, const char *s, size_t left)
{
	uint32_t code;
	size_t n = utf8_decode(s, left, &code);

	if (n == 1)
		escape(t, *s);
	else if (n == 3 && (code == 0x2028 || code == 0x2029)) /* ends a line in JavaScript */
		text_fmt(t, "\\u%04x", (unsigned)code);
	else if (n)
		text_add(t, s, n);
	else
		text_add(t, "\\ufffd", 6);
	return n ? n : 1;
}

void text_json(struct text *t, const char *s, size_t len)
{
	size_t i = 0;

	text_add(t, "\"", 1);
	while (i < len) {
		size_t run = i;

		while (run < len && plain((unsigned char)s[run]))
			run++;
		text_add(t, s + i, run - i);
		i = run;
		if (i < len)
			i += put_special(t, s + i, len - i);
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

/* ---- hex ---- */

void hex_text(char *out, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *in = bytes;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = in[i];

		out[2 * i] = digits[c >> 4];
		out[2 * i + 1] = digits[c & 15];
	}
	out[2 * len] = '\0';
}

bool hex_bytes(const char *text, unsigned char *out, size_t len)
{
	if (strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}
