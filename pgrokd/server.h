/* The server as a whole, and one worker of it. Every object belongs to one worker. */
#ifndef PGROKD_SERVER_H
#define PGROKD_SERVER_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/queue.h>

#include "common/base/idmap.h"
#include "common/net/listener.h"
#include "common/base/loop.h"
#include "common/net/tls.h"
#include "pgrokd/config/config.h"
#include "pgrokd/front/door.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/registry.h"

enum port { PORT_HTTP, PORT_HTTPS, PORT_TUNNEL, PORTS };

TAILQ_HEAD(guest_list, guest);
TAILQ_HEAD(public_list, public);

/* Plain numbers, written by the worker's own thread only. */
struct counters {
	uint64_t accepted[PORTS]; /* connections */
	uint64_t shed;            /* half-open ones closed to stay within the limits */
	uint64_t moved;           /* handed to another worker */
	uint64_t pages;           /* own answers to visitors */
	uint64_t joined;          /* visitors that met a proxy */
	uint64_t bytes[2];        /* from visitors, from tunnels; of closed visitors */
	uint64_t controls, tunnels;
};

struct worker {
	struct server *server;
	int index;
	char name[24];
	struct loop *loop;
	pthread_t thread;
	SSL_CTX *tls[PORTS]; /* a reference each; NULL for http */
	struct listener *listener[PORTS];
	struct guest_list guests; /* half-open connections, oldest first */
	int n_guests;
	struct public_list publics; /* all visitors of tunnels at home here */
	struct strmap *clients;     /* ClientId -> struct control */
	struct idmap *controls;     /* id -> struct control */
	struct idmap *tunnels;      /* id -> struct tunnel */
	struct idmap *bids;         /* id -> struct bid that waits for a challenge */
	struct counters count;
};

struct server {
	const struct config *config;
	struct registry *registry;
	struct door *door;
	struct name_site site; /* how URLs are written */
	bool on[PORTS];
	struct addr bound[PORTS];
	SSL_CTX *tls[PORTS];
	bool tls_in_memory; /* a certificate that could not be kept: never made anew */
	int n_workers;
	struct worker *worker;
};

/* Binds, loads certificates, makes the workers. NULL: err names the option. */
struct server *server_new(const struct config *c, char err[static 256]) MUSTCHECK;
/* Starts the threads and says so in the log. */
void server_start(struct server *s);
/*
 * New certificates for connections from now on; what can't be loaded is logged, the old ones stay.
 */
void server_reload_tls(struct server *s);
/* Closes everything, ends and joins the threads. */
void server_stop(struct server *s);
void server_free(struct server *s);

#endif
