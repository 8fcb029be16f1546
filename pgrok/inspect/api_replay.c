/* POST /api/requests/http and /http/in/replay: send a request once more, as it was or changed. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/text.h"
#include "pgrok/inspect/parts.h"

/* What the body of a POST asks for. */
struct wish {
	const char *id, *tunnel;
	struct replay_edit edit;
	struct text fields, body; /* what edit points into */
	unsigned times;
	uint64_t delay_ms;
	bool plain;        /* ngrok's own keys alone */
	const char *error; /* static; NULL: none */
};

/* ---- reading a wish ---- */

static const char *string_of(struct wish *w, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	if (!v || json_is_null(v))
		return NULL;
	if (!json_is_string(v))
		w->error = "a value has the wrong type";
	return json_string_value(v);
}

static long number_of(struct wish *w, const json_t *o, const char *key, long fallback, long min,
		      long max)
{
	const json_t *v = json_object_get(o, key);

	if (!v || json_is_null(v))
		return fallback;
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max) {
		w->error = "a number is not what it may be";
		return fallback;
	}
	return (long)json_integer_value(v);
}

static bool is_line(const char *s)
{
	return !s[strcspn(s, "\r\n")];
}

static void add_field(struct wish *w, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!name || !text || !*name || !is_line(name) || strchr(name, ':') || !is_line(text)) {
		w->error = "a header has to be a name and a value, each of one line";
		return;
	}
	text_fmt(&w->fields, "%s: %s\r\n", name, text);
}

/* {"Name":["value", ...]} or {"Name":"value"} */
static void fields_of_object(struct wish *w, json_t *headers)
{
	const char *name;
	json_t *values, *one;
	size_t k;

	json_object_foreach(headers, name, values)
	{
		if (!json_is_array(values)) {
			add_field(w, name, values);
			continue;
		}
		json_array_foreach(values, k, one) add_field(w, name, one);
	}
}

static void read_headers(struct wish *w, json_t *headers)
{
	json_t *pair;
	size_t k;

	if (!headers || json_is_null(headers))
		return;
	text_put(&w->fields, "");
	if (json_is_object(headers)) {
		fields_of_object(w, headers);
	} else if (json_is_array(headers)) {
		json_array_foreach(headers, k, pair)
		{
			add_field(w, json_string_value(json_array_get(pair, 0)),
				  json_array_get(pair, 1));
		}
	} else {
		w->error = "headers has the wrong type";
	}
	w->edit.fields = w->fields.p;
}

static void read_body(struct wish *w, const json_t *o)
{
	const json_t *text = json_object_get(o, "body");
	const char *base64 = string_of(w, o, "body_base64");

	if (json_is_string(text))
		text_add(&w->body, json_string_value(text), json_string_length(text));
	else if (text && !json_is_null(text))
		w->error = "body has the wrong type";
	else if (base64 && !text_base64_decode(&w->body, base64))
		w->error = "body_base64 is no base64";
	if (!json_is_string(text) && !base64)
		return;
	text_put(&w->body, "");
	w->edit.body = w->body.p;
	w->edit.body_len = w->body.len;
}

static bool only_ngrok_keys(json_t *o)
{
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v)
	{
		if (strcmp(key, "id") != 0 && strcmp(key, "tunnel_name") != 0)
			return false;
	}
	return true;
}

static void read_wish(struct wish *w, json_t *o)
{
	w->id = string_of(w, o, "id");
	w->tunnel = string_of(w, o, "tunnel_name");
	w->edit.method = string_of(w, o, "method");
	w->edit.path = string_of(w, o, "path");
	w->times = (unsigned)number_of(w, o, "times", 1, 1, REPLAY_TIMES);
	w->delay_ms = (uint64_t)number_of(w, o, "delay_ms", 0, 0, 60000);
	w->plain = only_ngrok_keys(o);
	read_headers(w, json_object_get(o, "headers"));
	read_body(w, o);
	if ((w->edit.method && !is_line(w->edit.method)) ||
	    (w->edit.path && !is_line(w->edit.path)))
		w->error = "method and path are of one line";
}

/* ---- doing it ---- */

/* Where to: the tunnel asked for, or the transaction's own; of http or https. */
static const struct model_tunnel *choose_tunnel(struct inspect *i, const struct wish *w,
						const struct capture_txn *x)
{
	const struct model *m = i->conf.model;
	const char *name = w->tunnel ? w->tunnel : x ? x->tunnel->name : NULL;
	const struct model_tunnel *t = name ? inspect_tunnel_named(i, name) : NULL;

	for (size_t k = 0; !name && !t && k < m->tunnels_n; k++) {
		if (m->tunnels[k].proto != PROTO_TCP)
			t = &m->tunnels[k];
	}
	return t && t->proto != PROTO_TCP ? t : NULL;
}

static bool edited(const struct wish *w)
{
	return w->edit.method || w->edit.path || w->edit.fields || w->edit.body;
}

/* Begins it. ids: room for w->times. 0: done, else the status to refuse it with, and why. */
static int start(struct inspect *i, const struct wish *w, char (*ids)[CAPTURE_ID], const char **why)
{
	const struct capture_txn *x = w->id ? capture_find(i->capture, w->id) : NULL;
	const struct model_tunnel *t = choose_tunnel(i, w, x);
	char name[CONFIG_NAME];
	size_t len;
	bool ok;

	*why = w->id ? "no such request" : "no tunnel of that name that could take it";
	if (w->error)
		*why = w->error;
	if (w->error || (w->id && !x))
		return w->error ? 400 : 404;
	*why = "no http tunnel of that name";
	if (!t)
		return 404;
	const char *host = strstr(t->url, "://");
	char *request = replay_request(x, &w->edit, host ? host + 3 : t->url, &len, why);

	if (!request)
		return x && !w->edit.body && x->req.size > x->req.blob.len ? 409 : 400;
	config_tunnel_name(t->conf, t->proto, name);
	struct replay_target to = {.name = name,
				   .url = t->url,
				   .conf = t->conf,
				   .proto = t->proto,
				   .visitor = x ? x->visitor : ""};
	struct replay_job job = {.request = request,
				 .len = len,
				 .origin = x ? x->id : NULL,
				 .edited = x && edited(w),
				 .times = w->times,
				 .delay_ms = w->delay_ms};

	ok = replay_start(i->replays, &to, &job, ids);
	free(request);
	*why = "too many replays at once";
	return ok ? 0 : 503;
}

static void answer_ids(struct httpd_req *r, char (*ids)[CAPTURE_ID], unsigned n)
{
	struct text t = {0};

	text_put(&t, "{\"ids\":[");
	for (unsigned k = 0; k < n; k++) {
		text_comma(&t);
		text_json_str(&t, ids[k]);
	}
	text_put(&t, "]}");
	answer_text(r, 202, JSON_TYPE, &t);
}

void api_replay(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	struct wish w = {0};
	char ids[REPLAY_TIMES][CAPTURE_ID];
	const char *why;
	size_t len;
	const char *text = httpd_body(r, &len);
	json_t *body = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	int refused;

	if (!json_is_object(body)) {
		json_decref(body);
		answer_error(r, 400, "the body has to be a JSON object");
		return;
	}
	read_wish(&w, body);
	refused = start(i, &w, ids, &why);
	if (refused)
		answer_error(r, refused, "%s", why);
	else if (w.plain)
		httpd_answer(r, 204, NULL, "", 0);
	else
		answer_ids(r, ids, w.times);
	text_free(&w.fields);
	text_free(&w.body);
	json_decref(body);
}

/* As pgrok's: OK before it is done. */
void compat_replay(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	struct wish w = {.times = 1};
	struct query form = {0};
	char ids[1][CAPTURE_ID];
	const char *why;
	bool ok;

	if (httpd_form(r, &form))
		w.id = query_get(&form, "txnid");
	if (!w.id)
		w.id = query_get(httpd_query(r), "txnid");
	ok = w.id && start(i, &w, ids, &why) == 0;
	if (ok)
		httpd_answer(r, 200, "text/plain; charset=utf-8", "OK", 2);
	else
		httpd_text(r, 400, "Bad Request\n");
	query_free(&form);
}
