/* The codings of texts in HTTP. */
#include "common/http/text.h"

#include <string.h>

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

bool text_base64_decode(struct text *t, const char *in)
{
	unsigned bits = 0, held = 0;

	for (; *in && *in != '='; in++) {
		const char *digit = strchr(base64_digits, *in);

		if (!digit)
			return false;
		held = held << 6 | (unsigned)(digit - base64_digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text_add(t, &(char){(char)(held >> bits)}, 1);
		}
	}
	return bits < 6;
}
