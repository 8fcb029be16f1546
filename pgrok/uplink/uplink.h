/*
 * A session with a server, of whatever protocol: all that the client knows of it. It asks for the
 * tunnels and keeps asking when it is lost, tells the model what came of it, and gives each
 * visitor's stream to the visits.
 */
#ifndef PGROK_UPLINK_UPLINK_H
#define PGROK_UPLINK_UPLINK_H

#include "pgrok/config/config.h"
#include "pgrok/model/model.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/visit/visit.h"

/* From the loop only. */
struct uplink_hooks {
	/*
	 * The server said no before anything ever worked, or took away the last tunnel: text is for
	 * the person. The session has ended, only close() is left.
	 */
	void (*on_refused)(void *arg, const char *text);
	/*
	 * What open_tunnel() asked for has ended: error NULL: its tunnels are up. Otherwise it is
	 * not asked for again.
	 */
	void (*on_ordered)(void *arg, const struct config_tunnel *t, const char *error);
};

/* Borrowed, all of it. */
struct uplink_conf {
	struct loop *loop;
	struct connector *connector;
	struct config *config;
	struct model *model;
	struct visits *visits;
	const struct uplink_hooks *hooks;
	void *arg;
};

enum uplink_closing {
	UPLINK_CLOSED,   /* the server knows, or there is no session at the moment */
	UPLINK_RESTARTED /* the server knows no such message: a new session without it begins */
};

struct uplink;

/* What a protocol implements. */
struct uplink_ops {
	const char *name;
	/* Starts at once. Returns owned. */
	struct uplink *(*start)(const struct uplink_conf *conf);
	/* Asks for one more tunnel, now. False: there is no session. on_ordered follows. */
	bool (*open_tunnel)(struct uplink *u, struct config_tunnel *t);
	/* Closes the tunnels of t, whose start is false from now on. */
	enum uplink_closing (*close_tunnel)(struct uplink *u, struct config_tunnel *t);
	/* Is t asked for in this session? */
	bool (*asks_for)(const struct uplink *u, const struct config_tunnel *t);
	/* Round trip in microseconds, of a session that measures it all the time; 0: none. */
	uint32_t (*rtt_us)(const struct uplink *u);
	/* Takes u; hooks are not called any more, visitors who share a connection see a reset. */
	void (*close)(struct uplink *u, const char *reason);
};

/* First member of every kind. */
struct uplink {
	const struct uplink_ops *ops;
};

/* pgrok_session.c */
extern const struct uplink_ops uplink_pgrok;
/* drip_session.c */
extern const struct uplink_ops uplink_drip;

#endif
