/*
 * What goes from the lobby to the worker where a client is at home: an Auth, a RegProxy or a
 * visitor. It owns what is in it; whoever takes it adopts or closes it.
 */
#ifndef PGROKD_CORE_PARCEL_H
#define PGROKD_CORE_PARCEL_H

#include "common/stream/stream.h"
#include "msg/pgrok/msg.h"
#include "pgrokd/server.h"

enum parcel_kind {
	PARCEL_AUTH,     /* first, client_id; holds one registry_enter() */
	PARCEL_REGPROXY, /* first, client_id */
	PARCEL_VISITOR   /* route, unread, head_only */
};

struct parcel {
	struct loop_msg msg;
	enum parcel_kind kind;
	struct worker *to;
	int fd;
	SSL *ssl;
	struct addr peer;
	struct msg first; /* the decoded message; owner NULL: none */
	char client_id[LIMIT_CLIENT_ID + 1];
	struct route *route;
	char *unread; /* bytes read already */
	size_t unread_len;
	bool head_only; /* the request is a HEAD */
};

struct parcel *parcel_new(enum parcel_kind kind, const struct addr *peer) MUSTCHECK;
/*
 * Takes p and s (a direct stream) and brings both to worker `home`: at once if that is `from`, else
 * the stream is taken apart and posted.
 */
void parcel_send(struct parcel *p, struct worker *from, int home, struct stream *s);

#endif
