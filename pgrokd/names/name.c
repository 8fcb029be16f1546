/* Public names: which are allowed, how a Host becomes a key, how a URL is written. Pure. */
#include "pgrokd/names/name.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/addr.h"

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool name_valid(const char *name, bool with_port, const char **why)
{
	size_t len = strcspn(name, ":");

	*why = "a name may not be empty";
	if (len == 0)
		return false;
	*why = "a name may have at most 253 characters";
	if (len > LIMIT_NAME)
		return false;
	*why = "a name may only contain letters, digits, '.', '-' and '_'";
	for (size_t i = 0; i < len; i++)
		if (!name_char(name[i]))
			return false;
	*why = "a name may not have an empty part between its dots";
	if (name[0] == '.' || strstr(name, ".."))
		return false;
	*why = with_port ? "the port behind a name must be a number from 1 to 65535"
			 : "a name may not contain a port";
	return !name[len] || (with_port && addr_port(name + len + 1) > 0);
}

char *name_clean(const char *name)
{
	size_t len;

	while (isspace((unsigned char)*name))
		name++;
	for (len = strlen(name); len > 0 && isspace((unsigned char)name[len - 1]);)
		len--;
	char *out = xstrndup(name, len);

	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

/* Length of a host without its ":port"; 0 if what follows the colon is no port. */
static size_t without_port(const char *host, size_t len)
{
	const char *from = host, *colon;

	if (len && host[0] == '[') { /* an IPv6 address has colons of its own */
		from = memchr(host, ']', len);
		if (!from || (from + 1 < host + len && from[1] != ':'))
			return 0;
	}
	colon = memchr(from, ':', len - (size_t)(from - host));
	if (!colon)
		return len;
	for (const char *p = colon + 1; p < host + len; p++)
		if (*p < '0' || *p > '9')
			return 0;
	return (size_t)(colon - host);
}

bool route_key(enum proto p, const char *host, size_t len, char key[static ROUTE_KEY_MAX])
{
	int n = snprintf(key, ROUTE_KEY_MAX, "%s://", proto_name(p));

	len = without_port(host, len);
	if (len && host[len - 1] == '.')
		len--;
	if (len == 0 || len > LIMIT_NAME)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)host[i];

		if (c <= ' ' || c >= 0x7f)
			return false;
		key[n++] = (char)tolower(c);
	}
	key[n] = '\0';
	return true;
}

#define PORT_KEY "tcp://:"

char *port_key(uint16_t port)
{
	return xasprintf(PORT_KEY "%u", port);
}

uint16_t key_port(const char *key)
{
	size_t len = strlen(PORT_KEY);
	int port = strncmp(key, PORT_KEY, len) == 0 ? addr_port(key + len) : 0;

	return port > 0 ? (uint16_t)port : 0;
}

bool name_below(const struct name_site *site, const char *host, char below[static ROUTE_KEY_MAX])
{
	const char *const ends[] = {site->domain, site->vhost};
	char key[ROUTE_KEY_MAX];
	size_t len = strlen(host);

	for (size_t i = 0; i < 2; i++) {
		if (!ends[i] || !route_key(PROTO_HTTP, ends[i], strlen(ends[i]), key))
			continue;
		const char *end = url_host(key);
		size_t tail = strlen(end);

		if (len <= tail + 1 || len - tail > ROUTE_KEY_MAX || host[len - tail - 1] != '.' ||
		    strcmp(host + len - tail, end) != 0)
			continue;
		snprintf(below, ROUTE_KEY_MAX, "%.*s", (int)(len - tail - 1), host);
		return true;
	}
	return false;
}

char *url_of_subdomain(const struct name_site *site, enum proto p, const char *sub)
{
	uint16_t port = p == PROTO_HTTP ? site->http_port : site->https_port;

	if (port == (p == PROTO_HTTP ? 80 : 443))
		return xasprintf("%s://%s.%s", proto_name(p), sub, site->domain);
	if (site->vhost)
		return xasprintf("%s://%s.%s", proto_name(p), sub, site->vhost);
	return xasprintf("%s://%s.%s:%u", proto_name(p), sub, site->domain, port);
}

char *url_of_hostname(enum proto p, const char *hostname)
{
	return xasprintf("%s://%s", proto_name(p), hostname);
}

char *url_of_port(const struct name_site *site, uint16_t port)
{
	return xasprintf("tcp://%s:%u", site->domain, port);
}

const char *url_host(const char *url)
{
	return strstr(url, "://") + 3;
}
