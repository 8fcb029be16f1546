/* A chunked body, passed over byte by byte where it is framing and in runs where it is data. */
#include "common/http/head.h"

#include <string.h>

#include "common/base/text.h"

#define CHUNK_MAX (UINT64_C(1) << 60)
#define CHUNK_DIGITS_MAX 16
#define CHUNK_LINE_MAX (16u << 10)

enum chunk_state {
	CHUNK_START, /* the first digit of a size */
	CHUNK_SIZE,
	CHUNK_SIZE_BLANK, /* strict: behind a size, before the ';' of an extension */
	CHUNK_EXT,
	CHUNK_EXT_QUOTED, /* strict: between quotes */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR, /* the CRLF behind the data */
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* the start of a trailer line, or of the empty line that ends it all */
	CHUNK_TRAILER_NAME,
	CHUNK_TRAILER_VALUE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
	CHUNK_DONE,
	CHUNK_BAD
};

void http_chunked_init(struct http_chunked *c, bool strict)
{
	*c = (struct http_chunked){.state = CHUNK_START, .strict = strict};
}

/* May this byte be part of a line's text? */
static bool is_text(const struct http_chunked *c, char ch)
{
	if (c->strict)
		return ((unsigned char)ch >= 0x20 || ch == '\t') && ch != 0x7f;
	return ch != '\0';
}

static bool is_token(char ch)
{
	if ((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z'))
		return true;
	return ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch);
}

/* The line with a chunk's size has ended. */
static enum chunk_state size_known(struct http_chunked *c)
{
	c->line_len = 0;
	return c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
}

static enum chunk_state size_byte(struct http_chunked *c, char ch)
{
	int digit = hex_digit(ch);

	if (digit >= 0 && c->state != CHUNK_SIZE_BLANK) {
		if (c->left > CHUNK_MAX >> 4 || (c->strict && c->line_len > CHUNK_DIGITS_MAX))
			return CHUNK_BAD;
		c->left = c->left << 4 | (unsigned)digit;
		return c->left > CHUNK_MAX ? CHUNK_BAD : CHUNK_SIZE;
	}
	if (c->state == CHUNK_START)
		return CHUNK_BAD;
	if (ch == '\r' && c->state == CHUNK_SIZE)
		return CHUNK_SIZE_LF;
	if (ch == ';')
		return CHUNK_EXT;
	if (ch == ' ' || ch == '\t')
		return c->strict ? CHUNK_SIZE_BLANK : CHUNK_EXT;
	return ch == '\n' && !c->strict ? size_known(c) : CHUNK_BAD;
}

/*
 * Strict: quotes must close on their line, and hide no other quote behind a backslash. So the line
 * ends in the same place for who reads quotes, for who does not, and for who ignores extensions.
 */
static enum chunk_state ext_byte(struct http_chunked *c, char ch)
{
	bool quoted = c->state == CHUNK_EXT_QUOTED;

	if (ch == '\r')
		return quoted ? CHUNK_BAD : CHUNK_SIZE_LF;
	if (ch == '\n' && !c->strict)
		return size_known(c);
	if (!is_text(c, ch) || (ch == '\\' && c->strict))
		return CHUNK_BAD;
	if (ch == '"' && c->strict)
		quoted = !quoted;
	return quoted ? CHUNK_EXT_QUOTED : CHUNK_EXT;
}

/* A byte of a trailer line, its first included. Strict: a field line like those of a head. */
static enum chunk_state trailer_byte(struct http_chunked *c, char ch)
{
	if (ch == '\n' && !c->strict)
		return c->state == CHUNK_TRAILER ? CHUNK_DONE : CHUNK_TRAILER;
	if (ch == '\r' && c->state == CHUNK_TRAILER)
		return CHUNK_END_LF;
	if (c->state == CHUNK_TRAILER_VALUE || !c->strict) {
		if (ch == '\r')
			return CHUNK_TRAILER_LF;
		return is_text(c, ch) ? CHUNK_TRAILER_VALUE : CHUNK_BAD;
	}
	if (is_token(ch))
		return CHUNK_TRAILER_NAME;
	return ch == ':' && c->state == CHUNK_TRAILER_NAME ? CHUNK_TRAILER_VALUE : CHUNK_BAD;
}

/* One byte of framing: what comes after it? */
static enum chunk_state chunk_byte(struct http_chunked *c, char ch)
{
	switch ((enum chunk_state)c->state) {
	case CHUNK_START:
	case CHUNK_SIZE:
	case CHUNK_SIZE_BLANK:
		return ++c->line_len > CHUNK_LINE_MAX ? CHUNK_BAD : size_byte(c, ch);
	case CHUNK_EXT:
	case CHUNK_EXT_QUOTED:
		return ++c->line_len > CHUNK_LINE_MAX ? CHUNK_BAD : ext_byte(c, ch);
	case CHUNK_SIZE_LF:
		return ch == '\n' ? size_known(c) : CHUNK_BAD;
	case CHUNK_DATA_CR:
		if (ch == '\r')
			return CHUNK_DATA_LF;
		return ch == '\n' && !c->strict ? CHUNK_START : CHUNK_BAD;
	case CHUNK_DATA_LF:
		return ch == '\n' ? CHUNK_START : CHUNK_BAD;
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_NAME:
	case CHUNK_TRAILER_VALUE:
		return ++c->line_len > HTTP_HEAD_MAX ? CHUNK_BAD : trailer_byte(c, ch);
	case CHUNK_TRAILER_LF:
		return ch == '\n' ? CHUNK_TRAILER : CHUNK_BAD;
	case CHUNK_END_LF:
		return ch == '\n' ? CHUNK_DONE : CHUNK_BAD;
	case CHUNK_DATA:
	case CHUNK_DONE:
	case CHUNK_BAD:
		break;
	}
	return CHUNK_BAD;
}

enum http_rc http_chunked_scan(struct http_chunked *c, const char *buf, size_t len, size_t *used,
			       void (*data)(void *arg, const char *bytes, size_t n), void *arg)
{
	size_t i = 0;

	while (i < len && c->state != CHUNK_DONE && c->state != CHUNK_BAD) {
		if (c->state != CHUNK_DATA) {
			c->state = (int)chunk_byte(c, buf[i]);
			if (c->state != CHUNK_BAD)
				i++;
			continue;
		}
		size_t run = c->left < len - i ? (size_t)c->left : len - i;

		if (data)
			data(arg, buf + i, run);
		i += run;
		c->left -= run;
		if (c->left == 0)
			c->state = CHUNK_DATA_CR;
	}
	*used = i;
	if (c->state == CHUNK_DONE)
		return HTTP_OK;
	return c->state == CHUNK_BAD ? HTTP_BAD : HTTP_MORE;
}
