/* What the files of this folder share: a client from inside. */
#ifndef PGROKD_CLIENT_PARTS_H
#define PGROKD_CLIENT_PARTS_H

#include "msg/pgrok/msg.h"
#include "pgrokd/client/client.h"
#include "pgrokd/visitor/visitor.h"

TAILQ_HEAD(tunnel_list, tunnel);
TAILQ_HEAD(request_list, request);

struct client {
	struct worker *worker;
	const struct proto_ops *proto;
	void *session;
	uint64_t id, born;
	char name[16];                       /* "ctl:309f56fc", for the log */
	char client_id[LIMIT_CLIENT_ID + 1]; /* a credential: only short_id is ever shown */
	char short_id[MSG_SHORT_ID];
	struct owner owner;  /* of its names */
	struct token token;  /* that it came with */
	struct grant *grant; /* a reference; NULL: tokens are not checked */
	struct loop_timer expiry;
	struct addr peer;
	bool new_id, half_close, may_share;
	struct tunnel_list tunnels;
	int n_tunnels;
	bool had_tunnel;
	struct request_list requests; /* those that wait for a takeover, or their turn */
	int n_requests;
	int refusals; /* of requests, since refusals_began */
	uint64_t refusals_began;
	struct carrier *carrier;
	struct takeover *takeover;  /* one of its names is contested; NULL: none is */
	struct visitor_count count; /* of all its tunnels */
	bool lost;                  /* it closes, and nothing more will come from it */
	bool revoked;               /* it closes because its token allows it no more */
	const char *why;            /* it closes in a later turn; NULL: it does not */
	struct loop_tick later;
};

#endif
