/* Ranges of addresses: "10.0.0.0/8", "2001:db8::/32", or a single address. */
#include "common/net/cidr.h"

#include <string.h>

#define MAPPED 96 /* bits in front of the IPv4 in ::ffff:1.2.3.4 */

/* One to three digits, no zero in front; -1 for anything else. */
static int prefix_bits(const char *text)
{
	size_t len = strlen(text);
	int bits = 0;

	if (!len || len > 3 || strspn(text, "0123456789") != len || (len > 1 && *text == '0'))
		return -1;
	for (; *text; text++)
		bits = bits * 10 + *text - '0';
	return bits;
}

/* Is every bit behind the prefix 0? */
static bool ends_in_zeros(const struct cidr *c)
{
	for (unsigned i = c->bits; i < c->len * 8u; i++) {
		if (c->ip[i / 8] & 0x80 >> i % 8)
			return false;
	}
	return true;
}

bool cidr_parse(const char *text, struct cidr *out, struct err *err)
{
	const char *slash = strchr(text, '/');
	char ip[ADDR_TEXT];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct addr a;
	int bits, all;

	if (len >= sizeof(ip))
		return err_set(err, "%.60s is not an address", text);
	memcpy(ip, text, len);
	ip[len] = '\0';
	if (strchr(ip, '%') || !addr_numeric(ip, 0, &a))
		return err_set(err, "'%.60s' is not an IPv4 or IPv6 address", text);
	out->len = (unsigned char)addr_ip_bytes(&a, out->ip);
	all = a.sa.any.sa_family == AF_INET ? 32 : 128;
	bits = slash ? prefix_bits(slash + 1) : all;
	if (bits < 0 || bits > all)
		return err_set(err, "'%.60s': behind the slash a number from 0 to %d is wanted",
			       text, all);
	if (out->len == 4 && all == 128)
		bits -= MAPPED;
	out->bits = (unsigned char)(bits < 0 ? 0 : bits);
	if (bits < 0 || !ends_in_zeros(out))
		return err_set(err,
			       "'%.60s' is an address, not a range: bits are set behind the "
			       "first %s",
			       text, slash + 1);
	return true;
}

bool cidr_has(const struct cidr *c, const struct addr *a)
{
	unsigned char ip[16];
	unsigned whole = c->bits / 8u, rest = c->bits % 8u;

	if (addr_ip_bytes(a, ip) != c->len || memcmp(ip, c->ip, whole) != 0)
		return false;
	return !rest || (ip[whole] ^ c->ip[whole]) >> (8 - rest) == 0;
}
