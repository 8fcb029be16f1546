/* Network addresses as text and as sockaddr. */
#ifndef COMMON_BASE_ADDR_H
#define COMMON_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/xalloc.h"

#define ADDR_TEXT 64 /* "[v6 address%scope]:65535" and NUL fit */

/* Small, since every connection has one: no sockaddr_storage. */
struct addr {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} sa;
	socklen_t len; /* 0: no address */
};

/*
 * Splits "host:port" as Go's net.SplitHostPort does: "[::1]:80", ":80" (empty host), "h:80".
 * The port is not looked up. On failure false, *why = "missing port in address",
 * "too many colons in address", ... (Go's words, which users' scripts know).
 */
bool addr_split(const char *text, char *host, size_t host_cap, char *port, size_t port_cap,
		const char **why) MUSTCHECK;
/* "0".."65535", digits only; -1 otherwise. */
int addr_port(const char *text);
/* A numeric address ("127.0.0.1", "::1", "fe80::1%eth0"); no look-up. False: it is a name. */
bool addr_numeric(const char *host, uint16_t port, struct addr *out) MUSTCHECK;
/* "ip:port" / "[ip]:port"; IPv4-mapped IPv6 is written as IPv4. Into buf, which is returned. */
const char *addr_text(const struct addr *a, char buf[static ADDR_TEXT]);
/* Only the ip, same rules. */
const char *addr_ip_text(const struct addr *a, char buf[static ADDR_TEXT]);
uint16_t addr_get_port(const struct addr *a);
bool addr_is_loopback(const struct addr *a);
/* The bytes of its ip, IPv4-mapped IPv6 as IPv4: 4 or 16; 0: no address. */
size_t addr_ip_bytes(const struct addr *a, unsigned char out[static 16]);
/* Equal ip (ports ignored), IPv4-mapped IPv6 equals IPv4. */
bool addr_same_ip(const struct addr *a, const struct addr *b);
/*
 * A number for what counts as one where peers are counted: an IPv4 address, the /64 of an IPv6 one.
 * 0: no address.
 */
uint64_t addr_household(const struct addr *a);
/* Address of this end / of the peer of a socket; len 0 if unknown. */
struct addr addr_of_local(int fd);
struct addr addr_of_peer(int fd);

#endif
