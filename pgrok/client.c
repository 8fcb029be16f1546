/* The running client: loop, connector, model, uplink, visits and signals put together. */
#include "pgrok/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/net/socket.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "pgrok/config/limits.h"
#include "pgrok/config/protocol.h"
#include "pgrok/config/yaml.h"
#include "pgrok/show/console.h"
#include "pgrok/inspect/inspect.h"
#include "pgrok/show/term.h"
#include "pgrok/uplink/uplink.h"
#include "pgrok/visit/visit.h"

#define SIGNALS 3

struct client {
	struct config *conf;
	struct loop *loop;
	struct http_proxy http_proxy; /* host NULL: none */
	struct connector *connector;
	struct model *model;
	struct capture *capture; /* NULL: nothing is captured */
	struct inspect *inspect; /* NULL: disabled */
	struct capture_watch watch;
	struct order *orders; /* for tunnels at run time */
	struct visits *visits;
	struct uplink *uplink; /* NULL: not yet */
	struct console console;
	struct term *term; /* NULL: stdout is no screen */
	bool on_terminal;  /* stdout was one when we began */
	struct event *signals[SIGNALS];
	struct loop_timer tidy;
	int status;
};

/* ---- what the uplink tells ---- */

static void on_refused(void *arg, const char *text)
{
	struct client *c = arg;

	/* The screen goes first: what it showed is not what stands there afterwards. */
	term_close(c->term);
	c->term = NULL;
	log_event("refused", "error", text, NULL);
	console_line(stderr, "%s", text);
	c->status = 1;
	loop_stop(c->loop);
}

/* ---- tunnels at run time ---- */

/* A tunnel that the inspector's API asked for, not up yet. */
struct order {
	struct order *next;
	const struct config_tunnel *tunnel;
	uint64_t id;
};

/* Is this one still asked for, open, or in use by a visitor? */
static bool is_used(void *arg, const struct config_tunnel *t)
{
	const struct client *c = arg;

	return model_has(c->model, t) || c->uplink->ops->asks_for(c->uplink, t) ||
	       visits_serve(c->visits, t);
}

/* It is not asked for any more, and its name is free. Its memory stays: visitors may be on it. */
static void retire_tunnel(struct client *c, const struct config_tunnel *t)
{
	struct config_tunnel *own;

	for (size_t i = 0; (own = config_tunnel_at(c->conf, i)); i++) {
		if (own == t) {
			own->start = false;
			*own->name = '\0';
		}
	}
}

static void on_ordered(void *arg, const struct config_tunnel *t, const char *error)
{
	struct client *c = arg;
	struct order **at = &c->orders, *o;

	while (*at && (*at)->tunnel != t)
		at = &(*at)->next;
	o = *at;
	if (!o)
		return;
	*at = o->next;
	if (error)
		retire_tunnel(c, t);
	if (c->inspect)
		inspect_ordered(c->inspect, o->id, error ? INSPECT_FAILED : INSPECT_DONE, error);
	free(o);
}

static char *copy(const char *s)
{
	return s && *s ? xstrdup(s) : NULL;
}

/* NULL: err says why not. */
static struct config_tunnel *make_tunnel(struct client *c, const struct inspect_tunnel *it,
					 struct err *err)
{
	struct config_tunnel *t = config_find_tunnel(c->conf, it->name);
	const char *which;

	if (t && t->start) {
		err_set(err, "there is a tunnel %.100s already", it->name);
		return NULL;
	}
	t = config_add_more(c->conf, it->name, is_used, c);
	if (!t) {
		err_set(err, "too many tunnels");
		return NULL;
	}
	t->subdomain = copy(it->subdomain);
	t->hostname = copy(it->hostname);
	t->host_header = copy(it->host_header);
	t->x_forwarded = it->x_forwarded;
	t->insecure = it->insecure;
	t->remote_port = it->remote_port;
	t->inspect = it->inspect;
	if ((!it->more || config_yaml_tunnel(t, it->more, err)) &&
	    config_set_protos(t, it->proto ? it->proto : "http+https", it->addr, it->name, err) &&
	    config_complete_tunnel(t, &which, err) && protocol_fit(c->conf, t, &which, err))
		return t;
	retire_tunnel(c, t);
	return NULL;
}

static enum inspect_order open_tunnel(void *arg, const struct inspect_tunnel *it, uint64_t id,
				      struct err *err)
{
	struct client *c = arg;
	struct config_tunnel *t = make_tunnel(c, it, err);
	struct order *o;

	if (!t)
		return INSPECT_REFUSED;
	if (!c->uplink->ops->open_tunnel(c->uplink, t)) {
		/* ngrok's words: there are programs that try again when they see them. */
		err_set(err, "tunnel session not ready yet");
		retire_tunnel(c, t);
		return INSPECT_FAILED;
	}
	t->start = true;
	o = xcalloc(1, sizeof(*o));
	*o = (struct order){c->orders, t, id};
	c->orders = o;
	return INSPECT_LATER;
}

static enum inspect_order close_tunnel(void *arg, const struct model_tunnel *m, uint64_t id,
				       struct err *err)
{
	struct client *c = arg;
	const struct config_tunnel *conf = m->conf;
	struct config_tunnel *t;
	size_t i = 0;

	while ((t = config_tunnel_at(c->conf, i)) && t != conf)
		i++;
	enum uplink_closing how = c->uplink->ops->close_tunnel(c->uplink, t);

	retire_tunnel(c, conf);
	return how == UPLINK_RESTARTED ? INSPECT_RESTARTED : INSPECT_DONE;
}

static const struct uplink_hooks uplink_hooks = {.on_refused = on_refused,
						 .on_ordered = on_ordered};

/* ---- signals ---- */

static void on_end_signal(evutil_socket_t sig, short what, void *arg)
{
	struct client *c = arg;

	log_info("", "Ending: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
	loop_stop(c->loop);
}

/* The log is to be opened again, or the terminal has gone. */
static void on_hangup_signal(evutil_socket_t sig, short what, void *arg)
{
	struct client *c = arg;

	log_reopen();
	if (c->on_terminal && !isatty(STDOUT_FILENO)) {
		log_info("", "Ending: the terminal is gone");
		loop_stop(c->loop);
	}
}

static void catch_signals(struct client *c)
{
	static const struct {
		int sig;
		event_callback_fn fn;
	} table[SIGNALS] = {
		{SIGINT, on_end_signal}, {SIGTERM, on_end_signal}, {SIGHUP, on_hangup_signal}};

	for (int i = 0; i < SIGNALS; i++) {
		c->signals[i] = evsignal_new(loop_base(c->loop), table[i].sig, table[i].fn, c);
		event_add(c->signals[i], NULL);
	}
}

static void on_tidy(void *arg)
{
	struct client *c = arg;

	memory_tidy();
	loop_after(&c->tidy, LIMIT_TIDY_MS);
}

/* ---- start and end ---- */

/* The proxy's URL and the name of the key or variable that holds it. NULL: there is none. */
static const char *http_proxy_url(const struct config *conf, const char **name)
{
	static const char *const names[] = {"http_proxy",  "HTTP_PROXY", "https_proxy",
					    "HTTPS_PROXY", "all_proxy",  "ALL_PROXY"};
	const char *url = conf->http_proxy;

	*name = names[0];
	for (size_t i = 0; (!url || !*url) && i < sizeof(names) / sizeof(names[0]); i++) {
		*name = names[i];
		url = getenv(names[i]);
	}
	return url && *url ? url : NULL;
}

/* The proxy of the configuration, else the environment's, unless no_proxy exempts the server. */
static bool choose_http_proxy(struct client *c, struct err *err)
{
	const struct endpoint *server = &c->conf->server;
	const char *exempt = getenv("no_proxy"), *name;
	const char *url = http_proxy_url(c->conf, &name);

	if (!url)
		return true;
	if (!http_proxy_parse(&c->http_proxy, url, err))
		return err_set(err, "%s: %s", name, err->text);
	if (!exempt)
		exempt = getenv("NO_PROXY");
	if (no_proxy_match(exempt, server->host, server->port)) {
		log_info("", "No HTTP proxy for %s: no_proxy exempts it", server->text);
		http_proxy_free(&c->http_proxy);
	}
	return true;
}

static uint32_t live_rtt(void *arg)
{
	struct client *c = arg;

	return c->uplink->ops->rtt_us(c->uplink);
}

static void live_bytes(void *arg, uint64_t *in, uint64_t *out)
{
	struct client *c = arg;

	visits_bytes(c->visits, in, out);
}

static void on_quit(void *arg, const char *why)
{
	struct client *c = arg;

	log_info("", "Ending: %s", why);
	loop_stop(c->loop);
}

/* What stdout gets. */
static void start_display(struct client *c)
{
	c->on_terminal = isatty(STDOUT_FILENO);
	if (!log_to_stdout())
		c->term = term_start(c->loop, &(struct term_conf){.model = c->model,
								  .on_quit = on_quit,
								  .arg = c});
	if (log_is_json()) {
		if (!c->term)
			log_events_on_stdout();
		console_start_events(&c->console, c->model, c->term);
	} else if (log_to_stdout()) {
		console_start_secrets(&c->console, c->model);
	} else if (!c->term) {
		console_start(&c->console, c->model, c->conf->server.text);
	}
}

static bool is_ours(void *arg, const struct addr *peer)
{
	struct client *c = arg;

	return visits_at_inspector(c->visits, peer);
}

static const struct inspect_hooks inspect_hooks = {
	.open = open_tunnel, .close = close_tunnel, .is_ours = is_ours};

/* -inspectpublic: one more tunnel, which leads to the inspector. */
static bool publish_inspector(struct client *c, struct err *err)
{
	struct config_tunnel *t = config_add_tunnel(c->conf, "inspector");
	const char *which;

	if (!config_set_protos(t, "http", inspect_addr(c->inspect), t->name, err) ||
	    !protocol_fit(c->conf, t, &which, err))
		return err_set(err, "-inspectpublic: %s", err->text);
	t->inspect = false;
	t->start = true;
	return true;
}

/* The screen's list of requests. */
static void on_capture(void *arg, enum capture_event ev, const struct capture_txn *t,
		       const struct capture_frame *f)
{
	struct client *c = arg;

	if (!c->term || !t->req_head.text ||
	    (ev != CAPTURE_EV_BEGUN && ev != CAPTURE_EV_HEAD && ev != CAPTURE_EV_FINISHED))
		return;
	size_t path_len = strcspn(t->req_head.text + t->target.off, "? ");
	char *method = xstrndup(t->req_head.text + t->method.off, t->method.len);
	char *path = xstrndup(t->req_head.text + t->target.off, path_len);
	char *reason = capture_reason(t);

	term_request(c->term, &(struct term_request){.id = t->seq,
						     .method = method,
						     .path = path,
						     .status = t->status,
						     .reason = reason});
	free(method);
	free(path);
	free(reason);
}

static bool start_inspector(struct client *c, struct err *err)
{
	struct capture_limits limits;

	if (!c->conf->inspect.text)
		return true;
	if (config_capture_limits(c->conf, &limits.max_body, &limits.max_total))
		c->capture = capture_new(&limits);
	c->inspect = inspect_start(c->loop,
				   &(struct inspect_conf){.config = c->conf,
							  .model = c->model,
							  .capture = c->capture,
							  .hooks = &inspect_hooks,
							  .arg = c},
				   err);
	if (!c->inspect)
		return false;
	c->watch = (struct capture_watch){.fn = on_capture, .arg = c};
	if (c->capture)
		capture_watch(c->capture, &c->watch);
	term_set_web(c->term, inspect_url(c->inspect));
	bool moved = c->conf->inspect.port && c->conf->inspect.port != inspect_port(c->inspect);

	console_web(&c->console, inspect_url(c->inspect), moved ? c->conf->inspect.text : NULL);
	log_event("web", "url", inspect_url(c->inspect), NULL);
	return !c->conf->inspect_public || publish_inspector(c, err);
}

static const struct uplink_ops *const uplinks[PROTOCOLS] = {
	[PROTOCOL_PGROK] = &uplink_pgrok, [PROTOCOL_DRIP] = &uplink_drip};

static bool client_start(struct client *c, struct err *err)
{
	const struct config *conf = c->conf;

	if (!choose_http_proxy(c, err))
		return false;
	c->loop = loop_new();
	struct connector_conf cc = {
		.server = &conf->server,
		.proxy = c->http_proxy.host ? &c->http_proxy : NULL,
		.tls = {.host_roots = conf->trust_host_root_certs,
			.root_cas = conf->root_cas,
			.pin = conf->server_pin,
			.cert = conf->tls_client_crt,
			.key = conf->tls_client_key,
			.names = {.cert = "-tlsClientCrt (tls_client_crt)",
				  .key = "-tlsClientKey (tls_client_key)",
				  .ca = "-rootCA (root_cas)"}},
	};
	c->connector = connector_new(c->loop, &cc, err);
	if (!c->connector)
		return false;
	c->model = model_new();
	catch_signals(c);
	loop_timer_init(&c->tidy, c->loop, on_tidy, c);
	on_tidy(c); /* what is in use now is what it will be compared with */
	start_display(c);
	if (!start_inspector(c, err))
		return false;
	c->visits = visits_new(
		c->loop,
		&(struct visits_conf){.model = c->model,
				      .capture = c->capture,
				      .inspect_port = c->inspect ? inspect_port(c->inspect) : 0});
	c->uplink = uplinks[conf->protocol]->start(&(struct uplink_conf){.loop = c->loop,
									 .connector = c->connector,
									 .config = c->conf,
									 .model = c->model,
									 .visits = c->visits,
									 .hooks = &uplink_hooks,
									 .arg = c});
	model_set_live(c->model,
		       &(struct model_live){.bytes = live_bytes, .rtt_us = live_rtt, .arg = c});
	return true;
}

static void client_end(struct client *c)
{
	static const char why[] = "the client ends";

	term_close(c->term);
	inspect_close(c->inspect);
	c->inspect = NULL;
	loop_timer_stop(&c->tidy);
	if (c->model)
		model_set_live(c->model, NULL);
	for (int i = 0; i < SIGNALS; i++) {
		if (c->signals[i])
			event_free(c->signals[i]);
	}
	visits_close(c->visits, why);
	if (c->uplink)
		c->uplink->ops->close(c->uplink, why);
	connector_close(c->connector, why);
	if (c->loop)
		loop_free(c->loop);
	capture_free(c->capture);
	model_free(c->model);
	http_proxy_free(&c->http_proxy);
}

int client_run(struct config *conf)
{
	struct client c = {.conf = conf};
	struct err err;

	socket_raise_nofile();
	if (client_start(&c, &err)) {
		loop_run(c.loop);
	} else {
		log_error("", "%s", err.text);
		term_close(c.term);
		c.term = NULL;
		console_line(stdout, "%s", err.text);
		c.status = 1;
	}
	client_end(&c);
	return c.status;
}
