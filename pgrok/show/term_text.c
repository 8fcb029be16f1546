/* Texts for a terminal's screen. */
#include "pgrok/show/term_text.h"

#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"

/* The character at s into *c; the bytes it takes. What is none is one byte of value -1. */
static size_t decode(const char *s, int32_t *c)
{
	uint32_t code;
	size_t n = utf8_decode(s, strnlen(s, 4), &code);

	*c = n ? (int32_t)code : -1;
	return n ? n : 1;
}

/* Invisible, or it changes the order in which the rest is shown. */
static bool deceives(int32_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0x061c || c == 0xad;
}

/* What is shown for c, and how many columns that takes. */
static wchar_t shown(int32_t c, bool utf8, int *columns)
{
	*columns = 1;
	if (c >= ' ' && c < 0x7f)
		return (wchar_t)c;
	if (c < 0xa0 || !utf8 || deceives(c))
		return L'?';
	int w = wcwidth((wchar_t)c);
	if (w < 0)
		return L'?';
	*columns = w;
	return (wchar_t)c;
}

int term_columns(const char *text, bool utf8)
{
	int total = 0, w;
	int32_t c;

	while (*text) {
		text += decode(text, &c);
		(void)shown(c, utf8, &w);
		total += w;
	}
	return total;
}

int term_fit(const char *text, int columns, bool utf8, bool mark, wchar_t *out, size_t cap)
{
	bool cut = term_columns(text, utf8) > columns;
	int room = cut && mark ? columns - 1 : columns, used = 0, w;
	size_t n = 0;
	int32_t c;

	while (*text && n + 2 < cap) {
		text += decode(text, &c);
		wchar_t wc = shown(c, utf8, &w);
		if (used + w > room)
			break;
		out[n++] = wc;
		used += w;
	}
	if (cut && mark && used < columns && n + 1 < cap) {
		out[n++] = utf8 ? L'\u2026' : L'~';
		used++;
	}
	out[n] = L'\0';
	return used;
}

const char *term_bytes(uint64_t n, char buf[static TERM_NUMBER])
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double v = (double)n / 1000;
	size_t u = 0;

	if (n < 1000) {
		snprintf(buf, TERM_NUMBER, "%u B", (unsigned)n);
		return buf;
	}
	/* 999950 would be written as 1000.0 */
	while (v >= 999.95 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		u++;
	}
	snprintf(buf, TERM_NUMBER, "%.1f %s", v, units[u]);
	return buf;
}

const char *term_latency(uint32_t us, char buf[static TERM_NUMBER])
{
	double ms = us / 1000.0;

	if (ms < 1000)
		snprintf(buf, TERM_NUMBER, "%.*f ms", ms < 10 ? 2 : 1, ms);
	else
		snprintf(buf, TERM_NUMBER, "%.2f s", ms / 1000);
	return buf;
}
