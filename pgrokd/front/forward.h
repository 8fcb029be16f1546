/*
 * A service that decides whether a request may pass (Authelia, Authentik, oauth2-proxy): what it is
 * asked, and what its answer means. The convention is that of Traefik's forwardAuth, Caddy's
 * forward_auth and nginx' auth_request.
 */
#ifndef PGROKD_FRONT_FORWARD_H
#define PGROKD_FRONT_FORWARD_H

#include "common/base/text.h"
#include "pgrokd/front/asker.h"
#include "pgrokd/front/guest.h"

/* Never changed once made, so that any worker may use it. */
struct forward;

/*
 * index: its place in core->forward. names: of the fields that it may set in requests, commas or
 * blanks between. Returns owned; NULL: err says what is wrong with the URL or a name.
 */
struct forward *forward_new(int index, const char *url, const char *names,
			    struct err *err) MUSTCHECK;
/* NULL is fine. */
void forward_free(struct forward *f);

/* Asks about the request for r that g has in hand, its head complete. */
struct ask *forward_ask(struct guest *g, const struct route *r, ask_fn *fn, void *arg) MUSTCHECK;
/*
 * It may pass: appends its head as the tunnel is to see it, with what the service says of who it is
 * and with nothing that the visitor says of that. False: the answer can't be used.
 */
bool forward_head(struct text *out, struct guest *g, const struct route *r,
		  const struct ask_answer *a) MUSTCHECK;
/*
 * The same for one that was let in lately (-forwardAuthCache). False: it has to be asked about.
 */
bool forward_known(struct text *out, const struct guest *g, const struct route *r) MUSTCHECK;
/* It may not: appends the fields of the answer that are for the visitor. */
void forward_fields(struct text *out, const struct ask_answer *a);
/* This worker asks nothing more. */
void forward_close(struct worker *w);

#endif
