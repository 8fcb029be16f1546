/*
 * One proxy connection of the pgrok protocol, from its beginning to a visitor: connect -> RegProxy
 * -> wait for StartProxy -> the visitor's. Or a stream of a mux session, which begins with the
 * wait.
 */
#ifndef PGROK_UPLINK_PGROK_PROXY_H
#define PGROK_UPLINK_PGROK_PROXY_H

#include <sys/queue.h>

#include "pgrok/uplink/register.h"
#include "pgrok/uplink/reused.h"
#include "pgrok/visit/visit.h"

enum proxy_state {
	PROXY_CONNECTING, /* waits for the connector, which has a deadline */
	PROXY_WAITING,    /* waits for StartProxy, without a deadline: the server decides */
	PROXY_OPENED,     /* a stream of a mux session, StartProxy under way */
	PROXY_CLOSED,
	PROXY_STATES
};

struct pgrok_proxy;

struct proxy_hooks {
	/* p is in another state than `was` now; CLOSED: it is forgotten. */
	void (*on_state)(void *arg, struct pgrok_proxy *p, enum proxy_state was);
};

/* What all of them have in common. Borrowed. */
struct proxy_conf {
	struct loop *loop;
	struct connector *connector;
	struct visits *visits;
	struct reused *reused;
	const struct proxy_hooks *hooks;
	void *arg;
};

struct pgrok_proxy {
	TAILQ_ENTRY(pgrok_proxy) link; /* its owner's */
	const struct proxy_conf *conf;
	enum proxy_state state;
	uint64_t id; /* its prefix of log lines: "prx:17" */
	struct registration reg;
	uint64_t since; /* loop_now() */
};

/*
 * Connects and registers. reusable: says that it can carry one visitor after the other, if the
 * server wants that. conf and client_id are borrowed. Ends by itself, see on_state.
 */
struct pgrok_proxy *pgrok_proxy_connect(const struct proxy_conf *conf, uint64_t id,
					const char *client_id, bool reusable) MUSTCHECK;
/* Takes s, a stream of a mux session. */
struct pgrok_proxy *pgrok_proxy_accept(const struct proxy_conf *conf, uint64_t id,
				       struct stream *s) MUSTCHECK;
/* Takes p. */
void pgrok_proxy_close(struct pgrok_proxy *p, const char *reason);

#endif
