/* Is the server still there, and how far away? */
#include "pgrok/uplink/heartbeat.h"

#include "common/base/clock.h"
#include "pgrok/config/limits.h"

static void on_due(void *arg)
{
	struct heartbeat *h = arg;

	h->hooks->on_due(h->arg);
}

static void on_late(void *arg)
{
	struct heartbeat *h = arg;

	h->hooks->on_late(h->arg);
}

void heartbeat_init(struct heartbeat *h, struct loop *l, const struct heartbeat_hooks *hooks,
		    void *arg)
{
	*h = (struct heartbeat){.hooks = hooks, .arg = arg};
	loop_timer_init(&h->ping, l, on_due, h);
	loop_timer_init(&h->pong, l, on_late, h);
}

void heartbeat_start(struct heartbeat *h)
{
	loop_after(&h->ping, LIMIT_PING_MS);
}

void heartbeat_stop(struct heartbeat *h)
{
	loop_timer_stop(&h->ping);
	loop_timer_stop(&h->pong);
}

void heartbeat_asked(struct heartbeat *h)
{
	h->asked_us = clock_us(); /* the loop's milliseconds are too coarse for a round trip */
}

void heartbeat_pinged(struct heartbeat *h)
{
	loop_after(&h->ping, LIMIT_PING_MS);
	if (loop_timer_pending(&h->pong))
		return;
	loop_after(&h->pong, LIMIT_PONG_MS);
	heartbeat_asked(h);
}

uint32_t heartbeat_answered(struct heartbeat *h)
{
	uint64_t us = h->asked_us ? clock_us() - h->asked_us : 0;

	h->asked_us = 0;
	loop_timer_stop(&h->pong);
	return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}
