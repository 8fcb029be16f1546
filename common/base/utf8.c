/* UTF-8: one check and one decoder for everything that arrives as text. */
#include "common/base/utf8.h"

/* Length of the sequence a lead byte announces, 0 for a byte that begins none. */
static size_t expected(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
static bool second_fits(unsigned char lead, unsigned char second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

size_t utf8_len(const char *s, size_t left)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = left ? expected(p[0]) : 0;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n < 2 || second_fits(p[0], p[1]) ? n : 0;
}

size_t utf8_decode(const char *s, size_t left, uint32_t *code)
{
	size_t n = utf8_len(s, left);
	const unsigned char *p = (const unsigned char *)s;

	if (!n)
		return 0;
	*code = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		*code = *code << 6 | (p[i] & 0x3f);
	return n;
}

/* Bytes at s that begin a character and do not end it; 0: there are none. */
static size_t cut_len(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t whole = expected(p[0]), n = 1;

	if (whole < 2)
		return 0;
	while (n < whole && (p[n] & 0xc0) == 0x80)
		n++;
	return n < whole && (n == 1 || second_fits(p[0], p[1])) ? n : 0;
}

void utf8_mend(char *s)
{
	char *to = s;

	for (size_t n; *s; s += n) {
		n = cut_len(s);
		if (n)
			continue;
		*to++ = *s;
		n = 1;
	}
	*to = '\0';
}

bool utf8_valid(const char *s, size_t len)
{
	size_t n;

	for (; len; s += n, len -= n) {
		n = (unsigned char)*s < 0x80 ? 1 : utf8_len(s, len);
		if (!n)
			return false;
	}
	return true;
}
