/* JSON as Go's encoding/json takes it. */
#include "msg/json/lenient.h"

#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#define malloc_usable_size malloc_size
#else
#include <malloc.h>
#endif

#include "common/base/text.h"
#include "common/base/utf8.h"

/* ---- jansson's memory ---- */

static void json_wipe_free(void *p)
{
	if (p)
		xfree_secret(p, malloc_usable_size(p));
}

/*
 * jansson's copies of a text hold tokens too: whatever it frees is wiped. No header before a
 * block is needed for that, so memory from a plain malloc() may still come back through here.
 * Before main(), as it may not change while another thread is inside jansson.
 */
static void __attribute__((constructor)) wipe_json_memory(void)
{
	json_set_alloc_funcs(xmalloc, json_wipe_free);
}

/* ---- repair ---- */

/* The code unit of a \uXXXX at p, -1 if there is none. */
static long escape_at(const char *p, size_t left)
{
	long unit = 0;

	if (left < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		int digit = hex_digit(p[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/*
 * One step of repair(): writes what the next bytes of p are replaced by (at most 6 bytes) and says
 * how many were used up. Both kinds of damage occur only inside strings: anywhere else they are
 * refused as they are, and as U+FFFD.
 */
static size_t repair_step(const char *p, size_t left, char put_to[6], size_t *put_len)
{
	size_t n = utf8_len(p, left);
	long u, low;

	if (!n) { /* each wrong byte counts, as in Go */
		memcpy(put_to, "\xef\xbf\xbd", 3);
		*put_len = 3;
		return 1;
	}
	if (*p == '\\') {
		u = escape_at(p, left);
		n = u >= 0 ? 6 : left > 1 && (unsigned char)p[1] < 0x80 ? 2 : 1;
		if (u >= 0xd800 && u <= 0xdfff) {
			low = escape_at(p + 6, left - 6);
			if (u >= 0xdc00 || low < 0xdc00 || low > 0xdfff) {
				memcpy(put_to, "\\ufffd", 6);
				*put_len = 6;
				return 6;
			}
			*put_len = 0; /* a pair: 12 bytes, kept by the caller */
			return 12;
		}
	}
	*put_len = 0;
	return n;
}

/* Where the first byte is that may begin either kind of damage: most texts have none. */
static size_t harmless(const char *in, size_t len)
{
	size_t i = 0;

	while (i < len && (unsigned char)in[i] < 0x80 && in[i] != '\\')
		i++;
	return i;
}

/*
 * Go takes bytes that are not UTF-8 and lone surrogates for U+FFFD, jansson refuses them, even
 * below keys that nobody knows. Returns the repaired text (owned, *out_len), NULL if nothing is
 * wrong.
 */
static char *repair(const char *in, size_t len, size_t *out_len)
{
	char *out = NULL, put_to[6];
	size_t used, n, at = 0;

	for (size_t i = harmless(in, len); i < len; i += used) {
		used = repair_step(in + i, len - i, put_to, &n);
		if (n && !out) {
			out = xmalloc(3 * len + 1); /* one wrong byte becomes three */
			memcpy(out, in, i);
			at = i;
		}
		if (!out)
			continue;
		memcpy(out + at, n ? put_to : in + i, n ? n : used);
		at += n ? n : used;
	}
	*out_len = at;
	return out;
}

/* ---- loading ---- */

/* Where the text in quotes ends that begins at `at`. */
static size_t text_end(const char *json, size_t len, size_t at)
{
	for (at++; at < len && json[at] != '"'; at++) {
		if (json[at] == '\\')
			at++;
	}
	return at;
}

/*
 * A value of two bytes costs as much time and memory as a text of a hundred; so there may be only
 * some, however long all of it is.
 */
static bool too_many_values(const char *json, size_t len)
{
	int n = 0;

	for (size_t at = 0; at < len && n <= LENIENT_VALUES; at++) {
		if (json[at] == '"')
			at = text_end(json, len, at);
		else if (json[at] == ',' || json[at] == '[' || json[at] == '{')
			n++;
	}
	return n > LENIENT_VALUES;
}

json_t *lenient_load(const char *json, size_t len, struct err *err)
{
	json_error_t e;
	size_t fixed_len;
	char *fixed, *near;
	json_t *root;

	if (too_many_values(json, len)) {
		err_set(err, "more than %d values in one message", LENIENT_VALUES);
		return NULL;
	}
	fixed = repair(json, len, &fixed_len);
	if (!fixed)
		fixed_len = len;
	root = json_loadb(fixed ? fixed : json, fixed_len, JSON_ALLOW_NUL, &e);
	xfree_secret(fixed, fixed_len);
	if (root)
		return root;
	/* "... near 'X'" would quote the text, and so perhaps a token. */
	near = strstr(e.text, " near '");
	if (near)
		*near = '\0';
	err_set(err, "not JSON: %s (byte %d of %zu)", e.text, e.position, fixed_len);
	return NULL;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool lenient_key(const char *key, const char *name)
{
	while (*key && lower(*key) == lower(*name)) {
		key++;
		name++;
	}
	return !*key && !*name;
}
