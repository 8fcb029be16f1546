/* May a request pass? */
#include "pgrokd/core/admit.h"

#include "pgrokd/access/guesses.h"

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
