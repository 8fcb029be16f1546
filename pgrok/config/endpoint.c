/* An address as people write it and as it is dialled. */
#include "pgrok/config/endpoint.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/addr.h"
#include "pgrok/files/files.h"

static bool all_digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

/* A number, or a name of /etc/services as the Go client took it too. -1: neither. */
static int port_number(const char *text)
{
	int port = addr_port(text);
	if (port >= 0 || all_digits(text))
		return port;
	const struct servent *s = *text ? getservbyname(text, "tcp") : NULL;
	return s ? ntohs((uint16_t)s->s_port) : -1;
}

static bool host_is_plain(const char *host)
{
	for (const unsigned char *p = (const unsigned char *)host; *p; p++) {
		if (*p <= ' ' || *p == 0x7f || *p == '/')
			return false;
	}
	return true;
}

bool endpoint_parse(struct endpoint *e, const char *text, struct err *err)
{
	char full[320], host[256], port[64];
	const char *why;

	/* The Go client reads "8080" as ":8080" and shows it as 127.0.0.1:8080. */
	snprintf(full, sizeof(full), "%s%s", all_digits(text) ? ":" : "", text);
	if (!addr_split(full, host, sizeof(host), port, sizeof(port), &why))
		return err_set(err, "address %s: %s", full, why);
	int number = port_number(port);
	if (number < 0)
		return err_set(err, "address %s: invalid port %s (0-65535)", full, port);
	if (!host_is_plain(host))
		return err_set(err, "address %s: blank or '/' in the host name", full);
	if (!host[0])
		snprintf(host, sizeof(host), "127.0.0.1");
	endpoint_free(e);
	e->text = strchr(host, ':') ? xasprintf("[%s]:%s", host, port)
				    : xasprintf("%s:%s", host, port);
	e->host = xstrdup(host);
	e->port = (uint16_t)number;
	return true;
}

/* "http://host[:port][/]": many write the address of a service so. NULL: text is something else. */
static char *without_scheme(const char *text)
{
	static const char scheme[] = "http://";
	size_t len;

	if (strncasecmp(text, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	text += sizeof(scheme) - 1;
	len = strlen(text);
	len -= len && text[len - 1] == '/';
	const char *bracket = memrchr(text, ']', len), *from = bracket ? bracket : text;
	bool has_port = memchr(from, ':', len - (size_t)(from - text));

	return xasprintf("%.*s%s", (int)len, text, has_port ? "" : ":80");
}

bool endpoint_parse_local(struct endpoint *e, const char *text, struct err *err)
{
	char *plain = without_scheme(text);

	if (plain) {
		bool ok = endpoint_parse(e, plain, err);

		free(plain);
		return ok;
	}
	if (!files_is_address(text))
		return endpoint_parse(e, text, err);
	char *folder = files_resolve(text, err);
	if (!folder)
		return false;
	endpoint_free(e);
	e->text = xstrdup(folder);
	e->folder = folder;
	return true;
}

void endpoint_free(struct endpoint *e)
{
	free(e->text);
	free(e->host);
	free(e->folder);
	*e = (struct endpoint){0};
}
