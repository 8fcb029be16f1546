/* The admin listener: who may ask, and what is answered at once. */
#include "pgrokd/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "pgrokd/admin/parts.h"

/* ---- answers ---- */

static void on_health(void *arg, struct httpd_req *r)
{
	const struct admin *a = arg;
	struct text t = {0};

	drip_health(a, &t);
	httpd_answer(r, 200, "application/json; charset=utf-8", t.p, t.len);
	text_free(&t);
}

static void on_ready(void *arg, struct httpd_req *r)
{
	const struct admin *a = arg;

	httpd_text(r, a->stopping ? 503 : 200, a->stopping ? "stopping\n" : "ready\n");
}

/* A request that waits for a census. */
struct ask {
	LIST_ENTRY(ask) link;
	struct admin *admin;
	uint64_t request; /* httpd_id() */
	void (*answer)(struct admin *a, struct httpd_req *r, const struct census *c);
};

static void on_census(void *arg, const struct census *c)
{
	struct ask *ask = arg;
	struct httpd_req *r = httpd_find(ask->admin->httpd, ask->request);

	if (r)
		ask->answer(ask->admin, r, c);
	LIST_REMOVE(ask, link);
	free(ask);
}

static void ask_all(struct admin *a, const struct httpd_req *r,
		    void (*answer)(struct admin *a, struct httpd_req *r, const struct census *c))
{
	struct ask *own = xcalloc(1, sizeof(*own));

	own->admin = a;
	own->request = httpd_id(r);
	own->answer = answer;
	LIST_INSERT_HEAD(&a->asks, own, link);
	census_ask(a->core, a->loop, on_census, own);
}

static void on_stats(void *arg, struct httpd_req *r)
{
	ask_all(arg, r, drip_stats);
}

static void tell_metrics(struct admin *a, struct httpd_req *r, const struct census *c)
{
	struct text t = {0};

	numbers_metrics(a, &t, c);
	owners_metrics(a, &t);
	if (strcmp(a->core->config->metrics_prefix, "drip") == 0) {
		drip_metrics(a, r, t, c);
		return;
	}
	httpd_answer(r, 200, METRICS_MIME, t.p, t.len);
	text_free(&t);
}

static void on_metrics(void *arg, struct httpd_req *r)
{
	ask_all(arg, r, tell_metrics);
}

static const struct httpd_route routes[] = {
	{"GET", "/", page_index},
	{"GET", "/static/*", page_static},
	{"GET", "/health", on_health},
	{"GET", "/ready", on_ready},
	{"GET", "/stats", on_stats},
	{"GET", "/metrics", on_metrics},
	{"GET", "/tunnels", tunnels_list},
	{"DELETE", "/tunnels/*", tunnels_close},
	{"GET", "/tokens", owners_list},
	{"POST", "/tokens/*", owners_revoke},
	{NULL, NULL, NULL},
};

/* ---- life ---- */

bool admin_bind(const struct config *c, struct listener_fds *fds, bool *tls, struct err *err)
{
	if (!listener_bind(c->admin_addr, fds, err))
		return err_set(err, "-adminAddr: %s", err->text);
	struct addr bound = listener_addr(fds);

	*tls = !addr_is_loopback(&bound);
	if (!*tls || c->admin_token)
		return true;
	listener_fds_close(fds);
	return err_set(err,
		       "-adminAddr: %s can be reached from other machines: that needs -adminToken",
		       c->admin_addr);
}

/* By which names it may be asked for, besides addresses. */
static void allow_names(struct admin *a)
{
	const struct config *c = a->core->config;
	char host[256], port[16];
	const char *why;
	struct addr ip;

	if (addr_split(c->admin_addr, host, sizeof(host), port, sizeof(port), &why) && *host &&
	    !addr_numeric(host, 0, &ip))
		httpd_allow_host(a->httpd, host, c->admin_token != NULL);
	if (c->admin_token)
		httpd_allow_host(a->httpd, c->domain, true);
}

struct admin *admin_start(struct loop *l, struct listener_fds *fds, const struct core *core,
			  SSL_CTX *tls, const struct admin_hooks *hooks, void *arg)
{
	struct admin *a = xcalloc(1, sizeof(*a));
	struct addr bound = listener_addr(fds);
	char text[ADDR_TEXT];

	a->loop = l;
	a->core = core;
	a->hooks = hooks;
	a->hooks_arg = arg;
	a->started_us = clock_wall_us();
	LIST_INIT(&a->asks);
	a->httpd = httpd_start(l, fds,
			       &(struct httpd_config){.name = "admin",
						      .routes = routes,
						      .arg = a,
						      .refuse = page_refuse,
						      .token = core->config->admin_token,
						      .token_local = true,
						      .tls = tls});
	allow_names(a);
	log_info("admin", "Listening for the operator on %s://%s", tls ? "https" : "http",
		 addr_text(&bound, text));
	return a;
}

void admin_set_tls(struct admin *a, SSL_CTX *tls)
{
	if (tls)
		httpd_set_tls(a->httpd, tls);
}

void admin_stopping(struct admin *a)
{
	a->stopping = true;
}

void admin_close(struct admin *a)
{
	if (!a)
		return;
	httpd_close(a->httpd);
	for (struct ask *ask; (ask = LIST_FIRST(&a->asks));) {
		LIST_REMOVE(ask, link);
		free(ask);
	}
	loop_free_later(a->loop, a, NULL);
}
