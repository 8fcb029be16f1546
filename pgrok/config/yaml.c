/*
 * The YAML form of the configuration: what its keys mean. Keeps what files made for the Go client
 * rely on.
 */
#include "pgrok/config/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/yaml.h"
#include "common/http/web_url.h"
#include "common/net/tls_ca.h"
#include "common/net/tls_pin.h"
#include "msg/pgrok/access.h"
#include "pgrok/config/limits.h"
#include "pgrok/config/protocol.h"

/* ---- single values ---- */

static bool set_server_addr(const struct yaml_value *v, void *object)
{
	struct config *c = object;

	c->server_addr_line = yaml_line(v);
	return yaml_set_text(v, &c->server_addr);
}

static bool set_inspect_addr(const struct yaml_value *v, void *object)
{
	struct config *c = object;

	c->inspect_addr_line = yaml_line(v);
	return yaml_set_text(v, &c->inspect_addr);
}

static bool set_db_size(const struct yaml_value *v, void *member)
{
	uint64_t *out = member;

	if (!yaml_is(v, "-1")) /* ngrok's word for none at all */
		return yaml_set_size(v, out);
	*out = CONFIG_CAPTURES_NOTHING;
	return true;
}

static bool set_pin(const struct yaml_value *v, void *member)
{
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (!tls_pins_valid(text))
		return yaml_bad(v, "a pin is sha256// and 44 base64 digits of a SHA-256");
	return yaml_set_text(v, member);
}

static bool set_host_header(const struct yaml_value *v, void *member)
{
	char **out = member;

	if (!yaml_set_text(v, out))
		return false;
	if (!config_host_header_valid(*out))
		return yaml_bad(v, "%.60s is neither rewrite nor a host name", *out);
	return true;
}

static bool set_format(const struct yaml_value *v, void *member)
{
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0)
		return yaml_bad(v, "%.40s is not text or json", text);
	return yaml_set_text(v, member);
}

static bool set_protocol(const struct yaml_value *v, void *member)
{
	struct err why;
	const char *text;

	return yaml_text(v, &text) &&
	       (protocol_parse(text, member, &why) || yaml_bad(v, "%s", why.text));
}

static bool set_transport(const struct yaml_value *v, void *member)
{
	struct err why;
	const char *text;

	return yaml_text(v, &text) &&
	       (transport_parse(text, member, &why) || yaml_bad(v, "%s", why.text));
}

static bool set_any_transport(const struct yaml_value *v, void *object)
{
	struct config *c = object;

	c->transport_line = yaml_line(v);
	return set_transport(v, &c->transport);
}

static bool add_host(const struct yaml_value *v, const char *host, void *arg)
{
	struct config *c = arg;

	c->web_allow_hosts = xrealloc(c->web_allow_hosts,
				      (c->web_allow_hosts_n + 1) * sizeof(*c->web_allow_hosts));
	c->web_allow_hosts[c->web_allow_hosts_n++] = xstrdup(host);
	return true;
}

static bool set_hosts(const struct yaml_value *v, void *object)
{
	struct config *c = object;

	while (c->web_allow_hosts_n)
		free(c->web_allow_hosts[--c->web_allow_hosts_n]);
	return yaml_texts(v, "host names", add_host, c);
}

static bool set_forward_auth(const struct yaml_value *v, void *member)
{
	struct web_url u;
	struct err why;
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (!web_url_read(&u, text, &why))
		return yaml_bad(v, "%s", why.text);
	web_url_free(&u);
	return yaml_set_text(v, member);
}

static bool set_proxy_proto(const struct yaml_value *v, void *member)
{
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0 && strcmp(text, "2") != 0)
		return yaml_bad(v, "%.40s is neither 1 nor 2", text);
	*(int *)member = *text - '0';
	return true;
}

static bool take_header(const struct yaml_value *v, const char *name, bool request,
			struct http_fields *f)
{
	const char *text = NULL;
	struct err why;

	if (!yaml_is_null(v) && !yaml_text(v, &text))
		return false;
	return http_fields_set(f, name, text, request, &why) || yaml_bad(v, "%s", why.text);
}

static bool take_request_header(const struct yaml_value *v, const char *key, void *object)
{
	return take_header(v, key, true, object);
}

static bool take_response_header(const struct yaml_value *v, const char *key, void *object)
{
	return take_header(v, key, false, object);
}

static bool set_request_headers(const struct yaml_value *v, void *member)
{
	http_fields_free(member); /* of a merge, which counts less */
	return yaml_keys(v, take_request_header, member);
}

static bool set_response_headers(const struct yaml_value *v, void *member)
{
	http_fields_free(member);
	return yaml_keys(v, take_response_header, member);
}

/* What to write instead of a key of ngrok 2 or 3; NULL: it is not one. */
static const char *ngrok_hint(const char *key)
{
	static const struct {
		const char *key, *hint;
	} hints[] = {
		{"addr", "ngrok\'s: write proto: {http: ADDRESS}"},
		{"agent",
		 "ngrok\'s: what is below it stands at the top here, and authtoken is auth_token"},
		{"authtoken", "ngrok\'s: write auth_token"},
		{"basic_auth", "ngrok\'s: write auth: user:password"},
		{"endpoints", "ngrok\'s: write tunnels: {NAME: {proto: {http: ADDRESS}}}"},
		{"region", "ngrok\'s: server_addr says where the server is"},
		{"version", "ngrok\'s: files have no version here"},
	};

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (strcmp(hints[i].key, key) == 0)
			return hints[i].hint;
	}
	return NULL;
}

/* ---- rules for visitors ---- */

struct rule_list {
	struct config_tunnel *tunnel;
	enum access_list which;
	bool any;
};

static bool add_rule(const struct yaml_value *v, const char *text, void *arg)
{
	struct rule_list *l = arg;
	struct err why;

	l->any = true;
	return config_add_rule(l->tunnel, l->which, text, &why) || yaml_bad(v, "%s", why.text);
}

static bool set_rules(const struct yaml_value *v, void *object, enum access_list which)
{
	struct rule_list l = {object, which, false};

	config_clear_rules(l.tunnel, which);
	if (!yaml_texts(v, "texts", add_rule, &l))
		return false;
	return l.any || yaml_bad(v, "an empty list");
}

/* "" has always been none. */
static bool set_auth(const struct yaml_value *v, void *object)
{
	if (!yaml_is(v, ""))
		return set_rules(v, object, ACCESS_USERS);
	config_clear_rules(object, ACCESS_USERS);
	return true;
}

static bool set_bearer(const struct yaml_value *v, void *object)
{
	return set_rules(v, object, ACCESS_BEARER);
}

static bool set_allow_ips(const struct yaml_value *v, void *object)
{
	return set_rules(v, object, ACCESS_ALLOW_IPS);
}

static bool set_deny_ips(const struct yaml_value *v, void *object)
{
	return set_rules(v, object, ACCESS_DENY_IPS);
}

static bool set_methods(const struct yaml_value *v, void *object)
{
	return set_rules(v, object, ACCESS_METHODS);
}

static bool set_paths(const struct yaml_value *v, void *object)
{
	return set_rules(v, object, ACCESS_PATHS);
}

static bool set_password(const struct yaml_value *v, void *member)
{
	char **out = member;
	struct err why;

	return yaml_set_text(v, out) &&
	       (access_password_valid(*out, &why) || yaml_bad(v, "%s", why.text));
}

/* The file's certificates are what is sent. */
static bool set_mtls_ca(const struct yaml_value *v, void *member)
{
	char **out = member, *text;
	const char *name;
	struct tls_ca *ca = NULL;
	struct err why;
	size_t len;

	if (!yaml_text(v, &name))
		return false;
	text = file_read(name, TLS_CA_TEXT, &len, &why);
	if (text)
		ca = tls_ca_read(text, &why);
	xfree_secret_str(text);
	if (!ca)
		return yaml_bad(v, "%s", why.text);
	free(*out);
	*out = tls_ca_text(ca);
	tls_ca_free(ca);
	return true;
}

/*
 * A rule whose entries were all commented out would let everyone in. Notes where the key stands.
 */
static bool has_value(const struct yaml_value *v, const char *key, void *object)
{
	static const char *const keys[] = {"allow_ips", "bearer",   "deny_ips", "methods",
					   "mtls_ca",   "password", "paths"};

	for (size_t i = 0; yaml_is_null(v) && i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(key, keys[i]) == 0)
			return yaml_bad(v, "a value is wanted");
	}
	config_add_place(object, key, yaml_line(v));
	return true;
}

/* ---- tunnels ---- */

static bool take_proto(const struct yaml_value *v, const char *key, void *object)
{
	struct config_tunnel *t = object;
	char whose[300];
	struct err why;
	const char *addr;

	if (!yaml_text(v, &addr))
		return false;
	snprintf(whose, sizeof(whose), "tunnel %.200s[%.60s]", t->name, key);
	return config_set_protos(t, key, addr, whose, &why) || yaml_bad(v, "%s", why.text);
}

static bool set_protos(const struct yaml_value *v, void *object)
{
	if (yaml_is_scalar(v))
		return yaml_bad(v, "a mapping (key: value) is wanted, such as {http: 8080} instead "
				   "of ngrok's proto: http and addr: 8080");
	return yaml_keys(v, take_proto, object);
}

#define OF(member) offsetof(struct config_tunnel, member)
static const struct yaml_field tunnel_fields[] = {
	{"allow_ips", set_allow_ips, 0},
	{"auth", set_auth, 0},
	{"auth_preflight", yaml_set_bool, OF(auth_preflight)},
	{"bearer", set_bearer, 0},
	{"deny_ips", set_deny_ips, 0},
	{"forward_auth", set_forward_auth, OF(forward_auth)},
	{"host_header", set_host_header, OF(host_header)},
	{"hostname", yaml_set_text, OF(hostname)},
	{"insecure", yaml_set_bool, OF(insecure)},
	{"inspect", yaml_set_bool, OF(inspect)},
	{"methods", set_methods, 0},
	{"mtls_ca", set_mtls_ca, OF(mtls_ca)},
	{"mux", yaml_set_bool, OF(mux)},
	{"password", set_password, OF(password)},
	{"paths", set_paths, 0},
	{"proto", set_protos, 0},
	{"proxy_proto", set_proxy_proto, OF(proxy_proto)},
	{"remote_port", yaml_set_port, OF(remote_port)},
	{"request_headers", set_request_headers, OF(request_headers)},
	{"response_headers", set_response_headers, OF(response_headers)},
	{"subdomain", yaml_set_text, OF(subdomain)},
	{"transport", set_transport, OF(transport)},
	{"x_forwarded", yaml_set_bool, OF(x_forwarded)},
	{NULL, NULL, 0},
};
#undef OF
static const struct yaml_table tunnel_table = {tunnel_fields, ngrok_hint};

/* Without subdomain and hostname the tunnel's name is taken for one of them. */
static void name_tunnel(struct config_tunnel *t)
{
	if ((t->subdomain && *t->subdomain) || (t->hostname && *t->hostname))
		return;
	char **as = strchr(t->name, '.') ? &t->hostname : &t->subdomain;
	free(*as);
	*as = xstrdup(t->name);
}

static bool take_tunnel(const struct yaml_value *v, const char *key, void *object)
{
	struct config *c = object;
	char protos[PROTOS_TEXT];
	const char *which;
	struct err why;

	if (c->tunnels_n == LIMIT_TUNNELS && !config_find_tunnel(c, key))
		return yaml_bad(v, "more than %d tunnels", LIMIT_TUNNELS);
	struct config_tunnel *t = config_add_tunnel(c, key);
	if (!yaml_keys(v, has_value, t) || !yaml_fields(v, &tunnel_table, t))
		return false;
	if (!*config_protos(t, protos))
		return yaml_bad(v, "Tunnel %.60s does not specify any protocols to tunnel.", key);
	if (!config_complete_tunnel(t, &which, &why))
		return yaml_bad(v, "%s: %s", which, why.text);
	name_tunnel(t);
	return true;
}

static bool set_tunnels(const struct yaml_value *v, void *object)
{
	return yaml_keys(v, take_tunnel, object);
}

/* ---- the document ---- */

#define OF(member) offsetof(struct config, member)
static const struct yaml_field config_fields[] = {
	{"auth_token", yaml_set_text, OF(auth_token)},
	{"http_proxy", yaml_set_text, OF(http_proxy)},
	{"inspect_addr", set_inspect_addr, 0},
	{"inspect_db_size", set_db_size, OF(inspect_db_size)},
	{"inspect_max_body", yaml_set_size, OF(inspect_max_body)},
	{"inspect_max_total", yaml_set_size, OF(inspect_max_total)},
	{"log_format", set_format, OF(log_format)},
	{"protocol", set_protocol, OF(protocol)},
	{"root_cas", yaml_set_text, OF(root_cas)},
	{"server_addr", set_server_addr, 0},
	{"server_pin", set_pin, OF(server_pin)},
	{"tls", yaml_set_bool, OF(tls)},
	{"tls_client_crt", yaml_set_text, OF(tls_client_crt)},
	{"tls_client_key", yaml_set_text, OF(tls_client_key)},
	{"transport", set_any_transport, 0},
	{"trust_host_root_certs", yaml_set_bool, OF(trust_host_root_certs)},
	{"tunnels", set_tunnels, 0},
	{"web_allow_hosts", set_hosts, 0},
	{NULL, NULL, 0},
};
#undef OF
static const struct yaml_table config_table = {config_fields, ngrok_hint};

bool config_yaml_parse(struct config *c, const char *text, size_t len, config_warn_fn *warn,
		       void *warn_arg, struct err *err)
{
	struct yaml_conf conf = {.file = c->file,
				 .table = &config_table,
				 .object = c,
				 .warn = warn,
				 .warn_arg = warn_arg};

	return yaml_read(&conf, text, len, err);
}

bool config_yaml_tunnel(struct config_tunnel *t, const char *text, struct err *err)
{
	struct yaml_conf conf = {.file = "", .table = &tunnel_table, .object = t, .strict = true};
	const char *where;

	if (yaml_read(&conf, text, strlen(text), err))
		return true;
	/* ":1: key: ..." */
	where = strstr(err->text, ": ");
	return err_set(err, "%s", where ? where + 2 : err->text);
}
