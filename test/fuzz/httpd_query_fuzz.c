/*
 * Fuzzes the decoding of queries and paths: nothing grows, and pairs are strings within the text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/query.h"
#include "common/http/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char *path = xmalloc(size + 1);
	struct query q;
	size_t total = 0;
	long n;

	if (percent_decode(text, size, path))
		check(strlen(path) <= size && memchr(data, 0, size) == NULL);
	check(percent_decode_loose(text, size, true, path) <= size);
	free(path);
	if (!query_parse(&q, text, size)) {
		check(q.n == 0 && !q.pairs && !q.text);
		return 0;
	}
	check(q.n <= QUERY_PAIRS_MAX);
	for (size_t i = 0; i < q.n; i++) {
		total += strlen(q.pairs[i].name) + strlen(q.pairs[i].value) + 1;
		check(query_get(&q, q.pairs[i].name) != NULL);
		if (query_number(&q, q.pairs[i].name, 0, 1000, 5, &n))
			check(n >= 0 && n <= 1000);
	}
	check(total <= size + 1);
	query_free(&q);
	return 0;
}
