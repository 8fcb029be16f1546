/* What each worker counts. */
#include "pgrokd/core/counters.h"

#define PAGES(X) \
	X(303)   \
	X(400) X(401) X(403) X(404) X(413) X(421) X(429) X(431) X(501) X(502) X(503) X(504) X(505)
#define STATUS(n) n,
#define WORD(n) #n,

static const int page_rows[COUNTED_PAGES] = {0, PAGES(STATUS)};
const char *const counted_pages[COUNTED_PAGES] = {"other", PAGES(WORD)};

void count_page(struct counters *c, int status)
{
	size_t row = COUNTED_PAGES - 1;

	while (row && page_rows[row] != status)
		row--;
	c->pages[row]++;
}

void count_answer(struct counters *c, int status, uint64_t us)
{
	c->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
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
