/* The control connection as such: one TLS connection with messages in both directions. */
#ifndef PGROK_UPLINK_CONTROL_H
#define PGROK_UPLINK_CONTROL_H

#include "msg/pgrok/chan.h"
#include "pgrok/uplink/connect.h"

struct control_hooks {
	void (*on_connected)(void *arg);
	/* m is borrowed. May close the connection. */
	void (*on_msg)(void *arg, const struct msg *m);
	/*
	 * It has ended, or could not be made; control_close() is the answer, before it returns.
	 * garbage: what came is not a message. why is borrowed.
	 */
	void (*on_lost)(void *arg, const char *why, bool garbage);
};

/* Embedded in its owner. Zeroed memory is none. */
struct control {
	const struct control_hooks *hooks;
	void *arg;
	struct connect *attempt; /* waits for the connector, which has a deadline */
	struct stream *s;
	struct chan *chan; /* of s */
};

/* connector, hooks and arg are borrowed. Hooks are called from the loop, or from control_send(). */
void control_open(struct control *c, struct connector *connector, const struct control_hooks *hooks,
		  void *arg);
/* False: on_lost was called over it. */
bool control_send(struct control *c, const struct msg *m) MUSTCHECK;
/* Nothing is called any more. Closing what is closed is fine. */
void control_close(struct control *c);

#endif
