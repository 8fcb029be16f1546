/* The client's configuration: file and flags brought together; the YAML itself is config_yaml.c. */
#include "pgrok/config/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "pgrok/config/yaml.h"
#include "pgrok/files/files.h"
#include "pgrok/config/limits.h"

static const char *const proto_names[PROTOS] = {"http", "https", "tcp"};

const char *proto_name(enum proto p)
{
	return proto_names[p];
}

bool proto_parse(const char *word, size_t len, enum proto *out)
{
	for (int i = 0; i < PROTOS; i++) {
		if (strlen(proto_names[i]) == len && memcmp(proto_names[i], word, len) == 0) {
			*out = (enum proto)i;
			return true;
		}
	}
	return false;
}

/* ---- addresses ---- */

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

bool endpoint_parse(struct endpoint *e, const char *text, char err[static CONFIG_ERR])
{
	char full[320], host[256], port[64];
	const char *why;

	/* The Go client reads "8080" as ":8080" and shows it as 127.0.0.1:8080. */
	snprintf(full, sizeof full, "%s%s", all_digits(text) ? ":" : "", text);
	if (!addr_split(full, host, sizeof host, port, sizeof port, &why)) {
		snprintf(err, CONFIG_ERR, "address %s: %s", full, why);
		return false;
	}
	int number = port_number(port);
	if (number < 0) {
		snprintf(err, CONFIG_ERR, "address %s: invalid port %s (0-65535)", full, port);
		return false;
	}
	if (!host_is_plain(host)) {
		snprintf(err, CONFIG_ERR, "address %s: blank or '/' in the host name", full);
		return false;
	}
	if (!host[0])
		snprintf(host, sizeof host, "127.0.0.1");
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

	if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
		return NULL;
	text += sizeof scheme - 1;
	len = strlen(text);
	len -= len && text[len - 1] == '/';
	const char *bracket = memrchr(text, ']', len), *from = bracket ? bracket : text;
	bool has_port = memchr(from, ':', len - (size_t)(from - text));

	return xasprintf("%.*s%s", (int)len, text, has_port ? "" : ":80");
}

bool endpoint_parse_local(struct endpoint *e, const char *text, char err[static CONFIG_ERR])
{
	char why[FILES_ERR];
	char *plain = without_scheme(text);

	if (plain) {
		bool ok = endpoint_parse(e, plain, err);

		free(plain);
		return ok;
	}

	if (!files_is_address(text))
		return endpoint_parse(e, text, err);
	char *folder = files_resolve(text, why);
	if (!folder) {
		snprintf(err, CONFIG_ERR, "%s", why);
		return false;
	}
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
	free(t->subdomain);
	free(t->hostname);
	xfree_secret_str(t->auth);
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
	if (!t && c->more_n == CONFIG_TUNNELS)
		return NULL;
	if (!t) {
		t = xcalloc(1, sizeof *t);
		c->more = xrealloc(c->more, (c->more_n + 1) * sizeof *c->more);
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
		c->tunnels = xrealloc(c->tunnels, (c->tunnels_n + 1) * sizeof *c->tunnels);
		t = &c->tunnels[c->tunnels_n++];
		*t = (struct config_tunnel){.mux = true, .inspect = true};
	}
	t->name = xstrdup(name);
	return t;
}

bool config_set_protos(struct config_tunnel *t, const char *protos, const char *addr,
		       const char *whose, char err[static CONFIG_ERR])
{
	char why[CONFIG_ERR];

	for (const char *word = protos;; word++) {
		size_t len = strcspn(word, "+");
		enum proto p;
		if (!proto_parse(word, len, &p)) {
			snprintf(err, CONFIG_ERR, "Invalid protocol for %.200s: %.*s", whose,
				 (int)len, word);
			return false;
		}
		if (!endpoint_parse_local(&t->local[p], addr, why)) {
			snprintf(err, CONFIG_ERR, "Invalid address for tunnel %s[%s] '%s': %.300s",
				 t->name, proto_name(p), addr, why);
			return false;
		}
		if (t->local[p].folder && p == PROTO_TCP) {
			snprintf(
				err, CONFIG_ERR,
				"Invalid address for tunnel %s[tcp] '%.200s': a folder needs http or "
				"https",
				t->name, addr);
			return false;
		}
		word += len;
		if (!*word)
			return true;
	}
}

const char *config_protos(const struct config_tunnel *t, char buf[static PROTOS_TEXT])
{
	buf[0] = '\0';
	for (int i = 0; i < PROTOS; i++) {
		if (!t->local[i].text)
			continue;
		size_t used = strlen(buf);
		snprintf(buf + used, PROTOS_TEXT - used, "%s%s", used ? "+" : "", proto_names[i]);
	}
	return buf;
}

/* ---- the whole ---- */

struct config *config_new(void)
{
	struct config *c = xcalloc(1, sizeof *c);

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

/* The home of the password file, as the Go client had it: $HOME does not count. */
static char *default_path(void)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(getuid(), &pw, buf, sizeof buf, &found) || !found || !found->pw_dir)
		return NULL;
	return xasprintf("%s/.pgrok", found->pw_dir);
}

enum read_rc { READ_OK, READ_ABSENT, READ_FAILED };

static enum read_rc read_whole(const char *path, char **text, size_t *len,
			       char err[static CONFIG_ERR])
{
	const char *verb = "open", *reason = NULL;
	enum read_rc rc = READ_FAILED;
	char *buf = NULL;
	size_t used = 0;
	ssize_t n;

	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = errno == ENOENT ? READ_ABSENT : READ_FAILED;
		goto fail;
	}
	verb = "read";
	buf = xmalloc(CONFIG_BYTES + 1);
	while ((n = read(fd, buf + used, CONFIG_BYTES + 1 - used)) > 0)
		used += (size_t)n;
	if (n < 0)
		goto fail;
	if (used > CONFIG_BYTES) {
		reason = "larger than 1 MiB";
		goto fail;
	}
	close(fd);
	*text = buf;
	*len = used;
	return READ_OK;

fail:
	if (!reason)
		reason = strerror(errno);
	snprintf(err, CONFIG_ERR, "Failed to read configuration file %s: %s %s: %c%s", path, verb,
		 path, tolower((unsigned char)reason[0]), reason + 1);
	if (fd >= 0)
		close(fd);
	if (buf)
		xfree_secret(buf, used);
	return rc;
}

bool config_load(struct config *c, const char *path, config_warn_fn *warn, void *warn_arg,
		 char err[static CONFIG_ERR])
{
	char *name = path && *path ? xstrdup(path) : default_path();
	bool optional = !path || !*path, ok = true;
	char *text = NULL;
	size_t len = 0;

	if (!name)
		return true;
	switch (read_whole(name, &text, &len, err)) {
	case READ_OK:
		ok = config_parse(c, name, text, len, warn, warn_arg, err);
		xfree_secret(text, len);
		break;
	case READ_ABSENT:
		ok = optional;
		break;
	case READ_FAILED:
		ok = false;
		break;
	}
	free(name);
	return ok;
}

/* The whole file is one word: an auth token, as the first versions kept it. */
static bool is_token(const char *text, size_t len, char **token)
{
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (len && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && !memchr("_-!", text[i], 3))
			return false;
	}
	if (len)
		*token = xstrndup(text, len);
	return len > 0;
}

bool config_parse(struct config *c, const char *file, const char *text, size_t len,
		  config_warn_fn *warn, void *warn_arg, char err[static CONFIG_ERR])
{
	free(c->file);
	c->file = xstrdup(file);
	if (is_token(text, len, &c->auth_token))
		return true;
	return config_yaml_parse(c, text, len, warn, warn_arg, err);
}

static void override(char **value, const char *flag)
{
	if (!flag || !*flag)
		return;
	xfree_secret_str(*value);
	*value = xstrdup(flag);
}

/*
 * The address from flag, file or default; only the one that counts is checked. A file made for the
 * Go client, which never looked at server_addr, works as long as the flag is given.
 */
static bool pick_addr(struct endpoint *out, const struct config *c, const char *key,
		      const char *flag, const char *in_file, unsigned line, const char *def,
		      char err[static CONFIG_ERR])
{
	char why[CONFIG_ERR], place[160] = "";
	const char *addr = def;

	if (flag && *flag) {
		addr = flag;
	} else if (in_file && *in_file) {
		addr = in_file;
		snprintf(place, sizeof place, "%.140s:%u: ", c->file, line);
	}
	if (endpoint_parse(out, addr, why))
		return true;
	snprintf(err, CONFIG_ERR, "%sInvalid address %s '%.60s': %.200s", place, key, addr, why);
	return false;
}

bool config_finish(struct config *c, const struct config_flags *f, char err[static CONFIG_ERR])
{
	const char *inspect =
		f->inspect_addr && *f->inspect_addr ? f->inspect_addr : c->inspect_addr;

	override(&c->auth_token, f->auth_token);
	override(&c->tls_client_crt, f->tls_client_crt);
	override(&c->tls_client_key, f->tls_client_key);
	override(&c->root_cas, f->root_cas);
	c->inspect_public = f->inspect_public;
	if (!c->tls_client_crt != !c->tls_client_key) {
		snprintf(err, CONFIG_ERR, "A client certificate needs its key too: %s is missing.",
			 c->tls_client_crt ? "-tlsClientKey (tls_client_key)"
					   : "-tlsClientCrt (tls_client_crt)");
		return false;
	}
	if (!pick_addr(&c->server, c, "server_addr", f->server_addr, c->server_addr,
		       c->server_addr_line, DEFAULT_SERVER_ADDR, err))
		return false;
	if (inspect && strcmp(inspect, "disabled") == 0) {
		endpoint_free(&c->inspect);
		return true;
	}
	return pick_addr(&c->inspect, c, "inspect_addr", f->inspect_addr, c->inspect_addr,
			 c->inspect_addr_line, DEFAULT_INSPECT_ADDR, err);
}
