/* What a captured head says. See head.h. */
#include "pgrok/capture/head.h"

#include <string.h>
#include <strings.h>

/* The line at p, without its end; *next: behind it. */
static struct head_part line_at(const char *p, const char *end, const char **next)
{
	const char *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	const char *stop = nl ? nl : end;

	*next = nl ? nl + 1 : end;
	if (stop > p && stop[-1] == '\r')
		stop--;
	return (struct head_part){p, (size_t)(stop - p)};
}

/* The first line, without its end; empty if there is no head. */
static struct head_part start_line(const struct capture_head *h)
{
	const char *next;

	if (!h->text)
		return (struct head_part){"", 0};
	return line_at(h->text, h->text + h->len, &next);
}

struct head_part head_word(const struct capture_head *h, int n)
{
	struct head_part rest = start_line(h);

	for (int i = 0;; i++) {
		const char *sp = rest.len ? memchr(rest.p, ' ', rest.len) : NULL;

		if (i == n && n < 2 && sp)
			rest.len = (size_t)(sp - rest.p);
		if (i == n)
			return rest;
		if (!sp)
			return (struct head_part){"", 0};
		rest.len -= (size_t)(sp + 1 - rest.p);
		rest.p = sp + 1;
	}
}

struct head_part head_status(const struct capture_head *h)
{
	struct head_part line = start_line(h);
	const char *sp = line.len ? memchr(line.p, ' ', line.len) : NULL;

	if (!sp)
		return (struct head_part){"", 0};
	return (struct head_part){sp + 1, line.len - (size_t)(sp + 1 - line.p)};
}

struct head_part head_trimmed(const char *from, const char *to)
{
	while (from < to && (*from == ' ' || *from == '\t'))
		from++;
	while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
		to--;
	return (struct head_part){from, (size_t)(to - from)};
}

bool head_next(const struct capture_head *h, bool trailers, size_t *at, struct head_part *name,
	       struct head_part *value)
{
	const char *end, *next;

	if (!h->text)
		return false;
	end = h->text + h->len;
	if (!*at && !trailers) {
		(void)line_at(h->text, end, &next);
		*at = (size_t)(next - h->text);
	}
	while (*at < h->len) {
		struct head_part line = line_at(h->text + *at, end, &next);
		const char *colon = line.len ? memchr(line.p, ':', line.len) : NULL;

		*at = (size_t)(next - h->text);
		if (!colon || *line.p == ' ' || *line.p == '\t')
			continue; /* the end of the head, or of a field that goes on */
		*name = head_trimmed(line.p, colon);
		*value = head_trimmed(colon + 1, line.p + line.len);
		return true;
	}
	return false;
}

bool head_part_is(struct head_part p, const char *text)
{
	return strlen(text) == p.len && !strncasecmp(p.p, text, p.len);
}

struct head_part head_field(const struct capture_head *h, const char *name)
{
	struct head_part n, value;

	for (size_t at = 0; head_next(h, false, &at, &n, &value);) {
		if (head_part_is(n, name))
			return value;
	}
	return (struct head_part){"", 0};
}

struct head_part head_type(const struct capture_head *h)
{
	struct head_part v = head_field(h, "content-type");
	const char *semicolon = v.len ? memchr(v.p, ';', v.len) : NULL;

	return semicolon ? head_trimmed(v.p, semicolon) : v;
}
