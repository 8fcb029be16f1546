/* The server's own short answers to visitors. */
#ifndef PGROKD_VISITOR_REPLY_H
#define PGROKD_VISITOR_REPLY_H

#include "common/base/text.h"
#include "common/stream/stream.h"
#include "pgrokd/access/rules.h"

#define REPLY_PLAIN_HTTP 497 /* a 400 that says so; the number is nginx's */
#define REPLY_NO_VERDICT 498 /* a 502: the service that decides about requests can't be asked */
#define REPLY_RATE 499       /* a 429 for too many new visitors */
/* The status that is sent for such a number, or for one of HTTP's. */
int reply_status(int number);

/* Who was asked for: a 404 says so, escaped and cut. Borrowed for the call. */
struct reply_host {
	const char *name;
	size_t len;
};

/* A page that asks for a tunnel's password. */
struct reply_login {
	const char *to; /* where its visitor wants to go, a path; borrowed */
	bool wrong;     /* the password that was given last */
};

/* An answer that another has given, for us to pass on. Borrowed for the call. */
struct reply_told {
	const struct text *fields; /* lines with their ends; none of framing */
	const char *body;
	size_t len;
};

struct reply_page {
	int status;
	const struct reply_told *told; /* instead of a page of ours; NULL: none */
	struct reply_host host;
	unsigned offers;                 /* of a 401: rules_offers(); 0: Basic */
	const struct reply_login *login; /* of a 401: the page; NULL: plain text */
	const char *fields;              /* of a 303; lines with their CRLF */
	bool head_only;                  /* it has no body */
	bool keep, http10;               /* as in struct answer_head */
};

/* Appends the whole answer: its head and, unless head_only, its text. */
void reply_make(struct text *out, const struct reply_page *page);
/*
 * Takes s: writes the answer, then closes lingering, so that the visitor sees it even while it is
 * still sending. Needs no owner. Returns the answer's length.
 */
size_t reply_send(struct stream *s, const struct reply_page *page);

#endif
