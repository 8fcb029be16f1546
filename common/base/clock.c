/* The clocks. */
#include "common/base/clock.h"

#include <string.h>
#include <time.h>

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clock_us(void)
{
	return clock_ns() / 1000;
}

uint64_t clock_coarse_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int64_t clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/*
 * The digits of `form` (d for one) as numbers, everything else as it is. Behind it; NULL: it is not
 * so.
 */
static const char *read_form(const char *text, const char *form, int *out)
{
	bool in = false;

	for (; *form; form++, text++) {
		if (*form != 'd') {
			out += in;
			in = false;
			if (*text != *form)
				return NULL;
			continue;
		}
		if (*text < '0' || *text > '9')
			return NULL;
		*out = (in ? *out * 10 : 0) + (*text - '0');
		in = true;
	}
	return text;
}

/* "Z", "+01:00": seconds east of UTC. */
static bool read_zone(const char *text, int *east)
{
	int n[2] = {0};
	const char *end = *text == '+' || *text == '-' ? read_form(text + 1, "dd:dd", n) : NULL;

	*east = (n[0] * 60 + n[1]) * (*text == '-' ? -60 : 60);
	return strcmp(text, "Z") == 0 || (end && !*end && n[0] < 24 && n[1] < 60);
}

bool clock_wall_parse(const char *text, int64_t *seconds)
{
	int n[6] = {0}, east = 0;
	const char *rest = read_form(text, "dddd-dd-dd", n);
	const char *zone = rest && *rest ? read_form(rest, "Tdd:dd:dd", n + 3) : rest;

	if (!zone || (*rest && !read_zone(zone, &east)) || n[3] > 23 || n[4] > 59 || n[5] > 59)
		return false;
	struct tm t = {.tm_year = n[0] - 1900,
		       .tm_mon = n[1] - 1,
		       .tm_mday = n[2],
		       .tm_hour = *rest ? n[3] : 24,
		       .tm_min = n[4],
		       .tm_sec = n[5]};
	struct tm day = {.tm_year = t.tm_year, .tm_mon = t.tm_mon, .tm_mday = t.tm_mday};

	/* A day that its month has not is moved into the next one. */
	(void)timegm(&day);
	if (n[1] < 1 || n[1] > 12 || day.tm_mday != n[2] || day.tm_mon != n[1] - 1)
		return false;
	*seconds = (int64_t)timegm(&t) - east;
	return true;
}

const char *clock_wall_text(int64_t seconds, char out[static CLOCK_TEXT])
{
	time_t when = (time_t)seconds;
	struct tm t = {0};

	gmtime_r(&when, &t);
	strftime(out, CLOCK_TEXT, "%Y-%m-%dT%H:%M:%SZ", &t);
	return out;
}
