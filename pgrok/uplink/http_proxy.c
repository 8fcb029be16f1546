/* The way out through a proxy: its URL, who is exempt, and what is said to an HTTP one. */
#include "pgrok/uplink/http_proxy.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/addr.h"
#include "common/base/words.h"
#include "common/http/text.h"
#include "pgrok/uplink/socks.h"

/* ---- the URL ---- */

/* "user:password" with escapes -> base64. User names hold no ':', so both decode as one. */
static char *encode_credentials(const char *userinfo, size_t len)
{
	char *plain = xmalloc(len + 2);
	size_t plain_len = percent_decode_loose(userinfo, len, false, plain);

	if (!memchr(userinfo, ':', len))
		plain[plain_len++] = ':';
	char *out = xmalloc(4 * ((plain_len + 2) / 3) + 1);
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)plain, (int)plain_len);
	xfree_secret(plain, plain_len);
	return out;
}

static bool parse_host(struct http_proxy *p, const char *text, size_t len, struct err *err)
{
	char full[300], host[256], port[16];
	const char *why = "too long";
	bool has_port = false;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
			len = 0; /* reported as missing below */
	}
	/* A colon after the last ']' starts a port. */
	for (size_t i = len; i-- > 0 && text[i] != ']';)
		has_port |= text[i] == ':';
	snprintf(full, sizeof(full), "%.*s%s", (int)(len > 280 ? 0 : len), text,
		 has_port ? ""
			  : (p->tls     ? ":443"
			     : p->socks ? ":1080"
					: ":80"));
	if (!addr_split(full, host, sizeof(host), port, sizeof(port), &why) || !host[0])
		goto fail;
	why = "not a port (1-65535)";
	if (addr_port(port) <= 0)
		goto fail;
	p->host = xstrdup(host);
	p->port = (uint16_t)addr_port(port);
	return true;
fail:
	return err_set(err, "Proxy url has no usable host and port: %.80s",
		       host[0] ? why : "the host is missing");
}

/* "user:password" with escapes. */
static bool take_login(struct http_proxy *p, const char *userinfo, size_t len, struct err *err)
{
	const char *colon = memchr(userinfo, ':', len);
	size_t user_len = colon ? (size_t)(colon - userinfo) : len;
	size_t rest = colon ? len - user_len - 1 : 0;

	p->user = xmalloc(user_len + 1);
	p->password = xmalloc(rest + 1);
	size_t a = percent_decode_loose(userinfo, user_len, false, p->user);
	size_t b = percent_decode_loose(colon ? colon + 1 : "", rest, false, p->password);

	return (a <= SOCKS_TEXT_MAX && b <= SOCKS_TEXT_MAX) ||
	       err_set(err, "Proxy url: user and password have at most %d bytes each",
		       SOCKS_TEXT_MAX);
}

static bool take_scheme(struct http_proxy *p, const char *url, size_t len, struct err *err)
{
	static const struct {
		const char *name;
		bool tls, socks, look_up;
	} kinds[] = {{"http", false, false, false},
		     {"https", true, false, false},
		     {"socks5", false, true, false},
		     {"socks5h", false, true, true}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i].name) != len || strncasecmp(url, kinds[i].name, len) != 0)
			continue;
		p->tls = kinds[i].tls;
		p->socks = kinds[i].socks;
		p->look_up = kinds[i].look_up;
		return true;
	}
	return err_set(err,
		       "Proxy url scheme must be 'http', 'https', 'socks5' or 'socks5h', got %.*s",
		       (int)(len > 40 ? 40 : len), url);
}

bool http_proxy_parse(struct http_proxy *p, const char *url, struct err *err)
{
	const char *end = strstr(url, "://");
	size_t scheme = end ? (size_t)(end - url) : 0;

	*p = (struct http_proxy){0};
	if (end && !take_scheme(p, url, scheme, err))
		return false;
	const char *rest = end ? end + 3 : url;
	size_t len = strcspn(rest, "/?#");
	/* The last '@', for passwords that were not escaped. */
	size_t at = len;
	while (at > 0 && rest[at - 1] != '@')
		at--;
	bool ok = true;

	if (at > 1 && p->socks)
		ok = take_login(p, rest, at - 1, err);
	else if (at > 1)
		p->credentials = encode_credentials(rest, at - 1);
	if (ok && parse_host(p, rest + at, len - at, err))
		return true;
	http_proxy_free(p);
	return false;
}

void http_proxy_free(struct http_proxy *p)
{
	free(p->host);
	xfree_secret_str(p->credentials);
	xfree_secret_str(p->user);
	xfree_secret_str(p->password);
	*p = (struct http_proxy){0};
}

/* ---- exemptions ---- */

/* The ip's bytes into out: 4, 16, or 0 if host is a name. */
static size_t ip_bytes(const char *host, unsigned char out[static 16])
{
	if (inet_pton(AF_INET, host, out) == 1)
		return 4;
	return inet_pton(AF_INET6, host, out) == 1 ? 16 : 0;
}

/* "10.0.0.0/8" */
static bool network_match(const char *network, const char *host)
{
	unsigned char net[16], ip[16];
	char base[INET6_ADDRSTRLEN];
	const char *slash = strchr(network, '/');

	if (!slash || (size_t)(slash - network) >= sizeof(base))
		return false;
	snprintf(base, sizeof(base), "%.*s", (int)(slash - network), network);
	size_t len = ip_bytes(base, net);
	int bits = addr_port(slash + 1); /* digits only */
	if (!len || len != ip_bytes(host, ip) || bits < 0 || (size_t)bits > 8 * len)
		return false;
	for (int i = 0; i < bits; i++) {
		if ((net[i / 8] ^ ip[i / 8]) & (0x80 >> i % 8))
			return false;
	}
	return true;
}

static bool name_match(const char *entry, const char *host)
{
	size_t entry_len, host_len = strlen(host);

	entry += *entry == '.';
	entry_len = strlen(entry);
	if (!entry_len || host_len < entry_len)
		return false;
	const char *tail = host + host_len - entry_len;
	if (strcasecmp(tail, entry) != 0)
		return false;
	unsigned char unused[16];
	return tail == host || (tail[-1] == '.' && !ip_bytes(host, unused));
}

static bool entry_match(char *entry, const char *host, uint16_t port)
{
	char name[256], number[16];
	const char *why;

	if (strcmp(entry, "*") == 0 || network_match(entry, host))
		return true;
	if (addr_split(entry, name, sizeof(name), number, sizeof(number), &why)) {
		if (addr_port(number) != port)
			return false;
		return name_match(name, host);
	}
	size_t len = strlen(entry);
	if (len > 2 && entry[0] == '[' && entry[len - 1] == ']') {
		entry[len - 1] = '\0';
		entry++;
	}
	return name_match(entry, host);
}

bool no_proxy_match(const char *list, const char *host, uint16_t port)
{
	bool found = false;
	char *entry;

	while (list && !found && (entry = words_next(&list))) {
		found = entry_match(entry, host, port);
		free(entry);
	}
	return found;
}

/* ---- the request ---- */

char *http_proxy_request(const struct http_proxy *p, const char *target)
{
	return xasprintf("CONNECT %s HTTP/1.1\r\n"
			 "Host: %s\r\n"
			 "User-Agent: Mozilla/5.0 (compatible; pgrok)\r\n"
			 "%s%s%s\r\n",
			 target, target, p->credentials ? "Proxy-Authorization: Basic " : "",
			 p->credentials ? p->credentials : "", p->credentials ? "\r\n" : "");
}
