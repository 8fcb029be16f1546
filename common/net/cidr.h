/* Ranges of addresses: "10.0.0.0/8", "2001:db8::/32", or a single address. */
#ifndef COMMON_NET_CIDR_H
#define COMMON_NET_CIDR_H

#include "common/base/addr.h"
#include "common/base/err.h"

/* IPv4-mapped IPv6 stands as the IPv4 that it means. */
struct cidr {
	unsigned char ip[16];
	unsigned char len;  /* of ip: 4 or 16 */
	unsigned char bits; /* that count */
};

/*
 * Exactly one of them: no name, no port, no blank, nothing set behind the prefix ("10.0.0.1/8" is
 * more likely a slip than a range). False: err says what is wrong.
 */
bool cidr_parse(const char *text, struct cidr *out, struct err *err) MUSTCHECK;
/* An IPv6 range has no IPv4 address, not even "::/0"; scopes (%eth0) do not count. */
bool cidr_has(const struct cidr *c, const struct addr *a);

#endif
