/* URLs of web services. */
#include "common/http/web_url.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"

/* "host", "host:port", "[v6 address]:port" */
static bool take_host(struct web_url *u, struct err *err)
{
	const char *text = u->authority, *colon = strrchr(text, ':');
	size_t len = strlen(text);
	bool bracket = *text == '[';

	if (colon && bracket && strchr(colon, ']'))
		colon = NULL;
	size_t host_len = colon ? (size_t)(colon - text) : len;
	int port = colon ? addr_port(colon + 1) : u->tls ? 443 : 80;

	if (!host_len || strcspn(text, "@ \t\r\n\\\"<>%") != len ||
	    (bracket && (host_len < 3 || text[host_len - 1] != ']')))
		return err_set(err, "'%.100s' is not a host", text);
	if (port <= 0)
		return err_set(err, "'%.100s': the port is not a number from 1 to 65535", text);
	u->port = (uint16_t)port;
	u->host = xstrndup(text + bracket, host_len - 2 * (size_t)bracket);
	if (strpbrk(u->host, bracket ? "[]" : ":[]"))
		return err_set(err, "'%.100s' is not a host", text);
	return true;
}

static bool take(struct web_url *u, const char *text, struct err *err)
{
	u->tls = strncmp(text, "https://", 8) == 0;
	if (!u->tls && strncmp(text, "http://", 7) != 0)
		return err_set(err, "'%.100s' is not http://HOST/PATH or https://HOST/PATH", text);
	text += u->tls ? 8 : 7;
	size_t len = strcspn(text, "/?#");

	u->authority = xstrndup(text, len);
	u->path = xasprintf("%s%s", text[len] == '/' ? "" : "/", text + len);
	for (const char *p = u->path; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '#')
			return err_set(err, "'%.100s': a path can't have that", u->path);
	return take_host(u, err);
}

bool web_url_read(struct web_url *out, const char *text, struct err *err)
{
	*out = (struct web_url){0};
	if (take(out, text, err))
		return true;
	web_url_free(out);
	return false;
}

void web_url_free(struct web_url *u)
{
	free(u->host);
	free(u->authority);
	free(u->path);
	*u = (struct web_url){0};
}
