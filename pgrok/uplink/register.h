/*
 * The handshake of a connection that is to carry visitors: RegProxy goes out, StartProxy comes in.
 * On a stream of a mux session only the second half: the server says StartProxy unasked.
 */
#ifndef PGROK_UPLINK_REGISTER_H
#define PGROK_UPLINK_REGISTER_H

#include "common/stream/stream.h"
#include "msg/pgrok/msg.h"
#include "pgrok/uplink/connect.h"

enum register_end {
	REGISTER_OK,          /* StartProxy came */
	REGISTER_UNCONNECTED, /* no connection was made */
	REGISTER_EOF,         /* the server ended the connection instead */
	REGISTER_ABORT,       /* the connection broke */
	REGISTER_BAD          /* something other than a StartProxy came */
};

struct register_hooks {
	/* NULL: not wanted. Connected, RegProxy is on its way. */
	void (*on_registered)(void *arg);
	/*
	 * Once, from the loop: how it ended. s is the callee's from now on, silent, behind the
	 * StartProxy if it is OK; NULL if UNCONNECTED. start: OK. why: not OK. Both are borrowed
	 * for the call.
	 */
	void (*on_end)(void *arg, enum register_end how, struct stream *s,
		       const struct msg_start_proxy *start, const char *why);
};

/* Embedded in its owner. Zeroed memory is one that does not run. */
struct registration {
	const struct register_hooks *hooks;
	void *arg;
	const char *client_id;
	int64_t mux;
	struct connect *attempt; /* waits for the connector, which has a deadline */
	struct stream *s;
	struct chan *chan; /* waits for StartProxy, without a deadline: the server decides */
};

/*
 * Connects and registers for client_id; mux: 0, MUX_SHARED, MUX_REUSED. Everything is borrowed
 * until the end.
 */
void register_connect(struct registration *r, struct connector *c, const char *client_id,
		      int64_t mux, const struct register_hooks *hooks, void *arg);
/* Takes s, a stream on which the server says StartProxy. */
void register_stream(struct registration *r, struct stream *s, const struct register_hooks *hooks,
		     void *arg);
/* Ends what is under way, if anything is; no hook is called. abort: the server sees a reset. */
void register_cancel(struct registration *r, bool abort);

/* Is this StartProxy the beginning of a mux session? */
bool register_is_mux(const struct msg_start_proxy *start);

#endif
