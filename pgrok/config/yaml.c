/*
 * The YAML form of the configuration: a libyaml document walked with one table per mapping. Keeps
 * what files made for the Go client rely on (numbers are texts where a text is wanted, "<<" merges,
 * aliases, the last of equal keys counts) and names file, line and key where a type is wrong.
 */
#include "pgrok/config/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/nearest.h"
#include "common/net/tls_pin.h"
#include "pgrok/config/limits.h"

#define PATH_CAP 160 /* a key for messages: "tunnels.test.remote_port" */

struct reader {
	yaml_document_t doc;
	struct config *conf;
	config_warn_fn *warn;
	void *warn_arg;
	char *err; /* CONFIG_ERR bytes */
	unsigned merges;
};

typedef bool key_fn(struct reader *r, void *object, const char *key, yaml_node_t *value,
		    const char *path);

enum field_type {
	FIELD_TEXT,   /* char ** */
	FIELD_ADDR,   /* char **, and its line in the unsigned that is named by extra */
	FIELD_BOOL,   /* bool * */
	FIELD_PORT,   /* uint16_t * */
	FIELD_SIZE,   /* uint64_t *: bytes, with K, M or G behind the number */
	FIELD_PIN,    /* char **: sha256//... */
	FIELD_AUTH,   /* char **: user:password */
	FIELD_FORMAT, /* char **: text or json */
	FIELD_HOSTS,  /* the list web_allow_hosts */
	FIELD_PROTOS,
	FIELD_TUNNELS
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset, extra;
};

#define OF(member) offsetof(struct config, member)
static const struct field config_fields[] = {
	{"auth_token", FIELD_TEXT, OF(auth_token), 0},
	{"http_proxy", FIELD_TEXT, OF(http_proxy), 0},
	{"inspect_addr", FIELD_ADDR, OF(inspect_addr), OF(inspect_addr_line)},
	{"inspect_db_size", FIELD_SIZE, OF(inspect_db_size), 0},
	{"inspect_max_body", FIELD_SIZE, OF(inspect_max_body), 0},
	{"inspect_max_total", FIELD_SIZE, OF(inspect_max_total), 0},
	{"log_format", FIELD_FORMAT, OF(log_format), 0},
	{"root_cas", FIELD_TEXT, OF(root_cas), 0},
	{"server_addr", FIELD_ADDR, OF(server_addr), OF(server_addr_line)},
	{"server_pin", FIELD_PIN, OF(server_pin), 0},
	{"tls", FIELD_BOOL, OF(tls), 0},
	{"tls_client_crt", FIELD_TEXT, OF(tls_client_crt), 0},
	{"tls_client_key", FIELD_TEXT, OF(tls_client_key), 0},
	{"trust_host_root_certs", FIELD_BOOL, OF(trust_host_root_certs), 0},
	{"tunnels", FIELD_TUNNELS, 0, 0},
	{"web_allow_hosts", FIELD_HOSTS, 0, 0},
	{NULL, FIELD_TEXT, 0, 0},
};
#undef OF

#define OF(member) offsetof(struct config_tunnel, member)
static const struct field tunnel_fields[] = {
	{"auth", FIELD_AUTH, OF(auth), 0},
	{"hostname", FIELD_TEXT, OF(hostname), 0},
	{"inspect", FIELD_BOOL, OF(inspect), 0},
	{"mux", FIELD_BOOL, OF(mux), 0},
	{"proto", FIELD_PROTOS, 0, 0},
	{"remote_port", FIELD_PORT, OF(remote_port), 0},
	{"subdomain", FIELD_TEXT, OF(subdomain), 0},
	{NULL, FIELD_TEXT, 0, 0},
};
#undef OF

/* ---- messages ---- */

static unsigned line_of(const yaml_node_t *node)
{
	return (unsigned)node->start_mark.line + 1;
}

/* Always false, so that callers can return it. */
PRINTF_LIKE(4, 5)
static bool bad(struct reader *r, const yaml_node_t *node, const char *path, const char *fmt, ...)
{
	char text[CONFIG_ERR / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->err, CONFIG_ERR, "%.120s:%u: %s%s%s", r->conf->file, line_of(node), path,
		 *path ? ": " : "", text);
	return false;
}

static void warn_key(struct reader *r, const yaml_node_t *node, const char *path, const char *what)
{
	char text[CONFIG_ERR];

	snprintf(text, sizeof(text), "%.120s:%u: %s: %s", r->conf->file, line_of(node), path, what);
	if (r->warn)
		r->warn(r->warn_arg, text);
}

/* ---- scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++) {
		if (strcmp(text, *words) == 0)
			return true;
	}
	return false;
}

static bool is_plain(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static const char *scalar(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

/* "key:" and "key: ~" say nothing: the default stays. */
static bool is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	return is_plain(node) && is_one_of(scalar(node), nulls);
}

static const char *kind_of(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE ? "a mapping" : "a list";
}

/* Any scalar as it is spelt: 0123 stays "0123". */
static bool want_text(struct reader *r, yaml_node_t *node, const char *path, const char **out)
{
	*out = "";
	if (node->type != YAML_SCALAR_NODE)
		return bad(r, node, path, "%s where a text is wanted", kind_of(node));
	if (strlen(scalar(node)) != node->data.scalar.length)
		return bad(r, node, path, "the text contains a NUL character");
	*out = scalar(node);
	return true;
}

static bool set_text(struct reader *r, yaml_node_t *node, const char *path, char **out)
{
	const char *text;

	if (!want_text(r, node, path, &text))
		return false;
	xfree_secret_str(*out);
	*out = xstrdup(text);
	return true;
}

static bool set_bool(struct reader *r, yaml_node_t *node, const char *path, bool *out)
{
	static const char *const yes[] = {"true", "True", "TRUE", "y",  "Y",  "yes",
					  "Yes",  "YES",  "on",   "On", "ON", NULL};
	static const char *const no[] = {"false", "False", "FALSE", "n",   "N",   "no",
					 "No",    "NO",    "off",   "Off", "OFF", NULL};

	if (!is_plain(node) || (!is_one_of(scalar(node), yes) && !is_one_of(scalar(node), no)))
		return bad(r, node, path, "true or false is wanted");
	*out = is_one_of(scalar(node), yes);
	return true;
}

/* An integer, quoted or not, as YAML 1.1 spells it (0x, 0 in front); *rest is what follows it. */
static bool read_number(const yaml_node_t *node, unsigned long long *out, const char **rest)
{
	char *end;

	if (scalar(node)[0] < '0' || scalar(node)[0] > '9')
		return false;
	errno = 0;
	*out = strtoull(scalar(node), &end, 0);
	*rest = end;
	return errno == 0;
}

static bool set_port(struct reader *r, yaml_node_t *node, const char *path, uint16_t *out)
{
	unsigned long long n;
	const char *rest;

	if (node->type != YAML_SCALAR_NODE)
		return bad(r, node, path, "%s is not a port (0-65535)", kind_of(node));
	if (!read_number(node, &n, &rest) || *rest || n > 65535)
		return bad(r, node, path, "%.40s is not a port (0-65535)", scalar(node));
	*out = (uint16_t)n;
	return true;
}

static bool set_size(struct reader *r, yaml_node_t *node, const char *path, uint64_t *out)
{
	static const char units[] = "KMG";
	unsigned long long n;
	const char *rest;
	int shift = 0;

	if (node->type != YAML_SCALAR_NODE)
		return bad(r, node, path, "%s is not a size", kind_of(node));
	/* ngrok's word for none at all. */
	if (out == &r->conf->inspect_db_size && strcmp(scalar(node), "-1") == 0) {
		*out = CONFIG_CAPTURES_NOTHING;
		return true;
	}
	if (!read_number(node, &n, &rest))
		goto fail;
	const char *unit = *rest ? strchr(units, *rest) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		rest++;
	}
	if (*rest || n > (1ull << 50) >> shift)
		goto fail;
	*out = n << shift;
	return true;
fail:
	return bad(r, node, path, "%.40s is not a size in bytes (such as 65536, 64K, 16M, 1G)",
		   scalar(node));
}

static bool set_pin(struct reader *r, yaml_node_t *node, const char *path, char **out)
{
	const char *text;

	if (!want_text(r, node, path, &text))
		return false;
	if (!tls_pins_valid(text))
		return bad(r, node, path, "a pin is sha256// and 44 base64 digits of a SHA-256");
	return set_text(r, node, path, out);
}

static bool set_auth(struct reader *r, yaml_node_t *node, const char *path, char **out)
{
	if (!set_text(r, node, path, out))
		return false;
	if (!config_auth_valid(*out))
		return bad(r, node, path, "user:password is wanted, there is no ':'");
	return true;
}

static bool set_format(struct reader *r, yaml_node_t *node, const char *path, char **out)
{
	const char *text;

	if (!want_text(r, node, path, &text))
		return false;
	if (strcmp(text, "text") != 0 && strcmp(text, "json") != 0)
		return bad(r, node, path, "%.40s is not text or json", text);
	return set_text(r, node, path, out);
}

/* ---- lists and mappings ---- */

static void add_host(struct config *c, const char *host)
{
	c->web_allow_hosts = xrealloc(c->web_allow_hosts,
				      (c->web_allow_hosts_n + 1) * sizeof(*c->web_allow_hosts));
	c->web_allow_hosts[c->web_allow_hosts_n++] = xstrdup(host);
}

static bool set_hosts(struct reader *r, yaml_node_t *node, const char *path)
{
	struct config *c = r->conf;
	const char *text;

	while (c->web_allow_hosts_n)
		free(c->web_allow_hosts[--c->web_allow_hosts_n]);
	if (node->type == YAML_MAPPING_NODE)
		return bad(r, node, path, "a mapping where a list of host names is wanted");
	if (node->type == YAML_SCALAR_NODE) {
		if (!want_text(r, node, path, &text))
			return false;
		add_host(c, text);
		return true;
	}
	for (yaml_node_item_t *i = node->data.sequence.items.start;
	     i < node->data.sequence.items.top; i++) {
		if (!want_text(r, yaml_document_get_node(&r->doc, *i), path, &text))
			return false;
		if (c->web_allow_hosts_n == LIMIT_CONFIG_KEYS)
			return bad(r, node, path, "more than %d host names", LIMIT_CONFIG_KEYS);
		add_host(c, text);
	}
	return true;
}

static bool each_key(struct reader *r, yaml_node_t *map, const char *path, int depth, key_fn *fn,
		     void *object);

/* "<<: *other" or "<<: [*a, *b]": what they say counts less than the mapping's own keys. */
static bool each_merged(struct reader *r, yaml_node_t *value, const char *path, int depth,
			key_fn *fn, void *object)
{
	if (depth >= LIMIT_CONFIG_DEPTH || ++r->merges > LIMIT_CONFIG_MERGES)
		return bad(r, value, path, "too many merges (<<)");
	if (value->type == YAML_MAPPING_NODE)
		return each_key(r, value, path, depth + 1, fn, object);
	if (value->type != YAML_SEQUENCE_NODE)
		return bad(r, value, path, "<< wants a mapping");
	/* The first of the list counts most, so it comes last. */
	yaml_node_item_t *first = value->data.sequence.items.start;
	for (yaml_node_item_t *i = value->data.sequence.items.top; i-- > first;) {
		yaml_node_t *map = yaml_document_get_node(&r->doc, *i);
		if (map->type != YAML_MAPPING_NODE)
			return bad(r, map, path, "<< wants a mapping");
		if (++r->merges > LIMIT_CONFIG_MERGES)
			return bad(r, map, path, "too many merges (<<)");
		if (!each_key(r, map, path, depth + 1, fn, object))
			return false;
	}
	return true;
}

static bool is_merge(const yaml_node_t *key)
{
	return is_plain(key) && strcmp(scalar(key), "<<") == 0;
}

static bool check_keys(struct reader *r, yaml_node_t *map, const char *path)
{
	yaml_node_pair_t *first = map->data.mapping.pairs.start, *end = map->data.mapping.pairs.top;

	if (end - first > LIMIT_CONFIG_KEYS)
		return bad(r, map, path, "more than %d keys", LIMIT_CONFIG_KEYS);
	for (yaml_node_pair_t *p = first; p < end; p++) {
		yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
		const char *text;
		if (!want_text(r, key, path, &text))
			return false;
		for (yaml_node_pair_t *q = first; q < p; q++) {
			yaml_node_t *other = yaml_document_get_node(&r->doc, q->key);
			if (strcmp(scalar(other), text) != 0)
				continue;
			char full[PATH_CAP];
			snprintf(full, sizeof(full), "%s%s%s", path, *path ? "." : "", text);
			warn_key(r, key, full, "this key came before; the last one counts");
			break;
		}
	}
	return true;
}

static bool each_key(struct reader *r, yaml_node_t *map, const char *path, int depth, key_fn *fn,
		     void *object)
{
	yaml_node_pair_t *end = map->data.mapping.pairs.top;

	if (!check_keys(r, map, path))
		return false;
	for (int merges = 1; merges >= 0; merges--) {
		for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < end; p++) {
			yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
			yaml_node_t *value = yaml_document_get_node(&r->doc, p->value);
			char full[PATH_CAP];
			bool ok;
			if (is_merge(key) != (merges == 1))
				continue;
			snprintf(full, sizeof(full), "%s%s%s", path, *path ? "." : "", scalar(key));
			ok = merges ? each_merged(r, value, path, depth, fn, object)
				    : fn(r, object, scalar(key), value, full);
			if (!ok)
				return false;
		}
	}
	return true;
}

static bool take_proto(struct reader *r, void *object, const char *key, yaml_node_t *value,
		       const char *path);

static bool want_map(struct reader *r, yaml_node_t *node, const char *path, key_fn *fn,
		     void *object)
{
	if (is_null(node))
		return true;
	if (node->type == YAML_MAPPING_NODE)
		return each_key(r, node, path, 0, fn, object);
	bool ngrok = node->type == YAML_SCALAR_NODE && fn == take_proto;
	return bad(r, node, path, "a mapping (key: value) is wanted%s",
		   ngrok ? ", such as {http: 8080} instead of ngrok's proto: http and addr: 8080"
			 : "");
}

/* ---- what the keys mean ---- */

static bool take_proto(struct reader *r, void *object, const char *key, yaml_node_t *value,
		       const char *path)
{
	struct config_tunnel *t = object;
	char why[CONFIG_ERR], whose[300];
	const char *addr;

	if (!want_text(r, value, path, &addr))
		return false;
	snprintf(whose, sizeof(whose), "tunnel %.200s[%.60s]", t->name, key);
	if (config_set_protos(t, key, addr, whose, why))
		return true;
	return bad(r, value, path, "%.240s", why);
}

static bool take_tunnel(struct reader *r, void *object, const char *key, yaml_node_t *value,
			const char *path);

static bool set_field(struct reader *r, const struct field *f, char *object, yaml_node_t *value,
		      const char *path)
{
	void *member = object + f->offset;

	if (is_null(value))
		return true;
	switch (f->type) {
	case FIELD_TEXT:
		return set_text(r, value, path, member);
	case FIELD_ADDR:
		*(unsigned *)(void *)(object + f->extra) = line_of(value);
		return set_text(r, value, path, member);
	case FIELD_BOOL:
		return set_bool(r, value, path, member);
	case FIELD_PORT:
		return set_port(r, value, path, member);
	case FIELD_SIZE:
		return set_size(r, value, path, member);
	case FIELD_AUTH:
		return set_auth(r, value, path, member);
	case FIELD_PIN:
		return set_pin(r, value, path, member);
	case FIELD_FORMAT:
		return set_format(r, value, path, member);
	case FIELD_HOSTS:
		return set_hosts(r, value, path);
	case FIELD_PROTOS:
		return want_map(r, value, path, take_proto, object);
	case FIELD_TUNNELS:
		return want_map(r, value, path, take_tunnel, object);
	}
	return false;
}

/* What to write instead of a key of ngrok 2 or 3; NULL: it is none. */
static const char *ngrok_hint(const char *key)
{
	static const struct {
		const char *key, *hint;
	} hints[] = {
		{"addr", "write proto: {http: ADDRESS}"},
		{"agent", "what is below it stands at the top here, and authtoken is auth_token"},
		{"authtoken", "write auth_token"},
		{"basic_auth", "write auth: user:password"},
		{"endpoints", "write tunnels: {NAME: {proto: {http: ADDRESS}}}"},
		{"region", "server_addr says where the server is"},
		{"version", "files have no version here"},
	};

	for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
		if (strcmp(hints[i].key, key) == 0)
			return hints[i].hint;
	}
	return NULL;
}

static void warn_unknown(struct reader *r, const struct field *table, const char *key,
			 const yaml_node_t *value, const char *path)
{
	struct nearest n = {.word = key};
	char text[120];

	const char *hint = ngrok_hint(key);

	for (const struct field *f = table; f->name && !hint; f++)
		nearest_try(&n, f->name);
	if (hint)
		snprintf(text, sizeof text, "unknown key, ignored; ngrok's: %s", hint);
	else
		snprintf(text, sizeof text, "unknown key, ignored%s%s%s",
			 n.best ? "; did you mean " : "", n.best ? n.best : "", n.best ? "?" : "");
	warn_key(r, value, path, text);
}

static bool take_field(struct reader *r, const struct field *table, void *object, const char *key,
		       yaml_node_t *value, const char *path)
{
	for (const struct field *f = table; f->name; f++) {
		if (strcmp(f->name, key) == 0)
			return set_field(r, f, object, value, path);
	}
	warn_unknown(r, table, key, value, path);
	return true;
}

static bool take_tunnel_key(struct reader *r, void *object, const char *key, yaml_node_t *value,
			    const char *path)
{
	return take_field(r, tunnel_fields, object, key, value, path);
}

/* Without subdomain and hostname the tunnel's name is taken for one of them. */
static void name_tunnel(struct config_tunnel *t)
{
	if ((t->subdomain && *t->subdomain) || (t->hostname && *t->hostname))
		return;
	char **as = strchr(t->name, '.') ? &t->hostname : &t->subdomain;
	free(*as);
	*as = xstrdup(t->name);
}

static bool take_tunnel(struct reader *r, void *object, const char *key, yaml_node_t *value,
			const char *path)
{
	struct config *c = (struct config *)object;
	char protos[PROTOS_TEXT], why[CONFIG_ERR];

	if (c->tunnels_n == LIMIT_TUNNELS && !config_find_tunnel(c, key))
		return bad(r, value, path, "more than %d tunnels", LIMIT_TUNNELS);
	struct config_tunnel *t = config_add_tunnel(c, key);
	if (!want_map(r, value, path, take_tunnel_key, t))
		return false;
	if (!*config_protos(t, protos))
		return bad(r, value, path, "Tunnel %.60s does not specify any protocols to tunnel.",
			   key);
	if (!config_check_tunnel(t, why))
		return bad(r, value, path, "auth: %.200s", why);
	name_tunnel(t);
	return true;
}

static bool take_config_key(struct reader *r, void *object, const char *key, yaml_node_t *value,
			    const char *path)
{
	return take_field(r, config_fields, object, key, value, path);
}

/* ---- the document ---- */

static void yaml_fault(const struct reader *r, const yaml_parser_t *p)
{
	char line[32] = "";

	if (p->error != YAML_READER_ERROR && p->error != YAML_MEMORY_ERROR)
		snprintf(line, sizeof(line), "line %zu: ", p->problem_mark.line + 1);
	snprintf(r->err, CONFIG_ERR, "Error parsing configuration file %.200s: YAML error: %s%s",
		 r->conf->file, line, p->problem ? p->problem : "out of memory");
}

static bool count_event(struct reader *r, const yaml_event_t *e, unsigned *depth, unsigned *docs)
{
	unsigned line = (unsigned)e->start_mark.line + 1;
	char text[CONFIG_ERR];

	if (e->type == YAML_DOCUMENT_START_EVENT && ++*docs == 2 && r->warn) {
		snprintf(text, sizeof text, "%.120s:%u: a second document, ignored", r->conf->file,
			 line);
		r->warn(r->warn_arg, text);
	}
	if (e->type == YAML_MAPPING_END_EVENT || e->type == YAML_SEQUENCE_END_EVENT)
		--*depth;
	if (e->type != YAML_MAPPING_START_EVENT && e->type != YAML_SEQUENCE_START_EVENT)
		return true;
	if (++*depth <= LIMIT_CONFIG_NESTING)
		return true;
	snprintf(r->err, CONFIG_ERR, "%.120s:%u: lists and mappings nested more than %d deep",
		 r->conf->file, line, LIMIT_CONFIG_NESTING);
	return false;
}

/* What yaml_parser_load() does not look at. A fault of the file's form is left to it. */
static bool survey(struct reader *r, const char *text, size_t len)
{
	unsigned depth = 0, docs = 0;
	bool ok = true, more = true;
	yaml_parser_t parser;
	yaml_event_t e;

	if (!yaml_parser_initialize(&parser))
		return true;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	while (ok && more && docs < 2 && yaml_parser_parse(&parser, &e)) {
		ok = count_event(r, &e, &depth, &docs);
		more = e.type != YAML_STREAM_END_EVENT;
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&parser);
	return ok;
}

bool config_yaml_parse(struct config *c, const char *text, size_t len, config_warn_fn *warn,
		       void *warn_arg, char err[static CONFIG_ERR])
{
	struct reader r = {.conf = c, .warn = warn, .warn_arg = warn_arg, .err = err};
	yaml_parser_t parser;
	bool ok = false;

	if (len > LIMIT_CONFIG_BYTES) {
		snprintf(err, CONFIG_ERR, "%.200s: larger than 1 MiB", c->file);
		return false;
	}
	if (!survey(&r, text, len))
		return false;
	if (!yaml_parser_initialize(&parser)) {
		snprintf(err, CONFIG_ERR, "%.200s: out of memory", c->file);
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &r.doc)) {
		yaml_fault(&r, &parser);
	} else {
		yaml_node_t *root = yaml_document_get_root_node(&r.doc);
		ok = !root || want_map(&r, root, "", take_config_key, c);
		yaml_document_delete(&r.doc);
	}
	yaml_parser_delete(&parser);
	return ok;
}
