/*
 * The control connection: asks the server for tunnels, keeps asking when it is lost, and passes on
 * the server's wish for proxy connections.
 */
#ifndef PGROK_UPLINK_PGROK_SESSION_H
#define PGROK_UPLINK_PGROK_SESSION_H

#include "pgrok/uplink/connect.h"
#include "pgrok/config/config.h"
#include "pgrok/model/model.h"

struct session;

struct session_hooks {
	/* The server wants a proxy connection for this ClientId (borrowed for the call). */
	void (*req_proxy)(void *arg, const char *client_id);
	/* The server speaks yamux on connections of this ClientId (borrowed) that ask for it. */
	void (*mux)(void *arg, const char *client_id);
	/* A tunnel came up. */
	void (*tunnel)(void *arg);
	/* The control connection is gone: proxies that wait serve nobody any more. */
	void (*lost)(void *arg);
	/*
	 * The server said no before anything ever worked: text is for the person. The session
	 * ends.
	 */
	void (*refused)(void *arg, const char *text);
	/*
	 * What session_open_tunnel() asked for has ended: error NULL: its tunnels are up. Otherwise
	 * it is not asked for again.
	 */
	void (*ordered)(void *arg, const struct config_tunnel *t, const char *error);
};

/* Everything is borrowed. Starts at once; hooks are called from the loop only. */
struct session *session_new(struct loop *l, struct connector *connector, struct config *conf,
			    struct model *model, const struct session_hooks *hooks,
			    void *arg) MUSTCHECK;
/* Takes s; hooks are not called any more. */
void session_close(struct session *s, const char *reason);
/* Asks for one more tunnel, now. False: there is no session. hooks->ordered follows. */
bool session_open_tunnel(struct session *s, struct config_tunnel *t) MUSTCHECK;
enum session_closing {
	SESSION_TOLD, /* the server was told, or there is no session at the moment */
	SESSION_ANEW  /* the server knows no such message: a new session without it begins */
};
/* Closes the tunnels of t, whose start is false from now on. */
enum session_closing session_close_tunnel(struct session *s, struct config_tunnel *t);
/* Are there tunnels asked for whose answer is still to come? */
bool session_expects_tunnels(const struct session *s);

/* Is t asked for, and the answer still to come? */
bool session_asks_for(const struct session *s, const struct config_tunnel *t);

/* This machine in Go's words ("linux", "amd64"), which the server counts by. Static. */
const char *session_os(void);
const char *session_arch(void);

#endif
