/* Whose is a request: the only place where a visitor's host is looked up. */
#ifndef PGROKD_FRONT_ROUTE_VISITOR_H
#define PGROKD_FRONT_ROUTE_VISITOR_H

#include "common/http/head.h"
#include "pgrokd/core/worker.h"

/*
 * For the request with this head (its bytes: head), which came on `port` from peer; sni: the name
 * for which the connection was made, NULL if none was said. 0: it may pass. Otherwise the status
 * to answer, and *why for the log. *route is a reference to its route; NULL with 404. On any
 * worker.
 */
int route_visitor(const struct worker *w, enum port port, const char *sni,
		  const struct http_head *h, const char *head, const struct addr *peer,
		  struct route **route, const char **why) MUSTCHECK;

#endif
