/* One ReqTunnel: what a client wants, worked off protocol by protocol. */
#ifndef PGROKD_CLIENT_REQUEST_H
#define PGROKD_CLIENT_REQUEST_H

#include "pgrokd/client/client.h"

struct bid {
	TAILQ_ENTRY(bid) link;
	struct control *control;
	uint64_t id;
	char *req_id, *protocols, *hostname, *subdomain, *http_auth, *category;
	uint16_t remote_port, last_port; /* asked for; had, and wanted again. 0: none */
	bool mux;
	char *next;          /* in protocols: what is not done yet; NULL: all done */
	char *opened[2];     /* per http and https: a URL that is open but not announced yet */
	bool challenged;     /* the owner of the name was asked once */
	int challenged_home; /* while waiting: the worker that was asked */
	uint64_t challenged_control;
	struct loop_tick again; /* its next turn */
};

/* Answers with NewTunnels, at once or after a challenge. Borrows r. */
void bid_start(struct control *c, const struct msg_req_tunnel *r);
/* The challenge is over: the name is free (worth another try), or its owner lives. */
void bid_resume(struct bid *b, bool is_free);
/* Its control closes. */
void bid_close(struct bid *b);

#endif
