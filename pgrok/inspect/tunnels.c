/* /api/tunnels: what there is, and orders to open or close one. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pgrok/inspect/parts.h"

#define ORDERS_MAX 16
#define NAME_BYTES 200 /* of a tunnel; its protocol's goes behind it */

/* An order that waits for the server's word. */
struct order {
	struct order *next;
	uint64_t id, req; /* req: of httpd */
	char *name;       /* of the tunnel; NULL: it is to be closed */
};

void api_tunnels(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct model *m = i->conf.model;
	struct text t = {0};

	text_put(&t, "{\"tunnels\":[");
	for (size_t k = 0; k < m->tunnels_n; k++)
		form_tunnel(i, &t, &m->tunnels[k]);
	text_put(&t, "],\"uri\":\"/api/tunnels\"}");
	answer_text(r, 200, JSON_TYPE, &t);
}

void api_tunnel(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct model_tunnel *m = inspect_tunnel_named(i, httpd_rest(r));
	struct text t = {0};

	if (!m) {
		answer_error(r, 404, "no tunnel %.200s", httpd_rest(r));
		return;
	}
	form_tunnel(i, &t, m);
	answer_text(r, 200, JSON_TYPE, &t);
}

/* ---- orders ---- */

/* Answers an order that has ended. name: of the tunnel to show; NULL: it was to be closed. */
static void answer_order(struct inspect *i, struct httpd_req *r, const char *name,
			 enum inspect_order how, const char *err)
{
	const struct model_tunnel *m = name ? inspect_tunnel_named(i, name) : NULL;
	struct text t = {0};

	if (how == INSPECT_REFUSED) {
		answer_error(r, name ? 400 : 404, "%s", err);
	} else if (how == INSPECT_FAILED) {
		answer_error(r, 502, "%s", err);
	} else if (name && m) {
		form_tunnel(i, &t, m);
		answer_text(r, 201, JSON_TYPE, &t);
	} else if (name) {
		answer_error(r, 502, "the tunnel did not come up");
	} else if (how == INSPECT_RESTARTED) {
		text_put(
			&t,
			"{\"msg\":\"the server can't close a single tunnel: connected again without it\"}");
		answer_text(r, 200, JSON_TYPE, &t);
	} else {
		httpd_answer(r, 204, NULL, "", 0);
	}
}

static void order_free(struct order *o)
{
	free(o->name);
	free(o);
}

void orders_free(struct inspect *i)
{
	while (i->orders) {
		struct order *o = i->orders;

		i->orders = o->next;
		order_free(o);
	}
}

void inspect_ordered(struct inspect *i, uint64_t order, enum inspect_order how, const char *err)
{
	struct order **at = &i->orders, *o;

	while (*at && (*at)->id != order)
		at = &(*at)->next;
	o = *at;
	if (!o)
		return;
	*at = o->next;
	struct httpd_req *r = httpd_find(i->httpd, o->req);

	if (r)
		answer_order(i, r, o->name, how, err ? err : "");
	order_free(o);
}

static void wait_for(struct inspect *i, struct httpd_req *r, uint64_t id, const char *name)
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->id = id;
	o->req = httpd_id(r);
	o->name = name ? xstrdup(name) : NULL;
	o->next = i->orders;
	i->orders = o;
}

static bool too_many(const struct inspect *i)
{
	unsigned n = 0;

	for (const struct order *o = i->orders; o; o = o->next)
		n++;
	return n >= ORDERS_MAX;
}

/* A member that is a text; NULL: not there. Others make *ok false. */
static const char *member(const json_t *body, const char *key, bool *ok)
{
	const json_t *v = json_object_get(body, key);

	if (!v || json_is_null(v))
		return NULL;
	*ok &= json_is_string(v);
	return json_string_value(v);
}

/* "addr" may be a number: a port of this machine. */
static const char *addr_member(const json_t *body, char buf[static 16], bool *ok)
{
	const json_t *v = json_object_get(body, "addr");

	if (!json_is_integer(v))
		return member(body, "addr", ok);
	*ok &= json_integer_value(v) > 0 && json_integer_value(v) < 65536;
	snprintf(buf, 16, "%d", (int)json_integer_value(v));
	return buf;
}

/* ngrok's ways to choose between http and https; else what proto says. */
static const char *proto_member(const json_t *body, bool *ok)
{
	const char *proto = member(body, "proto", ok), *word;
	const json_t *schemes = json_object_get(body, "schemes"), *one;
	const json_t *tls = json_object_get(body, "bind_tls");
	bool http = json_is_false(tls), https = json_is_true(tls);
	size_t k;

	if (!schemes && !tls)
		return proto;
	word = json_string_value(tls);
	if (word && strcmp(word, "both") == 0)
		http = https = true;
	json_array_foreach(schemes, k, one)
	{
		word = json_string_value(one);
		http |= word && strcmp(word, "http") == 0;
		https |= word && strcmp(word, "https") == 0;
	}
	*ok &= (http || https) && (!proto || strcmp(proto, "http") == 0);
	return http && https ? "http+https" : https ? "https" : "http";
}

/* A name that differs from the one in the file, or a form that does. */
static bool is_ngroks(const char *key)
{
	static const char *const keys[] = {
		"name",      "proto",       "addr",        "subdomain",  "hostname", "domain",
		"schemes",   "bind_tls",    "inspect",     "basic_auth", "metadata", "remote_port",
		"authtoken", "host_header", "x_forwarded", "insecure",
	};

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
		if (strcmp(key, keys[k]) == 0)
			return true;
	return false;
}

/*
 * All other keys are those of a tunnel in the file. None is passed over in silence: it may be to
 * keep visitors out. Returns owned; NULL: there are none.
 */
static char *other_keys(json_t *body)
{
	json_t *more = json_object(), *v = json_object_get(body, "basic_auth");
	const char *key;
	char *text = NULL;

	if (v && !json_is_null(v))
		(void)!json_object_set(more, "auth", v);
	json_object_foreach(body, key, v)
	{
		if (!is_ngroks(key) && !json_is_null(v))
			(void)!json_object_set(more, key, v);
	}
	if (json_object_size(more))
		text = json_dumps(more, JSON_COMPACT);
	json_decref(more);
	return text;
}

static bool bool_member(const json_t *body, const char *key, bool def, bool *ok)
{
	const json_t *v = json_object_get(body, key);

	*ok &= !v || json_is_boolean(v);
	return v ? json_is_true(v) : def;
}

static bool read_tunnel(const json_t *body, struct inspect_tunnel *t, char addr[static 16])
{
	const json_t *port = json_object_get(body, "remote_port");
	bool ok = json_is_object(body);
	const char *domain = member(body, "domain", &ok);

	*t = (struct inspect_tunnel){
		.name = member(body, "name", &ok),
		.proto = proto_member(body, &ok),
		.addr = addr_member(body, addr, &ok),
		.subdomain = member(body, "subdomain", &ok),
		.hostname = domain ? domain : member(body, "hostname", &ok),
		.host_header = member(body, "host_header", &ok),
		.inspect = bool_member(body, "inspect", true, &ok),
		.x_forwarded = bool_member(body, "x_forwarded", false, &ok),
		.insecure = bool_member(body, "insecure", false, &ok),
	};
	if (port && (!json_is_integer(port) || json_integer_value(port) < 0 ||
		     json_integer_value(port) > 65535))
		return false;
	t->remote_port = (uint16_t)json_integer_value(port);
	return ok && t->name && *t->name && strlen(t->name) <= NAME_BYTES && t->addr;
}

void api_tunnels_open(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct inspect_hooks *hooks = i->conf.hooks;
	size_t len;
	const char *text = httpd_body(r, &len);
	json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct inspect_tunnel t;
	char addr[16];
	struct err err = {""};
	uint64_t id = ++i->order_ids;
	char *more = other_keys(body);

	if (!read_tunnel(body, &t, addr)) {
		answer_error(
			r, 400,
			"a JSON object with name (200 bytes at most) and addr is needed, each value of its type");
	} else if (!config_host_header_valid(t.host_header)) {
		answer_error(r, 400, "host_header is rewrite or a host name");
	} else if (!hooks || !hooks->open) {
		answer_error(r, 501, "tunnels can't be opened here");
	} else if (too_many(i)) {
		answer_error(r, 503, "too many orders at once");
	} else {
		t.more = more;
		enum inspect_order how = hooks->open(i->conf.arg, &t, id, &err);

		if (how == INSPECT_LATER)
			wait_for(i, r, id, t.name);
		else
			answer_order(i, r, t.name, how, err.text);
	}
	xfree_secret_str(more);
	json_decref(body);
}

void api_tunnel_close(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct inspect_hooks *hooks = i->conf.hooks;
	struct err err = {""};
	uint64_t id = ++i->order_ids;

	const struct model_tunnel *m = inspect_tunnel_named(i, httpd_rest(r));

	if (!m) {
		answer_error(r, 404, "no tunnel %.200s", httpd_rest(r));
	} else if (!hooks || !hooks->close) {
		answer_error(r, 501, "tunnels can't be closed here");
	} else if (too_many(i)) {
		answer_error(r, 503, "too many orders at once");
	} else {
		enum inspect_order how = hooks->close(i->conf.arg, m, id, &err);

		if (how == INSPECT_LATER)
			wait_for(i, r, id, NULL);
		else
			answer_order(i, r, NULL, how, err.text);
	}
}
