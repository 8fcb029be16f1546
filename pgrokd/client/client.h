/*
 * A client at home: who it is, its tunnels, the requests for them that are under way, how its
 * visitors are carried to it. How it speaks is its protocol's business (core/proto.h).
 */
#ifndef PGROKD_CLIENT_CLIENT_H
#define PGROKD_CLIENT_CLIENT_H

#include "pgrokd/access/token.h"
#include "pgrokd/carrier/carrier.h"
#include "pgrokd/core/proto.h"
#include "pgrokd/core/worker.h"
#include "pgrokd/visitor/visitor.h"

struct client;

struct client_conf {
	const struct proto_ops *proto; /* borrowed */
	void *session;                 /* the client's, until proto->stopped() */
	const char *client_id;         /* copied; holds one registry_enter(), taken over */
	struct token token;            /* what it identified itself with */
	struct grant *grant;           /* a reference, taken over; NULL: tokens are not checked */
	struct addr peer;
	bool new_id;     /* its id does not come again: without a token nothing is held for it */
	bool half_close; /* it carries half-close */
	bool may_share;  /* its visitors may share a connection, unless a request says no */
};

/*
 * On its home. A client with the same id is closed first: its names are free then, and go to this
 * one if it asks for them. The session owns it, until client_close().
 */
struct client *client_new(struct worker *w, const struct client_conf *conf) MUSTCHECK;
/*
 * Takes c: its tunnels, requests and connections go, and its session by proto->stopped(). Joined
 * visitors stay. Where so many leave at once that the others would wait for it, that comes
 * in one of the next turns, and until then the session is quiet. why lives as long as the session.
 */
void client_close(struct client *c, const char *why);
/* The same for one that was silent too long: its visitors won't be answered, and go, too. */
void client_lost(struct client *c, const char *why);
/* The same for one whose token allows it no more: nothing is held for it. */
void client_revoke(struct client *c, const char *why);
void client_close_all(struct worker *w, const char *why);
/* NULL: there is none with this id here. */
struct client *client_find(const struct worker *w, const char *client_id);

/* "ctl:309f56fc", for the log. Borrowed. */
const char *client_name(const struct client *c);
/* The id in full, which is a credential, and what of it may be shown. Borrowed. */
const char *client_id(const struct client *c);
const char *client_short_id(const struct client *c);
/* The name of its token; "": tokens are not checked. Borrowed. */
const char *client_owner(const struct client *c);
/* NULL: it speaks another protocol. */
void *client_session(const struct client *c, const struct proto_ops *proto);
struct carrier *client_carrier(const struct client *c);
int client_tunnels(const struct client *c);

/* What a client wants: the texts of a request for a tunnel, borrowed. */
struct wanted {
	const char *req_id, *protocols, *hostname, *subdomain, *http_auth, *category;
	const struct msg_access *access; /* rules for its visitors; NULL: none */
	const char *forward_auth;        /* URL that decides about its requests; "", NULL: none */
	const char *last_name;           /* a random one that it had, and wants again; "" */
	uint16_t remote_port, last_port; /* asked for; had, and wanted again. 0: none */
	bool share;                      /* its visitors may share a connection */
};

/*
 * Answers by proto->answer(), now or after the owner of a name was asked. False: too many requests
 * are under way.
 */
bool client_request(struct client *c, const struct wanted *want) MUSTCHECK;
/* The client wants one of its URLs closed; another's, or none's: nothing happens. */
void client_give_back(struct client *c, const char *url);
/* One more of its requests was refused. True: so many lately that it should go. */
bool client_refused(struct client *c) MUSTCHECK;
/*
 * Is its token, and is what it has still allowed? What is not is closed, its visitors included. On
 * its worker, for one client, or (as core->settled) for all.
 */
void client_settle(struct client *c);
void client_settle_all(struct worker *w);
/* ---- what an operator may know of a tunnel, and do ---- */

struct tunnel_view {
	const char *owner, *url, *name; /* "a.example.com", ":5000"; borrowed: for this turn */
	struct addr peer;               /* its client's address */
	uint64_t born;
	uint64_t last; /* request or visitor; 0: none came. Both: loop_now() */
	uint64_t visitors_now;
	struct visitor_count count;
	uint32_t rtt_us; /* to its client; 0: not known */
};

/* On its home. False: there is no such tunnel any more. */
bool client_tunnel_view(const struct worker *w, uint64_t tunnel_id,
			struct tunnel_view *v) MUSTCHECK;
/* Closes it and tells its client. False: as above. */
bool client_withdraw(const struct worker *w, uint64_t tunnel_id, const char *why) MUSTCHECK;

/* It has shown that it lives. */
void client_alive(struct client *c);

#endif
