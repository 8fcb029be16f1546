/* May a request pass? What its tunnel's rules say, and how often its visitor has guessed lately. */
#ifndef PGROKD_CORE_ADMIT_H
#define PGROKD_CORE_ADMIT_H

#include "pgrokd/core/worker.h"

/* On any worker: 0, or the status to refuse it with: that of route_allows(), or 429. */
int admit(const struct worker *w, const struct route *r, const struct http_head *h,
	  const char *head, const struct addr *peer) MUSTCHECK;

#endif
