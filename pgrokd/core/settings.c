/* What may change while the server runs. */
#include "pgrokd/core/settings.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/net/tls.h"
#include "pgrokd/core/certs.h"

/* ---- certificates ---- */

/* Browsers will refuse it, and so will clients that check. */
static void warn_of_cert(const struct config *c, SSL_CTX *ctx, enum port p)
{
	struct err why;

	if (!c->tls_crt || tls_ctx_good(ctx, p == PORT_HTTPS ? c->domain : NULL, &why))
		return;
	log_warn("tls", "The certificate in -tlsCrt=%s %s: browsers and clients will object",
		 c->tls_crt, why.text);
}

static bool load_tls(struct settings *s, const struct core *core, const struct config *c,
		     struct err *err)
{
	char note[256], first[256] = "";
	bool warned = false;
	struct tls_server_conf conf = {
		.cert = c->tls_crt,
		.key = c->tls_key,
		.state_dir = c->state_dir,
		.domain = c->domain,
		.names = {.cert = "-tlsCrt", .key = "-tlsKey"},
	};

	for (int p = PORT_HTTPS; p < PORTS; p++) {
		if (!core->on[p])
			continue;
		conf.client_ca = p == PORT_TUNNEL ? c->tunnel_client_ca : c->client_ca;
		conf.names.ca = p == PORT_TUNNEL ? "-tunnelTLSClientCA" : "-tlsClientCA";
		s->tls[p] = tls_server_ctx(&conf, note, err);
		if (!s->tls[p])
			return false;
		if (p == PORT_HTTPS && core->registry)
			certs_watch(s->tls[p], core->registry);
		/* Of a pair made for the first port nothing is to be said at the second. */
		if (*note && !*first)
			memcpy(first, note, sizeof(first));
		if (!warned)
			warn_of_cert(c, s->tls[p], (enum port)p);
		warned = true;
	}
	if (core->admin_tls) {
		conf.client_ca = NULL;
		s->admin_tls = tls_server_ctx(&conf, note, err);
		if (!s->admin_tls)
			return false;
	}
	s->tls_kept = *first;
	if (*first)
		log_warn("tls", "%s", first);
	return true;
}

static void keep_tls(struct settings *s, const struct settings *was)
{
	for (int p = 0; p < PORTS; p++) {
		s->tls[p] = was->tls[p];
		if (s->tls[p])
			SSL_CTX_up_ref(s->tls[p]);
	}
	s->admin_tls = was->admin_tls;
	if (s->admin_tls)
		SSL_CTX_up_ref(s->admin_tls);
	s->tls_kept = true;
}

/* ---- names ---- */

static void reserve(void *arg, const char *host)
{
	reserved_add(arg, host);
}

static struct reserved *load_reserved(const struct settings *s, const struct config *c)
{
	struct reserved *r = reserved_new(c->reserved, c->domain, c->vhost);

	if (reserved_wants_cert(c->reserved) && s->tls[PORT_TUNNEL])
		tls_ctx_names(s->tls[PORT_TUNNEL], reserve, r);
	return r;
}

/* ---- life ---- */

struct settings *settings_load(const struct core *core, const struct config *c,
			       const struct settings *was, struct err *err)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	if (was && was->tls_kept && !c->tls_crt) {
		keep_tls(s, was);
	} else if (!load_tls(s, core, c, err)) {
		settings_unref(s);
		return NULL;
	}
	s->reserved = load_reserved(s, core->config);
	s->limits = c->limits;
	s->tokens = tokens_ref(c->tokens);
	if (s->tokens && was)
		tokens_inherit(s->tokens, was->tokens);
	return s;
}

struct settings *settings_but(const struct core *core, const struct settings *was,
			      struct tokens *tokens)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	keep_tls(s, was);
	s->tls_kept = was->tls_kept;
	s->limits = was->limits;
	s->reserved = load_reserved(s, core->config);
	s->tokens = tokens;
	return s;
}

struct settings *settings_ref(struct settings *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void settings_unref(struct settings *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (int p = 0; p < PORTS; p++)
		SSL_CTX_free(s->tls[p]);
	SSL_CTX_free(s->admin_tls);
	reserved_free(s->reserved);
	tokens_unref(s->tokens);
	free(s);
}

/* ---- into force ---- */

static void take(struct worker *w, void *arg)
{
	struct settings *old = w->settings;

	w->settings = arg;
	settings_unref(old);
	if (w->core->settled)
		w->core->settled(w);
}

static void drop(void *arg)
{
	settings_unref(arg);
}

void settings_publish(const struct core *core, struct settings *s)
{
	for (int i = 0; i < core->n_workers; i++)
		worker_call(&core->worker[i], take, drop, settings_ref(s));
}
