/* One line, written into a buffer of fixed size. */
#include "common/base/line.h"

#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"

struct line line_of(char *bytes, size_t cap, enum line_form form)
{
	return (struct line){.bytes = bytes, .cap = cap, .form = form};
}

void line_put(struct line *l, const char *s, size_t len)
{
	if (l->cut || l->len + len > l->cap - LINE_TAIL) {
		l->cut = true;
		return;
	}
	memcpy(l->bytes + l->len, s, len);
	l->len += len;
}

void line_str(struct line *l, const char *s)
{
	line_put(l, s, strlen(s));
}

void line_number(struct line *l, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	line_put(l, digits + at, sizeof(digits) - at);
}

void line_thousandths(struct line *l, uint64_t n)
{
	const char digits[3] = {(char)('0' + n / 100 % 10), (char)('0' + n / 10 % 10),
				(char)('0' + n % 10)};

	line_put(l, digits, sizeof(digits));
}

void line_tail(struct line *l, const char *s)
{
	size_t len = strlen(s);

	memcpy(l->bytes + l->len, s, len);
	l->len += len;
}

/*
 * Is it a character that a terminal or a reader of lines would act on: C0, DEL, C1, the Unicode
 * line and paragraph separators?
 */
static bool is_control(const char *s, size_t len, unsigned *code)
{
	const unsigned char *p = (const unsigned char *)s;

	*code = p[0];
	if (len == 1)
		return p[0] < 0x20 || p[0] == 0x7F;
	if (len == 2) {
		*code = p[1];
		return p[0] == 0xC2 && p[1] < 0xA0;
	}
	*code = 0x2000U + (p[len - 1] & 0x3F);
	return len == 3 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9);
}

#define ESCAPED 24 /* 4 bytes, each of them \\xNN */

static size_t hex_escape(char *out, const char *s, size_t n, bool twice)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(out + len, ESCAPED - len, twice ? "\\\\x%02x" : "\\x%02x",
					(unsigned char)s[i]);
	return len;
}

/* The character at s, of *n bytes: what stands for it; 0: itself. */
static size_t escape(enum line_form form, const char *s, size_t left, size_t *n,
		     char out[static ESCAPED])
{
	unsigned code;
	bool control;

	*n = form == LINE_QUOTED ? 1 : utf8_len(s, left);
	if (!*n) {
		*n = 1;
		return hex_escape(out, s, 1, form == LINE_JSON);
	}
	control = is_control(s, *n, &code) || (form == LINE_QUOTED && (unsigned char)*s >= 0x7F);
	if (control && form == LINE_JSON)
		return (size_t)snprintf(out, ESCAPED, "\\u%04x", code);
	if (control)
		return hex_escape(out, s, *n, false);
	if (form == LINE_TEXT || (*s != '"' && *s != '\\'))
		return 0;
	out[0] = '\\';
	out[1] = *s;
	return 2;
}

static bool is_plain(char c)
{
	return c >= ' ' && c < 0x7F && c != '"' && c != '\\';
}

void line_escaped(struct line *l, const char *s, size_t len)
{
	char out[ESCAPED];
	size_t n = 0;

	for (; len && !l->cut; s += n, len -= n) {
		for (n = 0; n < len && is_plain(s[n]);)
			n++;
		size_t room = l->cap - LINE_TAIL - l->len;

		if (n) {
			n = n < room || !room ? n : room;
			line_put(l, s, n);
			continue;
		}
		size_t made = escape(l->form, s, len, &n, out);

		line_put(l, made ? out : s, made ? made : n);
	}
}

void line_part(struct line *l, const char *s, size_t len, size_t max)
{
	size_t cap = l->cap, most = l->len + max + LINE_TAIL;
	bool narrow = most < cap;

	if (l->cut)
		return;
	if (narrow)
		l->cap = most;
	line_escaped(l, s, len);
	l->cap = cap;
	if (!l->cut || !narrow)
		return;
	l->cut = false;
	line_put(l, "...", 3);
}
