/*
 * Fuzzes the list of tokens: whatever it holds, there is a verdict and no fault, and what was read
 * answers questions.
 */
#include <stdlib.h>
#include <string.h>

#include "pgrokd/access/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct grant *g)
{
	static const char *const hosts[] = {"a", "a.b.example.com", "xn--bcher-kva", NULL};
	struct err why;

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct wish w = {.proto = PROTO_HTTP, .host = hosts[i], .below = i & 1};

		(void)!grant_tunnel(g, &w, &why);
	}
	(void)!grant_tunnel(g, &(struct wish){.proto = PROTO_TCP, .port = 5000}, &why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct token token = token_of("secret");
	struct err err;
	struct tokens *t = tokens_parse("fuzz.yml", (const char *)data, size, &err);

	for (size_t i = 0; t && i < tokens_count(t); i++) {
		if (!*grant_owner(tokens_at(t, i)))
			abort();
		ask(tokens_at(t, i));
	}
	if (t)
		grant_unref(tokens_find(t, &token));
	tokens_unref(t);
	return 0;
}
