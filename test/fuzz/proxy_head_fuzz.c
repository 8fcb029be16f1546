/*
 * Fuzzes the reader of PROXY heads: the same bytes in pieces get the same verdict, and what was
 * read can be said again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/net/proxy_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static enum proxy_rc scan(struct proxy_head *h, const uint8_t *data, size_t len)
{
	char *exact = malloc(len + !len); /* ends where its memory ends */

	check(exact != NULL);
	memcpy(exact, data, len);
	enum proxy_rc rc = proxy_head_scan(h, exact, len);

	check((rc == PROXY_BAD) == (h->error != NULL));
	check(rc != PROXY_OK || (h->len > 0 && h->len <= len && h->len <= PROXY_HEAD_MAX));
	check(rc == PROXY_OK || !h->from.len);
	check(rc != PROXY_MORE || len < PROXY_HEAD_MAX);
	free(exact);
	return rc;
}

static void say_again(const struct proxy_head *was)
{
	char out[PROXY_HEAD_MADE];
	struct proxy_head h;

	for (int version = 1; version <= 2; version++) {
		size_t n = proxy_head_make(version, &was->from, &was->to, out);

		check(scan(&h, (const uint8_t *)out, n) == PROXY_OK && h.len == n);
		check(addr_same_ip(&h.from, &was->from));
		check(addr_get_port(&h.from) == addr_get_port(&was->from));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum proxy_rc rc = PROXY_MORE;
	struct proxy_head h, whole;
	enum proxy_rc all;

	if (size > PROXY_HEAD_MAX + 16)
		size = PROXY_HEAD_MAX + 16;
	all = scan(&whole, data, size);
	for (size_t len = 0; len <= size && rc == PROXY_MORE; len++)
		rc = scan(&h, data, len);
	check(rc == all && h.len == whole.len);
	if (all == PROXY_OK && whole.from.len)
		say_again(&whole);
	return 0;
}
