/* The inspector's beginning and end: address, routes, guards, files of the page. See inspect.h. */
#include "pgrok/inspect/inspect.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "assets/assets.h"
#include "common/net/listener.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/randid.h"
#include "pgrok/inspect/parts.h"

#define PAGE "/http/in"
#define REPLAY_BODY_MAX \
	(4u << 20) /* of a request to us: an edited body in base64, and JSON around it */

/* ---- files ---- */

static void serve_file(struct httpd_req *r, const char *path)
{
	char full[256];
	const struct asset *a = NULL;

	if (snprintf(full, sizeof(full), "inspect/%s", path) < (int)sizeof(full))
		a = asset_find(&inspect_assets, full);
	if (a)
		httpd_cached(r, a->mime, a->etag, a->bytes, a->len);
	else
		httpd_text(r, 404, "404 page not found\n");
}

static void on_page(void *arg, struct httpd_req *r)
{
	serve_file(r, "index.html");
}

static void on_static(void *arg, struct httpd_req *r)
{
	serve_file(r, httpd_rest(r));
}

static void on_elsewhere(void *arg, struct httpd_req *r)
{
	httpd_redirect(r, PAGE);
}

static const struct httpd_route routes[] = {
	{"GET", PAGE, on_page},
	{"GET", "/static/*", on_static},
	{"GET", "/*", on_elsewhere},
	{"POST", "/http/in/replay", compat_replay},
	{"GET", "/_ws", live_compat_upgrade},
	{"GET", "/api/ws", live_upgrade},
	{"GET", "/api/entries", api_entries},
	{"GET", "/api/requests/http", api_requests},
	{"POST", "/api/requests/http", api_replay},
	{"DELETE", "/api/requests/http", api_requests_delete},
	{"GET", "/api/requests/http.har", api_har},
	{"GET", "/api/requests/http/*", api_one},
	{"PATCH", "/api/requests/http/*", api_one_patch},
	{"DELETE", "/api/requests/http/*", api_one_delete},
	{"GET", "/api/search", api_search},
	{"GET", "/api/tunnels", api_tunnels},
	{"POST", "/api/tunnels", api_tunnels_open},
	{"GET", "/api/tunnels/*", api_tunnel},
	{"DELETE", "/api/tunnels/*", api_tunnel_close},
	{"GET", "/api/status", api_status},
	{"GET", "/api/qr", api_qr},
	{"GET", "/api/*", api_unknown},
	{"GET", "/metrics", api_metrics},
	{NULL, NULL, NULL},
};

/* ---- who may ask ---- */

static bool bound_to_everything(const struct addr *a)
{
	if (a->sa.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&a->sa.in6.sin6_addr);
	return a->sa.in.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Does this tunnel lead to us? */
static bool leads_here(const struct inspect *i, const struct model_tunnel *t)
{
	struct addr a;

	if (!t->local->host || t->local->port != addr_get_port(&i->bound))
		return false;
	if (!addr_numeric(t->local->host, 0, &a))
		return true; /* a name: likely this machine's */
	return addr_same_ip(&a, &i->bound) || addr_is_loopback(&a) ||
	       bound_to_everything(&i->bound);
}

/* The host of "http://host:port". False: it does not fit. */
static bool url_host(const char *url, char *out, size_t cap)
{
	const char *from = strstr(url, "://"), *end;
	size_t len;

	from = from ? from + 3 : url;
	end = *from == '[' ? strchr(from, ']') : from + strcspn(from, ":/");
	if (!end)
		return false;
	len = (size_t)(end - from) + (*from == '[');
	if (len >= cap)
		return false;
	memcpy(out, from, len);
	out[len] = '\0';
	return true;
}

/*
 * Somebody comes through a tunnel of ours: then only the tunnel's name will do, which asks for the
 * token; any other name (localhost, behind a tcp tunnel) would be let in without.
 */
static bool guard(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct model *m = i->conf.model;
	char name[256], asked[256];
	bool tunnelled = false;

	for (size_t k = 0; k < m->tunnels_n && !tunnelled; k++)
		tunnelled = leads_here(i, &m->tunnels[k]);
	if (!tunnelled || !i->conf.hooks || !i->conf.hooks->is_ours)
		return true;
	if (!i->conf.hooks->is_ours(i->conf.arg, httpd_peer(r)))
		return true;
	for (size_t k = 0; k < m->tunnels_n; k++) {
		if (leads_here(i, &m->tunnels[k]) &&
		    url_host(m->tunnels[k].url, name, sizeof(name)) &&
		    url_host(httpd_host(r), asked, sizeof(asked)) && !strcasecmp(name, asked))
			return true;
	}
	answer_error(r, 403, "through a tunnel the inspector is reached by the tunnel's name only");
	return false;
}

static void refuse(void *arg, struct httpd_req *r, int status, const char *text)
{
	if (strncmp(httpd_path(r), "/api/", 5) == 0)
		answer_error(r, status, "%s", text);
	else
		httpd_text(r, status, "%s\n", text);
}

/* ---- what happens elsewhere ---- */

static void tell_public(struct inspect *i, const struct model_tunnel *t)
{
	char host[256], note[512];

	if (!leads_here(i, t) || !url_host(t->url, host, sizeof(host)))
		return;
	httpd_allow_host(i->httpd, host, true);
	log_warn("inspect", "%s leads to the inspector; it asks for a token there", t->url);
	snprintf(note, sizeof(note), "The inspector is public, with a token: %s%s?token=%s", t->url,
		 PAGE, i->token);
	model_secret_note(i->conf.model, note);
}

/* Of the tunnel whose visitor came or went. */
static struct meters_one *meters_of(struct inspect *i, const struct model_tunnel *t)
{
	char name[CONFIG_NAME];

	config_tunnel_name(t->conf, t->proto, name);
	return meters_get(&i->meters, name);
}

static void on_model(void *arg, const struct model *m, enum model_event ev)
{
	struct inspect *i = arg;
	char host[256];

	if (ev == MODEL_EV_TUNNEL)
		tell_public(i, m->changed);
	if (ev == MODEL_EV_TRAFFIC && m->changed && m->ended_ms < 0)
		meter_begin(&meters_of(i, m->changed)->conns, clock_ns());
	else if (ev == MODEL_EV_TRAFFIC && m->changed)
		meter_end(&meters_of(i, m->changed)->conns, (uint64_t)m->ended_ms * 1000000);
	if (ev == MODEL_EV_GONE)
		meters_drop(&i->meters, meters_of(i, m->changed));
	if (ev == MODEL_EV_GONE && leads_here(i, m->changed) &&
	    url_host(m->changed->url, host, sizeof(host)))
		httpd_disallow_host(i->httpd, host);
	if (ev != MODEL_EV_NOTE)
		live_state(i->live, ev != MODEL_EV_TRAFFIC);
}

static void on_capture(void *arg, enum capture_event ev, const struct capture_txn *x,
		       const struct capture_frame *f)
{
	struct inspect *i = arg;

	if (ev == CAPTURE_EV_FINISHED)
		meter_add(&meters_get(&i->meters, x->tunnel->name)->http, clock_ns(),
			  capture_duration_ns(x), x->status);
	live_capture(i->live, ev, x, f);
}

/* ---- begin, end ---- */

/* The address of the configuration, or the same host with a free port if it is taken. */
static bool bind_address(const struct endpoint *at, struct listener_fds *fds, struct err *err)
{
	char text[300];
	bool v6 = strchr(at->host, ':') != NULL;

	if (listener_bind(at->text, fds, err))
		return true;
	if (!strstr(err->text, "in use")) {
		err_set(err, "-inspectaddr (inspect_addr): %s", err->text);
		return false;
	}
	snprintf(text, sizeof(text), v6 ? "[%s]:0" : "%s:0", at->host);
	log_warn("inspect", "%s: another port is taken for the inspector", err->text);
	return listener_bind(text, fds, err);
}

static void set_address(struct inspect *i, const struct listener_fds *fds)
{
	char text[ADDR_TEXT];

	i->bound = listener_addr(fds);
	if (bound_to_everything(&i->bound))
		snprintf(text, sizeof(text), "127.0.0.1:%u", addr_get_port(&i->bound));
	else
		addr_text(&i->bound, text);
	i->addr = xstrdup(text);
	i->url = xasprintf("http://%s", text);
	log_info("inspect", "web interface at %s", i->url);
}

/* As pgrok's, it is open where it is bound; but nobody is to find that out afterwards. */
static void tell_open(struct inspect *i)
{
	char note[256], where[ADDR_TEXT];

	if (addr_is_loopback(&i->bound))
		return;
	addr_text(&i->bound, where);
	snprintf(
		note, sizeof(note),
		"The inspector is open to everybody who can reach %s%s: captured requests, replays, "
		"tunnels",
		bound_to_everything(&i->bound) ? "this machine at " : "", where);
	log_warn("inspect", "%s", note);
	model_note(i->conf.model, note);
}

struct inspect *inspect_start(struct loop *l, const struct inspect_conf *conf, struct err *err)
{
	static const struct capture_limits nothing;
	struct listener_fds fds;
	struct inspect *i;

	if (!bind_address(&conf->config->inspect, &fds, err))
		return NULL;
	i = xcalloc(1, sizeof(*i));
	i->loop = l;
	i->conf = *conf;
	i->own = conf->capture ? NULL : capture_new(&nothing);
	i->capture = conf->capture ? conf->capture : i->own;
	i->started_us = clock_wall_us();
	i->token = xmalloc(33);
	rand_hex(i->token, 16);
	set_address(i, &fds);
	i->replays = replays_new(l, i->capture);
	i->live = live_new(i);
	i->httpd = httpd_start(l, &fds,
			       &(struct httpd_config){.name = "inspect",
						      .routes = routes,
						      .arg = i,
						      .guard = guard,
						      .refuse = refuse,
						      .body_max = REPLAY_BODY_MAX,
						      .token = i->token});
	for (size_t k = 0; k < conf->config->web_allow_hosts_n; k++)
		httpd_allow_host(i->httpd, conf->config->web_allow_hosts[k], false);
	i->model_watch = (struct model_watch){.fn = on_model, .arg = i};
	model_watch(conf->model, &i->model_watch);
	i->capture_watch = (struct capture_watch){.fn = on_capture, .arg = i};
	capture_watch(i->capture, &i->capture_watch);
	tell_open(i);
	return i;
}

static void inspect_free(void *arg)
{
	struct inspect *i = arg;

	meters_free(&i->meters);
	free(i->url);
	free(i->addr);
	xfree_secret_str(i->token);
	free(i);
}

void inspect_close(struct inspect *i)
{
	if (!i)
		return;
	model_unwatch(i->conf.model, &i->model_watch);
	capture_unwatch(i->capture, &i->capture_watch);
	replays_close(i->replays);
	httpd_close(i->httpd);
	orders_free(i);
	live_close(i->live);
	capture_free(i->own);
	loop_free_later(i->loop, i, inspect_free);
}

const char *inspect_url(const struct inspect *i)
{
	return i->url;
}

const char *inspect_addr(const struct inspect *i)
{
	return i->addr;
}

uint16_t inspect_port(const struct inspect *i)
{
	return addr_get_port(&i->bound);
}
