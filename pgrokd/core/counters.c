/* What each worker counts. */
#include "pgrokd/core/counters.h"

#include <string.h>

#define PAGES(X) \
	X(303)   \
	X(400) X(401) X(403) X(404) X(413) X(421) X(429) X(431) X(501) X(502) X(503) X(504) X(505)
#define STATUS(n) n,
#define WORD(n) #n,

static const int page_rows[COUNTED_PAGES] = {0, PAGES(STATUS)};
const char *const counted_pages[COUNTED_PAGES] = {"other", PAGES(WORD)};
const char *const counted_methods[COUNTED_METHODS] = {"GET",   "HEAD",   "POST",    "PUT",
						      "PATCH", "DELETE", "OPTIONS", "other"};
const char *const counted_classes[COUNTED_CLASSES] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

void count_page(struct counters *c, int status)
{
	size_t row = COUNTED_PAGES - 1;

	while (row && page_rows[row] != status)
		row--;
	c->pages[row]++;
}

int counted_method(const char *method, size_t len)
{
	int row = 0;

	while (row < COUNTED_METHODS - 1 && (strlen(counted_methods[row]) != len ||
					     memcmp(counted_methods[row], method, len) != 0))
		row++;
	return row;
}

int counted_class(int status)
{
	return status >= 100 && status < 600 ? status / 100 : 0;
}

void count_answer(struct counters *c, int status, uint64_t us)
{
	c->answers[counted_class(status)]++;
	if (us)
		histogram_add(&c->first_byte, us);
}

uint64_t counted_sum(const uint64_t *rows, size_t n)
{
	uint64_t sum = 0;

	while (n > 0)
		sum += rows[--n];
	return sum;
}
