/* What the server speaks, and what a tunnel can't have there. */
#include "pgrok/config/protocol.h"

#include <stdlib.h>
#include <string.h>

#include "pgrok/config/config.h"

typedef bool fit_fn(struct config_tunnel *t, const char **which, struct err *err);

static bool is_set(const char *text)
{
	return text && *text;
}

/* ---- pgrok ---- */

static bool fit_pgrok(struct config_tunnel *t, const char **which, struct err *err)
{
	*which = "transport";
	return t->transport == TRANSPORT_UNSET ||
	       err_set(err, "only a Drip server has transports (protocol: drip)");
}

/* ---- Drip ---- */

static bool has_hostname(const struct config_tunnel *t)
{
	return is_set(t->hostname);
}

static bool has_auth(const struct config_tunnel *t)
{
	return is_set(t->auth);
}

static bool has_preflight(const struct config_tunnel *t)
{
	return t->auth_preflight;
}

static bool has_forward_auth(const struct config_tunnel *t)
{
	return is_set(t->forward_auth);
}

static bool has_methods(const struct config_tunnel *t)
{
	return t->list[ACCESS_METHODS];
}

static bool has_paths(const struct config_tunnel *t)
{
	return t->list[ACCESS_PATHS];
}

static bool has_mtls(const struct config_tunnel *t)
{
	return t->mtls_ca;
}

static bool has_proxy_proto(const struct config_tunnel *t)
{
	return t->proxy_proto;
}

static bool has_x_forwarded(const struct config_tunnel *t)
{
	return t->x_forwarded;
}

static bool has_two_tokens(const struct config_tunnel *t)
{
	return t->list[ACCESS_BEARER] && strchr(t->list[ACCESS_BEARER], '\n');
}

static bool has_both(const struct config_tunnel *t)
{
	return t->list[ACCESS_BEARER] && t->password;
}

/*
 * What Drip's protocol has no words for: left out, it would let visitors in, or make another name.
 */
static const struct {
	const char *key;
	bool (*has)(const struct config_tunnel *t);
	const char *why;
} lacks[] = {
	{"hostname", has_hostname, "a Drip server has names below its own domain only"},
	{"auth", has_auth,
	 "a Drip server knows no users: password or bearer is what it can ask for"},
	{"auth_preflight", has_preflight, "a Drip server asks for credentials in every request"},
	{"forward_auth", has_forward_auth, "a Drip server asks no other service"},
	{"methods", has_methods, "a Drip server lets every method pass"},
	{"paths", has_paths, "a Drip server lets every path pass"},
	{"mtls_ca", has_mtls, "a Drip server asks for no certificates"},
	{"proxy_proto", has_proxy_proto, "a Drip server does not say who the visitor is"},
	{"x_forwarded", has_x_forwarded, "a Drip server does not say who the visitor is"},
	{"bearer", has_two_tokens, "a Drip server knows one token a tunnel"},
	{"password", has_both, "a Drip server asks for a password or for a token, not for both"},
};

static bool same(const struct endpoint *a, const struct endpoint *b)
{
	return strcmp(a->text, b->text) == 0;
}

/* The public side is https for both. How the service is spoken to is its address's to say. */
static bool fit_web(struct config_tunnel *t, struct err *err)
{
	struct endpoint *http = &t->local[PROTO_HTTP], *https = &t->local[PROTO_HTTPS];

	if (!http->text)
		return true;
	if (https->text && !same(http, https))
		return err_set(err, "a Drip server has one URL for http and https, which leads to "
				    "one address");
	endpoint_free(https);
	*https = *http;
	*http = (struct endpoint){0};
	return true;
}

static bool fit_drip(struct config_tunnel *t, const char **which, struct err *err)
{
	for (size_t i = 0; i < sizeof(lacks) / sizeof(lacks[0]); i++) {
		*which = lacks[i].key;
		if (lacks[i].has(t))
			return err_set(err, "%s", lacks[i].why);
	}
	*which = "proto";
	t->one_request = true;
	return fit_web(t, err);
}

/* ---- all of them ---- */

static const struct {
	const char *name;
	fit_fn *fit;
	bool transports;
} rows[PROTOCOLS] = {
	[PROTOCOL_PGROK] = {"pgrok", fit_pgrok, false},
	[PROTOCOL_DRIP] = {"drip", fit_drip, true},
};

const char *protocol_name(enum protocol p)
{
	return rows[p].name;
}

bool protocol_has_transports(enum protocol p)
{
	return rows[p].transports;
}

bool protocol_parse(const char *text, enum protocol *out, struct err *err)
{
	for (int p = 0; p < PROTOCOLS; p++) {
		if (strcmp(text, rows[p].name) == 0) {
			*out = (enum protocol)p;
			return true;
		}
	}
	return err_set(err, "'%.40s' is neither pgrok nor drip", text);
}

bool transport_parse(const char *text, enum transport *out, struct err *err)
{
	if (strcmp(text, "auto") == 0)
		*out = TRANSPORT_AUTO;
	else if (strcmp(text, "tcp") == 0)
		*out = TRANSPORT_TCP;
	else if (strcmp(text, "wss") == 0)
		*out = TRANSPORT_WSS;
	else
		return err_set(err, "'%.40s' is neither auto, tcp nor wss", text);
	return true;
}

bool protocol_fit(const struct config *c, struct config_tunnel *t, const char **which,
		  struct err *err)
{
	return rows[c->protocol].fit(t, which, err);
}

/* A tunnel of the file, which can't have the key. Always false. */
static bool misfit(const struct config *c, const struct config_tunnel *t, const char *key,
		   struct err *err)
{
	unsigned line = config_line(t, key);

	/* A name with a dot is a hostname that has no line of its own. */
	if (!line)
		return err_set(err, "%s:%u: tunnels.%.100s: %s", c->file, t->places[0].line,
			       t->name, err->text);
	return err_set(err, "%s:%u: tunnels.%.100s.%s: %s", c->file, line, t->name, key, err->text);
}

bool protocol_fit_all(struct config *c, const char **which, struct err *err)
{
	struct config_tunnel *t;
	const char *key;

	for (size_t i = 0; (t = config_tunnel_at(c, i)); i++) {
		if (!t->start || protocol_fit(c, t, &key, err))
			continue;
		*which = t->places_n ? NULL : key;
		return t->places_n ? misfit(c, t, key, err) : false;
	}
	return true;
}
