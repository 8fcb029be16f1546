/* Who may visit a tunnel. */
#include "pgrokd/access/rules.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/path.h"
#include "common/net/cidr.h"
#include "msg/pgrok/access.h"
#include "pgrokd/limits.h"

/* What stands behind the scheme of a request's Authorization. */
struct secret {
	const char *scheme;
	char *text;
	size_t len;
};

struct ranges {
	struct cidr *range;
	size_t n;
};

struct texts {
	char **text;
	size_t n;
};

struct rules {
	atomic_uint refs;
	unsigned offers;
	bool preflight;
	struct secret *secrets;
	size_t n_secrets;
	struct ranges allow, deny;
	struct texts methods, paths;
	struct pass_key pass;
	struct tls_ca *ca; /* NULL: none */
};

/* ---- made ---- */

/* Takes text. */
static void add_secret(struct rules *r, unsigned offer, const char *scheme, char *text)
{
	r->offers |= offer;
	r->secrets = xrealloc(r->secrets, (r->n_secrets + 1) * sizeof(*r->secrets));
	r->secrets[r->n_secrets++] = (struct secret){scheme, text, strlen(text)};
}

static void add_user(struct rules *r, const char *user, size_t len)
{
	char *text = xmalloc((len + 2) / 3 * 4 + 1);

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)user, (int)len);
	add_secret(r, RULES_BASIC, "Basic", text);
}

static void add_range(struct ranges *all, const char *entry)
{
	struct err err;

	all->range = xrealloc(all->range, (all->n + 1) * sizeof(*all->range));
	if (!cidr_parse(entry, &all->range[all->n++], &err))
		abort(); /* access_valid() has read it */
}

/* Takes text. */
static void add_text(struct texts *all, char *text)
{
	all->text = xrealloc(all->text, (all->n + 1) * sizeof(*all->text));
	all->text[all->n++] = text;
}

static void add_entry(struct rules *r, enum access_list which, const char *entry)
{
	struct err err;

	switch (which) {
	case ACCESS_USERS:
		add_user(r, entry, strlen(entry));
		break;
	case ACCESS_BEARER:
		add_secret(r, RULES_BEARER, "Bearer", xstrdup(entry));
		break;
	case ACCESS_ALLOW_IPS:
		add_range(&r->allow, entry);
		break;
	case ACCESS_DENY_IPS:
		add_range(&r->deny, entry);
		break;
	case ACCESS_METHODS:
		add_text(&r->methods, xstrdup(entry));
		break;
	case ACCESS_PATHS:
		add_text(&r->paths, http_path_make(entry, &err));
		break;
	case ACCESS_LISTS:
		break;
	}
}

static void add_list(struct rules *r, enum access_list which, const char *list)
{
	const char *entry = NULL;
	size_t len;

	while ((len = access_next(list, &entry)) > 0) {
		char *text = xstrndup(entry, len);

		add_entry(r, which, text);
		xfree_secret_str(text);
	}
}

static void add_access(struct rules *r, const struct msg_access *a)
{
	for (int i = 0; i < ACCESS_LISTS; i++)
		add_list(r, (enum access_list)i, a->list[i]);
	r->preflight = a->preflight;
	if (a->mtls_ca && *a->mtls_ca) {
		struct err err;

		r->ca = tls_ca_read(a->mtls_ca, &err);
		if (!r->ca)
			abort(); /* access_valid() has read it */
	}
	if (a->password && *a->password) {
		r->offers |= RULES_PASSWORD;
		pass_hash(a->password, strlen(a->password), r->pass.password);
	}
}

bool rules_make(const struct rules_conf *conf, struct rules **out, struct err *err)
{
	const struct msg_access *a = conf->access;

	*out = NULL;
	if (strlen(conf->auth) > LIMIT_AUTH)
		return err_set(err, "HttpAuth is longer than %d characters", LIMIT_AUTH);
	if (a && !access_valid(a, err))
		return err_set(err, "Invalid rules: %s", err->text);
	if (!*conf->auth && (!a || !access_any(a)))
		return true;
	struct rules *r = xcalloc(1, sizeof(*r));

	atomic_init(&r->refs, 1);
	memcpy(r->pass.owner, conf->owner, PASS_HASH);
	if (*conf->auth)
		add_user(r, conf->auth, strlen(conf->auth));
	if (a)
		add_access(r, a);
	*out = r;
	return true;
}

struct rules *rules_ref(struct rules *r)
{
	if (r)
		atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

static void free_texts(struct texts *t)
{
	while (t->n > 0)
		free(t->text[--t->n]);
	free(t->text);
}

void rules_unref(struct rules *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < r->n_secrets; i++)
		xfree_secret(r->secrets[i].text, r->secrets[i].len);
	free(r->secrets);
	free(r->allow.range);
	free(r->deny.range);
	free_texts(&r->methods);
	free_texts(&r->paths);
	tls_ca_free(r->ca);
	xfree_secret(r, sizeof(*r));
}

unsigned rules_offers(const struct rules *r)
{
	return r ? r->offers : 0;
}

const struct tls_ca *rules_ca(const struct rules *r)
{
	return r ? r->ca : NULL;
}

const struct pass_key *rules_pass(const struct rules *r)
{
	return &r->pass;
}

/* ---- addresses ---- */

static bool in_ranges(const struct ranges *all, const struct addr *a)
{
	for (size_t i = 0; i < all->n; i++) {
		if (cidr_has(&all->range[i], a))
			return true;
	}
	return false;
}

bool rules_admit(const struct rules *r, const struct addr *from)
{
	if (!r || (!r->allow.n && !r->deny.n))
		return true;
	/* One that is not known is nobody's. */
	return from->len && !in_ranges(&r->deny, from) &&
	       (!r->allow.n || in_ranges(&r->allow, from));
}

/* ---- methods and paths ---- */

/* Frameworks go by one of these instead of what was judged. */
static bool has_any_field(const struct visit *v, const char *const *names)
{
	struct http_span value;

	for (; *names; names++) {
		if (http_field(v->bytes, v->head, *names, &value))
			return true;
	}
	return false;
}

static bool method_denied(const struct rules *r, const struct visit *v)
{
	static const char *const instead[] = {"X-HTTP-Method-Override", "X-HTTP-Method",
					      "X-Method-Override", NULL};

	/* Some servers take "delete" for DELETE. */
	for (size_t i = 0; i < r->methods.n; i++) {
		if (http_span_is_nocase(v->bytes, v->head->method, r->methods.text[i]))
			return true;
	}
	return r->methods.n && has_any_field(v, instead);
}

static bool path_denied(const struct rules *r, const struct visit *v)
{
	static const char *const instead[] = {"X-Original-URL", "X-Rewrite-URL", NULL};
	struct http_span target = v->head->target;

	return r->paths.n && (http_path_reaches(v->bytes + target.off, target.len,
						(const char *const *)r->paths.text, r->paths.n) ||
			      has_any_field(v, instead));
}

/* ---- credentials ---- */

/*
 * The scheme in any case, blanks, then exactly these credentials (RFC 9110 section 11.4): compared
 * in constant time, though their length is no secret.
 */
static bool is_secret(const char *given, size_t len, const struct secret *s)
{
	size_t at = strlen(s->scheme);

	if (len <= at || strncasecmp(given, s->scheme, at) != 0 || given[at] != ' ')
		return false;
	while (at < len && given[at] == ' ')
		at++;
	return len - at == s->len && CRYPTO_memcmp(given + at, s->text, s->len) == 0;
}

/* All are compared, whichever it is. */
static bool has_secret(const struct rules *r, const struct visit *v)
{
	struct http_span given = v->head->authorization;
	bool found = false;

	for (size_t i = 0; i < r->n_secrets; i++)
		found |= is_secret(v->bytes + given.off, given.len, &r->secrets[i]);
	return found;
}

static bool has_pass(const struct rules *r, const struct visit *v)
{
	struct http_span cookies;

	return r->offers & RULES_PASSWORD && http_field(v->bytes, v->head, "Cookie", &cookies) &&
	       pass_valid(&r->pass, v->tunnel, v->secure, v->now, v->bytes + cookies.off,
			  cookies.len);
}

/* A browser asks without credentials whether it may ask (the Fetch standard's CORS-preflight). */
static bool is_preflight(const struct visit *v)
{
	static const char *const origin[] = {"Origin", NULL},
				 *const wanted[] = {"Access-Control-Request-Method", NULL};

	return http_span_is(v->bytes, v->head->method, "OPTIONS") && has_any_field(v, origin) &&
	       has_any_field(v, wanted);
}

static bool is_login(const struct rules *r, const struct visit *v)
{
	return r->offers & RULES_PASSWORD && http_span_is(v->bytes, v->head->method, "POST") &&
	       http_span_is(v->bytes, v->head->target, RULES_LOGIN_PATH);
}

/* A name in the ClientHello other than the tunnel's, or none, had no certificate asked for. */
static bool is_vouched(const struct rules *r, const struct visit *v)
{
	return !r->ca || (v->vouch && strcmp(v->vouch->tunnel, v->tunnel) == 0 &&
			  memcmp(v->vouch->ca, tls_ca_hash(r->ca), TLS_CA_HASH) == 0);
}

int rules_allow(const struct rules *r, const struct visit *v)
{
	if (!r)
		return 0;
	if (!rules_admit(r, v->from))
		return 403;
	if (!is_vouched(r, v))
		return 421;
	if (is_login(r, v))
		return RULES_LOGIN;
	if (method_denied(r, v) || path_denied(r, v))
		return 403;
	if (!r->offers || (r->preflight && is_preflight(v)) || has_secret(r, v) || has_pass(r, v))
		return 0;
	return 401;
}
