/* Checkers of JSON (RFC 8259) and XML with Go's words. See inspect_check.h. */
#include "pgrok/inspect/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

#define DEPTH_MAX 10000

struct reader {
	const char *text;
	size_t len, at;
	struct err *err;
	unsigned char in_object[DEPTH_MAX / 8 + 1]; /* a bit for each level */
	size_t depth;
};

static bool at_end(struct reader *r)
{
	if (r->at < r->len)
		return false;
	err_set(r->err, "unexpected end of JSON input");
	return true;
}

/* The character at hand does not belong there. */
static bool bad(struct reader *r, const char *where)
{
	unsigned char c;
	char quoted[16];

	if (at_end(r))
		return false;
	c = (unsigned char)r->text[r->at++];
	if (c == '\'')
		snprintf(quoted, sizeof(quoted), "'\\''");
	else if (c == '\\')
		snprintf(quoted, sizeof(quoted), "'\\\\'");
	else if (c == '\n' || c == '\r' || c == '\t')
		snprintf(quoted, sizeof(quoted), "'\\%c'", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if (c < 0x20 || c == 0x7f)
		snprintf(quoted, sizeof(quoted), "'\\x%02x'", c);
	else if (c < 0x80)
		snprintf(quoted, sizeof(quoted), "'%c'", c);
	else if (c < 0xa0)
		snprintf(quoted, sizeof(quoted), "'\\u00%02x'", c);
	else /* Go takes the byte for a character of Latin-1 */
		snprintf(quoted, sizeof(quoted), "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
	return err_set(r->err, "invalid character %s %s", quoted, where);
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->len && r->text[r->at] && strchr(" \t\r\n", r->text[r->at]))
		r->at++;
}

static bool next_is(const struct reader *r, char c)
{
	return r->at < r->len && r->text[r->at] == c;
}

static bool next_digit(const struct reader *r)
{
	return r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9';
}

static bool next_hex(const struct reader *r)
{
	return r->at < r->len && hex_digit(r->text[r->at]) >= 0;
}

static bool escape(struct reader *r)
{
	if (next_is(r, 'u')) {
		r->at++;
		for (int i = 0; i < 4; i++, r->at++) {
			if (!next_hex(r))
				return bad(r, "in \\u hexadecimal character escape");
		}
		return true;
	}
	if (r->at >= r->len || !r->text[r->at] || !strchr("\"\\/bfnrt", r->text[r->at]))
		return bad(r, "in string escape code");
	r->at++;
	return true;
}

/* Behind the opening quote. */
static bool string(struct reader *r)
{
	while (!next_is(r, '"')) {
		if (r->at >= r->len || (unsigned char)r->text[r->at] < 0x20)
			return bad(r, "in string literal");
		if (r->text[r->at++] == '\\' && !escape(r))
			return false;
	}
	r->at++;
	return true;
}

static bool digits(struct reader *r, const char *where)
{
	if (!next_digit(r))
		return bad(r, where);
	while (next_digit(r))
		r->at++;
	return true;
}

static bool number(struct reader *r)
{
	if (next_is(r, '-'))
		r->at++;
	if (next_is(r, '0'))
		r->at++;
	else if (!digits(r, "in numeric literal"))
		return false;
	if (next_is(r, '.')) {
		r->at++;
		if (!digits(r, "after decimal point in numeric literal"))
			return false;
	}
	if (next_is(r, 'e') || next_is(r, 'E')) {
		r->at++;
		if (next_is(r, '+') || next_is(r, '-'))
			r->at++;
		return digits(r, "in exponent of numeric literal");
	}
	return true;
}

static bool word(struct reader *r, const char *all)
{
	char where[64];

	for (size_t i = 0; all[i]; i++, r->at++) {
		if (next_is(r, all[i]))
			continue;
		snprintf(where, sizeof(where), "in literal %s (expecting '%c')", all, all[i]);
		return bad(r, where);
	}
	return true;
}

static bool scalar(struct reader *r)
{
	switch (r->text[r->at]) {
	case '"':
		r->at++;
		return string(r);
	case 't':
		return word(r, "true");
	case 'f':
		return word(r, "false");
	case 'n':
		return word(r, "null");
	case '-':
	case '0' ... '9':
		return number(r);
	}
	return bad(r, "looking for beginning of value");
}

/* "key" and ':' of a member. */
static bool key(struct reader *r)
{
	skip_blanks(r);
	if (!next_is(r, '"'))
		return bad(r, "looking for beginning of object key string");
	r->at++;
	if (!string(r))
		return false;
	skip_blanks(r);
	if (!next_is(r, ':'))
		return bad(r, "after object key");
	r->at++;
	return true;
}

static bool top_is_object(const struct reader *r)
{
	return r->in_object[(r->depth - 1) / 8] >> (r->depth - 1) % 8 & 1;
}

/* An opening bracket. *value: a value has to follow. */
static bool open_bracket(struct reader *r, bool *value)
{
	bool object = r->text[r->at] == '{';
	unsigned char *byte = &r->in_object[r->depth / 8];
	unsigned char bit = (unsigned char)(1 << r->depth % 8);

	if (r->depth == DEPTH_MAX)
		return err_set(r->err, "exceeded max depth");
	r->at++;
	r->depth++;
	*byte = (unsigned char)(object ? *byte | bit : *byte & ~bit);
	skip_blanks(r);
	if (next_is(r, object ? '}' : ']')) {
		*value = false;
		return true;
	}
	*value = true;
	return !object || key(r);
}

/* What may stand behind a value. *value: another one has to follow. */
static bool after_value(struct reader *r, bool *value)
{
	bool object;

	*value = false;
	while (r->depth) {
		object = top_is_object(r);
		skip_blanks(r);
		if (next_is(r, ',')) {
			r->at++;
			*value = true;
			return !object || key(r);
		}
		if (!next_is(r, object ? '}' : ']'))
			return bad(r,
				   object ? "after object key:value pair" : "after array element");
		r->at++;
		r->depth--;
	}
	return true;
}

bool check_json(const char *text, size_t len, struct err *err, size_t *offset)
{
	struct reader r = {.text = text, .len = len, .err = err};
	bool value = true, ok = true;

	err->text[0] = '\0';
	while (ok && value) {
		skip_blanks(&r);
		if (at_end(&r)) {
			ok = false;
		} else if (next_is(&r, '{') || next_is(&r, '[')) {
			ok = open_bracket(&r, &value);
			if (ok && !value)
				ok = after_value(&r, &value);
		} else {
			ok = scalar(&r) && after_value(&r, &value);
		}
	}
	skip_blanks(&r);
	if (ok && r.at < len)
		ok = bad(&r, "after top-level value");
	*offset = r.at;
	return ok;
}

/* ---- XML ---- */

struct xml {
	const char *text;
	size_t len, at;
	struct err *err;
	/* Names of the elements that are open. */
	struct xml_name {
		size_t at, len;
	} * open;
	size_t depth, cap;
};

static bool xml_bad(struct xml *x, const char *why)
{
	int line = 1;

	for (size_t i = 0; i < x->at; i++)
		line += x->text[i] == '\n';
	return err_set(x->err, "XML syntax error on line %d: %s", line, why);
}

static bool xml_eof(struct xml *x)
{
	x->at = x->len;
	return xml_bad(x, "unexpected EOF");
}

static bool xml_starts(const struct xml *x, const char *word)
{
	size_t n = strlen(word);

	return x->len - x->at >= n && !memcmp(x->text + x->at, word, n);
}

/* Behind the next `end`. */
static bool xml_skip(struct xml *x, const char *end)
{
	const char *p = memmem(x->text + x->at, x->len - x->at, end, strlen(end));

	if (!p)
		return xml_eof(x);
	x->at = (size_t)(p - x->text) + strlen(end);
	return true;
}

/* To the '>' that ends a tag, quotes minded; *empty: a '/' stands before it. */
static bool xml_tag_end(struct xml *x, bool *empty)
{
	char quote = 0;

	for (; x->at < x->len; x->at++) {
		char c = x->text[x->at];

		if (quote && c == quote)
			quote = 0;
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (!quote && c == '>')
			break;
	}
	if (x->at == x->len)
		return xml_eof(x);
	*empty = x->text[x->at - 1] == '/';
	x->at++;
	return true;
}

static struct xml_name xml_name(struct xml *x)
{
	struct xml_name n = {x->at, 0};

	while (x->at < x->len && x->text[x->at] && !strchr(" \t\r\n/>", x->text[x->at]))
		x->at++;
	n.len = x->at - n.at;
	return n;
}

static bool xml_close(struct xml *x)
{
	struct xml_name name, open;
	char why[80];
	bool empty = false;

	x->at += 2;
	name = xml_name(x);
	if (!xml_tag_end(x, &empty))
		return false;
	if (!x->depth) {
		snprintf(why, sizeof(why), "unexpected end element </%.*s>",
			 (int)(name.len < 40 ? name.len : 40), x->text + name.at);
		return xml_bad(x, why);
	}
	open = x->open[--x->depth];
	if (open.len == name.len && !memcmp(x->text + open.at, x->text + name.at, name.len))
		return true;
	snprintf(why, sizeof(why), "element <%.*s> closed by </%.*s>",
		 (int)(open.len < 24 ? open.len : 24), x->text + open.at,
		 (int)(name.len < 24 ? name.len : 24), x->text + name.at);
	return xml_bad(x, why);
}

static bool xml_open(struct xml *x)
{
	struct xml_name name;
	bool empty = false;

	x->at++;
	name = xml_name(x);
	if (!name.len && x->at < x->len)
		return xml_bad(x, "expected element name after <");
	if (!xml_tag_end(x, &empty))
		return false;
	if (empty)
		return true;
	if (x->depth == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 16;
		x->open = xrealloc(x->open, x->cap * sizeof(*x->open));
	}
	x->open[x->depth++] = name;
	return true;
}

static bool xml_markup(struct xml *x)
{
	bool empty = false;

	if (xml_starts(x, "<!--"))
		return xml_skip(x, "-->");
	if (xml_starts(x, "<![CDATA["))
		return xml_skip(x, "]]>");
	if (xml_starts(x, "<?"))
		return xml_skip(x, "?>");
	if (xml_starts(x, "<!"))
		return xml_tag_end(x, &empty);
	return xml_starts(x, "</") ? xml_close(x) : xml_open(x);
}

bool check_xml(const char *text, size_t len, struct err *err, size_t *offset)
{
	struct xml x = {.text = text, .len = len, .err = err};
	bool ok = true;

	err->text[0] = '\0';
	while (ok && x.at < len) {
		const char *p = memchr(text + x.at, '<', len - x.at);

		x.at = p ? (size_t)(p - text) : len;
		if (p)
			ok = xml_markup(&x);
	}
	if (ok && x.depth)
		ok = xml_eof(&x);
	free(x.open);
	*offset = x.at;
	return ok;
}
