/* Who may ask httpd for anything: Host, Origin, token. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/httpd/conn.h"
#include "common/base/log.h"
#include "common/base/randid.h"

/* ---- names ---- */

static bool name_char(char c, bool v6)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       strchr(v6 ? ":.%" : ".-_", c) != NULL;
}

bool host_name(const char *text, size_t len, char out[static HOST_TEXT], int *port)
{
	const char *end, *colon;
	char digits[8];
	bool v6 = len && *text == '[';
	size_t n;

	*port = -1;
	end = v6 ? memchr(text, ']', len) : memchr(text, ':', len);
	if (v6 && !end)
		return false;
	n = end ? (size_t)(end - text) - v6 : len;
	colon = end ? end + v6 : text + len;
	if (colon < text + len) {
		size_t left = (size_t)(text + len - colon - 1);

		if (*colon != ':' || left >= sizeof(digits))
			return false;
		memcpy(digits, colon + 1, left);
		digits[left] = '\0';
		if (left && (*port = addr_port(digits)) < 0)
			return false;
	}
	text += v6;
	if (!v6 && n > 1 && text[n - 1] == '.')
		n--;
	if (!n || n >= HOST_TEXT)
		return false;
	for (size_t i = 0; i < n; i++) {
		out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
		if (!out[i] || !name_char(out[i], v6))
			return false;
	}
	out[n] = '\0';
	return true;
}

static bool is_local(const struct conn *c, const char *name)
{
	static const char suffix[] = ".localhost"; /* RFC 6761 section 6.3 */
	size_t n = strlen(name), m = sizeof(suffix) - 1;
	struct addr a, here;

	if (strcmp(name, suffix + 1) == 0 || (n > m && strcmp(name + n - m, suffix) == 0))
		return true;
	if (!addr_numeric(name, 0, &a))
		return false;
	/* An address is nobody's name: no page of somebody else's can have it as its origin. */
	here = addr_of_local(stream_fd(c->s));
	return addr_is_loopback(&a) || (here.len && addr_same_ip(&a, &here));
}

static struct allowed **find_allowed(struct httpd *h, const char *name)
{
	struct allowed **p = &h->allowed;

	while (*p && strcasecmp((*p)->host, name) != 0)
		p = &(*p)->next;
	return p;
}

void httpd_allow_host(struct httpd *h, const char *host, bool token)
{
	struct allowed **p = find_allowed(h, host);

	if (!*p) {
		*p = xcalloc(1, sizeof(**p) + strlen(host) + 1);
		memcpy((*p)->host, host, strlen(host));
	}
	(*p)->token = token;
}

void httpd_disallow_host(struct httpd *h, const char *host)
{
	struct allowed **p = find_allowed(h, host), *gone = *p;

	if (!gone)
		return;
	*p = gone->next;
	free(gone);
}

/* May this Host be asked for? *token: only with the token. */
static bool host_allowed(struct httpd_req *r, bool *token)
{
	struct httpd *h = r->conn->h;
	struct allowed *a;
	char name[HOST_TEXT];
	int port;

	if (!host_name(r->host, strlen(r->host), name, &port))
		return false;
	a = *find_allowed(h, name);
	*token = a ? a->token : h->token && h->conf.token_local;
	return a || is_local(r->conn, name);
}

/* ---- other sites ---- */

/* "http://host:port" against the Host asked for: the same name, the same port? */
static bool same_origin(const struct httpd_req *r, const char *origin)
{
	char theirs[HOST_TEXT], ours[HOST_TEXT];
	int their_port, our_port, usual;

	if (strncmp(origin, "http://", 7) == 0)
		usual = 80;
	else if (strncmp(origin, "https://", 8) == 0)
		usual = 443;
	else
		return false;
	origin += usual == 80 ? 7 : 8;
	if (!host_name(origin, strlen(origin), theirs, &their_port) ||
	    !host_name(r->host, strlen(r->host), ours, &our_port))
		return false;
	return strcmp(theirs, ours) == 0 &&
	       (their_port < 0 ? usual : their_port) == (our_port < 0 ? usual : our_port);
}

/* GET, HEAD and OPTIONS change nothing, and the browser keeps their answers from other sites. */
static bool changes_something(const struct httpd_req *r)
{
	return strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0 &&
	       strcmp(r->method, "OPTIONS") != 0;
}

static bool from_elsewhere(struct httpd_req *r)
{
	const char *origin = httpd_field(r, "origin"), *site = httpd_field(r, "sec-fetch-site");

	if (!changes_something(r) && !r->head.upgrade)
		return false;
	return (origin && !same_origin(r, origin)) || (site && strcasecmp(site, "cross-site") == 0);
}

/* ---- token ---- */

/* Is the session cookie in the Cookie field? */
static bool has_session(struct httpd_req *r)
{
	struct httpd *h = r->conn->h;
	const char *p = httpd_field(r, "cookie");
	size_t name_len = strlen(h->cookie), len;
	char value[sizeof(h->session)];

	for (; p && *p; p += strcspn(p, ";")) {
		p += strspn(p, "; \t");
		if (strncmp(p, h->cookie, name_len) != 0 || p[name_len] != '=')
			continue;
		len = strcspn(p + name_len + 1, "; \t");
		if (len >= sizeof(value))
			continue;
		memcpy(value, p + name_len + 1, len);
		value[len] = '\0';
		if (secret_equal(value, h->session))
			return true;
	}
	return false;
}

static bool is_bearer(struct httpd_req *r)
{
	const char *auth = httpd_field(r, "authorization");

	return auth && strncasecmp(auth, "Bearer ", 7) == 0 &&
	       secret_equal(auth + 7 + strspn(auth + 7, " "), r->conn->h->token);
}

/* The target without its token, so that it stays in no address bar and no history. */
static char *without_token(const struct httpd_req *r)
{
	const char *path = r->text + r->raw_path.off, *q = r->text + r->raw_query.off;
	size_t path_len = r->raw_path.len, left = r->raw_query.len, n;
	char *out = xmalloc(path_len + left + 3), *to = out;
	char sep = '?';

	/* "//x" would lead to another host. */
	while (path_len && (*path == '/' || *path == '\\')) {
		path++;
		path_len--;
	}
	*to++ = '/';
	memcpy(to, path, path_len);
	to += path_len;
	for (; left; q += n, left -= n) {
		const char *amp = memchr(q, '&', left);

		n = amp ? (size_t)(amp - q) : left;
		if (n && !(n >= 6 && memcmp(q, "token=", 6) == 0)) {
			*to++ = sep;
			memcpy(to, q, n);
			to += n;
			sep = '&';
		}
		n += amp != NULL;
	}
	*to = '\0';
	return out;
}

static void give_session(struct httpd_req *r)
{
	struct httpd *h = r->conn->h;
	char *target = without_token(r), cookie[160];

	/*
	 * Not Strict: the address with the token may be opened from a chat or a mail, and then a
	 * Strict cookie would not come with what follows the redirection. Lax ones come with GETs
	 * of a whole page only, which change nothing; and the Origin is looked at besides.
	 */
	snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; HttpOnly; SameSite=Lax%s", h->cookie,
		 h->session, h->conf.tls ? "; Secure" : "");
	httpd_header(r, "Set-Cookie", cookie);
	httpd_header(r, "Location", target);
	httpd_text(r, 303, "See Other\n");
	free(target);
}

/* May go on? False: it has answered. */
static bool token_shown(struct httpd_req *r)
{
	const char *given = query_get(&r->query, "token");
	struct httpd *h = r->conn->h;

	if (h->token && given && secret_equal(given, h->token)) {
		/* A script's WebSocket can't follow a redirect, a form would lose its body. */
		if (r->head.upgrade || changes_something(r))
			return true;
		give_session(r);
		return false;
	}
	if (h->token && (is_bearer(r) || has_session(r)))
		return true;
	httpd_header(r, "WWW-Authenticate", "Bearer realm=\"pgrok\"");
	req_refuse(r, 401, "A token is needed: open this address with ?token=... once.");
	return false;
}

bool httpd_guard(struct httpd_req *r)
{
	const char *name = r->conn->h->conf.name;
	bool token = false;

	if (!host_allowed(r, &token)) {
		log_info(name, "refused: asked for as %s", r->host);
		req_refuse(r, 403, "This host name is not served here.");
		return false;
	}
	if (from_elsewhere(r)) {
		log_info(name, "refused: %s %s from another site", r->method, r->path);
		req_refuse(r, 403, "Refused: this comes from another site.");
		return false;
	}
	return !token || token_shown(r);
}

void httpd_guard_init(struct httpd *h, uint16_t port)
{
	snprintf(h->cookie, sizeof(h->cookie), "pgrok_%u", port);
	rand_hex(h->session, SESSION_BYTES);
	h->token = h->conf.token && *h->conf.token ? xstrdup(h->conf.token) : NULL;
	h->conf.token = NULL;
}

void httpd_guard_free(struct httpd *h)
{
	for (struct allowed *a = h->allowed, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	xfree_secret_str(h->token);
	OPENSSL_cleanse(h->session, sizeof(h->session));
}
