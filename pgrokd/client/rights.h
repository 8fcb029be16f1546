/*
 * What its token's grant means for a client: asked before a tunnel opens, and when settings change.
 */
#ifndef PGROKD_CLIENT_RIGHTS_H
#define PGROKD_CLIENT_RIGHTS_H

#include "common/base/err.h"
#include "pgrokd/client/parts.h"

/* May c have this tunnel? False: why is a sentence for the client. */
bool rights_allow(const struct client *c, const struct route *route, struct err *why) MUSTCHECK;
/* The same of one of this protocol whose name or port nobody asked for, */
bool rights_allow_any(const struct client *c, enum proto p, struct err *why) MUSTCHECK;
/* of this port, */
bool rights_allow_port(const struct client *c, uint16_t port, struct err *why) MUSTCHECK;
/* and of one more, whatever it is. */
bool rights_allow_more(const struct client *c, struct err *why) MUSTCHECK;
/* So many more its owner may have; less than none after a reload. */
int rights_room(const struct client *c);
/* A free port that it may have unasked; 0: there is none. */
uint16_t rights_free_port(const struct client *c);

/* Watches that its token expires; again if its grant is another now. */
void rights_watch(struct client *c);

#endif
