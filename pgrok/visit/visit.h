/*
 * Visitors: for each a stream has come from the server, which is joined with the local service of
 * the tunnel that it is for. What was said on the stream before is the uplink's business.
 */
#ifndef PGROK_VISIT_VISIT_H
#define PGROK_VISIT_VISIT_H

#include "common/base/addr.h"
#include "common/stream/stream.h"
#include "pgrok/capture/capture.h"
#include "pgrok/model/model.h"

/* All of them. */
struct visits;

struct visits_conf {
	struct model *model;
	struct capture *capture; /* NULL: nothing is captured */
	uint16_t inspect_port;   /* 0: no inspector */
};

/* Everything is borrowed. */
struct visits *visits_new(struct loop *l, const struct visits_conf *conf) MUSTCHECK;
/* Takes all (NULL is fine); visitors see a reset. */
void visits_close(struct visits *all, const char *reason);

/* Where a visitor comes from and wants to. Borrowed for the call. */
struct visit_info {
	const struct model_tunnel *tunnel; /* NULL: url says which, as exactly as it was opened */
	const char *url;                   /* of tunnel, if that is not NULL */
	const char *peer;                  /* "203.0.113.9:40112" */
};

/*
 * Takes s, on which the visitor's bytes follow (settled, silent). A tunnel that is not
 * known is waited for (LIMIT_PARKED_MS) while the server owes answers.
 */
void visit_accept(struct visits *all, struct stream *s, const struct visit_info *info);

/* A tunnel came up: visitors that were early are looked at again. */
void visits_tunnel_up(struct visits *all);
/* No tunnel will come up any more: ends those that wait for one. */
void visits_drop_parked(struct visits *all, const char *reason);
/* Bytes that those who are joined have had carried so far. */
void visits_bytes(const struct visits *all, uint64_t *in, uint64_t *out);
/* Has t a visitor? */
bool visits_serve(const struct visits *all, const struct config_tunnel *t);
/* Is this the near end of a visitor's connection to the inspector? */
bool visits_at_inspector(const struct visits *all, const struct addr *near);

#endif
