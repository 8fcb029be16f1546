/* An address as people write it and as it is dialled. */
#include "pgrok/config/endpoint.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/addr.h"
#include "common/net/dial.h"
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
	endpoint_free(e);
	e->here = !host[0];
	if (e->here)
		snprintf(host, sizeof(host), "127.0.0.1");
	e->text = strchr(host, ':') ? xasprintf("[%s]:%s", host, port)
				    : xasprintf("%s:%s", host, port);
	e->host = xstrdup(host);
	e->port = (uint16_t)number;
	return true;
}

bool endpoint_port_given(const struct endpoint *e, struct err *err)
{
	return e->port || err_set(err, "address %s: nothing listens at port 0", e->text);
}

/* ---- where a tunnel leads ---- */

static bool is_this_machine(const char *host)
{
	struct addr a;

	if (addr_numeric(host, 0, &a))
		return addr_is_loopback(&a);
	return strcasecmp(host, "localhost") == 0;
}

static bool parse_plain(struct endpoint *e, const char *text, struct err *err)
{
	struct endpoint parsed = {0};

	if (!endpoint_parse(&parsed, text, err) || !endpoint_port_given(&parsed, err)) {
		endpoint_free(&parsed);
		return false;
	}
	endpoint_free(e);
	*e = parsed;
	return true;
}

/* "host[:port][/]", the rest of a URL. */
static bool parse_rest(struct endpoint *e, const char *text, unsigned port, struct err *err)
{
	size_t len = strlen(text);

	len -= len && text[len - 1] == '/';
	const char *bracket = memrchr(text, ']', len), *from = bracket ? bracket : text;
	bool has_port = memchr(from, ':', len - (size_t)(from - text));
	char *plain = has_port ? xstrndup(text, len) : xasprintf("%.*s:%u", (int)len, text, port);
	bool ok = parse_plain(e, plain, err);

	free(plain);
	return ok;
}

/* Many write the address of a service so. */
static bool parse_http(struct endpoint *e, const char *text, struct err *err)
{
	return parse_rest(e, text + strlen("http://"), 80, err);
}

static bool parse_https(struct endpoint *e, const char *text, struct err *err)
{
	if (!parse_rest(e, text + strlen("https://"), 443, err))
		return false;
	char *shown = xasprintf("https://%s", e->text);

	free(e->text);
	e->text = shown;
	e->tls = true;
	e->checked = !is_this_machine(e->host);
	return true;
}

static bool parse_unix(struct endpoint *e, const char *text, struct err *err)
{
	const char *path = text + strlen("unix:");

	/* unix:///run/app.sock, too */
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	if (*path != '/')
		return err_set(err, "%s: the path of a Unix socket begins with a slash", text);
	if (!dial_unix_fits(path))
		return err_set(err, "%s: too long for the path of a Unix socket", text);
	endpoint_free(e);
	e->socket = xstrdup(path);
	e->text = xasprintf("unix:%s", path);
	return true;
}

static bool parse_folder(struct endpoint *e, const char *text, struct err *err)
{
	char *folder = files_resolve(text, err);

	if (!folder)
		return false;
	endpoint_free(e);
	e->text = xstrdup(folder);
	e->folder = folder;
	return true;
}

bool endpoint_parse_local(struct endpoint *e, const char *text, struct err *err)
{
	static const struct {
		const char *begin;
		bool (*parse)(struct endpoint *e, const char *text, struct err *err);
	} kinds[] = {{"http://", parse_http}, {"https://", parse_https}, {"unix:", parse_unix}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncasecmp(text, kinds[i].begin, strlen(kinds[i].begin)) == 0)
			return kinds[i].parse(e, text, err);
	}
	return files_is_address(text) ? parse_folder(e, text, err) : parse_plain(e, text, err);
}

static char *copy_of(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

struct endpoint endpoint_copy(const struct endpoint *e)
{
	struct endpoint copy = *e;

	copy.text = copy_of(e->text);
	copy.host = copy_of(e->host);
	copy.folder = copy_of(e->folder);
	copy.socket = copy_of(e->socket);
	return copy;
}

void endpoint_free(struct endpoint *e)
{
	free(e->text);
	free(e->host);
	free(e->folder);
	free(e->socket);
	*e = (struct endpoint){0};
}
