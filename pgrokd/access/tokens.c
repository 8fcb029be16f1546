/* The tokens that clients may come with, and what each allows. */
#include "pgrokd/access/tokens.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "pgrokd/limits.h"

struct entry {
	struct token token;
	struct grant *grant;
};

struct tokens {
	atomic_uint refs;
	size_t n;
	struct entry *entry; /* [n] */
};

/* ---- values ---- */

/* Of one entry while it is read. */
struct draft {
	char *name;
	struct token token;
	struct grant *grant;
};

static bool set_name(const struct yaml_value *v, void *object)
{
	struct draft *d = object;
	const char *name;

	if (!yaml_text(v, &name))
		return false;
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  ".-_@+");

	if (!len || name[len] || len > LIMIT_OWNER)
		return yaml_bad(v, "1 to %d letters, digits and .-_@+ are wanted", LIMIT_OWNER);
	free(d->name);
	d->name = xstrdup(name);
	return true;
}

static bool set_token(const struct yaml_value *v, void *object)
{
	struct draft *d = object;
	const char *text, *why;

	if (!yaml_text(v, &text))
		return false;
	return token_parse(text, &d->token, &why) || yaml_bad(v, "%s", why);
}

static bool add_glob(const struct yaml_value *v, const char *text, void *arg)
{
	struct globs *all = arg;
	const char *why;
	char *glob = xstrdup(text);
	size_t len = strlen(glob);

	for (char *p = glob; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
	if (len > 1 && glob[len - 1] == '.')
		glob[len - 1] = '\0';
	if (!glob_valid(glob, &why)) {
		free(glob);
		return yaml_bad(v, "%s", why);
	}
	all->glob = xrealloc(all->glob, (all->n + 1) * sizeof(*all->glob));
	all->glob[all->n++] = glob;
	return true;
}

static bool set_globs(const struct yaml_value *v, struct draft *d, struct globs *all)
{
	while (all->n)
		free(all->glob[--all->n]);
	d->grant->names_bound = true;
	return yaml_texts(v, "names", add_glob, all);
}

static bool set_subdomains(const struct yaml_value *v, void *object)
{
	struct draft *d = object;

	return set_globs(v, d, &d->grant->below);
}

static bool set_hostnames(const struct yaml_value *v, void *object)
{
	struct draft *d = object;

	return set_globs(v, d, &d->grant->hosts);
}

/* "20000-20010" or one port. */
static bool read_range(const char *text, struct port_range *range)
{
	size_t len = strcspn(text, "-");
	char min[8];

	if (len >= sizeof(min))
		return false;
	memcpy(min, text, len);
	min[len] = '\0';
	int from = addr_port(min), to = text[len] ? addr_port(text + len + 1) : from;

	*range = (struct port_range){(uint16_t)from, (uint16_t)to};
	return from > 0 && to >= from;
}

static bool add_range(const struct yaml_value *v, const char *text, void *arg)
{
	struct grant *g = arg;
	struct port_range range;

	if (!read_range(text, &range))
		return yaml_bad(v,
				"'%.40s' is neither a port nor MIN-MAX with ports from 1 to 65535",
				text);
	g->ports = xrealloc(g->ports, (g->n_ports + 1) * sizeof(*g->ports));
	g->ports[g->n_ports++] = range;
	return true;
}

static bool set_ports(const struct yaml_value *v, void *object)
{
	struct grant *g = ((struct draft *)object)->grant;

	g->n_ports = 0;
	g->ports_bound = true;
	return yaml_texts(v, "ports", add_range, g);
}

static bool add_proto(const struct yaml_value *v, const char *text, void *arg)
{
	struct grant *g = arg;
	enum proto p;

	if (!proto_parse(text, strlen(text), &p))
		return yaml_bad(v, "'%.40s' is none of http, https, tcp", text);
	g->protos |= 1u << p;
	return true;
}

static bool set_protos(const struct yaml_value *v, void *object)
{
	struct grant *g = ((struct draft *)object)->grant;

	g->protos = 0;
	return yaml_texts(v, "protocols", add_proto, g);
}

static bool set_tunnels(const struct yaml_value *v, void *object)
{
	return yaml_set_count(v, &((struct draft *)object)->grant->tunnels);
}

static bool set_visitors(const struct yaml_value *v, void *object)
{
	return yaml_set_count(v, &((struct draft *)object)->grant->visitors);
}

static bool set_bandwidth(const struct yaml_value *v, void *object)
{
	struct grant *g = ((struct draft *)object)->grant;
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (pace_parse(text, &g->bandwidth))
		return true;
	return yaml_bad(v, "'%.40s' is not a bandwidth such as 500K, 10MB/s or 80Mbit/s", text);
}

static bool set_expires(const struct yaml_value *v, void *object)
{
	struct grant *g = ((struct draft *)object)->grant;
	const char *text;

	if (!yaml_text(v, &text))
		return false;
	if (clock_wall_parse(text, &g->expires))
		return true;
	return yaml_bad(v,
			"'%.40s' is neither a date (2027-01-31: to its end, UTC) nor a date with a "
			"time (2027-01-31T18:00:00Z)",
			text);
}

/* ---- entries ---- */

static const char *other_words(const char *key)
{
	if (strcmp(key, "ports") == 0 || strcmp(key, "remote_ports") == 0)
		return "write tcp_ports";
	return NULL;
}

static const struct yaml_field entry_fields[] = {
	{"bandwidth", set_bandwidth, 0},
	{"expires", set_expires, 0},
	{"hostnames", set_hostnames, 0},
	{"name", set_name, 0},
	{"protos", set_protos, 0},
	{"subdomains", set_subdomains, 0},
	{"tcp_ports", set_ports, 0},
	{"token", set_token, 0},
	{"tunnels", set_tunnels, 0},
	{"visitors", set_visitors, 0},
	{NULL, NULL, 0},
};
static const struct yaml_table entry_table = {entry_fields, other_words};

/* Complete, and unlike those before? */
static bool check_draft(const struct yaml_value *v, const struct draft *d, const struct tokens *t)
{
	if (!d->name)
		return yaml_bad(v, "no name");
	if (!d->token.given)
		return yaml_bad(v, "no token");
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->entry[i].grant->owner, d->name) == 0)
			return yaml_bad(v, "the name %s came before", d->name);
		if (token_same(&t->entry[i].token, &d->token))
			return yaml_bad(v, "%s has the same token", t->entry[i].grant->owner);
	}
	return true;
}

static bool take_entry(const struct yaml_value *v, void *arg)
{
	struct tokens *t = arg;
	struct draft d = {.grant = grant_new("")};
	bool ok = yaml_fields(v, &entry_table, &d) && check_draft(v, &d, t);

	if (ok) {
		free(d.grant->owner);
		d.grant->owner = d.name;
		t->entry[t->n++] = (struct entry){d.token, d.grant};
	} else {
		free(d.name);
		grant_unref(d.grant);
	}
	OPENSSL_cleanse(&d.token, sizeof(d.token));
	return ok;
}

static struct tokens *tokens_new(void)
{
	struct tokens *t = xcalloc(1, sizeof(*t));

	atomic_init(&t->refs, 1);
	t->entry = xcalloc(LIMIT_TOKENS, sizeof(*t->entry));
	return t;
}

bool tokens_set(const struct yaml_value *v, void *member)
{
	struct tokens **out = member, *t = tokens_new();

	tokens_unref(*out);
	*out = t;
	return yaml_items(v, "tokens", LIMIT_TOKENS, take_entry, t);
}

/* ---- a file of them alone ---- */

static const struct yaml_field file_fields[] = {{"tokens", tokens_set, 0}, {NULL, NULL, 0}};
static const struct yaml_table file_table = {file_fields, NULL};

struct tokens *tokens_parse(const char *file, const char *text, size_t len, struct err *err)
{
	struct tokens *t = NULL;
	const struct yaml_conf conf = {
		.file = file, .table = &file_table, .object = &t, .strict = true};

	if (yaml_read(&conf, text, len, err)) {
		if (t)
			return t;
		err_set(err, "%s: no tokens: a list is wanted ([] lets nobody in)", file);
	}
	tokens_unref(t);
	return NULL;
}

struct tokens *tokens_read(const char *path, struct err *err)
{
	size_t len = 0;
	char *text = file_read(path, YAML_BYTES, &len, err);

	if (!text)
		return NULL;
	struct tokens *t = tokens_parse(path, text, len, err);

	xfree_secret(text, len);
	return t;
}

/* ---- life ---- */

static struct entry *entry_of(const struct tokens *t, const char *owner)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->entry[i].grant->owner, owner) == 0)
			return &t->entry[i];
	return NULL;
}

void tokens_inherit(struct tokens *t, const struct tokens *was)
{
	for (size_t i = 0; was && i < t->n; i++) {
		struct grant *g = t->entry[i].grant;
		const struct entry *old = entry_of(was, g->owner);

		if (!old)
			continue;
		tally_unref(g->tally);
		g->tally = tally_ref(old->grant->tally);
	}
}

bool tokens_have(const struct tokens *t, const struct tally *has)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entry[i].grant->tally == has)
			return true;
	return false;
}

struct tokens *tokens_ref(struct tokens *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tokens_unref(struct tokens *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->n; i++)
		grant_unref(t->entry[i].grant);
	xfree_secret(t->entry, LIMIT_TOKENS * sizeof(*t->entry));
	free(t);
}

/* ---- questions ---- */

size_t tokens_count(const struct tokens *t)
{
	return t->n;
}

const struct grant *tokens_at(const struct tokens *t, size_t i)
{
	return t->entry[i].grant;
}

const struct token *tokens_token(const struct tokens *t, size_t i)
{
	return &t->entry[i].token;
}

struct tokens *tokens_without(const struct tokens *t, const bool gone[])
{
	struct tokens *rest = tokens_new();

	for (size_t i = 0; i < t->n; i++)
		if (!gone[i])
			rest->entry[rest->n++] =
				(struct entry){t->entry[i].token, grant_ref(t->entry[i].grant)};
	return rest;
}

struct grant *tokens_find(const struct tokens *t, const struct token *token)
{
	struct grant *found = NULL;

	for (size_t i = 0; i < t->n; i++)
		if (token_same(&t->entry[i].token, token))
			found = t->entry[i].grant;
	return grant_ref(found);
}
