/* The path of a request as the server behind may read it. See path.h. */
#include "common/http/path.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/base/xalloc.h"
#include "common/http/text.h"

#define CODED_SLASH '\1' /* stands for %2F in a decoded path; no control character is left in one */

/* What servers differ in. Those that a path has no occasion for need not be tried. */
enum how {
	HOW_TWICE = 1,     /* decoded once more */
	HOW_SLASH = 2,     /* %2F separates segments */
	HOW_BACKSLASH = 4, /* so does a backslash */
	HOW_PARAMS = 8,    /* a segment ends at ';' */
	HOW_EMPTY = 16,    /* ".." takes an empty segment for one */
	HOW_DOTS = 32,     /* "." and ".." are resolved */
	HOW_CUT = 64       /* '#' or an encoded '?' ends the path */
};

/* ---- decoding ---- */

/* One round. False: a control character comes out. */
static bool decode(const char *text, size_t len, char *out, size_t *out_len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c > 0 && c < 0x20 && c != CODED_SLASH)
			return false;
		if (c == '%' && i + 2 < len && hex_digit(text[i + 1]) >= 0 &&
		    hex_digit(text[i + 2]) >= 0) {
			c = (char)(hex_digit(text[i + 1]) << 4 | hex_digit(text[i + 2]));
			if ((unsigned char)c < 0x20 || c == 0x7f)
				return false;
			if (c == '/')
				c = CODED_SLASH;
			i += 2;
		}
		out[n++] = c;
	}
	*out_len = n;
	return true;
}

/* ---- one reading ---- */

static bool separates(char c, unsigned how)
{
	return c == '/' || (c == CODED_SLASH && how & HOW_SLASH) ||
	       (c == '\\' && how & HOW_BACKSLASH);
}

static size_t find_any(const char *text, size_t len, const char *set)
{
	size_t i = 0;

	while (i < len && !strchr(set, text[i]))
		i++;
	return i;
}

/* Appends a segment to out[n], or takes one off. Returns the new n. */
static size_t add_segment(char *out, size_t n, const char *text, size_t len, unsigned how)
{
	if (len == 0 && !(how & HOW_EMPTY))
		return n;
	if (how & HOW_DOTS && len == 1 && *text == '.')
		return n;
	if (how & HOW_DOTS && len == 2 && memcmp(text, "..", 2) == 0) {
		while (n > 0 && out[--n] != '/')
			;
		return n;
	}
	out[n++] = '/';
	memcpy(out + n, text, len);
	return n + len;
}

/* Slashes of all kinds as one, none at the end. */
static size_t squeeze(char *out, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = out[i] == CODED_SLASH ? '/' : out[i];

		if (c != '/' || n == 0 || out[n - 1] != '/')
			out[n++] = c;
	}
	return n > 0 && out[n - 1] == '/' ? n - 1 : n;
}

/* The segments of a decoded path into out, which has room for one byte more than len. */
static size_t read_segments(const char *path, size_t len, unsigned how, char *out)
{
	size_t n = 0, at = len > 0 && separates(path[0], how), next, end;

	if (how & HOW_CUT)
		len = find_any(path, len, "#?");
	for (; at <= len; at = next + 1) {
		for (next = at; next < len && !separates(path[next], how);)
			next++;
		end = next - at;
		if (how & HOW_PARAMS)
			end = find_any(path + at, end, ";");
		n = add_segment(out, n, path + at, end, how);
	}
	return squeeze(out, n);
}

static bool is_below(const char *path, size_t len, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t top = strlen(paths[i]);

		if (len >= top && memcmp(path, paths[i], top) == 0 &&
		    (len == top || path[top] == '/'))
			return true;
	}
	return false;
}

/* ---- all of them ---- */

/* In which respects can readings of this one differ? */
static unsigned occasions(const char *once, size_t once_len, const char *twice, size_t twice_len)
{
	static const struct {
		char c;
		unsigned how;
	} rows[] = {
		{CODED_SLASH, HOW_SLASH}, {'\\', HOW_BACKSLASH}, {';', HOW_PARAMS},
		{'.', HOW_DOTS},          {'#', HOW_CUT},        {'?', HOW_CUT},
	};
	unsigned how = once_len == twice_len ? 0 : HOW_TWICE;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (memchr(once, rows[i].c, once_len) || memchr(twice, rows[i].c, twice_len))
			how |= rows[i].how;
	}
	return how & HOW_DOTS ? how | HOW_EMPTY : how;
}

/* Of a target; NULL: it has none. */
static const char *path_of(const char *target, size_t *len)
{
	const char *end = target + *len, *at = target, *query = memchr(target, '?', *len);

	if (query)
		end = query;
	if (at < end && *at != '/') {
		at = memchr(target, ':', *len);
		if (!at || (size_t)(target + *len - at) < 3)
			return NULL;
		for (at += 3; at < end && *at != '/' && *at != '#';)
			at++;
	}
	*len = at < end ? (size_t)(end - at) : 0;
	return *len ? at : "";
}

bool http_path_reaches(const char *target, size_t len, const char *const *paths, size_t n)
{
	char once[PATH_MAX_READ], twice[PATH_MAX_READ], out[PATH_MAX_READ + 2];
	const char *path = path_of(target, &len);
	size_t once_len, twice_len;
	unsigned differ;

	if (!path || n == 0)
		return false;
	if (len > PATH_MAX_READ || !decode(path, len, once, &once_len) ||
	    !decode(once, once_len, twice, &twice_len))
		return true;
	differ = occasions(once, once_len, twice, twice_len);
	if ((once_len + 1) << __builtin_popcount(differ) > PATH_MAX_WORK)
		return true;
	/* Every subset of what it differs in. */
	for (unsigned how = differ;; how = (how - 1) & differ) {
		if (how & HOW_EMPTY && !(how & HOW_DOTS))
			continue;
		bool again = how & HOW_TWICE;
		size_t got =
			read_segments(again ? twice : once, again ? twice_len : once_len, how, out);

		if (is_below(out, got, paths, n))
			return true;
		if (how == 0)
			return false;
	}
}

char *http_path_make(const char *text, struct err *err)
{
	char once[PATH_MAX_READ];
	size_t len = strlen(text);

	if (*text != '/') {
		err_set(err, "a path begins with a slash");
		return NULL;
	}
	if (len >= 1024) {
		err_set(err, "a path of more than 1023 bytes");
		return NULL;
	}
	if (strpbrk(text, "?#*")) {
		err_set(err,
			"'%.60s': a path alone is wanted, without '?', '#' or '*': all below "
			"it is meant, too",
			text);
		return NULL;
	}
	if (!decode(text, len, once, &len)) {
		err_set(err, "a control character in a path");
		return NULL;
	}
	char *out = xmalloc(len + 2);

	len = read_segments(once, len, HOW_SLASH, out);
	out[len] = '\0';
	if (strstr(out, "/./") || strstr(out, "/../") ||
	    (len >= 2 && !strcmp(out + len - 2, "/.")) ||
	    (len >= 3 && !strcmp(out + len - 3, "/.."))) {
		err_set(err, "'%.60s' has . or .. in it", text);
		free(out);
		return NULL;
	}
	return out;
}
