/*
 * A client with the owner's token asks for the owner's name: is the owner still alive? Asked by the
 * worker of the request, decided on the owner's home, answered by message.
 */
#ifndef PGROKD_CLIENT_TAKEOVER_H
#define PGROKD_CLIENT_TAKEOVER_H

#include "pgrokd/client/parts.h"

/* Of one that waits for the outcome; embedded in it. */
struct takeover_ticket {
	/* It is decided: the name is free (worth another try), or its owner lives. */
	void (*done)(void *arg, bool is_free);
	void *arg;
	uint64_t id;    /* 0: nothing is asked */
	int home;       /* the owner's worker */
	uint64_t owner; /* id of the client */
};

/* Asks the home of `owner`. ticket->done() comes later, unless takeover_cancel() comes first. */
void takeover_ask(struct worker *w, const struct route *owner, struct takeover_ticket *ticket);
/* Waits no more; nothing if it does not. */
void takeover_cancel(struct worker *w, struct takeover_ticket *ticket);

/* c has shown that it lives. */
void takeover_alive(struct client *c);
/* c is closing; names_free: for good, not for a new connection of the same client. */
void takeover_over(struct client *c, bool names_free);

#endif
