/* The admin listener's numbers: every counter is told, once; and which address needs a token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pgrokd/admin/parts.h"

static struct config config = {.metrics_prefix = "p"};
static struct core core = {.config = &config, .n_workers = 2};
static const struct admin admin = {.core = &core};

/* No number twice. */
static void fill(struct census *c)
{
	uint64_t *total = (uint64_t *)&c->total;

	*c = (struct census){.n_workers = 2};
	for (size_t i = 0; i < sizeof(c->total) / sizeof(*total); i++)
		total[i] = 1000000 + i;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void test_every_counter(void **state)
{
	struct text metrics = {0}, json = {0};
	size_t histogram = offsetof(struct census_row, count.first_byte) / sizeof(uint64_t);
	/* What follows is told under Drip's names alone. */
	size_t drip = offsetof(struct census_row, count.in_flight) / sizeof(uint64_t);
	size_t fields = sizeof(struct census_row) / sizeof(uint64_t);
	static struct census c;
	char value[32];

	fill(&c);
	numbers_metrics(&admin, &metrics, &c);
	numbers_json(&admin, &json, &c);
	assert_int_equal(histogram + sizeof(struct histogram) / sizeof(uint64_t), drip);
	assert_true(drip < fields);
	for (size_t i = 0; i < histogram; i++) {
		snprintf(value, sizeof(value), " %zu\n", 1000000 + i);
		assert_int_equal(count(metrics.p, value), 1);
		snprintf(value, sizeof(value), ":%zu", 1000000 + i);
		assert_int_equal(count(json.p, value), 1);
	}
	snprintf(value, sizeof(value), "_count %" PRIu64 "\n",
		 counted_sum(c.total.count.first_byte.bucket, HISTOGRAM_BOUNDS + 1));
	assert_int_equal(count(metrics.p, value), 1);
	assert_non_null(strstr(metrics.p, "\np_tunnels_refused_total{reason=\"held\"} "));
	assert_non_null(strstr(json.p, "\"tunnels_refused\":{\"taken\":"));
	text_free(&metrics);
	text_free(&json);
}

static bool has(const char *text, const char *name, const char *labels, uint64_t value)
{
	char line[160];

	snprintf(line, sizeof(line), "\np_%s%s %" PRIu64 "\n", name, labels, value);
	return count(text, line) == 1;
}

static void test_drip(void **state)
{
	struct text t = {0};
	static struct census c;
	struct counters *n = &c.total.count;

	fill(&c);
	c.row[1].count.joined_now = 5; /* of two workers one has visitors */
	memset(n->whole, 0, sizeof(n->whole));
	histogram_add(&n->whole[counted_method("POST", 4)][counted_class(204)], 20000);
	drip_numbers(&admin, &t, &c);
	assert_true(has(t.p, "tunnel_registrations_total", "", n->tunnels));
	assert_true(has(t.p, "tunnel_registration_failures_total", "{reason=\"max_tunnels\"}",
			n->no_tunnel[NO_TUNNEL_LIMIT]));
	assert_true(has(t.p, "tunnel_registration_failures_total", "{reason=\"rate_limit\"}",
			n->no_tunnel[NO_TUNNEL_RATE]));
	assert_true(has(t.p, "active_connections", "",
			c.total.half_open + c.total.clients + n->waiting_now + n->joined_now));
	assert_true(has(t.p, "connections_total", "", counted_sum(n->accepted, PORTS)));
	assert_true(has(t.p, "bytes_received_total", "", n->bytes[0]));
	assert_true(has(t.p, "bytes_sent_total", "", n->bytes[1]));
	assert_true(has(t.p, "http_requests_in_flight", "", n->in_flight));
	assert_true(has(t.p, "rate_limit_rejections_total", "{type=\"registration\"}",
			n->no_tunnel[NO_TUNNEL_RATE]));
	assert_true(has(t.p, "worker_pool_size", "", 2));
	assert_true(has(t.p, "worker_pool_active_workers", "", 1));
	/* Nothing is said of methods that never came. */
	assert_int_equal(count(t.p, "duration_seconds_count"), 1);
	assert_true(has(t.p, "http_request_duration_seconds_count",
			"{method=\"POST\",status=\"2xx\"}", 1));
	assert_true(has(t.p, "http_request_duration_seconds_bucket",
			"{le=\"0.01\",method=\"POST\",status=\"2xx\"}", 0));
	assert_true(has(t.p, "http_request_duration_seconds_bucket",
			"{le=\"+Inf\",method=\"POST\",status=\"2xx\"}", 1));
	text_free(&t);
}

static void test_methods(void **state)
{
	assert_string_equal(counted_methods[counted_method("GET", 3)], "GET");
	assert_string_equal(counted_methods[counted_method("OPTIONS", 7)], "OPTIONS");
	static const char *const others[] = {"", "get", "GE", "GETS", "other!", "BREW"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_string_equal(counted_methods[counted_method(others[i], strlen(others[i]))],
				    "other");
}

static void test_pages(void **state)
{
	struct counters c = {0};

	count_page(&c, 404);
	count_page(&c, 505);
	count_page(&c, 418);
	for (size_t i = 0; i < COUNTED_PAGES; i++) {
		bool is = !i || strcmp(counted_pages[i], "404") == 0 ||
			  strcmp(counted_pages[i], "505") == 0;

		assert_int_equal(c.pages[i], is);
	}
}

static void test_answers(void **state)
{
	struct counters c = {0};

	count_answer(&c, 101, 1);
	count_answer(&c, 599, 0);
	count_answer(&c, 999, 0);
	assert_int_equal(c.answers[1], 1);
	assert_int_equal(c.answers[5], 1);
	assert_int_equal(c.answers[0], 1);
	assert_int_equal(counted_sum(c.first_byte.bucket, HISTOGRAM_BOUNDS + 1), 1);
}

/* Bound, not listened on for longer than this. */
static bool bind_at(const char *addr, char *token, bool *tls, struct err *err)
{
	struct config c = {.admin_addr = addr, .admin_token = token};
	struct listener_fds fds;
	bool ok = admin_bind(&c, &fds, tls, err);

	if (ok)
		listener_fds_close(&fds);
	return ok;
}

static void test_bind(void **state)
{
	char token[] = "t";
	struct err err;
	bool tls;

	assert_true(bind_at("127.0.0.1:0", NULL, &tls, &err));
	assert_false(tls);
	assert_false(bind_at("0.0.0.0:0", NULL, &tls, &err));
	assert_string_equal(err.text, "-adminAddr: 0.0.0.0:0 can be reached from other machines: "
				      "that needs -adminToken");
	assert_false(bind_at(":0", NULL, &tls, &err));
	assert_true(bind_at("0.0.0.0:0", token, &tls, &err));
	assert_true(tls);
	assert_false(bind_at("192.0.2.1:0", token, &tls, &err));
	assert_non_null(strstr(err.text, "-adminAddr: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_counter), cmocka_unit_test(test_drip),
		cmocka_unit_test(test_methods),       cmocka_unit_test(test_pages),
		cmocka_unit_test(test_answers),       cmocka_unit_test(test_bind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
