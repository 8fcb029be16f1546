/*
 * Host names that no tunnel gets: what the server itself is known by, and names of a domain that
 * other programs trust. Who had one could get a certificate for it, or be taken for the server.
 */
#ifndef PGROKD_NAMES_RESERVED_H
#define PGROKD_NAMES_RESERVED_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/xalloc.h"

/* In a list of words: the names and addresses of the server's certificate. */
#define RESERVED_CERT "@cert"
#define RESERVED_DEFAULT                                                         \
	RESERVED_CERT ",www,mail,smtp,imap,pop,ns1,ns2,autoconfig,autodiscover," \
		      "mta-sts,wpad,isatap"

struct reserved;

/*
 * The domain and vhost (NULL: none) themselves; each word of the list `words`, commas between,
 * below both. Returns owned.
 */
struct reserved *reserved_new(const char *words, const char *domain, const char *vhost) MUSTCHECK;
/* NULL is fine. */
void reserved_free(struct reserved *r);
/* One more host name or address; one with a wildcard is passed over. */
void reserved_add(struct reserved *r, const char *host);
/* Any spelling of Host: case, port and trailing dot do not matter. */
bool reserved_has(const struct reserved *r, const char *host);

/* Is RESERVED_CERT among the words? */
bool reserved_wants_cert(const char *words);

#endif
