/*
 * Fuzzes the head scanners and the chunked scanner: whatever the bytes, the verdict may not depend
 * on how they are split, and no byte beyond the given ones may be read.
 * Input: a byte that chooses the scanner, a byte that seeds the splits, then the message.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum http_rc scan_fn(struct http_head *h, const char *buf, size_t len);

static void check(bool good)
{
	if (!good)
		abort();
}

/* The length of the next piece: 1 to about 60 bytes, most of them short. */
static size_t next_piece(uint32_t *seed, size_t left)
{
	size_t n;

	*seed = *seed * 1103515245 + 12345;
	n = 1 + (*seed >> 16) % (1 + (*seed >> 24) % 60);
	return n < left ? n : left;
}

/* A copy that ends where its memory ends, for the sanitizer. */
static char *copy_of(const uint8_t *p, size_t len)
{
	char *copy = malloc(len + !len);

	check(copy != NULL);
	memcpy(copy, p, len);
	return copy;
}

static void check_head(const char *buf, const struct http_head *h, bool request)
{
	struct http_span v;

	check(h->head_len >= 4 && h->head_len <= HTTP_HEAD_MAX);
	check(buf[h->head_len - 1] == '\n');
	check(h->length <= INT64_MAX);
	if (!request) {
		check(h->status >= 100 && h->status <= 999);
		return;
	}
	check(!(h->chunked && h->has_length) && !h->no_request);
	check(h->method.len > 0 && h->target.len > 0);
	check(h->target.off + h->target.len < h->head_len);
	check(h->authority.off + h->authority.len < h->head_len);
	check(h->authorization.off + h->authorization.len < h->head_len);
	check(!memchr(buf, '\0', h->head_len));
	for (size_t i = 0; i < h->head_len; i++)
		check((buf[i] == '\r') == (i + 1 < h->head_len && buf[i + 1] == '\n'));
	check(h->has_host == http_field(buf, h, "host", &v));
	if (h->has_host)
		check(h->authority.len == v.len &&
		      !strncasecmp(buf + h->authority.off, buf + v.off, v.len));
	check(h->has_length == http_field(buf, h, "content-length", &v));
	check(h->chunked == http_field(buf, h, "transfer-encoding", &v));
}

static void fuzz_head(const uint8_t *data, size_t size, uint32_t seed, scan_fn *scan)
{
	bool request = scan == http_request_scan;
	struct http_head whole, split;
	char *buf = copy_of(data, size);
	enum http_rc want, rc = HTTP_MORE;

	memset(&whole, 0, sizeof(whole));
	memset(&split, 0, sizeof(split));
	want = scan(&whole, buf, size);
	if (want == HTTP_OK)
		check_head(buf, &whole, request);
	for (size_t at = 0; at < size && rc == HTTP_MORE;) {
		at += next_piece(&seed, size - at);
		char *part = copy_of(data, at);

		rc = scan(&split, part, at);
		free(part);
		if (rc != HTTP_MORE)
			check(want == rc);
	}
	check(rc == want);
	if (rc == HTTP_BAD && request)
		check(whole.status == 400 || whole.status == 431 || whole.status == 501 ||
		      whole.status == 505);
	if (rc == HTTP_BAD)
		check(whole.status == split.status && whole.no_request == split.no_request);
	if (rc == HTTP_BAD)
		check(!strcmp(whole.error, split.error));
	if (rc == HTTP_OK)
		check(!memcmp(&whole, &split, sizeof(whole)));
	free(buf);
}

struct body {
	uint64_t len, sum;
};

static void add_data(void *arg, const char *bytes, size_t n)
{
	struct body *b = arg;

	for (size_t i = 0; i < n; i++)
		b->sum = b->sum * 31 + (unsigned char)bytes[i];
	b->len += n;
}

static void fuzz_chunked(const uint8_t *data, size_t size, uint32_t seed, bool strict)
{
	struct http_chunked whole, split;
	struct body a = {0}, b = {0};
	char *buf = copy_of(data, size);
	size_t want_used, at = 0;
	enum http_rc want, rc = HTTP_MORE;

	http_chunked_init(&whole, strict);
	http_chunked_init(&split, strict);
	want = http_chunked_scan(&whole, buf, size, &want_used, add_data, &a);
	check(want_used <= size && (want != HTTP_MORE || want_used == size));
	free(buf);
	while (at < size && rc == HTTP_MORE) {
		size_t n = next_piece(&seed, size - at), used;
		char *part = copy_of(data + at, n);

		rc = http_chunked_scan(&split, part, n, &used, add_data, &b);
		free(part);
		check(used <= n && (rc != HTTP_MORE || used == n));
		at += used;
	}
	check(rc == want && at == want_used && a.len == b.len && a.sum == b.sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t seed;

	if (size < 2)
		return 0;
	seed = data[1] * 2654435761u;
	if (data[0] & 2)
		fuzz_chunked(data + 2, size - 2, seed, data[0] & 1);
	else if (data[0] & 4)
		fuzz_head(data + 2, size - 2, seed, http_connect_scan);
	else
		fuzz_head(data + 2, size - 2, seed,
			  data[0] & 1 ? http_request_scan : http_response_scan);
	return 0;
}
