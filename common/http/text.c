/* The codings of texts in HTTP. */
#include "common/http/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} known[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].status == status)
			return known[i].reason;
	return "Answer";
}

/* ---- dates ---- */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

const char *http_date(time_t t, char buf[static HTTP_DATE])
{
	struct tm tm;

	/* Not strftime(): these names are English whatever the locale. */
	gmtime_r(&t, &tm);
	snprintf(buf, HTTP_DATE, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
		 tm.tm_mday % 100, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000,
		 tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100);
	return buf;
}

bool http_date_parse(const char *text, size_t len, time_t *out)
{
	char copy[HTTP_DATE], month[4];
	struct tm tm = {0};
	int end = 0;

	if (len != 29)
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (sscanf(copy, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
	    end != 29)
		return false;
	const char *at = strstr(months, month);
	if (!at || (at - months) % 3 || strlen(month) != 3)
		return false;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	*out = timegm(&tm);
	return true;
}

/* ---- %XX ---- */

/* The byte that a '%' at text stands for; -1: none. */
static int escaped(const char *text, size_t len)
{
	int high, low;

	if (len < 3)
		return -1;
	high = hex_digit(text[1]);
	low = hex_digit(text[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool percent_decode(const char *text, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			c = escaped(text + i, len - i);
			i += 2;
		}
		if (c <= 0)
			return false;
		*out++ = (char)c;
	}
	*out = '\0';
	return true;
}

size_t percent_decode_loose(const char *text, size_t len, bool plus, char *out)
{
	char *from = out;

	for (size_t i = 0; i < len; i++) {
		int c = text[i] == '%' ? escaped(text + i, len - i) : -1;

		if (c >= 0)
			i += 2;
		else
			c = plus && text[i] == '+' ? ' ' : text[i];
		*out++ = (char)c;
	}
	*out = '\0';
	return (size_t)(out - from);
}

void text_percent(struct text *t, const char *path)
{
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if (isalnum(*p) ? *p < 0x80 : strchr("/-._~", *p) != NULL)
			text_add(t, p, 1);
		else
			text_fmt(t, "%%%02X", *p);
	}
}

/* ---- HTML ---- */

void text_html(struct text *t, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < ' ' || c == 0x7f)
			text_add(t, "?", 1);
		else if (strchr("<>&\"'", c))
			text_fmt(t, "&#%d;", c);
		else
			text_add(t, s + i, 1);
	}
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
