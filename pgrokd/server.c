/* The server as a whole: ports, certificates, worker threads. Runs on the main thread. */
#include "pgrokd/server.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/listener.h"
#include "common/net/tls.h"
#include "pgrokd/access/guesses.h"
#include "pgrokd/access/rate.h"
#include "pgrokd/access/revoked.h"
#include "pgrokd/admin/admin.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/crowd.h"
#include "pgrokd/core/journal.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/forward.h"
#include "pgrokd/front/http.h"
#include "pgrokd/front/lobby.h"
#include "pgrokd/limits.h"
#include "pgrokd/proto/drip.h"
#include "pgrokd/proto/pgrok.h"
#include "pgrokd/visitor/visitor.h"

struct server {
	struct core core;
	struct addr bound[PORTS];
	struct settings *settings; /* the newest, in force or on the way to the workers */
	struct logfile access_file;
	struct journal_conf journal;
	struct listener_fds admin_fds;
	struct revoked *revoked;
	struct admin *admin;                      /* NULL: not started, or not wanted */
	struct forward *forward[CONFIG_FORWARDS]; /* of those that are configured */
};

static const char *const port_option[PORTS] = {"-httpAddr", "-httpsAddr", "-tunnelAddr"};
static const char *const port_words[PORTS] = {"public http", "public https", "control and proxy"};

/* Which protocols are spoken where: told apart by their first bytes. */
static const struct proto_ops *const for_visitors[] = {&http_proto, NULL};
static const struct proto_ops *const for_both[] = {&drip_proto, &drip_beside_proto, &http_proto,
						   NULL};
static const struct proto_ops *const for_clients[] = {&pgrok_proto, &drip_proto, &drip_web_proto,
						      NULL};

/* ---- ports ---- */

static bool bind_port(struct server *s, enum port p, const char *addr, struct err *err)
{
	struct listener_fds first, next;

	if (!listener_bind(addr, &first, err))
		goto fail;
	for (int i = 1; i < s->core.n_workers; i++) {
		if (!listener_bind_sibling(&first, &next, err)) {
			listener_fds_close(&first);
			goto fail;
		}
		s->core.worker[i].listener[p] = lobby_listen(&s->core.worker[i], p, &next);
	}
	struct addr bound = listener_addr(&first);

	if (p == PORT_HTTP)
		s->core.site.http_port = addr_get_port(&bound);
	if (p == PORT_HTTPS)
		s->core.site.https_port = addr_get_port(&bound);
	s->bound[p] = bound;
	s->core.worker[0].listener[p] = lobby_listen(&s->core.worker[0], p, &first);
	return true;
fail:
	return err_set(err, "%s: %s", port_option[p], err->text);
}

static bool bind_ports(struct server *s, struct err *err)
{
	const char *addr[PORTS] = {s->core.config->http_addr, s->core.config->https_addr,
				   s->core.config->tunnel_addr};

	for (int p = 0; p < PORTS; p++)
		if (s->core.on[p] && !bind_port(s, (enum port)p, addr[p], err))
			return false;
	return true;
}

/* Before the settings, which need to know whether it wants a certificate. */
static bool bind_admin(struct server *s, struct err *err)
{
	const struct config *c = s->core.config;

	return !*c->admin_addr || admin_bind(c, &s->admin_fds, &s->core.admin_tls, err);
}

/* ---- the access log ---- */

static bool open_access_log(struct server *s, struct err *err)
{
	const struct config *c = s->core.config;

	s->access_file = (struct logfile)LOGFILE_INIT;
	s->journal = (struct journal_conf){
		.file = &s->access_file,
		.form = c->access_json ? JOURNAL_JSON : JOURNAL_COMBINED,
		.query = c->access_query,
	};
	logfile_set_max(&s->access_file, c->log_max);
	return !c->access_log ||
	       logfile_open(&s->access_file, c->access_log, LOGFILE_APPEND, err) ||
	       err_set(err, "-accessLog: %s", err->text);
}

void server_reopen_logs(struct server *s)
{
	struct err err;

	log_reopen();
	if (!logfile_reopen(&s->access_file, &err))
		log_warn("access", "%s", err.text);
}

static bool make_forward(struct server *s, struct err *err)
{
	const struct config *c = s->core.config;

	s->core.forward = s->forward;
	for (int i = 0; i < CONFIG_FORWARDS; i++) {
		if (!c->forward[i])
			continue;
		s->forward[i] = forward_new(i, c->forward[i], c->forward_auth_headers, err);
		if (!s->forward[i])
			return err_set(err, "-forwardAuth: %s", err->text);
	}
	return true;
}

/* ---- workers ---- */

/* The order matters: nothing new, then what hangs on others, then the others. */
static void close_all(struct worker *w)
{
	for (int p = 0; p < PORTS; p++)
		if (w->listener[p])
			listener_close(w->listener[p]);
	memset(w->listener, 0, sizeof(w->listener));
	lobby_close_all(w);
	client_close_all(w, "the server stops");
	visitor_close_all(w, "the server stops");
	lobby_close_all(w); /* visitors that waited, with their pages */
	forward_close(w);
}

static void stop(struct worker *w, void *arg)
{
	(void)arg;
	close_all(w);
	loop_stop(w->loop);
}

/* ---- settings ---- */

/* NULL: err says why. What was revoked stays so. */
static struct settings *load_settings(struct server *s, const struct config *c, struct err *err)
{
	if (!revoked_read(s->revoked, s->core.config->state_dir, err))
		return NULL;
	struct config with = *c;

	with.tokens = revoked_apply(s->revoked, c->tokens);
	struct settings *next = settings_load(&s->core, &with, s->settings, err);

	tokens_unref(with.tokens);
	return next;
}

/* ---- life ---- */

static void set_limits(struct server *s, const struct limits *l)
{
	door_set(s->core.door, l->half_open, l->address_half_open);
	crowd_set(s->core.crowd, l->connections, l->address_connections);
	rate_set(s->core.visitor_rate, l->visitor_rate);
	rate_set(s->core.tunnel_rate, l->tunnel_rate);
}

struct server *server_new(const struct config *c, struct err *err)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->core.config = c;
	s->core.n_workers = c->workers;
	s->core.registry = registry_new(s->core.n_workers);
	registry_set_ports(s->core.registry, (uint16_t)c->tcp_port_random,
			   (uint16_t)c->tcp_port_max);
	registry_set_keep(s->core.registry, c->keep_ms[0], c->keep_ms[1]);
	s->core.trusted = c->trusted;
	memcpy(s->core.proxy_heads, c->proxy_heads, sizeof(s->core.proxy_heads));
	s->core.door = door_new(LIMIT_HALF_OPEN_PER_IP, c->loopback_exempt);
	s->core.crowd = crowd_new(c->loopback_exempt);
	s->core.visitor_rate = rate_new(c->loopback_exempt);
	s->core.tunnel_rate = rate_new(c->loopback_exempt);
	door_trust(s->core.door, c->trusted);
	crowd_trust(s->core.crowd, c->trusted);
	set_limits(s, &c->limits);
	s->core.guesses =
		guesses_new(LIMIT_GUESSES, loop_scaled(LIMIT_GUESS_MS), c->loopback_exempt);
	s->core.site = (struct name_site){.domain = c->domain, .vhost = c->vhost};
	s->core.spoken[PORT_HTTP] = for_visitors;
	s->core.spoken[PORT_HTTPS] = c->drip_on_https ? for_both : for_visitors;
	s->core.spoken[PORT_TUNNEL] = for_clients;
	s->core.back = http_back;
	s->core.on[PORT_HTTP] = *c->http_addr;
	s->core.on[PORT_HTTPS] = *c->https_addr;
	s->core.on[PORT_TUNNEL] = true;
	s->core.worker = xcalloc((size_t)s->core.n_workers, sizeof(*s->core.worker));
	s->core.settled = client_settle_all;
	s->admin_fds = (struct listener_fds){.fd = {-1, -1}};
	s->revoked = revoked_new();
	if (open_access_log(s, err) && make_forward(s, err) && bind_admin(s, err))
		s->settings = load_settings(s, c, err);
	for (int i = 0; i < s->core.n_workers; i++)
		worker_init(&s->core.worker[i], &s->core, i,
			    s->settings ? settings_ref(s->settings) : NULL);
	for (int i = 0; c->access_log && i < s->core.n_workers; i++)
		s->core.worker[i].journal =
			journal_new(&s->journal, s->core.worker[i].loop, &s->core.worker[i].count);
	if (s->settings && bind_ports(s, err))
		return s;
	for (int i = 0; i < s->core.n_workers; i++)
		close_all(&s->core.worker[i]);
	server_free(s);
	return NULL;
}

struct registry *server_registry(struct server *s)
{
	return s->core.registry;
}

static void say_tokens(const struct server *s)
{
	char text[ADDR_TEXT];

	if (s->settings->tokens)
		log_info("server", "Tokens are checked: there are %zu",
			 tokens_count(s->settings->tokens));
	else if (!s->core.config->tunnel_client_ca)
		log_warn("server",
			 "Tokens are not checked: anyone who can reach %s can open tunnels",
			 addr_text(&s->bound[PORT_TUNNEL], text));
}

static void say_ready(const struct server *s)
{
	char text[ADDR_TEXT], pin[TLS_PIN_TEXT];

	say_tokens(s);
	if (!s->core.config->tls_crt) {
		tls_ctx_pin(s->settings->tls[PORT_TUNNEL], pin);
		log_info("tls", "Self-signed certificate; clients can pin it: server_pin: %s", pin);
	}
	for (int p = 0; p < PORTS; p++)
		if (s->core.on[p])
			log_info("server", "Listening for %s connections on %s", port_words[p],
				 addr_text(&s->bound[p], text));
}

/* ---- what the admin listener asks for ---- */

static const struct tokens *tokens_in_force(void *arg)
{
	return ((struct server *)arg)->settings->tokens;
}

static bool revoke(void *arg, const char *owner, struct err *err)
{
	struct server *s = arg;
	struct tokens *was = s->settings->tokens;

	if (!was || !revoked_add(s->revoked, was, owner))
		return err_set(err, "No token has this name.");
	struct settings *next = settings_but(&s->core, s->settings, revoked_apply(s->revoked, was));

	settings_publish(&s->core, next);
	settings_unref(s->settings);
	s->settings = next;
	if (revoked_write(s->revoked, s->core.config->state_dir, err))
		log_info("server", "The token of %s was revoked by the operator", owner);
	else
		log_warn("server",
			 "The token of %s was revoked by the operator, until the server ends: %s",
			 owner, err->text);
	return true;
}

static const struct admin_hooks admin_hooks = {tokens_in_force, revoke};

void server_start(struct server *s, struct loop *l)
{
	for (int i = 0; i < s->core.n_workers; i++)
		if (!worker_start(&s->core.worker[i]))
			fatal("-workers: no thread for worker %d", i);
	if (*s->core.config->admin_addr)
		s->admin = admin_start(l, &s->admin_fds, &s->core, s->settings->admin_tls,
				       &admin_hooks, s);
	say_ready(s);
}

void server_reload(struct server *s, const struct config *c)
{
	struct err err;
	struct settings *next = load_settings(s, c, &err);

	if (!next) {
		log_error("server", "Not reloaded: %s", err.text);
		return;
	}
	bool say = next->tokens || s->settings->tokens;

	settings_publish(&s->core, next);
	set_limits(s, &next->limits);
	settings_unref(s->settings);
	s->settings = next;
	if (say)
		say_tokens(s);
	if (s->admin)
		admin_set_tls(s->admin, next->admin_tls);
	if (next->tls_kept)
		log_info("server",
			 "Reloaded, but for the certificate: another would have another key");
	else
		log_info("server", "Reloaded");
}

void server_census(struct server *s, struct loop *home, census_fn *done, void *arg)
{
	census_ask(&s->core, home, done, arg);
}

void server_stopping(struct server *s)
{
	if (s->admin)
		admin_stopping(s->admin);
}

void server_stop(struct server *s)
{
	for (int i = 0; i < s->core.n_workers; i++)
		worker_call(&s->core.worker[i], stop, NULL, NULL);
	for (int i = 0; i < s->core.n_workers; i++)
		worker_join(&s->core.worker[i]);
	admin_close(s->admin); /* what it asked the workers has come back */
	s->admin = NULL;
}

void server_free(struct server *s)
{
	for (int i = 0; i < s->core.n_workers; i++) {
		settings_unref(s->core.worker[i].settings);
		journal_free(s->core.worker[i].journal);
		worker_free(&s->core.worker[i]);
	}
	free(s->core.worker);
	logfile_close(&s->access_file);
	listener_fds_close(&s->admin_fds);
	settings_unref(s->settings);
	revoked_free(s->revoked);
	door_free(s->core.door);
	crowd_free(s->core.crowd);
	rate_free(s->core.visitor_rate);
	rate_free(s->core.tunnel_rate);
	guesses_free(s->core.guesses);
	registry_free(s->core.registry);
	for (int i = 0; i < CONFIG_FORWARDS; i++)
		forward_free(s->forward[i]);
	free(s);
}
