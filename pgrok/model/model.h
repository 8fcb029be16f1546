/*
 * What a person sees of the client: state, versions, tunnels, counters. Written by uplink and
 * visit, read by those who watch (status lines, the screen, the web page).
 */
#ifndef PGROK_MODEL_MODEL_H
#define PGROK_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg/pgrok/proto.h"

struct config_tunnel;
struct endpoint;

enum model_state {
	MODEL_CONNECTING, /* never been online yet */
	MODEL_ONLINE,
	MODEL_RECONNECTING
};

/* One public URL. */
struct model_tunnel {
	char *url;
	char *req_id;
	enum proto proto;
	const struct config_tunnel *conf; /* borrowed */
	const struct endpoint *local;     /* borrowed: conf->local[proto] */
	unsigned session;                 /* of which session it is; an older one's is stale */
	unsigned open;                    /* connections of visitors */
};

struct model_counters {
	uint64_t connections; /* begun so far */
	uint64_t open;
	uint64_t ended;
	uint64_t duration_ms; /* of the ended ones together */
	uint64_t bytes_in;    /* from visitors, of the ended ones */
	uint64_t bytes_out;   /* to visitors */
	uint64_t refused;     /* the local service was not there */
};

enum model_event {
	MODEL_EV_STATE,
	MODEL_EV_TUNNEL,  /* m->changed came or came back */
	MODEL_EV_GONE,    /* m->changed is about to be dropped */
	MODEL_EV_TRAFFIC, /* counters; a connection of m->changed (NULL: none's) began or ended */
	MODEL_EV_NOTE     /* m->note: something a person should know */
};

struct model;

/* What only those who carry the traffic know, asked when it is looked at. */
struct model_live {
	/* Bytes of the connections that are open now. */
	void (*bytes)(void *arg, uint64_t *in, uint64_t *out);
	/* Round trip to the server by a session that measures it all the time; 0: there is none. */
	uint32_t (*rtt_us)(void *arg);
	void *arg;
};

/* Embedded in the watcher. */
struct model_watch {
	struct model_watch *next;
	void (*fn)(void *arg, const struct model *m, enum model_event ev);
	void *arg;
};

struct model {
	enum model_state state;
	char *last_error;      /* why it is not online; NULL: no reason yet */
	uint32_t retry_ms;     /* length of the wait that began with this state event; 0: none */
	char *server_version;  /* MmVersion of the last AuthResp; NULL before */
	unsigned session;      /* counts the sessions that authenticated */
	unsigned tunnels_owed; /* URLs asked for whose answer is still to come */

	struct model_tunnel *tunnels;
	size_t tunnels_n;

	struct model_counters counters;
	uint32_t latency_us; /* of the control connection's last question; 0: not known yet */
	struct model_live live;

	struct model_tunnel *changed; /* for TUNNEL, GONE and TRAFFIC */
	int64_t ended_ms;             /* for TRAFFIC: how long it was there; -1: it began */
	const char *note;             /* for NOTE */
	bool note_secret;             /* it does not belong into a log */
	struct model_watch *watches;
};

struct model *model_new(void) MUSTCHECK;
void model_free(struct model *m);
/* Borrows w until model_unwatch() or model_free(). */
void model_watch(struct model *m, struct model_watch *w);
void model_unwatch(struct model *m, struct model_watch *w);

/* error may be NULL; retry_ms 0: the attempt is on. */
void model_set_state(struct model *m, enum model_state state, const char *error, uint32_t retry_ms);
/* A session was let in: URLs of earlier ones are stale from now on, but still shown. */
void model_session(struct model *m, const char *server_version);
/* A NewTunnel of this session; takes the place of the stale one of the same tunnel and protocol. */
void model_add_tunnel(struct model *m, const struct config_tunnel *conf, enum proto proto,
		      const char *req_id, const char *url);
/* The tunnels of conf are closed. */
void model_drop_tunnels(struct model *m, const struct config_tunnel *conf);
/* Is a tunnel of conf among them? */
bool model_has(const struct model *m, const struct config_tunnel *conf);
/* Every answer has come: what is still stale is gone. */
void model_drop_stale(struct model *m);
/*
 * The tunnel of this session with exactly this URL; NULL: none. Borrowed until the model changes.
 */
const struct model_tunnel *model_find(const struct model *m, const char *url);

void model_note(struct model *m, const char *text);
/* The same for what does not belong into a log. */
void model_secret_note(struct model *m, const char *text);

/* local: of the tunnel it is for; only compared, NULL: of none. */
void model_conn_begin(struct model *m, const struct endpoint *local);
void model_conn_end(struct model *m, const struct endpoint *local, uint64_t duration_ms,
		    uint64_t in, uint64_t out);
void model_conn_refused(struct model *m);

/* arg is borrowed until the next call; NULL: there is none to ask any more. */
void model_set_live(struct model *m, const struct model_live *live);
/* Bytes so far, ended and open connections together. */
void model_bytes(const struct model *m, uint64_t *in, uint64_t *out);
void model_set_latency(struct model *m, uint32_t us);
/* Round trip to the server in microseconds, 0: not known. */
uint32_t model_latency_us(const struct model *m);

#endif
