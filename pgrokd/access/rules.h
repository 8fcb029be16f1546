/* Who may visit a tunnel: what its client asked for, as a question about each request. */
#ifndef PGROKD_ACCESS_RULES_H
#define PGROKD_ACCESS_RULES_H

#include "common/http/head.h"

/* Never changed once made, so that any thread may ask. */
struct rules;

/* auth: "user:password", borrowed; "": none. Returns owned; NULL: everyone may visit. */
struct rules *rules_new(const char *auth) MUSTCHECK;
/* Wipes and frees; NULL is fine. */
void rules_free(struct rules *r);

/*
 * May the request with this head pass? 0, or the status to refuse it with: 401 no or wrong
 * credentials. r NULL: always 0.
 */
int rules_allow(const struct rules *r, const struct http_head *h, const char *head);

#endif
