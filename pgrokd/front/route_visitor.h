/* Whose is a request: the only place where a visitor's host is looked up. */
#ifndef PGROKD_FRONT_ROUTE_VISITOR_H
#define PGROKD_FRONT_ROUTE_VISITOR_H

#include "common/http/head.h"
#include "pgrokd/core/admit.h"

/*
 * For the request with this head (its bytes: head), which came on `port` from there. 0: it may
 * pass. Otherwise the status to answer, and *why for the log. *route is a reference to its route;
 * NULL with 404. On any worker.
 */
int route_visitor(const struct worker *w, enum port port, const struct admit_from *from,
		  const struct http_head *h, const char *head, struct route **route,
		  const char **why) MUSTCHECK;

#endif
