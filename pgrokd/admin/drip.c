/* What Drip's server tells its operator, under Drip's names: keys of JSON, and metrics. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/idmap.h"
#include "pgrokd/admin/parts.h"

#define ADDRESSES 100 /* that have a sample of their own; all others share one */

static uint64_t unix_s(void)
{
	return (uint64_t)(clock_wall_us() / 1000000);
}

static void put_number(struct text *t, const char *key, uint64_t n)
{
	text_key(t, key);
	text_fmt(t, "%llu", (unsigned long long)n);
}

void drip_health(const struct admin *a, struct text *t)
{
	text_put(t, "{");
	put_number(t, "active_tunnels", registry_routes(a->core->registry));
	text_put(t, ",\"status\":\"ok\"");
	put_number(t, "timestamp", unix_s());
	text_put(t, "}\n");
}

/* ---- a tunnel, as Drip knows it ---- */

struct known {
	char type[8], subdomain[ROUTE_KEY_MAX];
};

static struct known known_as(const struct worker *w, const struct tunnel_view *v)
{
	struct known k;

	snprintf(k.type, sizeof(k.type), "%.*s", (int)strcspn(v->url, ":"), v->url);
	if (*v->name == ':')
		snprintf(k.subdomain, sizeof(k.subdomain), "tcp-%s", v->name + 1);
	else if (!name_below(&w->core->site, v->name, k.subdomain))
		snprintf(k.subdomain, sizeof(k.subdomain), "%s", v->name);
	return k;
}

/* ---- GET /stats ---- */

static void stats_row(void *arg, struct text *t, const struct worker *w,
		      const struct tunnel_view *v)
{
	uint64_t in = v->count.bytes[SIDE_VISITOR], out = v->count.bytes[SIDE_SERVICE];
	uint64_t idle_ms = loop_now(w->loop) - (v->last ? v->last : v->born);
	struct known k = known_as(w, v);

	text_put(t, "{");
	put_number(t, "active_connections", v->visitors_now);
	put_number(t, "bytes_in", in);
	put_number(t, "bytes_out", out);
	put_number(t, "last_active", unix_s() - idle_ms / 1000);
	text_key(t, "subdomain");
	text_json_str(t, k.subdomain);
	put_number(t, "total_bytes", in + out);
	text_key(t, "tunnel_type");
	text_json_str(t, k.type);
	text_put(t, "}");
}

static void stats_end(void *arg, struct text *t, size_t n)
{
	text_put(t, "\n]");
	put_number(t, "total_tunnels", n);
	text_put(t, "}\n");
}

void drip_stats(struct admin *a, struct httpd_req *r, const struct census *c)
{
	static const struct listing_form form = {
		.mime = "application/json; charset=utf-8",
		.json = true,
		.row = stats_row,
		.end = stats_end,
	};
	struct text head = {0};

	numbers_json(a, &head, c);
	text_put(&head, ",\"tunnels\":[");
	tunnels_tell(a, r, &form, head, NULL);
}

/* ---- GET /metrics: the census ---- */

static const char *const no_tunnels[NO_TUNNELS] = {"taken",  "held",       "name",
						   "port",   "protocol",   "max_tunnels",
						   "rights", "rate_limit", "rules"};

static const struct number numbers[] = {
	{"tunnel_count", "Tunnels open.", METRIC_GAUGE, ONE(tunnels)},
	{"tunnel_registrations_total", "Tunnels opened.", METRIC_COUNTER, ONE(count.tunnels)},
	{"tunnel_registration_failures_total", "Tunnels refused.", METRIC_COUNTER,
	 MANY(count.no_tunnel, "reason", no_tunnels)},
	{"bytes_received_total", "Bytes from visitors.", METRIC_COUNTER,
	 ONE(count.bytes[SIDE_VISITOR])},
	{"bytes_sent_total", "Bytes from tunnels.", METRIC_COUNTER, ONE(count.bytes[SIDE_SERVICE])},
	{"http_requests_in_flight", "HTTP requests whose answer is not complete.", METRIC_GAUGE,
	 ONE(count.in_flight)},
};

static uint64_t serving(const struct census *c)
{
	uint64_t n = 0;

	for (int i = 0; i < c->n_workers; i++)
		n += c->row[i].count.waiting_now + c->row[i].count.joined_now > 0;
	return n;
}

static void put_connections(struct metrics *m, const struct census_row *row)
{
	const struct counters *c = &row->count;

	metrics_one(m, METRIC_GAUGE, "active_connections",
		    "Half-open connections, clients and visitors.",
		    (double)(row->half_open + row->clients + c->waiting_now + c->joined_now));
	metrics_one(m, METRIC_COUNTER, "connections_total",
		    "Connections accepted on the ports for visitors and clients.",
		    (double)counted_sum(c->accepted, PORTS));
}

static void put_rejections(struct metrics *m, const struct counters *c)
{
	metrics_family(m, METRIC_COUNTER, "rate_limit_rejections_total",
		       "Refused because of what their address did lately.");
	metrics_sample(m, "", (double)c->no_tunnel[NO_TUNNEL_RATE], "type", "registration", NULL);
	metrics_sample(m, "", (double)c->shed[SHED_RATE], "type", "visitor", NULL);
	metrics_sample(m, "", (double)(c->shed[SHED_GUESSES] + c->no_client[NO_CLIENT_GUESSES]),
		       "type", "authentication", NULL);
}

static void put_durations(struct metrics *m, const struct counters *c)
{
	metrics_family(m, METRIC_HISTOGRAM, "http_request_duration_seconds",
		       "From a request's head to the end of its answer.");
	for (int i = 0; i < COUNTED_METHODS; i++)
		for (int k = 0; k < COUNTED_CLASSES; k++)
			metrics_histogram_of(m, &c->whole[i][k], "method", counted_methods[i],
					     "status", counted_classes[k]);
}

void drip_numbers(const struct admin *a, struct text *t, const struct census *c)
{
	struct metrics m = {.out = t, .prefix = a->core->config->metrics_prefix};

	numbers_put(&m, numbers, sizeof(numbers) / sizeof(numbers[0]), &c->total);
	put_connections(&m, &c->total);
	put_rejections(&m, &c->total.count);
	put_durations(&m, &c->total.count);
	metrics_one(&m, METRIC_GAUGE, "worker_pool_size", "Worker threads.", c->n_workers);
	metrics_one(&m, METRIC_GAUGE, "worker_pool_active_workers",
		    "Worker threads that have visitors.", (double)serving(c));
}

/* ---- GET /metrics: tunnels ---- */

enum of_tunnel { RECEIVED, SENT, VISITORS, OF_TUNNELS };

/* A family each, and how many tunnels clients of an address have. */
struct told {
	struct metrics family[OF_TUNNELS];
	struct text text[OF_TUNNELS]; /* but RECEIVED, which is written at once */
	struct strmap *by_ip;         /* address -> their number, as a pointer */
};

static void told_free(void *arg)
{
	struct told *told = arg;

	for (int i = 0; i < OF_TUNNELS; i++)
		text_free(&told->text[i]);
	strmap_free(told->by_ip);
	free(told);
}

static void told_row(void *arg, struct text *out, const struct worker *w,
		     const struct tunnel_view *v)
{
	struct told *told = arg;
	struct known k = known_as(w, v);
	const double value[OF_TUNNELS] = {
		[RECEIVED] = (double)v->count.bytes[SIDE_VISITOR],
		[SENT] = (double)v->count.bytes[SIDE_SERVICE],
		[VISITORS] = (double)v->visitors_now,
	};
	char ip[ADDR_TEXT];

	told->family[RECEIVED].out = out;
	for (int i = 0; i < OF_TUNNELS; i++)
		metrics_sample(&told->family[i], "", value[i], "subdomain", k.subdomain,
			       "tunnel_id", v->name, "type", k.type, NULL);
	addr_ip_text(&v->peer, ip);
	strmap_put(told->by_ip, ip, (char *)strmap_get(told->by_ip, ip) + 1);
}

struct address {
	const char *ip;
	size_t tunnels;
};

struct addresses {
	struct address *at;
	size_t n;
};

static void take_address(const char *ip, void *value, void *arg)
{
	struct addresses *all = arg;

	all->at[all->n++] = (struct address){ip, (size_t)(uintptr_t)value};
}

static int by_tunnels(const void *a, const void *b)
{
	const struct address *x = a, *y = b;

	return (x->tunnels < y->tunnels) - (x->tunnels > y->tunnels);
}

static void put_addresses(struct metrics *m, struct strmap *by_ip)
{
	struct addresses all = {xcalloc(strmap_count(by_ip) + 1, sizeof(*all.at)), 0};
	size_t rest = 0;

	strmap_each(by_ip, take_address, &all);
	qsort(all.at, all.n, sizeof(*all.at), by_tunnels);
	metrics_family(m, METRIC_GAUGE, "tunnels_by_ip",
		       "Tunnels open, by their client's address.");
	for (size_t i = 0; i < all.n; i++) {
		if (i < ADDRESSES)
			metrics_sample(m, "", (double)all.at[i].tunnels, "ip", all.at[i].ip, NULL);
		else
			rest += all.at[i].tunnels;
	}
	if (rest)
		metrics_sample(m, "", (double)rest, "ip", "other", NULL);
	free(all.at);
}

static void told_end(void *arg, struct text *out, size_t n)
{
	struct told *told = arg;
	struct metrics m = {.out = out, .prefix = told->family[SENT].prefix};

	for (int i = RECEIVED + 1; i < OF_TUNNELS; i++)
		text_add(out, told->text[i].p, told->text[i].len);
	put_addresses(&m, told->by_ip);
}

static void tell_tunnels(struct admin *a, struct httpd_req *r, struct text head)
{
	static const struct listing_form form = {
		.mime = METRICS_MIME, .row = told_row, .end = told_end, .free = told_free};
	struct told *told = xcalloc(1, sizeof(*told));

	told->by_ip = strmap_new();
	for (int i = 0; i < OF_TUNNELS; i++)
		told->family[i] = (struct metrics){
			.out = i == RECEIVED ? &head : &told->text[i],
			.prefix = a->core->config->metrics_prefix,
		};
	metrics_family(&told->family[RECEIVED], METRIC_COUNTER, "tunnel_bytes_received_total",
		       "Bytes from the visitors of a tunnel that is open.");
	metrics_family(&told->family[SENT], METRIC_COUNTER, "tunnel_bytes_sent_total",
		       "Bytes to the visitors of a tunnel that is open.");
	metrics_family(&told->family[VISITORS], METRIC_GAUGE, "tunnel_active_connections",
		       "Visitors of a tunnel that is open.");
	tunnels_tell(a, r, &form, head, told);
}

void drip_metrics(struct admin *a, struct httpd_req *r, struct text t, const struct census *c)
{
	drip_numbers(a, &t, c);
	tell_tunnels(a, r, t);
}
