/*
 * A client with the owner's token asks for the owner's name: is the owner still alive? Asked by the
 * worker of the request, decided on the owner's home, answered by message.
 */
#ifndef PGROKD_CLIENT_TAKEOVER_H
#define PGROKD_CLIENT_TAKEOVER_H

#include "pgrokd/client/parts.h"

/* Where a question is under way. */
struct takeover_ticket {
	int home;       /* the owner's worker */
	uint64_t owner; /* 0: none is */
};

/* Asks the home of `owner`. request_resume() comes later, unless takeover_cancel() comes first. */
void takeover_ask(struct worker *w, const struct route *owner, uint64_t request,
		  struct takeover_ticket *ticket);
/* The request waits no more. */
void takeover_cancel(struct worker *w, uint64_t request, struct takeover_ticket *ticket);

/* c has shown that it lives. */
void takeover_alive(struct client *c);
/* c is closing; names_free: for good, not for a new connection of the same client. */
void takeover_over(struct client *c, bool names_free);

#endif
