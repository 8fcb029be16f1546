/* Tunnels, state and metrics, as the inspector shows them. */
#include <ctype.h>
#include <string.h>

#include "common/base/clock.h"
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

static void metric(struct text *t, const char *name, const char *type, const char *help,
		   double value)
{
	text_fmt(t, "# HELP pgrok_%s %s\n# TYPE pgrok_%s %s\npgrok_%s %.17g\n", name, help, name,
		 type, name, value);
}

/* A label's value, escaped as the text format wants it. */
static void label(struct text *t, const char *value)
{
	text_put(t, "\"");
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			text_put(t, "\\");
		if (*value == '\n')
			text_put(t, "\\n");
		else
			text_add(t, value, 1);
	}
	text_put(t, "\"");
}

static void http_metrics(struct inspect *i, struct text *t)
{
	static const double shares[] = {0.5, 0.9, 0.99};

	text_put(t, "# HELP pgrok_http_requests_total Finished requests by class of status.\n"
		    "# TYPE pgrok_http_requests_total counter\n");
	for (struct meters_one *one = i->meters.first; one; one = one->next) {
		for (int class = 0; class < 6; class ++) {
			if (!one->http.classes[class])
				continue;
			text_put(t, "pgrok_http_requests_total{tunnel=");
			label(t, one->name);
			if (class)
				text_fmt(t, ",status=\"%dxx\"} ", class);
			else
				text_put(t, ",status=\"none\"} ");
			text_fmt(t, "%llu\n", (unsigned long long)one->http.classes[class]);
		}
	}
	text_put(t, "# HELP pgrok_http_request_seconds Time from a request to its answer's end.\n"
		    "# TYPE pgrok_http_request_seconds summary\n");
	for (struct meters_one *one = i->meters.first; one; one = one->next) {
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			text_put(t, "pgrok_http_request_seconds{tunnel=");
			label(t, one->name);
			text_fmt(t, ",quantile=\"%g\"} %.9g\n", shares[k],
				 (double)meter_percentile(&one->http, shares[k]) / 1e9);
		}
		text_put(t, "pgrok_http_request_seconds_sum{tunnel=");
		label(t, one->name);
		text_fmt(t, "} %.9g\npgrok_http_request_seconds_count{tunnel=",
			 (double)one->http.sum_ns / 1e9);
		label(t, one->name);
		text_fmt(t, "} %llu\n", (unsigned long long)one->http.count);
	}
}

static void tunnel_metrics(struct inspect *i, struct text *t)
{
	const struct model *m = i->conf.model;

	text_put(t, "# HELP pgrok_tunnel_up Is the tunnel of the current session?\n"
		    "# TYPE pgrok_tunnel_up gauge\n");
	for (size_t k = 0; k < m->tunnels_n; k++) {
		char name[CONFIG_NAME];

		config_tunnel_name(m->tunnels[k].conf, m->tunnels[k].proto, name);
		text_put(t, "pgrok_tunnel_up{tunnel=");
		label(t, name);
		text_put(t, ",url=");
		label(t, m->tunnels[k].url);
		text_fmt(t, "} %d\n", m->tunnels[k].session == m->session);
	}
}

void form_metrics(struct inspect *i, struct text *t)
{
	const struct model *m = i->conf.model;
	struct capture_stats s;
	uint64_t in, out;

	capture_stats(i->capture, &s);
	model_bytes(m, &in, &out);
	metric(t, "up", "gauge", "Is the control connection up?", m->state == MODEL_ONLINE);
	metric(t, "start_time_seconds", "gauge", "When this process began.",
	       (double)i->started_us / 1e6);
	metric(t, "sessions_total", "counter", "Control connections let in.", m->session);
	metric(t, "server_latency_seconds", "gauge", "Round trip to the server, 0 if not known.",
	       model_latency_us(m) / 1e6);
	metric(t, "connections_total", "counter", "Visitors' connections begun.",
	       (double)m->counters.connections);
	metric(t, "connections_open", "gauge", "Visitors' connections.", (double)m->counters.open);
	metric(t, "connections_refused_total", "counter", "Local service not there.",
	       (double)m->counters.refused);
	metric(t, "received_bytes_total", "counter", "Bytes from visitors.", (double)in);
	metric(t, "sent_bytes_total", "counter", "Bytes to visitors.", (double)out);
	tunnel_metrics(i, t);
	http_metrics(i, t);
	metric(t, "captured_total", "counter", "Transactions captured.", (double)s.begun);
	metric(t, "captured_entries", "gauge", "Transactions kept.", (double)s.entries);
	metric(t, "captured_bytes", "gauge", "Memory they take.", (double)s.memory);
	metric(t, "captured_evicted_total", "counter", "Transactions that had to go.",
	       (double)s.evicted);
	metric(t, "captured_lost_total", "counter", "Transactions there was no room for.",
	       (double)s.lost);
	metric(t, "unfollowed_total", "counter", "Connections that spoke something else.",
	       (double)s.unfollowed);
}
