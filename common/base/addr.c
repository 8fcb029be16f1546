/* Network addresses as text and as sockaddr. */
#include "common/base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Where host ends and port begins; NULL and *why for what is no "host:port". */
static const char *find_colon(const char *text, const char **why)
{
	const char *colon = strrchr(text, ':');
	const char *close;

	*why = "missing port in address";
	if (!colon)
		return NULL;
	if (text[0] != '[') {
		*why = "too many colons in address";
		return strchr(text, ':') == colon ? colon : NULL;
	}
	close = strchr(text, ']');
	if (!close) {
		*why = "missing ']' in address";
		return NULL;
	}
	if (close + 1 == colon)
		return colon;
	if (close[1] == ':')
		*why = "too many colons in address";
	return NULL;
}

static bool copy_text(char *out, size_t cap, const char *from, size_t len)
{
	if (len >= cap)
		return false;
	memcpy(out, from, len);
	out[len] = '\0';
	return true;
}

bool addr_split(const char *text, char *host, size_t host_cap, char *port, size_t port_cap,
		const char **why)
{
	const char *colon = find_colon(text, why);
	bool bracket = text[0] == '[';
	const char *from = text, *to = colon;

	if (!colon)
		return false;
	if (bracket) {
		from++;
		to--;
	}
	*why = "unexpected '[' in address";
	if (strchr(from, '['))
		return false;
	*why = "unexpected ']' in address";
	if (strchr(bracket ? colon : text, ']'))
		return false;
	*why = "address too long";
	if (!copy_text(host, host_cap, from, (size_t)(to - from)))
		return false;
	if (!copy_text(port, port_cap, colon + 1, strlen(colon + 1)))
		return false;
	*why = NULL;
	return true;
}

/* Digits only, at most max; -1 otherwise. */
static int64_t parse_number(const char *text, uint32_t max)
{
	int64_t n = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (*text - '0');
		if (n > max)
			return -1;
	}
	return n;
}

int addr_port(const char *text)
{
	return (int)parse_number(text, 65535);
}

/* The zone of "fe80::1%eth0": an interface's name or number; 0 = there is none such. */
static uint32_t parse_scope(const char *scope)
{
	uint32_t index = if_nametoindex(scope);
	int64_t n;

	if (index)
		return index;
	n = parse_number(scope, UINT32_MAX);
	return n > 0 ? (uint32_t)n : 0;
}

static bool parse_ip6(const char *host, struct sockaddr_in6 *in6)
{
	char ip[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");

	if (!copy_text(ip, sizeof(ip), host, len))
		return false;
	if (inet_pton(AF_INET6, ip, &in6->sin6_addr) != 1)
		return false;
	if (!host[len])
		return true;
	in6->sin6_scope_id = parse_scope(host + len + 1);
	return in6->sin6_scope_id != 0;
}

bool addr_numeric(const char *host, uint16_t port, struct addr *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->sa;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->sa;

	memset(out, 0, sizeof(*out));
	/* Not inet_aton: "1" and "010.1" are names here, as they are to a user who reads them. */
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		out->len = sizeof(*in);
		return true;
	}
	if (parse_ip6(host, in6)) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		out->len = sizeof(*in6);
		return true;
	}
	memset(out, 0, sizeof(*out));
	return false;
}

/* One address in one form: IPv4-mapped IPv6 becomes the IPv4 address it stands for. */
struct ip {
	int family; /* AF_UNSPEC: no address */
	unsigned char bytes[16];
	uint32_t scope;
};

static struct ip ip_of(const struct addr *a)
{
	struct ip ip = {.family = AF_UNSPEC};

	if (a->len && a->sa.any.sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
		ip.family = AF_INET;
		memcpy(ip.bytes, &in->sin_addr, 4);
	} else if (a->len && a->sa.any.sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			ip.family = AF_INET;
			memcpy(ip.bytes, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			ip.family = AF_INET6;
			memcpy(ip.bytes, &in6->sin6_addr, 16);
			ip.scope = in6->sin6_scope_id;
		}
	}
	return ip;
}

static void ip_write(const struct ip *ip, char buf[static ADDR_TEXT])
{
	char zone[IF_NAMESIZE];
	size_t len;

	if (ip->family == AF_UNSPEC || !inet_ntop(ip->family, ip->bytes, buf, ADDR_TEXT)) {
		snprintf(buf, ADDR_TEXT, "unknown");
		return;
	}
	if (!ip->scope)
		return;
	len = strlen(buf);
	if (if_indextoname(ip->scope, zone))
		snprintf(buf + len, ADDR_TEXT - len, "%%%s", zone);
	else
		snprintf(buf + len, ADDR_TEXT - len, "%%%u", ip->scope);
}

const char *addr_ip_text(const struct addr *a, char buf[static ADDR_TEXT])
{
	struct ip ip = ip_of(a);

	ip_write(&ip, buf);
	return buf;
}

const char *addr_text(const struct addr *a, char buf[static ADDR_TEXT])
{
	struct ip ip = ip_of(a);
	bool v6 = ip.family == AF_INET6;
	size_t len;

	ip_write(&ip, buf);
	if (ip.family == AF_UNSPEC)
		return buf;
	len = strlen(buf);
	if (v6) {
		memmove(buf + 1, buf, len + 1);
		buf[0] = '[';
		len++;
	}
	snprintf(buf + len, ADDR_TEXT - len, "%s:%u", v6 ? "]" : "", addr_get_port(a));
	return buf;
}

uint16_t addr_get_port(const struct addr *a)
{
	if (!a->len)
		return 0;
	if (a->sa.any.sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
	if (a->sa.any.sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port);
	return 0;
}

size_t addr_ip_bytes(const struct addr *a, unsigned char out[static 16])
{
	struct ip ip = ip_of(a);

	memcpy(out, ip.bytes, sizeof(ip.bytes));
	if (ip.family == AF_UNSPEC)
		return 0;
	return ip.family == AF_INET ? 4 : 16;
}

bool addr_is_loopback(const struct addr *a)
{
	static const unsigned char one[16] = {[15] = 1};
	struct ip ip = ip_of(a);

	if (ip.family == AF_INET)
		return ip.bytes[0] == 127;
	return ip.family == AF_INET6 && memcmp(ip.bytes, one, sizeof(one)) == 0;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	struct ip x = ip_of(a), y = ip_of(b);

	if (x.family == AF_UNSPEC || x.family != y.family || x.scope != y.scope)
		return false;
	return memcmp(x.bytes, y.bytes, sizeof(x.bytes)) == 0;
}

uint64_t addr_household(const struct addr *a)
{
	struct ip ip = ip_of(a);
	uint64_t n = ip.family == AF_INET ? 0xffff : 0;

	if (ip.family == AF_UNSPEC)
		return 0;
	/*
	 * IPv4 as the last eight bytes of its mapped form, which begin no IPv6 address of the net.
	 */
	for (int i = 0; i < (ip.family == AF_INET ? 4 : 8); i++)
		n = n << 8 | ip.bytes[i];
	return n;
}

typedef int name_fn(int fd, struct sockaddr *sa, socklen_t *len);

static struct addr addr_of(int fd, name_fn *ask)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.len = sizeof(a.sa);
	if (ask(fd, (struct sockaddr *)&a.sa, &a.len) < 0)
		a.len = 0;
	else if (a.sa.any.sa_family != AF_INET && a.sa.any.sa_family != AF_INET6)
		a.len = 0;
	return a;
}

struct addr addr_of_local(int fd)
{
	return addr_of(fd, getsockname);
}

struct addr addr_of_peer(int fd)
{
	return addr_of(fd, getpeername);
}
