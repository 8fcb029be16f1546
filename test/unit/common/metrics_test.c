/* Numbers in Prometheus' text format, and histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/metrics.h"

static struct text out;
static struct metrics page = {.out = &out, .prefix = "p"};

static int clean(void **state)
{
	text_free(&out);
	return 0;
}

static void test_text(void **state)
{
	metrics_one(&page, METRIC_GAUGE, "up", "Is it up?", 1);
	metrics_family(&page, METRIC_COUNTER, "seen_total", "What was seen.");
	metrics_sample(&page, "", 2, "what", "a \"b\" \\c\nd", "where", "", NULL);
	metrics_sample(&page, "", 9007199254740991.0, NULL);
	metrics_family(&page, METRIC_SUMMARY, "time_seconds", "Time.");
	metrics_sample(&page, "_sum", 0.25, NULL);
	metrics_sample(&page, "", -1, "quantile", "0.5", NULL);
	assert_string_equal(out.p, "# HELP p_up Is it up?\n"
				   "# TYPE p_up gauge\n"
				   "p_up 1\n"
				   "# HELP p_seen_total What was seen.\n"
				   "# TYPE p_seen_total counter\n"
				   "p_seen_total{what=\"a \\\"b\\\" \\\\c\\nd\",where=\"\"} 2\n"
				   "p_seen_total 9007199254740991\n"
				   "# HELP p_time_seconds Time.\n"
				   "# TYPE p_time_seconds summary\n"
				   "p_time_seconds_sum 0.25\n"
				   "p_time_seconds{quantile=\"0.5\"} -1\n");
}

static void test_prefix(void **state)
{
	static const char *const good[] = {"pgrok", "_a", "A9_b"};
	static const char *const bad[] = {"", "9a", "a-b", "a b", "a.b", "\xc3\xa4", "a{"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(metrics_prefix_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(metrics_prefix_valid(bad[i]));
}

/*
 * A bound belongs to its bucket; each counts those below it; what is longer counts in +Inf alone.
 */
static void test_histogram(void **state)
{
	struct histogram h = {0};

	histogram_add(&h, 0);
	histogram_add(&h, 1000);
	histogram_add(&h, 1001);
	histogram_add(&h, 30000000);
	histogram_add(&h, 30000001);
	metrics_histogram(&page, "t", "T.", &h);
	assert_non_null(strstr(out.p, "# TYPE p_t histogram\n"
				      "p_t_bucket{le=\"0.001\"} 2\n"
				      "p_t_bucket{le=\"0.0025\"} 3\n"));
	assert_non_null(strstr(out.p, "p_t_bucket{le=\"10\"} 3\n"
				      "p_t_bucket{le=\"30\"} 4\n"
				      "p_t_bucket{le=\"+Inf\"} 5\n"
				      "p_t_sum 60.002002\n"
				      "p_t_count 5\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_text, clean),
		cmocka_unit_test_teardown(test_prefix, clean),
		cmocka_unit_test_teardown(test_histogram, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
