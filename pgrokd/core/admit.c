/* May it pass: a request, or a client? */
#include "pgrokd/core/admit.h"

#include "common/base/clock.h"
#include "pgrokd/access/guesses.h"
#include "pgrokd/core/settings.h"

int admit(const struct worker *w, const struct route *r, const struct http_head *h,
	  const char *head, const struct addr *peer)
{
	int status = route_allows(r, h, head);

	/* A browser asks without a password first. */
	if ((status && status != 401) || !route_guarded(r) || !h->authorization.len ||
	    !w->core->guesses)
		return status;
	return guesses_judge(w->core->guesses, peer, r->tunnel_id, loop_now(w->loop), status);
}

enum refusal admit_client(const struct worker *w, const struct token *token, struct grant **grant,
			  const char **why)
{
	const struct tokens *tokens = w->settings ? w->settings->tokens : NULL;

	*grant = NULL;
	if (!tokens)
		return ALLOWED;
	*why = token->given ? "The token is unknown to this server."
			    : "This server wants a token (auth_token, -authtoken).";
	*grant = tokens_find(tokens, token);
	if (!*grant)
		return REFUSED_TOKEN;
	if (!grant_expired(*grant, clock_wall_us() / 1000000))
		return ALLOWED;
	*why = "The token has expired.";
	grant_unref(*grant);
	*grant = NULL;
	return REFUSED_EXPIRED;
}

void admit_refused(struct worker *w, enum refusal r)
{
	static const enum no_client rows[] = {
		[REFUSED_TOKEN] = NO_CLIENT_TOKEN,
		[REFUSED_EXPIRED] = NO_CLIENT_EXPIRED,
		[REFUSED_GUESSES] = NO_CLIENT_GUESSES,
		[REFUSED_CLIENT] = NO_CLIENT_OTHER,
	};

	w->count.no_client[rows[r]]++;
}
