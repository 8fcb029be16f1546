/*
 * The inspector: what was captured, for a browser and for programs, at inspect_addr. Its paths and
 * forms are described in assets/inspect/API.md; common/httpd serves it and checks who asks.
 */
#ifndef PGROK_INSPECT_INSPECT_H
#define PGROK_INSPECT_INSPECT_H

#include "common/base/addr.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "pgrok/capture/capture.h"
#include "pgrok/config/config.h"
#include "pgrok/model/model.h"

struct inspect;

/* A tunnel asked for at run time; NULL: not said. Borrowed. */
struct inspect_tunnel {
	const char *name, *proto, *addr, *subdomain, *hostname, *host_header;
	uint16_t remote_port;
	bool inspect, x_forwarded, insecure;
	const char *more; /* a JSON object: other keys, as a tunnel has them in the file */
};

/* How an order about a tunnel ended. */
enum inspect_order {
	INSPECT_DONE,
	INSPECT_RESTARTED, /* done, by a new session: the server knows no other way */
	INSPECT_LATER,     /* inspect_ordered() will say */
	INSPECT_REFUSED,   /* err says why: what was asked for makes no sense, or is not there */
	INSPECT_FAILED     /* err says why: the server's word */
};

/* What the inspector asks of others. Each may be NULL: then it can't be done. */
struct inspect_hooks {
	/* order: for inspect_ordered(). */
	enum inspect_order (*open)(void *arg, const struct inspect_tunnel *t, uint64_t order,
				   struct err *err);
	/* With all of its URLs. */
	enum inspect_order (*close)(void *arg, const struct model_tunnel *t, uint64_t order,
				    struct err *err);
	/* Does this peer come through a tunnel? */
	bool (*is_ours)(void *arg, const struct addr *peer);
};

struct inspect_conf {
	const struct config *config;
	struct model *model;
	struct capture *capture; /* NULL: nothing is captured */
	const struct inspect_hooks *hooks;
	void *arg;
};

/*
 * Everything is borrowed. A port that is taken is replaced by a free one, which the log says. NULL:
 * err says why.
 */
struct inspect *inspect_start(struct loop *l, const struct inspect_conf *conf,
			      struct err *err) MUSTCHECK;
/* Takes i (NULL is fine). */
void inspect_close(struct inspect *i);
/* "http://127.0.0.1:4040". Borrowed. */
const char *inspect_url(const struct inspect *i);
/* The address it is bound to, for a tunnel that leads to it, and its port. Borrowed. */
const char *inspect_addr(const struct inspect *i);
uint16_t inspect_port(const struct inspect *i);
/* An order that was INSPECT_LATER has ended. An unknown one is nothing. */
void inspect_ordered(struct inspect *i, uint64_t order, enum inspect_order how, const char *err);

#endif
