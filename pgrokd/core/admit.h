/*
 * May it pass: a request, or a client? What its tunnel's rules say, and how often its visitor has
 * guessed lately.
 */
#ifndef PGROKD_CORE_ADMIT_H
#define PGROKD_CORE_ADMIT_H

#include "pgrokd/access/login.h"
#include "pgrokd/core/worker.h"

/* Where a request comes from; borrowed. */
struct admit_from {
	const struct addr *addr; /* the visitor's, as far as it is known */
	SSL *ssl;                /* of its connection; NULL: plain */
	bool https;              /* or a trusted proxy's, to which the visitor speaks https */
};
/* A request for r, with this head (its bytes: head), as its rules look at it. All borrowed. */
struct visit admit_visit(const struct route *r, const struct http_head *h, const char *head,
			 const struct admit_from *from);
/* On any worker: 0, or the status to refuse it with: that of route_allows(), or 429. */
int admit(const struct worker *w, const struct route *r, const struct visit *v) MUSTCHECK;
/* The same for the form that comes with a RULES_LOGIN: the status of login_judge(), or 429. */
int admit_login(const struct worker *w, const struct route *r, const struct visit *v,
		const char *form, size_t len, struct login *out) MUSTCHECK;

/*
 * Whose is this token, if it is one that may come now? ALLOWED: *grant is a reference (the
 * caller's), NULL if tokens are not checked. Else *why is a sentence for the client.
 */
enum refusal admit_client(const struct worker *w, const struct token *token, struct grant **grant,
			  const char **why) MUSTCHECK;
/*
 * The same for the first word of a connection, whose wrong tokens are counted by its address:
 * *later is after how many milliseconds it is to be told, 0 for now. Counts what it refuses.
 */
enum refusal admit_newcomer(struct worker *w, const struct token *token, const struct addr *peer,
			    const char **why, uint64_t *later) MUSTCHECK;
/* Counts a client that was refused. */
void admit_refused(struct worker *w, enum refusal r);

#endif
