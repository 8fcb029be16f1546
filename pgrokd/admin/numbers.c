/* The census as JSON, and as metrics: one table for both. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/mux/mux.h"
#include "pgrokd/admin/parts.h"

static const char *const ports[PORTS] = {"http", "https", "tunnel"};
static const char *const sheds[SHEDS] = {"half_open", "address",     "memory",
					 "guesses",   "connections", "address_connections",
					 "rate",      "descriptors"};
static const char *const no_clients[NO_CLIENTS] = {"version", "unknown", "message", "token",
						   "expired", "guesses", "other"};
static const char *const no_tunnels[NO_TUNNELS] = {"taken", "held",   "name", "port", "protocol",
						   "limit", "rights", "rate", "rules"};
static const char *const no_visits[NO_VISITS] = {"full", "time", "gone", "limit", "rules"};
static const char *const verdicts[VERDICTS] = {"passed", "remembered", "refused", "failed"};
static const char *const lines[LINES] = {"written", "lost"};
static const char *const states[] = {"waiting", "joined"};
static const char *const sources[] = {"visitors", "tunnels"};

static const struct number all[] = {
	{"half_open_connections", "Connections whose first words are not complete.", METRIC_GAUGE,
	 ONE(half_open)},
	{"clients", "Clients connected.", METRIC_GAUGE, ONE(clients)},
	{"tunnels", "Tunnels open.", METRIC_GAUGE, ONE(tunnels)},
	{"visitors", "Visitors, waiting for their client or joined to it.", METRIC_GAUGE,
	 MANY(count.waiting_now, "state", states)},
	{"connections_accepted_total", "Connections accepted.", METRIC_COUNTER,
	 MANY(count.accepted, "port", ports)},
	{"connections_refused_total", "Connections closed to stay within the limits.",
	 METRIC_COUNTER, MANY(count.shed, "reason", sheds)},
	{"connections_moved_total", "Connections handed from one worker to another.",
	 METRIC_COUNTER, ONE(count.moved)},
	{"clients_connected_total", "Clients that were let in.", METRIC_COUNTER,
	 ONE(count.clients)},
	{"clients_refused_total", "Connections of clients refused after their first message.",
	 METRIC_COUNTER, MANY(count.no_client, "reason", no_clients)},
	{"clients_lost_total", "Clients that were silent too long.", METRIC_COUNTER,
	 ONE(count.lost)},
	{"tunnels_opened_total", "Tunnels opened.", METRIC_COUNTER, ONE(count.tunnels)},
	{"tunnels_refused_total", "Tunnels refused.", METRIC_COUNTER,
	 MANY(count.no_tunnel, "reason", no_tunnels)},
	{"visitors_joined_total", "Visitors led to a client.", METRIC_COUNTER, ONE(count.joined)},
	{"visitors_refused_total", "Visitors that could not be led to a client.", METRIC_COUNTER,
	 MANY(count.no_visit, "reason", no_visits)},
	{"visitor_bytes_total", "Bytes carried, from visitors and from tunnels.", METRIC_COUNTER,
	 MANY(count.bytes, "from", sources)},
	{"requests_total", "HTTP requests led to a client.", METRIC_COUNTER, ONE(count.requests)},
	{"answers_total", "Answers to them, by class of status.", METRIC_COUNTER,
	 MANY(count.answers, "status", counted_classes)},
	{"forward_auth_total", "Requests that -forwardAuth decided about.", METRIC_COUNTER,
	 MANY(count.verdicts, "result", verdicts)},
	{"access_log_lines_total", "Lines of the access log.", METRIC_COUNTER,
	 MANY(count.journal, "result", lines)},
	{"pages_total", "Pages of the server's own, by status.", METRIC_COUNTER,
	 MANY(count.pages, "status", counted_pages)},
};

#define NUMBERS (sizeof(all) / sizeof(all[0]))

static const char first_byte[] = "first_byte_seconds";

static const uint64_t *values_of(const struct number *n, const struct census_row *row)
{
	return (const uint64_t *)((const char *)row + n->at);
}

/* ---- metrics ---- */

static void put_process(const struct admin *a, struct metrics *m)
{
	metrics_family(m, METRIC_GAUGE, "info", "The version of the server.");
	metrics_sample(m, "", 1, "version", OWN_VERSION, NULL);
	metrics_one(m, METRIC_GAUGE, "start_time_seconds", "When the server began.",
		    (double)a->started_us / 1e6);
	metrics_one(m, METRIC_GAUGE, "ready", "Is it ready, or stopping?", !a->stopping);
	metrics_one(m, METRIC_GAUGE, "workers", "Worker threads.", a->core->n_workers);
	metrics_one(m, METRIC_GAUGE, "memory_bytes", "Resident memory.", (double)memory_used());
	metrics_one(m, METRIC_GAUGE, "memory_limit_bytes",
		    "Memory above which new connections are refused.", (double)memory_max());
	metrics_one(m, METRIC_GAUGE, "mux_memory_bytes",
		    "Memory granted to what waits in shared connections.",
		    (double)mux_memory_used());
}

void numbers_put(struct metrics *m, const struct number *numbers, size_t n,
		 const struct census_row *row)
{
	for (const struct number *at = numbers; at < numbers + n; at++) {
		const uint64_t *v = values_of(at, row);

		metrics_family(m, at->type, at->name, at->help);
		for (size_t i = 0; i < at->n; i++)
			metrics_sample(m, "", (double)v[i], at->label,
				       at->label ? at->values[i] : NULL, NULL);
	}
}

void numbers_metrics(const struct admin *a, struct text *t, const struct census *c)
{
	struct metrics m = {.out = t, .prefix = a->core->config->metrics_prefix};

	put_process(a, &m);
	numbers_put(&m, all, NUMBERS, &c->total);
	metrics_histogram(&m, first_byte, "From a request's head to that of its answer.",
			  &c->total.count.first_byte);
}

/* ---- JSON ---- */

static void put_number(struct text *t, uint64_t n)
{
	text_fmt(t, "%llu", (unsigned long long)n);
}

/* Without _total. */
static void put_key(struct text *t, const char *name)
{
	static const char tail[] = "_total";
	size_t len = strlen(name), cut = sizeof(tail) - 1;
	char key[48];

	if (len > cut && strcmp(name + len - cut, tail) == 0)
		len -= cut;
	snprintf(key, sizeof(key), "%.*s", (int)len, name);
	text_key(t, key);
}

static void put_row(struct text *t, const struct census_row *row)
{
	const struct histogram *h = &row->count.first_byte;

	text_put(t, "{");
	for (const struct number *n = all; n < all + NUMBERS; n++) {
		const uint64_t *v = values_of(n, row);

		put_key(t, n->name);
		if (n->label)
			text_put(t, "{");
		for (size_t i = 0; i < n->n; i++) {
			if (n->label)
				text_key(t, n->values[i]);
			put_number(t, v[i]);
		}
		if (n->label)
			text_put(t, "}");
	}
	put_key(t, first_byte);
	text_fmt(t, "{\"count\":%llu,\"sum\":%.6f}}",
		 (unsigned long long)counted_sum(h->bucket, HISTOGRAM_BOUNDS + 1),
		 (double)h->sum_us / 1e6);
}

void numbers_json(const struct admin *a, struct text *t, const struct census *c)
{
	text_put(t, "{");
	text_key(t, "version");
	text_json_str(t, OWN_VERSION);
	text_key(t, "started");
	text_time(t, a->started_us);
	text_key(t, "now");
	text_time(t, clock_wall_us());
	text_key(t, "ready");
	text_put(t, a->stopping ? "false" : "true");
	text_key(t, "total");
	put_row(t, &c->total);
	text_key(t, "workers");
	text_put(t, "[");
	for (int i = 0; i < c->n_workers; i++) {
		text_comma(t);
		put_row(t, &c->row[i]);
	}
	text_put(t, "]");
}
