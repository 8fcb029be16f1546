/*
 * Fuzzes what a request for a file may say: no path leads out of the folder or to a hidden name, no
 * range out of the file; what is written into URLs and HTML is harmless there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/text.h"
#include "pgrok/files/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* As a segment each part is a plain name. */
static void check_relative(const char *rel)
{
	if (!*rel)
		return;
	for (const char *at = rel;; at++) {
		check(*at && *at != '/' && *at != '.');
		at += strcspn(at, "/");
		if (!*at)
			return;
	}
}

/* What was written holds none of these. */
static void check_harmless(const struct text *t, const char *harmful)
{
	check(strpbrk(t->p, harmful) == NULL && strlen(t->p) == t->len);
	for (size_t i = 0; i < t->len; i++)
		check((unsigned char)t->p[i] >= ' ');
}

static void check_path(const char *text, size_t len)
{
	char *rel, *again;
	struct text html = {0}, url = {0};
	bool slash;
	size_t query_len;
	const char *query = files_query(text, len, &query_len);

	check(query >= text && query + query_len <= text + len);
	if (files_path(text, len, &rel, &slash) != FILES_PATH_OK)
		return;
	check(strlen(rel) <= len);
	check_relative(rel);
	check(strlen(files_mime(rel)) > 0);
	text_put(&html, "");
	text_html(&html, rel, strlen(rel));
	check_harmless(&html, "<>\"'");
	/* A link to it leads to it. */
	text_put(&url, "/");
	text_percent(&url, rel);
	check_harmless(&url, "<>\"' ?#\\");
	check(files_path(url.p, url.len, &again, &slash) == FILES_PATH_OK &&
	      strcmp(rel, again) == 0);
	free(again);
	text_free(&url);
	text_free(&html);
	free(rel);
}

static void check_range(const char *text, size_t len, uint64_t size)
{
	uint64_t first = 0, last = 0;

	if (files_range(text, len, size, &first, &last) == FILES_RANGE_OK)
		check(first <= last && last < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char date[HTTP_DATE];
	uint64_t file_size = 0;
	time_t t;

	/* The server and http_head let no target through that is empty. */
	if (size)
		check_path(text, size);
	check_range(text, size, 10);
	check_range(text, size, 0);
	if (size >= sizeof(file_size)) {
		memcpy(&file_size, data, sizeof(file_size));
		check_range(text + sizeof(file_size), size - sizeof(file_size), file_size);
	}
	if (http_date_parse(text, size, &t))
		check(strlen(http_date(t, date)) > 0);
	(void)files_etag_listed(text, size, "\"ab-1\"");
	return 0;
}
