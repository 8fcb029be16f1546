/* May it pass: a request, or a client? */
#include "pgrokd/core/admit.h"

#include "common/base/clock.h"
#include "pgrokd/access/guesses.h"
#include "pgrokd/core/certs.h"
#include "pgrokd/core/settings.h"

struct visit admit_visit(const struct route *r, const struct http_head *h, const char *head,
			 const struct admit_from *from)
{
	int64_t now = clock_wall_us() / 1000000;

	return (struct visit){.from = from->addr,
			      .tunnel = r->key,
			      .secure = r->proto == PROTO_HTTPS || from->https,
			      .vouch = rules_ca(r->rules) ? certs_vouch(from->ssl, now) : NULL,
			      .now = now,
			      .head = h,
			      .bytes = head};
}

/* Passwords and tokens of all kinds are one visitor's guesses at one tunnel. */
static int count_guess(const struct worker *w, const struct route *r, const struct visit *v,
		       int status)
{
	if (!w->core->guesses)
		return status;
	return guesses_judge(w->core->guesses, v->from, r->tunnel_id, loop_now(w->loop), status);
}

int admit(const struct worker *w, const struct route *r, const struct visit *v)
{
	int status = route_allows(r, v);

	/* A browser asks without a password first. */
	if ((status && status != 401) || !route_guarded(r) || !v->head->authorization.len)
		return status;
	return count_guess(w, r, v, status);
}

int admit_login(const struct worker *w, const struct route *r, const struct visit *v,
		const char *form, size_t len, struct login *out)
{
	int status = login_judge(r->rules, v, form, len, out), counted;

	if (status != 303 && status != 401)
		return status;
	counted = count_guess(w, r, v, status == 401 ? 401 : 0);
	return counted ? counted : status;
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

/* One more wrong token of its address: the answer takes longer each time. */
static uint64_t wrong_token(const struct worker *w, const struct addr *peer)
{
	struct guesses *g = w->core->guesses;
	unsigned n = g ? guesses_wrong(g, peer, GUESS_TOKENS, loop_now(w->loop)) : 0;

	return n < 2 ? 0 : (n - 1) * LIMIT_WRONG_MS;
}

enum refusal admit_newcomer(struct worker *w, const struct token *token, const struct addr *peer,
			    const char **why, uint64_t *later)
{
	struct grant *grant;
	enum refusal r = admit_client(w, token, &grant, why);

	grant_unref(grant);
	*later = 0;
	if (w->settings && w->settings->tokens && w->core->guesses &&
	    guesses_must_wait(w->core->guesses, peer, GUESS_TOKENS, loop_now(w->loop))) {
		r = REFUSED_GUESSES;
		*why = "Too many wrong tokens from your address. Try again in a minute.";
	}
	if (!r)
		return r;
	admit_refused(w, r);
	if (r == REFUSED_TOKEN && token->given)
		*later = wrong_token(w, peer);
	return r;
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
