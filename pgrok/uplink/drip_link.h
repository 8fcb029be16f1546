/*
 * One connection to a Drip server: connect -> (WebSocket) -> one frame out -> one frame in -> a
 * yamux session in which the server opens the streams.
 */
#ifndef PGROK_UPLINK_DRIP_LINK_H
#define PGROK_UPLINK_DRIP_LINK_H

#include "common/base/text.h"
#include "common/mux/mux.h"
#include "msg/drip/drip.h"
#include "pgrok/config/config.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/uplink/ws_dial.h"

/* What all of them have in common. Borrowed. */
struct drip_conf {
	struct loop *loop;
	struct connector *connector;
	const struct config *config;
	struct mux_account *memory; /* of all sessions */
	uint64_t *data_ids;         /* DataConnects so far */
};

struct drip_link;

struct drip_link_hooks {
	/* Connected, its frame is on the way. NULL: not wanted. */
	void (*on_connected)(void *arg, struct drip_link *k);
	/* The server's frame; m is borrowed. Unless k is closed in it, the session begins. */
	void (*on_answer)(void *arg, struct drip_link *k, const struct drip_msg *m);
	/* Takes s, the stream of a visitor. */
	void (*on_stream)(void *arg, struct drip_link *k, struct stream *s);
	/*
	 * It could not be made, has ended, or takes no new streams: drip_link_close() is the
	 * answer, before it returns. why is borrowed.
	 */
	void (*on_lost)(void *arg, struct drip_link *k, const char *why);
};

/* Embedded in its owner. Zeroed memory is none. */
struct drip_link {
	const struct drip_conf *conf;
	const struct drip_link_hooks *hooks;
	void *arg;
	struct connect *attempt; /* waits for the connector, which has a deadline */
	struct ws_dial *dial;    /* waits for the WebSocket; deadline */
	struct stream *s;        /* waits for the answer; deadline */
	struct text out, in;     /* what is left of our frame, what has come of theirs */
	uint64_t answer_ms;
	bool wss;
	struct loop_timer deadline;
	struct mux *mux; /* waits for streams; its pings tell when it is dead */
};

/*
 * Takes what stands in frame, which is empty afterwards. wss: over a WebSocket. Everything else is
 * borrowed.
 */
void drip_link_open(struct drip_link *k, const struct drip_conf *conf, struct text *frame, bool wss,
		    uint64_t answer_ms, const struct drip_link_hooks *hooks, void *arg);
/*
 * No hook is called any more. abort: visitors on it see a reset; else they are served to their end.
 * Closing what is closed is fine.
 */
void drip_link_close(struct drip_link *k, bool abort);
/* Is it being made, or up? */
bool drip_link_there(const struct drip_link *k);
/* Visitors on it. */
uint32_t drip_link_streams(const struct drip_link *k);

#endif
