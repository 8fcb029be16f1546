/*
 * What goes from the worker that accepted a connection to the one where its client is at home: the
 * connection and what was read from it. It owns what is in it; whoever adopts it takes out what it
 * needs.
 */
#ifndef PGROKD_CORE_PARCEL_H
#define PGROKD_CORE_PARCEL_H

#include "common/stream/stream.h"
#include "msg/pgrok/msg.h"
#include "pgrokd/core/crowd.h"
#include "pgrokd/core/worker.h"

struct parcel;

/* At home. Borrows the parcel, takes s, takes from the parcel what it needs. */
typedef void parcel_adopt_fn(struct worker *w, struct stream *s, struct parcel *p);
/* The home's loop has ended, p is about to be freed: undoes what was done for it elsewhere. */
typedef void parcel_drop_fn(struct parcel *p);

struct parcel {
	struct loop_msg msg;
	parcel_adopt_fn *adopt;
	parcel_drop_fn *drop;
	struct worker *to;
	int fd;
	SSL *ssl;
	struct stream *shell; /* a WebSocket without its connection; NULL: it was none */
	struct addr peer;
	struct addr origin; /* of the request in what was read: peer, or whom a proxy speaks of */
	struct seat seat;   /* a visitor's */
	/* What was read from it. */
	struct msg first; /* owner NULL: none */
	void *own;        /* any other protocol's; NULL: nothing */
	void (*own_free)(void *own);
	char client_id[LIMIT_CLIENT_ID + 1]; /* "": none */
	struct route *route;                 /* a reference; NULL: none */
	char *unread;                        /* bytes that are the adopter's to read; NULL: none */
	size_t unread_len;
	uint64_t asked_us; /* clock_us() of the request in them; 0: not known */
	int status;        /* the page that the request in them is to get; 0: none was decided on */
};

/* drop NULL: nothing to undo. */
struct parcel *parcel_new(parcel_adopt_fn *adopt, parcel_drop_fn *drop,
			  const struct addr *peer) MUSTCHECK;
/*
 * Takes p and s (a direct stream, or a WebSocket over one) and brings both to worker `home`: at
 * once if that is `from`, else the stream is taken apart and posted.
 */
void parcel_send(struct parcel *p, struct worker *from, int home, struct stream *s);

#endif
