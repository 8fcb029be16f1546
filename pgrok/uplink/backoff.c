/* How long to wait before the next attempt. */
#include "pgrok/uplink/backoff.h"

#include "common/base/randid.h"
#include "pgrok/config/limits.h"

uint32_t backoff_next(struct backoff *b)
{
	uint32_t step = b->step_ms ? b->step_ms : LIMIT_BACKOFF_FIRST_MS;

	b->step_ms = step * 2 > LIMIT_BACKOFF_MAX_MS ? LIMIT_BACKOFF_MAX_MS : step * 2;
	return step - step / 4 + rand_below(step / 2 + 1);
}

void backoff_reset(struct backoff *b)
{
	b->step_ms = 0;
}
