/*
 * What a protocol is to the rest of the server: one row of functions, its types alone. What a
 * client says, and how it is answered, is in proto/.
 */
#ifndef PGROKD_CORE_PROTO_H
#define PGROKD_CORE_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg/pgrok/proto.h"
#include "pgrokd/core/counters.h"

struct carrier_hooks;
struct guest;

/* Do these first bytes of a connection belong to the protocol? */
enum looks { LOOKS_NO, LOOKS_MORE /* they may: it takes more of them */, LOOKS_YES };

/* One answer to a request for a tunnel, which gets one for each of its protocols. */
struct proto_answer {
	const char *request; /* the client's id of it */
	enum proto proto;
	const char *url;   /* it is open; NULL: refused, and all that was left of the request */
	const char *error; /* why: a sentence */
	enum no_tunnel reason;
};

#define PROTO_NAME 16 /* characters of a name by chance, and a NUL */

struct proto_ops {
	const char *name; /* "pgrok", for the log */

	/* On a connection whose first bytes are being read (front/guest.h). */
	const char *late; /* for the log: what did not come in time */
	enum looks (*looks_like)(const char *buf, size_t len);
	/* It is this protocol's. Called whenever there may be more to read, until it has left. */
	void (*hello)(struct guest *g);

	/* The rest is for protocols with clients. `session` is what speaks to a client. */
	bool one_request; /* a stream to the client carries one request */
	/* A name by chance, for the nth time of asking; NULL: eight hex digits. */
	void (*random_name)(int nth, char name[static PROTO_NAME]);
	const struct carrier_hooks *carry; /* what a carrier needs of a session (its arg) */
	void (*answer)(void *session, const struct proto_answer *a);
	/* Is it still there? If it is, client_alive() may be called before LIMIT_TAKEOVER_MS. */
	void (*ask_alive)(void *session);
	/* That time is over: does it live, as far as its system can tell? */
	bool (*seems_alive)(void *session);
	/* Its tunnel at url was closed, and not by its client. May end the client, but later. */
	void (*withdrawn)(void *session, const char *url, const char *why);
	/* Microseconds to the client and back; 0: not known. */
	uint32_t (*rtt_us)(const void *session);
	/* Its client is about to be closed: nothing more is said, or taken from it. */
	void (*quiet)(void *session);
	/* Its client is closed: takes session, ends the connection. */
	void (*stopped)(void *session);
};

#endif
