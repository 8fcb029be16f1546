/* Query strings and forms, decoded. See query.h. */
#include "common/http/query.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/text.h"

/* Decodes a part of a form to *out, which moves behind its NUL. NULL: a NUL byte in it. */
static const char *decode_part(const char *text, size_t len, char **out)
{
	const char *start = *out;
	size_t n = percent_decode_loose(text, len, true, *out);

	*out += n + 1;
	return strlen(start) == n ? start : NULL;
}

static bool decode_pair(struct query_pair *pair, const char *text, size_t len, char **out)
{
	const char *eq = memchr(text, '=', len);
	size_t name_len = eq ? (size_t)(eq - text) : len;

	pair->value = "";
	pair->name = decode_part(text, name_len, out);
	if (pair->name && eq)
		pair->value = decode_part(eq + 1, len - name_len - 1, out);
	return pair->name && pair->value;
}

bool query_parse(struct query *q, const char *text, size_t len)
{
	char *out = q->text = xmalloc(len + 1); /* each NUL has its '=', '&' or the end */

	q->n = 0;
	q->pairs = xcalloc(QUERY_PAIRS_MAX, sizeof(*q->pairs));
	while (len) {
		const char *amp = memchr(text, '&', len);
		size_t n = amp ? (size_t)(amp - text) : len;

		if (n && (q->n == QUERY_PAIRS_MAX || !decode_pair(&q->pairs[q->n], text, n, &out)))
			goto fail;
		q->n += n > 0;
		n += amp != NULL;
		text += n;
		len -= n;
	}
	return true;

fail:
	query_free(q);
	return false;
}

const char *query_get(const struct query *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (strcmp(q->pairs[i].name, name) == 0)
			return q->pairs[i].value;
	return NULL;
}

bool query_number(const struct query *q, const char *name, long min, long max, long fallback,
		  long *out)
{
	const char *text = query_get(q, name);
	long value = 0;

	*out = fallback;
	if (!text)
		return true;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > (INT32_MAX - 9) / 10)
			return false;
		value = value * 10 + (*text - '0');
	}
	*out = value;
	return value >= min && value <= max;
}

void query_free(struct query *q)
{
	free(q->pairs);
	free(q->text);
	*q = (struct query){0};
}
