/* How a configuration comes about: the file is read, then the flags are laid over it. */
#include "pgrok/config/load.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/yaml.h"
#include "pgrok/config/protocol.h"
#include "pgrok/config/yaml.h"

/* The home of the password file, as the Go client had it: $HOME does not count. */
static char *default_path(void)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(getuid(), &pw, buf, sizeof(buf), &found) || !found || !found->pw_dir)
		return NULL;
	return xasprintf("%s/.pgrok", found->pw_dir);
}

bool config_load(struct config *c, const char *path, config_warn_fn *warn, void *warn_arg,
		 struct err *err)
{
	char *name = path && *path ? xstrdup(path) : default_path(), *text;
	bool optional = !path || !*path, ok;
	size_t len = 0;

	if (!name)
		return true;
	text = file_read(name, YAML_BYTES, &len, err);
	if (text) {
		ok = config_parse(c, name, text, len, warn, warn_arg, err);
		xfree_secret(text, len);
	} else {
		ok = optional && errno == ENOENT;
		err_set(err, "Failed to read configuration file %s: %s", name, err->text);
	}
	free(name);
	return ok;
}

/* The whole file is one word: an auth token, as the first versions kept it. */
static bool is_token(const char *text, size_t len, char **token)
{
	static const char bom[] = "\xef\xbb\xbf";

	if (len >= 3 && memcmp(text, bom, 3) == 0) {
		text += 3;
		len -= 3;
	}
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
		  config_warn_fn *warn, void *warn_arg, struct err *err)
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
 * The address from flag, file or default (NULL: none); only the one that counts is checked. A file
 * made for the Go client, which never looked at server_addr, works as long as the flag is given.
 */
static bool pick_addr(struct endpoint *out, const struct config *c, const char *key,
		      const char *flag, const char *in_file, unsigned line, const char *def,
		      struct err *err)
{
	char place[160] = "";
	const char *addr = def;

	if (flag && *flag) {
		addr = flag;
	} else if (in_file && *in_file) {
		addr = in_file;
		snprintf(place, sizeof(place), "%.140s:%u: ", c->file, line);
	}
	if (!addr || endpoint_parse(out, addr, err))
		return true;
	return err_set(err, "%sInvalid address %s '%.60s': %s", place, key, addr, err->text);
}

static bool no_transport(const struct config *c, struct err *err)
{
	static const char why[] = "only a Drip server has transports (protocol: drip)";

	if (!c->transport_line)
		return err_set(err, "-transport: %s", why);
	return err_set(err, "%s:%u: transport: %s", c->file, c->transport_line, why);
}

/* What the server speaks, and how it is reached. */
static bool pick_protocol(struct config *c, const struct config_flags *f, struct err *err)
{
	if (f->protocol && *f->protocol && !protocol_parse(f->protocol, &c->protocol, err))
		return err_set(err, "-protocol: %s", err->text);
	if (f->transport && *f->transport) {
		c->transport_line = 0;
		if (!transport_parse(f->transport, &c->transport, err))
			return err_set(err, "-transport: %s", err->text);
	}
	if (c->transport != TRANSPORT_UNSET && !protocol_has_transports(c->protocol))
		return no_transport(c, err);
	if (c->transport == TRANSPORT_UNSET)
		c->transport = TRANSPORT_AUTO;
	return true;
}

bool config_finish(struct config *c, const struct config_flags *f, struct err *err)
{
	const char *inspect =
		f->inspect_addr && *f->inspect_addr ? f->inspect_addr : c->inspect_addr;

	override(&c->auth_token, f->auth_token);
	override(&c->tls_client_crt, f->tls_client_crt);
	override(&c->tls_client_key, f->tls_client_key);
	override(&c->root_cas, f->root_cas);
	c->inspect_public = f->inspect_public;
	if (!pick_protocol(c, f, err))
		return false;
	if (!c->tls_client_crt != !c->tls_client_key)
		return err_set(err, "A client certificate needs its key too: %s is missing.",
			       c->tls_client_crt ? "-tlsClientKey (tls_client_key)"
						 : "-tlsClientCrt (tls_client_crt)");
	if (!pick_addr(&c->server, c, "server_addr", f->server_addr, c->server_addr,
		       c->server_addr_line, NULL, err))
		return false;
	if (c->server.text && !endpoint_port_given(&c->server, err))
		return err_set(err, "Invalid address server_addr: %s", err->text);
	if (inspect && strcmp(inspect, "disabled") == 0) {
		endpoint_free(&c->inspect);
		return true;
	}
	return pick_addr(&c->inspect, c, "inspect_addr", f->inspect_addr, c->inspect_addr,
			 c->inspect_addr_line, DEFAULT_INSPECT_ADDR, err);
}
