/* Prometheus' text format, and histograms. */
#include "common/base/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Microseconds. */
static const uint32_t bounds[HISTOGRAM_BOUNDS] = {
	1000,   2500,   5000,    10000,   25000,   50000,    100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000,
};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

bool metrics_prefix_valid(const char *prefix)
{
	return strspn(prefix, LETTERS) && !prefix[strspn(prefix, LETTERS "0123456789")];
}

void metrics_family(struct metrics *m, enum metric_type type, const char *name, const char *help)
{
	static const char *const words[] = {"counter", "gauge", "summary", "histogram"};

	m->name = name;
	text_fmt(m->out, "# HELP %s_%s %s\n# TYPE %s_%s %s\n", m->prefix, name, help, m->prefix,
		 name, words[type]);
}

/* A label's value, escaped as the format wants it. */
static void put_value(struct text *t, const char *value)
{
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			text_put(t, "\\");
		if (*value == '\n')
			text_put(t, "\\n");
		else
			text_add(t, value, 1);
	}
}

/* Whole numbers as such: a counter is exact as far as a double is. */
static void put_number(struct text *t, double value)
{
	if (value >= 0 && value < 0x1p53 && value == (double)(uint64_t)value)
		text_fmt(t, " %" PRIu64 "\n", (uint64_t)value);
	else
		text_fmt(t, " %.15g\n", value);
}

void metrics_sample(struct metrics *m, const char *suffix, double value, ...)
{
	const char *label, *before = "{";
	va_list ap;

	text_fmt(m->out, "%s_%s%s", m->prefix, m->name, suffix);
	va_start(ap, value);
	while ((label = va_arg(ap, const char *))) {
		text_fmt(m->out, "%s%s=\"", before, label);
		put_value(m->out, va_arg(ap, const char *));
		text_put(m->out, "\"");
		before = ",";
	}
	va_end(ap);
	if (*before == ',')
		text_put(m->out, "}");
	put_number(m->out, value);
}

void metrics_one(struct metrics *m, enum metric_type type, const char *name, const char *help,
		 double value)
{
	metrics_family(m, type, name, help);
	metrics_sample(m, "", value, NULL);
}

void histogram_add(struct histogram *h, uint64_t us)
{
	size_t i = 0;

	while (i < HISTOGRAM_BOUNDS && us > bounds[i])
		i++;
	h->bucket[i]++;
	h->sum_us += us;
}

/* label, value: as of metrics_histogram_of(); NULL: none. */
static void put_histogram(struct metrics *m, const struct histogram *h, const char *label,
			  const char *value, const char *label2, const char *value2)
{
	uint64_t count = 0;
	char le[24];

	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		count += h->bucket[i];
		if (i < HISTOGRAM_BOUNDS)
			snprintf(le, sizeof(le), "%g", bounds[i] / 1e6);
		metrics_sample(m, "_bucket", (double)count, "le",
			       i < HISTOGRAM_BOUNDS ? le : "+Inf", label, value, label2, value2,
			       NULL);
	}
	metrics_sample(m, "_sum", (double)h->sum_us / 1e6, label, value, label2, value2, NULL);
	metrics_sample(m, "_count", (double)count, label, value, label2, value2, NULL);
}

void metrics_histogram(struct metrics *m, const char *name, const char *help,
		       const struct histogram *h)
{
	metrics_family(m, METRIC_HISTOGRAM, name, help);
	put_histogram(m, h, NULL, NULL, NULL, NULL);
}

void metrics_histogram_of(struct metrics *m, const struct histogram *h, const char *label,
			  const char *value, const char *label2, const char *value2)
{
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
		if (h->bucket[i]) {
			put_histogram(m, h, label, value, label2, value2);
			return;
		}
	}
}
