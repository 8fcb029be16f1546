/* The running client: loop, connector, model, session, proxies and signals put together. */
#include "pgrok/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/listener.h"
#include "common/log.h"
#include "pgrok/console.h"
#include "pgrok/mux_link.h"
#include "pgrok/proxy.h"
#include "pgrok/session.h"
#include "pgrok/term.h"

#define SIGNALS 3

struct client {
	struct config *conf;
	struct loop *loop;
	struct http_proxy http_proxy; /* host NULL: none */
	struct connector *connector;
	struct model *model;
	struct capture *capture; /* NULL: nothing is captured */
	struct session *session;
	struct proxies *proxies;
	struct mux_link *link;
	struct console console;
	struct term *term; /* NULL: stdout is no screen */
	bool on_terminal;  /* stdout was one when we began */
	struct event *signals[SIGNALS];
	int status;
};

/* ---- what session and proxies ask of each other ---- */

static void on_req_proxy(void *arg, const char *client_id)
{
	struct client *c = arg;

	proxies_add(c->proxies, client_id);
}

static void on_mux(void *arg, const char *client_id)
{
	struct client *c = arg;

	mux_link_grant(c->link, client_id);
}

static void on_tunnel(void *arg)
{
	struct client *c = arg;

	proxies_tunnel_up(c->proxies);
}

static void on_lost(void *arg)
{
	struct client *c = arg;

	mux_link_revoke(c->link);
	proxies_drop_waiting(c->proxies);
}

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

static bool expects_tunnels(void *arg)
{
	struct client *c = arg;

	return c->session && session_expects_tunnels(c->session);
}

static const struct session_hooks session_hooks = {
	.req_proxy = on_req_proxy,
	.mux = on_mux,
	.tunnel = on_tunnel,
	.lost = on_lost,
	.refused = on_refused,
};

/* ---- signals ---- */

static void on_end_signal(evutil_socket_t sig, short what, void *arg)
{
	struct client *c = arg;

	log_info("", "ending: %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
	loop_stop(c->loop);
}

/* Somebody wants the log opened again, or the terminal says goodbye. */
static void on_hangup_signal(evutil_socket_t sig, short what, void *arg)
{
	struct client *c = arg;

	log_reopen();
	if (c->on_terminal && !isatty(STDOUT_FILENO)) {
		log_info("", "ending: the terminal is gone");
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

/* ---- start and end ---- */

/* The proxy of the configuration, else the environment's, unless no_proxy exempts the server. */
static bool choose_http_proxy(struct client *c, char err[static 256])
{
	const struct endpoint *server = &c->conf->server;
	const char *url = c->conf->http_proxy;
	const char *exempt = getenv("no_proxy");

	if (!url || !*url)
		url = getenv("http_proxy");
	if (!url || !*url)
		return true;
	if (!http_proxy_parse(&c->http_proxy, url, err))
		return false;
	if (!exempt)
		exempt = getenv("NO_PROXY");
	if (no_proxy_match(exempt, server->host, server->port)) {
		log_info("", "no_proxy exempts %s from the HTTP proxy", server->text);
		http_proxy_free(&c->http_proxy);
	}
	return true;
}

static uint32_t live_rtt(void *arg)
{
	struct client *c = arg;

	return mux_link_rtt_us(c->link);
}

static void live_bytes(void *arg, uint64_t *in, uint64_t *out)
{
	struct client *c = arg;

	proxies_bytes(c->proxies, in, out);
}

static void on_quit(void *arg, const char *why)
{
	struct client *c = arg;

	log_info("", "ending: %s", why);
	loop_stop(c->loop);
}

/* What stdout gets. */
static void start_display(struct client *c)
{
	c->on_terminal = isatty(STDOUT_FILENO);
	if (!log_to_stdout())
		c->term = term_start(
			c->loop, &(struct term_conf){.model = c->model, .quit = on_quit, .arg = c});
	if (log_is_json()) {
		if (!c->term)
			log_events_on_stdout();
		console_start_events(&c->console, c->model);
	} else if (!c->term && !log_to_stdout()) {
		console_start(&c->console, c->model, c->conf->server.text);
	}
}

static bool client_start(struct client *c, char err[static 256])
{
	const struct config *conf = c->conf;

	if (!choose_http_proxy(c, err))
		return false;
	c->loop = loop_new("pgrok");
	struct connector_conf cc = {
		.server = &conf->server,
		.proxy = c->http_proxy.host ? &c->http_proxy : NULL,
		.tls = {.host_roots = conf->trust_host_root_certs,
			.root_cas = conf->root_cas,
			.pin = conf->server_pin,
			.cert = conf->tls_client_crt,
			.key = conf->tls_client_key},
	};
	c->connector = connector_new(c->loop, &cc, err);
	if (!c->connector)
		return false;
	c->model = model_new();
	catch_signals(c);
	start_display(c);
	if (conf->inspect_public)
		log_warn("", "-inspectpublic: this version has no inspector to publish");
	struct capture_limits limits;

	if (capture_limits(conf, &limits))
		c->capture = capture_new(&limits);
	c->proxies = proxies_new(c->loop, &(struct proxies_conf){.connector = c->connector,
								 .model = c->model,
								 .capture = c->capture,
								 .expects_tunnels = expects_tunnels,
								 .arg = c});
	c->link = mux_link_new(c->loop, c->connector, c->proxies);
	c->session = session_new(c->loop, c->connector, c->conf, c->model, &session_hooks, c);
	model_set_live(c->model,
		       &(struct model_live){.bytes = live_bytes, .rtt_us = live_rtt, .arg = c});
	return true;
}

static void client_end(struct client *c)
{
	term_close(c->term);
	if (c->model)
		model_set_live(c->model, NULL);
	for (int i = 0; i < SIGNALS; i++) {
		if (c->signals[i])
			event_free(c->signals[i]);
	}
	if (c->session)
		session_close(c->session, "the client ends");
	mux_link_close(c->link);
	if (c->proxies)
		proxies_close(c->proxies);
	connector_free(c->connector);
	if (c->loop)
		loop_free(c->loop);
	capture_free(c->capture);
	model_free(c->model);
	http_proxy_free(&c->http_proxy);
}

int client_run(struct config *conf)
{
	struct client c = {.conf = conf};
	char err[256];

	socket_raise_nofile();
	if (client_start(&c, err)) {
		loop_run(c.loop);
	} else {
		log_error("", "%s", err);
		console_line(stdout, "%s", err);
		c.status = 1;
	}
	client_end(&c);
	return c.status;
}
