/* Is the server still there, and how far away? A Ping from time to time, whose Pong must come. */
#ifndef PGROK_UPLINK_HEARTBEAT_H
#define PGROK_UPLINK_HEARTBEAT_H

#include "common/base/loop.h"

struct heartbeat_hooks {
	void (*on_due)(void *arg);  /* a Ping is due: heartbeat_pinged() when it has left */
	void (*on_late)(void *arg); /* no Pong within LIMIT_PONG_MS */
};

/* Embedded in its owner. */
struct heartbeat {
	const struct heartbeat_hooks *hooks;
	void *arg;
	struct loop_timer ping, pong;
	uint64_t asked_us; /* when the first unanswered question left; 0: none did */
};

void heartbeat_init(struct heartbeat *h, struct loop *l, const struct heartbeat_hooks *hooks,
		    void *arg);
/* From now on a Ping is due every LIMIT_PING_MS. */
void heartbeat_start(struct heartbeat *h);
void heartbeat_stop(struct heartbeat *h);
/* A question left whose answer comes at once: its time is the round trip. */
void heartbeat_asked(struct heartbeat *h);
/* The question was a Ping. */
void heartbeat_pinged(struct heartbeat *h);
/* The answer came. The round trip in microseconds; 0: there was no question. */
uint32_t heartbeat_answered(struct heartbeat *h);

#endif
