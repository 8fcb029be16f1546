/* Tunnels, state and metrics, as the inspector shows them. */
#include <ctype.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "msg/pgrok/msg.h"
#include "pgrok/inspect/decode.h"
#include "pgrok/inspect/parts.h"

static const char *state_word(enum model_state s)
{
	static const char *const words[] = {"connecting", "online", "reconnecting"};

	return words[s];
}

static void put_string(struct text *t, const char *key, const char *s)
{
	text_key(t, key);
	text_json_str(t, s);
}

static void put_number(struct text *t, const char *key, uint64_t n)
{
	text_key(t, key);
	text_fmt(t, "%llu", (unsigned long long)n);
}

/* ---- tunnels ---- */

const struct model_tunnel *inspect_tunnel_named(const struct inspect *i, const char *name)
{
	const struct model *m = i->conf.model;
	char own[CONFIG_NAME];

	for (size_t k = 0; k < m->tunnels_n; k++) {
		config_tunnel_name(m->tunnels[k].conf, m->tunnels[k].proto, own);
		if (strcmp(own, name) == 0)
			return &m->tunnels[k];
	}
	return NULL;
}

/* A name as a part of a path. */
static void put_uri(struct text *t, const char *name)
{
	text_key(t, "uri");
	text_put(t, "\"/api/tunnels/");
	for (const char *c = name; *c; c++) {
		if (isalnum((unsigned char)*c) || strchr("-._~", *c))
			text_add(t, c, 1);
		else
			text_fmt(t, "%%%02X", (unsigned char)*c);
	}
	text_put(t, "\"");
}

void form_tunnel(struct inspect *i, struct text *t, const struct model_tunnel *m)
{
	uint64_t now = clock_ns();
	char name[CONFIG_NAME];

	config_tunnel_name(m->conf, m->proto, name);
	struct meters_one *meters = meters_get(&i->meters, name);

	text_comma(t);
	text_put(t, "{");
	put_string(t, "name", name);
	put_uri(t, name);
	put_string(t, "public_url", m->url);
	put_string(t, "proto", proto_name(m->proto));
	text_key(t, "config");
	text_put(t, "{");
	put_string(t, "addr", m->local->text);
	text_key(t, "inspect");
	text_put(t,
		 m->conf->inspect && m->proto != PROTO_TCP && i->conf.capture ? "true}" : "false}");
	text_key(t, "metrics");
	text_put(t, "{\"conns\":");
	meter_form(t, &meters->conns, now, m->open);
	text_put(t, ",\"http\":");
	meter_form(t, &meters->http, now, -1);
	text_put(t, "}");
	text_key(t, "online");
	text_put(t, m->session == i->conf.model->session ? "true" : "false");
	text_put(t, "}");
}

/* ---- State ---- */

static void put_counters(struct inspect *i, struct text *t)
{
	const struct model_counters *c = &i->conf.model->counters;
	uint64_t in, out;

	model_bytes(i->conf.model, &in, &out);
	text_key(t, "counters");
	text_put(t, "{");
	put_number(t, "connections", c->connections);
	put_number(t, "open", c->open);
	put_number(t, "ended", c->ended);
	put_number(t, "refused", c->refused);
	put_number(t, "duration_ms", c->duration_ms);
	put_number(t, "bytes_in", in);
	put_number(t, "bytes_out", out);
	text_put(t, "}");
}

static void put_capture(struct inspect *i, struct text *t)
{
	const struct capture_limits *limits = capture_limits_of(i->capture);
	struct capture_stats s;

	capture_stats(i->capture, &s);
	text_key(t, "capture");
	text_put(t, "{");
	text_key(t, "enabled");
	text_put(t, i->conf.capture ? "true" : "false");
	put_number(t, "entries", s.entries);
	put_number(t, "pinned", s.pinned);
	put_number(t, "bytes", s.memory);
	put_number(t, "max_bytes", limits->max_total);
	put_number(t, "max_body", limits->max_body);
	put_number(t, "begun", s.begun);
	put_number(t, "evicted", s.evicted);
	put_number(t, "lost", s.lost);
	put_number(t, "unfollowed", s.unfollowed);
	text_key(t, "decode");
	text_put(t, "[");
	for (const char *const *name = decode_codings(); *name; name++) {
		text_comma(t);
		text_json_str(t, *name);
	}
	text_put(t, "]}");
}

void form_state_keys(struct inspect *i, struct text *t)
{
	const struct model *m = i->conf.model;
	uint32_t latency = model_latency_us(m);

	put_string(t, "status", state_word(m->state));
	put_string(t, "error", m->last_error);
	put_number(t, "retry_ms", m->retry_ms);
	put_string(t, "version", MSG_SOFTWARE_VERSION);
	put_string(t, "server_version", m->server_version);
	put_string(t, "server_addr", i->conf.config->server.text);
	text_key(t, "started");
	text_time(t, i->started_us);
	text_key(t, "now");
	text_time(t, clock_wall_us());
	text_key(t, "latency_ms");
	if (latency)
		text_fmt(t, "%.3f", latency / 1000.0);
	else
		text_put(t, "null");
	text_key(t, "tunnels");
	text_put(t, "[");
	for (size_t k = 0; k < m->tunnels_n; k++)
		form_tunnel(i, t, &m->tunnels[k]);
	text_put(t, "]");
	put_counters(i, t);
	put_capture(i, t);
	text_key(t, "qr");
#ifdef HAVE_QRENCODE
	text_put(t, "true");
#else
	text_put(t, "false");
#endif
}

void form_state(struct inspect *i, struct text *t)
{
	text_put(t, "{");
	form_state_keys(i, t);
	text_put(t, "}");
}

/* ---- Prometheus ---- */

static void http_metrics(struct inspect *i, struct metrics *p)
{
	static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
	static const struct {
		double share;
		const char *word;
	} shares[] = {{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}};

	metrics_family(p, METRIC_COUNTER, "http_requests_total",
		       "Finished requests by class of status.");
	for (struct meters_one *one = i->meters.first; one; one = one->next)
		for (int class = 0; class < 6; class ++)
			if (one->http.classes[class])
				metrics_sample(p, "", (double)one->http.classes[class], "tunnel",
					       one->name, "status", classes[class], NULL);
	metrics_family(p, METRIC_SUMMARY, "http_request_seconds",
		       "Time from a request to its answer's end.");
	for (struct meters_one *one = i->meters.first; one; one = one->next) {
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++)
			metrics_sample(p, "",
				       (double)meter_percentile(&one->http, shares[k].share) / 1e9,
				       "tunnel", one->name, "quantile", shares[k].word, NULL);
		metrics_sample(p, "_sum", (double)one->http.sum_ns / 1e9, "tunnel", one->name,
			       NULL);
		metrics_sample(p, "_count", (double)one->http.count, "tunnel", one->name, NULL);
	}
}

static void tunnel_metrics(struct inspect *i, struct metrics *p)
{
	const struct model *m = i->conf.model;
	char name[CONFIG_NAME];

	metrics_family(p, METRIC_GAUGE, "tunnel_up", "Is the tunnel of the current session?");
	for (size_t k = 0; k < m->tunnels_n; k++) {
		config_tunnel_name(m->tunnels[k].conf, m->tunnels[k].proto, name);
		metrics_sample(p, "", m->tunnels[k].session == m->session, "tunnel", name, "url",
			       m->tunnels[k].url, NULL);
	}
}

static void capture_metrics(struct inspect *i, struct metrics *p)
{
	struct capture_stats s;

	capture_stats(i->capture, &s);
	metrics_one(p, METRIC_COUNTER, "captured_total", "Transactions captured.", (double)s.begun);
	metrics_one(p, METRIC_GAUGE, "captured_entries", "Transactions kept.", (double)s.entries);
	metrics_one(p, METRIC_GAUGE, "captured_bytes", "Memory they take.", (double)s.memory);
	metrics_one(p, METRIC_COUNTER, "captured_evicted_total", "Transactions that had to go.",
		    (double)s.evicted);
	metrics_one(p, METRIC_COUNTER, "captured_lost_total", "Transactions there was no room for.",
		    (double)s.lost);
	metrics_one(p, METRIC_COUNTER, "unfollowed_total", "Connections that spoke something else.",
		    (double)s.unfollowed);
}

void form_metrics(struct inspect *i, struct text *t)
{
	const struct model *m = i->conf.model;
	const struct model_counters *c = &m->counters;
	struct metrics p = {.out = t, .prefix = "pgrok"};
	uint64_t in, out;

	model_bytes(m, &in, &out);
	metrics_one(&p, METRIC_GAUGE, "up", "Is the control connection up?",
		    m->state == MODEL_ONLINE);
	metrics_one(&p, METRIC_GAUGE, "start_time_seconds", "When this process began.",
		    (double)i->started_us / 1e6);
	metrics_one(&p, METRIC_COUNTER, "sessions_total", "Control connections let in.",
		    m->session);
	metrics_one(&p, METRIC_GAUGE, "server_latency_seconds",
		    "Round trip to the server, 0 if not known.", model_latency_us(m) / 1e6);
	metrics_one(&p, METRIC_COUNTER, "connections_total", "Visitors' connections begun.",
		    (double)c->connections);
	metrics_one(&p, METRIC_GAUGE, "connections_open", "Visitors' connections.",
		    (double)c->open);
	metrics_one(&p, METRIC_COUNTER, "connections_refused_total", "Local service not there.",
		    (double)c->refused);
	metrics_one(&p, METRIC_COUNTER, "received_bytes_total", "Bytes from visitors.", (double)in);
	metrics_one(&p, METRIC_COUNTER, "sent_bytes_total", "Bytes to visitors.", (double)out);
	tunnel_metrics(i, &p);
	http_metrics(i, &p);
	capture_metrics(i, &p);
}
