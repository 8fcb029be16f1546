/* A request for a tunnel, processed one protocol at a time. */
#ifndef PGROKD_CLIENT_REQUEST_H
#define PGROKD_CLIENT_REQUEST_H

#include "pgrokd/client/parts.h"
#include "pgrokd/client/takeover.h"

struct request {
	TAILQ_ENTRY(request) link;
	struct client *client;
	char *req_id, *protocols, *hostname, *subdomain, *category;
	char *last_name;                 /* a random one that it had */
	uint16_t remote_port, last_port; /* asked for; had, and wanted again. 0: none */
	struct rules *rules;             /* a reference: for its visitors; NULL: none */
	const char *http_rule;           /* the first that a tcp tunnel can't have; NULL: none */
	int asks;                        /* as of struct route */
	bool share;
	const char *at;  /* in protocols: the word at hand; NULL: all are done */
	char *opened[2]; /* per http and https: a URL that is open but not announced yet */
	bool asked;      /* the owner of the name was asked, once */
	struct takeover_ticket ticket;
	struct loop_tick again; /* its next turn */
};

enum request_rc {
	REQUEST_OK,
	REQUEST_REFUSED, /* the client was told why */
	REQUEST_WAITS    /* for a takeover, or its next turn */
};

/* Answers by the client's protocol, at once or later. Borrows want. */
void request_start(struct client *c, const struct wanted *want);
/* Takes r, of which nothing more is said. */
void request_cancel(struct request *r);

/* For one protocol of it: this tunnel is open. */
void request_announce(const struct request *r, enum proto p, const char *url);
/* It is refused, with all that is left of the request. fmt is for the client. */
enum request_rc request_refuse(const struct request *r, enum no_tunnel reason, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* The name of url is another's, or was a moment ago. Takes what is in why. */
enum request_rc request_obstacle(struct request *r, const char *url, struct obstacle *why);

/* port.c: opens its tcp tunnel. */
enum request_rc request_open_tcp(struct request *r);

#endif
