/* Whose is a request that a proxy has passed on? */
#ifndef PGROKD_ACCESS_ORIGIN_H
#define PGROKD_ACCESS_ORIGIN_H

#include "common/net/nets.h"
#include "common/http/head.h"

/*
 * The address that the request with this head (its bytes: head) comes from, of a connection whose
 * peer is `peer`: the last one in X-Forwarded-For, if peer is trusted, and so on to the left for as
 * long as what said it is trusted. What is no address ends the walk. The port is 0 unless the field
 * says one. trusted NULL: peer.
 */
struct addr origin_of(const struct nets *trusted, const struct addr *peer,
		      const struct http_head *h, const char *head);
/* Does peer, a trusted proxy, say that its visitor speaks https (X-Forwarded-Proto)? */
bool origin_https(const struct nets *trusted, const struct addr *peer, const struct http_head *h,
		  const char *head);

#endif
