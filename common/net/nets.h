/* A list of ranges of addresses: "10.0.0.0/8, 192.0.2.7, 2001:db8::/32". */
#ifndef COMMON_NET_NETS_H
#define COMMON_NET_NETS_H

#include "common/net/cidr.h"

#define NETS_MAX 1024 /* of a list */

/* Never changed once made, so that any thread may ask. */
struct nets;

/*
 * Commas or blanks separate them. Returns owned, empty for an empty list; NULL: err names the entry
 * that is wrong.
 */
struct nets *nets_read(const char *list, struct err *err) MUSTCHECK;
/* NULL is fine. */
void nets_free(struct nets *n);
size_t nets_count(const struct nets *n);
/* Is the address in one of them? n NULL: no. */
bool nets_have(const struct nets *n, const struct addr *a);

#endif
