/* What the client was told to do: the data, and tunnels added to it. Its loader is load.c. */
#include "pgrok/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/edit.h"
#include "msg/pgrok/access.h"
#include "pgrok/config/limits.h"

/* ---- tunnels ---- */

bool config_auth_valid(const char *auth)
{
	return !auth || !*auth || strchr(auth, ':');
}

struct config_tunnel *config_find_tunnel(struct config *c, const char *name)
{
	struct config_tunnel *t;

	for (size_t i = 0; (t = config_tunnel_at(c, i)); i++) {
		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

struct config_tunnel *config_tunnel_at(const struct config *c, size_t i)
{
	if (i < c->tunnels_n)
		return &c->tunnels[i];
	i -= c->tunnels_n;
	return i < c->more_n ? c->more[i] : NULL;
}

static void tunnel_clear(struct config_tunnel *t)
{
	free(t->name);
	for (size_t i = 0; i < t->places_n; i++)
		free(t->places[i].key);
	free(t->places);
	free(t->subdomain);
	free(t->hostname);
	free(t->host_header);
	http_fields_free(&t->request_headers);
	http_fields_free(&t->response_headers);
	xfree_secret_str(t->auth);
	xfree_secret_str(t->password);
	free(t->forward_auth);
	free(t->mtls_ca);
	for (int i = 0; i < ACCESS_LISTS; i++)
		xfree_secret_str(t->list[i]);
	for (int i = 0; i < PROTOS; i++)
		endpoint_free(&t->local[i]);
	*t = (struct config_tunnel){.mux = true, .inspect = true};
}

struct config_tunnel *config_add_more(struct config *c, const char *name,
				      bool (*is_used)(void *arg, const struct config_tunnel *t),
				      void *arg)
{
	struct config_tunnel *t = NULL;

	for (size_t i = 0; i < c->more_n && !t; i++) {
		if (!c->more[i]->start && !*c->more[i]->name && !is_used(arg, c->more[i]))
			t = c->more[i];
	}
	if (!t && c->more_n == LIMIT_TUNNELS)
		return NULL;
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		c->more = xrealloc(c->more, (c->more_n + 1) * sizeof(*c->more));
		c->more[c->more_n++] = t;
	}
	tunnel_clear(t);
	t->name = xstrdup(name);
	return t;
}

struct config_tunnel *config_add_tunnel(struct config *c, const char *name)
{
	struct config_tunnel *t = config_find_tunnel(c, name);

	if (t) {
		tunnel_clear(t);
	} else {
		c->tunnels = xrealloc(c->tunnels, (c->tunnels_n + 1) * sizeof(*c->tunnels));
		t = &c->tunnels[c->tunnels_n++];
		*t = (struct config_tunnel){.mux = true, .inspect = true};
	}
	t->name = xstrdup(name);
	return t;
}

bool config_set_protos(struct config_tunnel *t, const char *protos, const char *addr,
		       const char *whose, struct err *err)
{
	for (const char *word = protos;; word++) {
		size_t len = strcspn(word, "+");
		enum proto p;
		if (!proto_parse(word, len, &p))
			return err_set(err, "Invalid protocol for %.200s: %.*s", whose, (int)len,
				       word);
		if (!endpoint_parse_local(&t->local[p], addr, err))
			return err_set(err, "Invalid address for tunnel %s[%s] '%s': %s", t->name,
				       proto_name(p), addr, err->text);
		if (t->local[p].folder && p == PROTO_TCP)
			return err_set(
				err,
				"Invalid address for tunnel %s[tcp] '%.200s': a folder needs http or "
				"https",
				t->name, addr);
		word += len;
		if (!*word)
			return true;
	}
}

/* ---- rules for visitors ---- */

static size_t count_lines(const char *list)
{
	size_t n = list ? 1 : 0;

	for (; list && *list; list++)
		n += *list == '\n';
	return n;
}

bool config_add_rule(struct config_tunnel *t, enum access_list which, const char *text,
		     struct err *err)
{
	char **list = &t->list[which], *longer;

	if (!access_entry_valid(which, text, err))
		return false;
	if (which == ACCESS_USERS && !t->auth) {
		t->auth = xstrdup(text);
		return true;
	}
	if (count_lines(*list) >= (size_t)access_most(which))
		return err_set(err, "more than %d entries", access_most(which));
	longer = *list ? xasprintf("%s\n%s", *list, text) : xstrdup(text);
	xfree_secret_str(*list);
	*list = longer;
	return true;
}

void config_clear_rules(struct config_tunnel *t, enum access_list which)
{
	xfree_secret_str(t->list[which]);
	t->list[which] = NULL;
	if (which == ACCESS_USERS) {
		xfree_secret_str(t->auth);
		t->auth = NULL;
	}
}

struct msg_access config_access(const struct config_tunnel *t)
{
	struct msg_access a = {
		.password = t->password, .mtls_ca = t->mtls_ca, .preflight = t->auth_preflight};

	for (int i = 0; i < ACCESS_LISTS; i++)
		a.list[i] = t->list[i];
	return a;
}

/* As config_complete_tunnel(). */
static bool rules_fit(const struct config_tunnel *t, const char **which, struct err *err)
{
	struct msg_access a = config_access(t);
	bool credentials = (t->auth && *t->auth) || t->list[ACCESS_BEARER] || t->password;
	const char *http = access_any_http(&a);

	*which = http;
	if (http && t->local[PROTO_TCP].text)
		return err_set(err, "a tcp tunnel can have allow_ips and deny_ips alone");
	*which = "forward_auth";
	if (t->forward_auth && t->local[PROTO_TCP].text)
		return err_set(err, "a tcp tunnel has no requests that could be asked about");
	*which = "mtls_ca";
	if (t->mtls_ca && t->local[PROTO_HTTP].text)
		return err_set(err, "an http tunnel shows no certificates: https alone is wanted");
	*which = "auth_preflight";
	if (t->auth_preflight && !credentials)
		return err_set(err, "there are no credentials that a preflight could do without");
	*which = access_any(&a);
	return access_valid(&a, err);
}

bool config_host_header_valid(const char *text)
{
	return !text || !*text || http_edit_host_valid(text);
}

/* Where there is no HTTP there are no fields, and what is said once is not said otherwise. */
static bool check_fields(const struct config_tunnel *t, bool web, const char **which,
			 struct err *err)
{
	static const char *const ours[] = {"X-Forwarded-For", "X-Forwarded-Proto",
					   "X-Forwarded-Host"};

	*which = "request_headers";
	if (!web && t->request_headers.n)
		return err_set(err, "a tcp tunnel has no fields");
	for (size_t i = 0; i < 3 && t->x_forwarded; i++)
		if (http_fields_have(&t->request_headers, ours[i], strlen(ours[i]), true))
			return err_set(err, "%s is what x_forwarded says", ours[i]);
	*which = "response_headers";
	return web || !t->response_headers.n || err_set(err, "a tcp tunnel has no fields");
}

/* Told to each of its services; a folder has none. */
static bool take_proxy_proto(struct config_tunnel *t, const char **which, struct err *err)
{
	*which = "proxy_proto";
	if (t->proxy_proto < 0 || t->proxy_proto > 2)
		return err_set(err, "%d is neither 1 nor 2", t->proxy_proto);
	for (int p = 0; p < PROTOS; p++) {
		t->local[p].proxy_proto = (uint8_t)t->proxy_proto;
		if (t->proxy_proto && t->local[p].folder)
			return err_set(err, "a folder does not want to know");
	}
	return true;
}

static bool is_url(const char *name)
{
	return name && strstr(name, "://");
}

bool config_complete_tunnel(struct config_tunnel *t, const char **which, struct err *err)
{
	bool web = t->local[PROTO_HTTP].text || t->local[PROTO_HTTPS].text, tls = false;

	for (int p = 0; p < PROTOS; p++) {
		tls |= t->local[p].tls;
		t->local[p].checked &= !t->insecure;
	}
	*which = "subdomain";
	if (is_url(t->subdomain))
		return err_set(err, "'%.100s' is a URL, a name alone is wanted", t->subdomain);
	*which = "hostname";
	if (is_url(t->hostname))
		return err_set(err, "'%.100s' is a URL, a name alone is wanted", t->hostname);
	*which = "auth";
	if (!web && t->auth && *t->auth)
		return err_set(err, "a password protects http and https only: every visitor of "
				    "this tcp tunnel would get in");
	*which = "host_header";
	if (!web && t->host_header && *t->host_header)
		return err_set(err, "a tcp tunnel has no Host field");
	*which = "x_forwarded";
	if (!web && t->x_forwarded)
		return err_set(err, "a tcp tunnel has no fields that could tell");
	if (!check_fields(t, web, which, err) || !take_proxy_proto(t, which, err))
		return false;
	*which = "insecure";
	if (!tls && t->insecure)
		return err_set(err, "only an https:// address has a certificate");
	return rules_fit(t, which, err);
}

const char *config_protos(const struct config_tunnel *t, char buf[static PROTOS_TEXT])
{
	buf[0] = '\0';
	for (int i = 0; i < PROTOS; i++) {
		if (!t->local[i].text)
			continue;
		size_t used = strlen(buf);
		snprintf(buf + used, PROTOS_TEXT - used, "%s%s", used ? "+" : "",
			 proto_name((enum proto)i));
	}
	return buf;
}

void config_tunnel_name(const struct config_tunnel *t, enum proto proto,
			char out[static CONFIG_NAME])
{
	unsigned n = 0;

	for (int i = 0; i < PROTOS; i++)
		n += t->local[i].text != NULL;
	if (n > 1 && proto != PROTO_HTTPS)
		snprintf(out, CONFIG_NAME, "%s (%s)", t->name, proto_name(proto));
	else
		snprintf(out, CONFIG_NAME, "%s", t->name);
}

/* ---- where they stand ---- */

unsigned config_line(const struct config_tunnel *t, const char *key)
{
	unsigned line = 0;

	for (size_t i = 0; i < t->places_n; i++) {
		if (strcmp(t->places[i].key, key) == 0)
			line = t->places[i].line;
	}
	return line;
}

void config_add_place(struct config_tunnel *t, const char *key, unsigned line)
{
	t->places = xrealloc(t->places, (t->places_n + 1) * sizeof(*t->places));
	t->places[t->places_n++] = (struct config_place){xstrdup(key), line};
}

/* ---- the whole ---- */

struct config *config_new(void)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->mux = true;
	c->inspect_max_body = 1u << 20;
	c->inspect_max_total = 64u << 20;
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->tunnels_n; i++)
		tunnel_clear(&c->tunnels[i]);
	free(c->tunnels);
	for (size_t i = 0; i < c->more_n; i++) {
		tunnel_clear(c->more[i]);
		free(c->more[i]);
	}
	free(c->more);
	for (size_t i = 0; i < c->web_allow_hosts_n; i++)
		free(c->web_allow_hosts[i]);
	free(c->web_allow_hosts);
	endpoint_free(&c->server);
	endpoint_free(&c->inspect);
	free(c->file);
	xfree_secret_str(c->http_proxy); /* may hold a password */
	xfree_secret_str(c->auth_token);
	free(c->root_cas);
	free(c->server_pin);
	free(c->tls_client_crt);
	free(c->tls_client_key);
	free(c->log_format);
	free(c->server_addr);
	free(c->inspect_addr);
	free(c);
}

bool config_wants_mux(const struct config *c)
{
	for (size_t i = 0; c->mux && i < c->tunnels_n; i++) {
		if (c->tunnels[i].start && c->tunnels[i].mux)
			return true;
	}
	return false;
}

bool config_capture_limits(const struct config *c, uint64_t *max_body, uint64_t *max_total)
{
	*max_body = c->inspect_max_body;
	*max_total = c->inspect_max_total;
	if (!c->inspect.text || c->inspect_db_size == CONFIG_CAPTURES_NOTHING)
		return false;
	if (c->inspect_db_size && c->inspect_db_size < *max_total)
		*max_total = c->inspect_db_size;
	return *max_total > 0;
}
