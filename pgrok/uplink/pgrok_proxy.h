/*
 * Proxy connections: each waits at the server for one visitor and joins it with the local service.
 */
#ifndef PGROK_UPLINK_PGROK_PROXY_H
#define PGROK_UPLINK_PGROK_PROXY_H

#include "common/base/addr.h"
#include "common/mux/mux.h"
#include "msg/pgrok/msg.h"
#include "pgrok/capture/capture.h"
#include "pgrok/uplink/connect.h"
#include "pgrok/model/model.h"

struct proxies;

struct proxies_conf {
	struct connector *connector;
	struct model *model;
	struct capture *capture; /* NULL: nothing is captured */
	uint16_t inspect_port;   /* 0: no inspector */
	struct mux_account *memory;
	/* May a tunnel that is not known yet still come? Then its visitor waits a moment. */
	bool (*expects_tunnels)(void *arg);
	void *arg;
};

/* Everything is borrowed. */
struct proxies *proxies_new(struct loop *l, const struct proxies_conf *conf) MUSTCHECK;
/* Closes all connections, those in use too. */
void proxies_close(struct proxies *all);

/*
 * Until proxies_drop_waiting(): the server knows connections that carry one visitor after the
 * other, so those that are made from now on say that they are such.
 */
void proxies_reuse(struct proxies *all);
/* The server asked for one more. Bounded: what is over the limits is ignored. */
void proxies_add(struct proxies *all, const char *client_id);
/* Takes a stream of a mux session, on which the server will say StartProxy. */
void proxies_accept(struct proxies *all, struct stream *s);
/* Takes a connection on which the server has just said StartProxy m (borrowed). */
void proxies_adopt(struct proxies *all, struct stream *s, const struct msg *m);
/* A tunnel came up: visitors that were early are looked at again. */
void proxies_tunnel_up(struct proxies *all);
/* Bytes that the connections in use have carried so far. */
void proxies_bytes(const struct proxies *all, uint64_t *in, uint64_t *out);
/* Has t a visitor? */
bool proxies_serve(const struct proxies *all, const struct config_tunnel *t);
/* Is this the near end of a connection that a visitor has to the inspector, through a tunnel? */
bool proxies_visit_inspector(const struct proxies *all, const struct addr *near);
/* The control connection is gone: closes what serves no visitor yet. */
void proxies_drop_waiting(struct proxies *all);

/*
 * What a visitor of an http(s) tunnel sees when nothing listens at local: a whole HTTP response.
 * Returns owned, *len bytes.
 */
char *proxy_unavailable_page(const char *url, const char *local, size_t *len) MUSTCHECK;

#endif
