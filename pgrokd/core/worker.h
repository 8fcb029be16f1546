/*
 * A worker: one thread, its loop, and all that lives on it. Every object belongs to one worker;
 * what all workers have in common is their core.
 */
#ifndef PGROKD_CORE_WORKER_H
#define PGROKD_CORE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/idmap.h"
#include "common/base/loop.h"
#include "pgrokd/access/grant.h"
#include "pgrokd/config/config.h"
#include "pgrokd/core/counters.h"
#include "pgrokd/limits.h"
#include "pgrokd/names/name.h"
#include "pgrokd/names/registry.h"

struct asker;
struct crowd;
struct door;
struct forward;
struct guesses;
struct journal;
struct proto_ops;
struct listener;
struct nets;
struct parcel;
struct rate;
struct settings;
struct stream;
struct verdicts;
struct worker;

TAILQ_HEAD(guest_list, guest);
TAILQ_HEAD(visitor_list, visitor);
TAILQ_HEAD(pause_list, pause);

/*
 * Set before the first worker runs, then never changed; registry, door, crowd, guesses and rates
 * lock themselves.
 */
struct core {
	const struct config *config;
	struct registry *registry;
	struct door *door;
	struct forward *const *forward;               /* asked about requests, as config->forward */
	struct crowd *crowd;                          /* NULL: any number of visitors */
	struct rate *visitor_rate, *tunnel_rate;      /* NULL: any number in a second */
	struct guesses *guesses;                      /* NULL: wrong passwords are not counted */
	struct name_site site;                        /* how URLs are written */
	bool on[PORTS];                               /* which ports are listened on */
	const struct nets *trusted;                   /* proxies that are believed; NULL: none */
	bool proxy_heads[PORTS];                      /* where those begin with a PROXY head */
	bool admin_tls;                               /* the admin listener needs a certificate */
	const struct proto_ops *const *spoken[PORTS]; /* the protocols of a port; then NULL */
	/* Where visitors go that left their tunnel, or did not get there: see visitor.h. */
	void (*back)(struct worker *w, struct stream *s, struct parcel *p);
	/* New settings are in force on this worker. NULL: nothing depends on them. */
	void (*settled)(struct worker *w);
	int n_workers;
	struct worker *worker; /* [n_workers] */
};

struct worker {
	const struct core *core;
	int index; /* in core->worker */
	struct loop *loop;
	pthread_t thread;
	struct settings *settings; /* those in force here; a reference of the server's */
	struct listener *listener[PORTS];
	struct guest_list guests; /* half-open connections, oldest first */
	struct guest_list silent; /* those of them that have sent nothing yet */
	int n_guests;
	int long_frames;              /* guests with a first frame over LIMIT_DRIP_HELLO */
	struct visitor_list visitors; /* all of tunnels at home here */
	struct visitor_list unheard;  /* those joined lately, oldest first: see visitor.c */
	struct loop_timer hear;
	struct pause_list paused;             /* too fast for their limits: see speed.c */
	struct loop_timer pace;               /* the first of them may go on */
	uint64_t pace_due;                    /* then, as clock_ns() */
	struct strmap *client_ids;            /* ClientId -> struct client */
	struct idmap *clients;                /* id -> struct client */
	struct idmap *tunnels;                /* id -> struct visitors, those of the tunnel */
	struct idmap *tickets;                /* id -> struct takeover_ticket that waits */
	struct verdicts *verdicts;            /* NULL: none is remembered */
	struct asker *asker[CONFIG_FORWARDS]; /* of core->forward; NULL: not needed yet */
	struct journal *journal;              /* NULL: there is no access log */
	struct counters count;
	int closes;            /* what was closed in this turn, as far as it is bounded */
	struct loop_tick turn; /* the next one begins */
};

/* Makes the loop and empty tables. core is borrowed, settings a reference of the caller's. */
void worker_init(struct worker *w, const struct core *core, int index, struct settings *settings);
/* Frees them; all objects have been closed. */
void worker_free(struct worker *w);
/* n things of which only so many are closed in a turn were closed. */
void worker_closes(struct worker *w, int n);
/* A listener of its: of visitors, who leave the last descriptors to clients, or of clients. */
void worker_listens(struct worker *w, struct listener *ln, bool visitors);
/* Starts its thread. */
bool worker_start(struct worker *w) MUSTCHECK;
/* Waits for the end of its thread, after a loop_stop(). */
void worker_join(struct worker *w);
/*
 * From any thread: fn(w, arg) is called on the worker's own, in the order of the calls of one
 * thread. If its loop has ended, drop(arg) instead; NULL: nothing to drop.
 */
void worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void (*drop)(void *arg),
		 void *arg);

#endif
