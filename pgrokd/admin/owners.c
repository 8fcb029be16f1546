/* Owners of tokens: who there is, what they use of what they may, and taking a token back. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pgrokd/access/tokens.h"
#include "pgrokd/admin/parts.h"

static void put_count(struct text *t, const char *key, int n)
{
	text_key(t, key);
	text_fmt(t, "%d", n);
}

/* INT_MAX: as many as he likes. */
static void put_most(struct text *t, const char *key, int n)
{
	text_key(t, key);
	if (n == INT_MAX)
		text_put(t, "null");
	else
		text_fmt(t, "%d", n);
}

static void put_owner(struct text *t, const struct grant *g)
{
	text_put(t, t->p[t->len - 1] == '[' ? "\n{" : ",\n{");
	text_key(t, "name");
	text_json_str(t, g->owner);
	text_key(t, "expires");
	if (g->expires == INT64_MAX)
		text_put(t, "null");
	else
		text_time(t, g->expires * 1000000);
	put_count(t, "tunnels_now", atomic_load(&g->tally->tunnels));
	put_most(t, "tunnels_most", g->tunnels);
	put_count(t, "visitors_now", atomic_load(&g->tally->visitors));
	put_most(t, "visitors_most", g->visitors);
	text_put(t, "}");
}

void owners_list(void *arg, struct httpd_req *r)
{
	const struct admin *a = arg;
	const struct tokens *tokens = a->hooks->tokens(a->hooks_arg);
	struct text t = {0};

	text_put(&t, tokens ? "{\"checked\":true,\"tokens\":[" : "{\"checked\":false,\"tokens\":[");
	for (size_t i = 0; tokens && i < tokens_count(tokens); i++)
		put_owner(&t, tokens_at(tokens, i));
	text_put(&t, "\n]}\n");
	httpd_answer(r, 200, "application/json; charset=utf-8", t.p, t.len);
	text_free(&t);
}

void owners_metrics(const struct admin *a, struct text *t)
{
	struct metrics m = {.out = t, .prefix = a->core->config->metrics_prefix};
	const struct tokens *tokens = a->hooks->tokens(a->hooks_arg);

	if (!tokens)
		return;
	metrics_family(&m, METRIC_GAUGE, "owner_tunnels", "Tunnels that the owner of a token has.");
	for (size_t i = 0; i < tokens_count(tokens); i++) {
		const struct grant *g = tokens_at(tokens, i);

		metrics_sample(&m, "", atomic_load(&g->tally->tunnels), "owner", g->owner, NULL);
	}
	metrics_family(&m, METRIC_GAUGE, "owner_visitors", "Visitors of them.");
	for (size_t i = 0; i < tokens_count(tokens); i++) {
		const struct grant *g = tokens_at(tokens, i);

		metrics_sample(&m, "", atomic_load(&g->tally->visitors), "owner", g->owner, NULL);
	}
}

/* POST /tokens/NAME/revoke */
void owners_revoke(void *arg, struct httpd_req *r)
{
	static const char tail[] = "/revoke";
	const struct admin *a = arg;
	const char *rest = httpd_rest(r);
	size_t len = strlen(rest), cut = sizeof(tail) - 1;
	struct text t = {0};
	struct err err;

	if (len <= cut || strcmp(rest + len - cut, tail) != 0) {
		httpd_text(r, 404, "POST /tokens/NAME/revoke is wanted.\n");
		return;
	}
	char *owner = xstrndup(rest, len - cut);

	if (a->hooks->revoke(a->hooks_arg, owner, &err)) {
		text_put(&t, "{\"revoked\":");
		text_json_str(&t, owner);
		text_put(&t, "}\n");
		httpd_answer(r, 200, "application/json; charset=utf-8", t.p, t.len);
		text_free(&t);
	} else {
		httpd_text(r, 404, "%s\n", err.text);
	}
	free(owner);
}
