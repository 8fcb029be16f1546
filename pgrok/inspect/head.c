/* The fields of a captured head as JSON. */
#include "pgrok/inspect/head.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_token(unsigned char c)
{
	return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Name as Go's CanonicalMIMEHeaderKey has it, into out of name.len bytes. */
static void canonical(struct head_part name, char *out)
{
	bool upper = true;

	memcpy(out, name.p, name.len);
	for (size_t i = 0; i < name.len; i++) {
		if (!is_token((unsigned char)out[i]))
			return;
	}
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)out[i];

		if (c < 0x80)
			out[i] = (char)(upper ? toupper(c) : tolower(c));
		upper = c == '-';
	}
}

void head_list(struct text *t, const struct capture_head *h, bool trailers)
{
	struct head_part name, value;

	text_put(t, "[");
	for (size_t at = 0; head_next(h, trailers, &at, &name, &value);) {
		text_comma(t);
		text_put(t, "[");
		text_json(t, name.p, name.len);
		text_put(t, ",");
		text_json(t, value.p, value.len);
		text_put(t, "]");
	}
	text_put(t, "]");
}

struct field {
	char *name; /* canonical */
	struct head_part value;
	size_t order;
};

static int compare_fields(const void *a, const void *b)
{
	const struct field *x = a, *y = b;
	int by_name = strcmp(x->name, y->name);

	return by_name ? by_name : x->order < y->order ? -1 : 1;
}

/* The fields in canonical form, sorted. Returns owned; free each name too. */
static struct field *sorted_fields(const struct capture_head *h, bool request, size_t *n)
{
	struct field *all = NULL;
	struct head_part name, value;

	*n = 0;
	for (size_t at = 0; head_next(h, false, &at, &name, &value);) {
		if (head_part_is(name, "transfer-encoding") ||
		    (request && head_part_is(name, "host")))
			continue;
		if (!(*n & (*n - 1)))
			all = xrealloc(all, (*n ? *n * 2 : 1) * sizeof(*all));
		all[*n] = (struct field){xstrndup(name.p, name.len), value, *n};
		canonical(name, all[*n].name);
		++*n;
	}
	if (*n)
		qsort(all, *n, sizeof(*all), compare_fields);
	return all;
}

void head_map(struct text *t, const struct capture_head *h, bool request)
{
	size_t n;
	struct field *all = sorted_fields(h, request, &n);

	text_put(t, "{");
	for (size_t i = 0; i < n; i++) {
		bool first = !i || strcmp(all[i - 1].name, all[i].name) != 0;

		text_comma(t);
		if (first) {
			text_json_str(t, all[i].name);
			text_put(t, ":[");
		}
		text_json(t, all[i].value.p, all[i].value.len);
		if (i + 1 == n || strcmp(all[i + 1].name, all[i].name) != 0)
			text_put(t, "]");
	}
	text_put(t, "}");
	for (size_t i = 0; i < n; i++)
		free(all[i].name);
	free(all);
}
