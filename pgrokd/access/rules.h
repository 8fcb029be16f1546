/* Who may visit a tunnel: what its client asked for, as a question about each request. */
#ifndef PGROKD_ACCESS_RULES_H
#define PGROKD_ACCESS_RULES_H

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/http/head.h"
#include "common/net/tls_ca.h"
#include "msg/pgrok/msg.h"
#include "pgrokd/access/pass.h"
#include "pgrokd/limits.h"

/* Never changed once made, and counted, so that any thread may ask. */
struct rules;

struct rules_conf {
	const char *auth;                /* HttpAuth: "user:password"; "": none */
	const struct msg_access *access; /* NULL: none */
	const unsigned char *owner;      /* PASS_HASH bytes: whose tunnel it is */
};

/*
 * Of what a client sent, which is checked again. *out is a reference; NULL: everyone may visit.
 * False: err is a sentence for the client.
 */
bool rules_make(const struct rules_conf *conf, struct rules **out, struct err *err) MUSTCHECK;
/* NULL is fine for both. The last one wipes and frees it. */
struct rules *rules_ref(struct rules *r);
void rules_unref(struct rules *r);

/* Whose CA has vouched for a connection's peer, in a handshake made for that tunnel alone. */
struct vouch {
	char tunnel[sizeof("https://") + LIMIT_NAME]; /* the key of its route */
	unsigned char ca[TLS_CA_HASH];
};

/* A request, as far as rules look at it. All borrowed. */
struct visit {
	const struct addr *from;   /* the visitor's address, as far as it is known */
	const char *tunnel;        /* the key of its route */
	bool secure;               /* the visitor speaks https */
	const struct vouch *vouch; /* NULL: no CA has vouched for it */
	int64_t now;               /* seconds since 1970 */
	const struct http_head *head;
	const char *bytes; /* of head */
};

#define RULES_LOGIN_PATH "/.pgrok/login"
#define RULES_LOGIN 470 /* no status of HTTP: it is the login form, see login.h */

/* May a connection from there pass? On tcp this is all that is asked. r NULL: always. */
bool rules_admit(const struct rules *r, const struct addr *from);
/*
 * May this request pass? 0, or the status to refuse it with: 403 the address, method or path; 421
 * the connection was not made for this tunnel and its CA; 401 no or wrong credentials; or
 * RULES_LOGIN. r NULL: always 0.
 */
int rules_allow(const struct rules *r, const struct visit *v);

/* Of which its visitors show a certificate; NULL: of none. Borrowed. */
const struct tls_ca *rules_ca(const struct rules *r);
/* What a visitor may identify itself with. */
#define RULES_BASIC 1u
#define RULES_BEARER 2u
#define RULES_PASSWORD 4u
unsigned rules_offers(const struct rules *r);
/* What its visitors' cookies are made of; only where RULES_PASSWORD is offered. */
const struct pass_key *rules_pass(const struct rules *r);

#endif
