/* X-Forwarded-For, read from its end. */
#include "pgrokd/access/origin.h"

#include <string.h>
#include <strings.h>

/* The values of all fields of that name are one list; it is walked from its end. */
struct walk {
	const char *head;
	size_t fields, at; /* the first field line; the line behind those still to come */
	const char *value; /* of the field at hand; NULL: none */
	size_t len;        /* of what is left of it */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The field of that name before the one at hand. */
static bool field_before(struct walk *w)
{
	static const char name[] = "X-Forwarded-For:";
	const size_t len = sizeof(name) - 1;

	w->value = NULL;
	while (w->at > w->fields && !w->value) {
		size_t end = w->at - 1; /* its LF */
		const char *lf = memrchr(w->head + w->fields, '\n', end - w->fields);
		const char *line = lf ? lf + 1 : w->head + w->fields;
		size_t line_len = (size_t)(w->head + end - line);

		w->at = (size_t)(line - w->head);
		if (line_len < len || strncasecmp(line, name, len) != 0)
			continue;
		w->value = line + len;
		w->len = line_len - len;
		if (w->len && w->value[w->len - 1] == '\r')
			w->len--;
	}
	return w->value;
}

/* The item before, without blanks around it; empty ones are passed over. False: there is none. */
static bool item_before(struct walk *w, const char **item, size_t *len)
{
	while (w->value || field_before(w)) {
		const char *comma = w->len ? memrchr(w->value, ',', w->len) : NULL;
		const char *from = comma ? comma + 1 : w->value, *to = w->value + w->len;

		if (comma)
			w->len = (size_t)(comma - w->value);
		else
			w->value = NULL;
		while (from < to && is_blank(*from))
			from++;
		while (to > from && is_blank(to[-1]))
			to--;
		*item = from;
		*len = (size_t)(to - from);
		if (*len)
			return true;
	}
	return false;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80" */
static bool read_item(const char *item, size_t len, struct addr *out)
{
	char text[ADDR_TEXT], host[ADDR_TEXT], port[8];
	const char *why;

	if (len >= sizeof(text) || memchr(item, '%', len) || memchr(item, '\0', len))
		return false;
	memcpy(text, item, len);
	text[len] = '\0';
	if (addr_numeric(text, 0, out))
		return true;
	if (text[0] == '[' && text[len - 1] == ']') {
		text[len - 1] = '\0';
		return strchr(text, ':') && addr_numeric(text + 1, 0, out);
	}
	if (!addr_split(text, host, sizeof(host), port, sizeof(port), &why) || addr_port(port) < 0)
		return false;
	/* Brackets are for IPv6. */
	return addr_numeric(host, (uint16_t)addr_port(port), out) &&
	       (text[0] == '[') == (out->sa.any.sa_family == AF_INET6);
}

struct addr origin_of(const struct nets *trusted, const struct addr *peer,
		      const struct http_head *h, const char *head)
{
	struct walk w = {.head = head, .fields = h->fields, .at = h->head_len};
	struct addr origin = *peer, said;
	const char *item;
	size_t len;

	while (nets_have(trusted, &origin) && item_before(&w, &item, &len)) {
		if (!read_item(item, len, &said))
			break;
		origin = said;
	}
	return origin;
}

bool origin_https(const struct nets *trusted, const struct addr *peer, const struct http_head *h,
		  const char *head)
{
	struct http_span said;

	return nets_have(trusted, peer) && http_field(head, h, "X-Forwarded-Proto", &said) &&
	       http_span_is_nocase(head, said, "https");
}
