/* What a request for a file means. */
#include "pgrok/files/path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/text.h"

/* ---- paths ---- */

/* Where the path of a target begins and ends. */
static const char *path_of(const char *target, size_t len, size_t *path_len)
{
	const char *end = target + len, *at = target;

	if (*target != '/') {
		const char *scheme = memmem(target, len, "://", 3);
		at = scheme ? scheme + 3 : target;
		while (scheme && at < end && *at != '/' && *at != '?')
			at++;
	}
	*path_len = 0;
	while (at + *path_len < end && !memchr("?#", at[*path_len], 2))
		++*path_len;
	return at;
}

const char *files_query(const char *target, size_t len, size_t *query_len)
{
	size_t path_len;
	const char *at = path_of(target, len, &path_len) + path_len;

	*query_len = (size_t)(target + len - at);
	if (*query_len && *at != '?')
		*query_len = 0;
	return at;
}

/* One segment, decoded, to `out`, which has room for it. */
static enum files_path_rc add_segment(const char *text, size_t len, char *out, size_t *used)
{
	char *to = out + *used;

	if (*used)
		*to++ = '/';
	if (!percent_decode(text, len, to))
		return FILES_PATH_BAD;
	if (*to == '.' || strchr(to, '/'))
		return FILES_PATH_HIDDEN;
	*used = (size_t)(to - out) + strlen(to);
	return FILES_PATH_OK;
}

enum files_path_rc files_path(const char *target, size_t len, char **rel, bool *slash)
{
	size_t left, used = 0;
	const char *at = path_of(target, len, &left);
	char *out = xmalloc(left + 2);
	enum files_path_rc rc = FILES_PATH_OK;

	*out = '\0';
	*slash = !left || at[left - 1] == '/';
	while (left && rc == FILES_PATH_OK) {
		const char *end = memchr(at, '/', left);
		size_t n = end ? (size_t)(end - at) : left;
		if (n)
			rc = add_segment(at, n, out, &used);
		n += end != NULL;
		at += n;
		left -= n;
	}
	if (rc == FILES_PATH_OK)
		*rel = out;
	else
		free(out);
	return rc;
}

/* ---- ranges ---- */

/* The digits at *p, as a number that stops growing at UINT64_MAX. False: there are none. */
static bool number(const char **p, const char *end, uint64_t *out)
{
	const char *from = *p;

	*out = 0;
	for (; *p < end && isdigit((unsigned char)**p); ++*p) {
		unsigned digit = (unsigned)(**p - '0');
		*out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
	}
	return *p > from;
}

enum files_range_rc files_range(const char *text, size_t len, uint64_t size, uint64_t *first,
				uint64_t *last)
{
	const char *p = text + 6, *end = text + len;
	bool from, to;

	if (len < 7 || strncasecmp(text, "bytes=", 6) != 0)
		return FILES_RANGE_NONE;
	from = number(&p, end, first);
	if (p == end || *p++ != '-')
		return FILES_RANGE_NONE;
	to = number(&p, end, last);
	if (p != end || (!from && !to) || (from && to && *last < *first))
		return FILES_RANGE_NONE;
	if (!from) {
		/* The last so many. */
		if (!*last || !size)
			return FILES_RANGE_BEYOND;
		*first = *last < size ? size - *last : 0;
		*last = size - 1;
		return FILES_RANGE_OK;
	}
	if (*first >= size)
		return FILES_RANGE_BEYOND;
	if (!to || *last >= size)
		*last = size - 1;
	return FILES_RANGE_OK;
}

/* ---- types ---- */

#define UTF8 "; charset=utf-8"

static const struct {
	const char *extension, *type;
} types[] = {
	{"html", "text/html" UTF8},
	{"htm", "text/html" UTF8},
	{"css", "text/css" UTF8},
	{"js", "text/javascript" UTF8},
	{"mjs", "text/javascript" UTF8},
	{"json", "application/json"},
	{"map", "application/json"},
	{"webmanifest", "application/manifest+json"},
	{"txt", "text/plain" UTF8},
	{"log", "text/plain" UTF8},
	{"md", "text/markdown" UTF8},
	{"csv", "text/csv" UTF8},
	{"tsv", "text/tab-separated-values" UTF8},
	{"yml", "text/yaml" UTF8},
	{"yaml", "text/yaml" UTF8},
	{"toml", "text/plain" UTF8},
	{"ini", "text/plain" UTF8},
	{"c", "text/plain" UTF8},
	{"h", "text/plain" UTF8},
	{"py", "text/plain" UTF8},
	{"sh", "text/plain" UTF8},
	{"ics", "text/calendar" UTF8},
	{"vtt", "text/vtt" UTF8},
	{"xml", "application/xml"},
	{"xhtml", "application/xhtml+xml"},
	{"atom", "application/atom+xml"},
	{"rss", "application/rss+xml"},
	{"svg", "image/svg+xml"},
	{"png", "image/png"},
	{"jpg", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"gif", "image/gif"},
	{"webp", "image/webp"},
	{"avif", "image/avif"},
	{"bmp", "image/bmp"},
	{"ico", "image/x-icon"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"mp3", "audio/mpeg"},
	{"m4a", "audio/mp4"},
	{"ogg", "audio/ogg"},
	{"opus", "audio/ogg"},
	{"flac", "audio/flac"},
	{"wav", "audio/wav"},
	{"mp4", "video/mp4"},
	{"m4v", "video/mp4"},
	{"webm", "video/webm"},
	{"ogv", "video/ogg"},
	{"mov", "video/quicktime"},
	{"mkv", "video/x-matroska"},
	{"m3u8", "application/vnd.apple.mpegurl"},
	{"ts", "video/mp2t"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"ttf", "font/ttf"},
	{"otf", "font/otf"},
	{"pdf", "application/pdf"},
	{"epub", "application/epub+zip"},
	{"wasm", "application/wasm"},
	{"zip", "application/zip"},
	{"gz", "application/gzip"},
	{"tgz", "application/gzip"},
	{"bz2", "application/x-bzip2"},
	{"xz", "application/x-xz"},
	{"zst", "application/zstd"},
	{"tar", "application/x-tar"},
	{"7z", "application/x-7z-compressed"},
	{"doc", "application/msword"},
	{"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
	{"xls", "application/vnd.ms-excel"},
	{"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
	{"ppt", "application/vnd.ms-powerpoint"},
	{"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
	{"odt", "application/vnd.oasis.opendocument.text"},
	{"ods", "application/vnd.oasis.opendocument.spreadsheet"},
	{"rtf", "application/rtf"},
};

const char *files_mime(const char *name)
{
	const char *slash = strrchr(name, '/'), *dot;

	if (slash)
		name = slash + 1;
	dot = strrchr(name, '.');
	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
		if (strcasecmp(types[i].extension, dot + 1) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

/* ---- tags ---- */

bool files_etag_listed(const char *list, size_t len, const char *etag)
{
	const char *end = list + len;
	size_t want = strlen(etag);

	if (len == 1 && *list == '*')
		return true;
	while (list < end) {
		if (memchr(" \t,", *list, 3)) {
			list++;
			continue;
		}
		if (end - list > 2 && memcmp(list, "W/", 2) == 0)
			list += 2;
		if ((size_t)(end - list) >= want && memcmp(list, etag, want) == 0)
			return true;
		/* To the end of this tag, which may hold a comma. */
		const char *quote =
			*list == '"' ? memchr(list + 1, '"', (size_t)(end - list - 1)) : NULL;
		const char *comma =
			memchr(quote ? quote : list, ',', (size_t)(end - (quote ? quote : list)));
		list = comma ? comma + 1 : end;
	}
	return false;
}
