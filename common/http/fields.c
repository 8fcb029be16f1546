/* Fields that heads are to have or not. */
#include "common/http/fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/words.h"

/* RFC 9110 section 5.6.2 */
static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
			return false;
	return true;
}

/* RFC 9110 section 5.5: nothing that could end the line. */
static bool is_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool same(const char *a, const char *b, size_t len, bool cgi)
{
	for (size_t i = 0; i < len; i++) {
		int x = tolower((unsigned char)a[i]), y = tolower((unsigned char)b[i]);

		if (cgi && x == '_')
			x = '-';
		if (cgi && y == '_')
			y = '-';
		if (x != y)
			return false;
	}
	return true;
}

/* Whose change would make two readers of a message disagree on where it ends, or who it is for. */
static bool is_framing(const char *name, bool request)
{
	static const char *const names[] = {
		"Content-Length", "Transfer-Encoding", "Connection", "Upgrade",
		"Keep-Alive",     "Proxy-Connection",  "TE",         "Trailer",
		"Expect",         "HTTP2-Settings",    "Host",
	};
	size_t n = sizeof(names) / sizeof(names[0]) - !request;

	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == strlen(name) && same(names[i], name, strlen(name), true))
			return true;
	return false;
}

static bool check(const char *name, const char *value, bool request, struct err *err)
{
	if (strlen(name) > FIELDS_NAME_MAX || !is_token(name))
		return err_set(err, "'%.60s' can't be the name of a field", name);
	if (is_framing(name, request))
		return err_set(err, "%.60s is not to be changed%s", name,
			       strcasecmp(name, "Host") == 0 ? " here: write host_header" : "");
	if (!value || (strlen(value) <= FIELDS_VALUE_MAX && is_value(value)))
		return true;
	return err_set(err, "a value has at most %d bytes, no line ends or control characters",
		       FIELDS_VALUE_MAX);
}

static struct http_set_field *find(const struct http_fields *f, const char *name, size_t len,
				   bool cgi)
{
	for (size_t i = 0; i < f->n; i++)
		if (strlen(f->list[i].name) == len && same(f->list[i].name, name, len, cgi))
			return &f->list[i];
	return NULL;
}

bool http_fields_set(struct http_fields *f, const char *name, const char *value, bool request,
		     struct err *err)
{
	if (!check(name, value, request, err))
		return false;
	struct http_set_field *field = find(f, name, strlen(name), false);

	if (!field && f->n == FIELDS_MAX)
		return err_set(err, "more than %d fields", FIELDS_MAX);
	if (!field) {
		f->list = xrealloc(f->list, (f->n + 1) * sizeof(*f->list));
		field = &f->list[f->n++];
	} else {
		free(field->name);
		xfree_secret_str(field->value);
	}
	field->name = xstrdup(name);
	field->value = value && *value ? xstrdup(value) : NULL;
	return true;
}

bool http_fields_names(struct http_fields *f, const char *names, struct err *err)
{
	char *name;
	bool ok = true;

	while (ok && (name = words_next(&names))) {
		ok = http_fields_set(f, name, NULL, true, err);
		free(name);
	}
	return ok;
}

void http_fields_free(struct http_fields *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->list[i].name);
		xfree_secret_str(f->list[i].value); /* a token, maybe */
	}
	free(f->list);
	*f = (struct http_fields){0};
}

bool http_fields_have(const struct http_fields *f, const char *name, size_t name_len, bool request)
{
	return find(f, name, name_len, request);
}
