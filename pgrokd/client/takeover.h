/*
 * Somebody with the owner's token wants the owner's name: does the owner still live? Asked by the
 * worker of the one who bids, decided on the owner's home, answered by message.
 */
#ifndef PGROKD_CLIENT_TAKEOVER_H
#define PGROKD_CLIENT_TAKEOVER_H

#include "pgrokd/client/request.h"

/* Asks the home of `owner`; bid_resume() comes later, unless the bid closes before. */
void challenge_ask(struct bid *b, const struct route *owner);
/* The bid closes while it waits. */
void challenge_cancel(struct bid *b);

/* c has shown that it lives. */
void challenge_alive(struct control *c);
/* c is closing; names_free: for good, not for a new connection of the same client. */
void challenge_over(struct control *c, bool names_free);

#endif
