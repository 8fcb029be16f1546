/* What each worker counts. */
#ifndef PGROKD_CORE_COUNTERS_H
#define PGROKD_CORE_COUNTERS_H

#include "common/base/metrics.h"

enum port { PORT_HTTP, PORT_HTTPS, PORT_TUNNEL, PORTS };

/* Why a connection was closed at once, or while it was half-open. */
enum shed {
	SHED_HALF_OPEN, /* too many of them; the oldest went */
	SHED_ADDRESS,   /* too many of its address */
	SHED_MEMORY,
	SHED_GUESSES,             /* too many wrong tokens of its address */
	SHED_CONNECTIONS,         /* too many of visitors */
	SHED_ADDRESS_CONNECTIONS, /* ... of its address */
	SHED_RATE,                /* too many new visitors of its address lately */
	SHED_DESCRIPTORS,         /* the process has no more of them, or only some for clients */
	SHEDS
};

/* Why a connection to the port for clients was refused after its first message. */
enum no_client {
	NO_CLIENT_VERSION, /* another version of the protocol */
	NO_CLIENT_UNKNOWN, /* a connection for visitors of a client that is not here */
	NO_CLIENT_MESSAGE, /* none that can be read, or that begins a connection */
	NO_CLIENT_TOKEN,   /* an unknown token, or none */
	NO_CLIENT_EXPIRED, /* a token that is over */
	NO_CLIENT_GUESSES, /* too many wrong tokens of its address */
	NO_CLIENT_OTHER,   /* a ClientId that is in use with another token */
	NO_CLIENTS
};

/* Why a request for a tunnel was refused. */
enum no_tunnel {
	NO_TUNNEL_TAKEN,    /* its name or port is another's */
	NO_TUNNEL_HELD,     /* ... and held for it */
	NO_TUNNEL_NAME,     /* its name is none, or reserved */
	NO_TUNNEL_PORT,     /* its port is not allowed, can't be bound, or none is free */
	NO_TUNNEL_PROTOCOL, /* nothing listens for that protocol here */
	NO_TUNNEL_LIMIT,    /* too many tunnels, or too long a text */
	NO_TUNNEL_RIGHTS,   /* its token does not allow that name, port or protocol */
	NO_TUNNEL_RATE,     /* too many requests of its address lately */
	NO_TUNNEL_RULES,    /* its rules for visitors are none */
	NO_TUNNELS
};

/* What became of lines of the access log. */
enum lines { LINES_WRITTEN, LINES_LOST, LINES };

/* Why a visitor was not led to its tunnel's client. */
enum no_visit {
	NO_VISIT_FULL,  /* too many wait */
	NO_VISIT_TIME,  /* no connection of the client came in time */
	NO_VISIT_GONE,  /* the client went away */
	NO_VISIT_LIMIT, /* more than the token of the client allows */
	NO_VISIT_RULES, /* its address may not visit this tcp tunnel */
	NO_VISITS
};

/* What -forwardAuth said of a request. */
enum verdict {
	VERDICT_PASSED,
	VERDICT_REMEMBERED, /* passed, as one lately: not asked */
	VERDICT_REFUSED,
	VERDICT_FAILED, /* could not be asked, or not understood: refused */
	VERDICTS
};

#define COUNTED_PAGES 15

/* How a request is counted: GET, HEAD ..., the last one for any other. */
#define COUNTED_METHODS 8
#define COUNTED_CLASSES 6 /* of statuses, by their first digit; 0: others */

/*
 * Numbers, uint64_t alone (the census adds them up as an array), written by the worker's own thread
 * only; others ask for a copy.
 */
struct counters {
	uint64_t waiting_now, joined_now; /* visitors without and with a way to their client */
	/* since the start */
	uint64_t accepted[PORTS];      /* connections */
	uint64_t shed[SHEDS];          /* connections not let in */
	uint64_t moved;                /* handed to another worker */
	uint64_t pages[COUNTED_PAGES]; /* own answers to visitors, as in counted_pages */
	uint64_t joined;               /* visitors that met a proxy */
	uint64_t no_visit[NO_VISITS];  /* and those that did not */
	uint64_t bytes[2];             /* from visitors, from tunnels */
	uint64_t clients, tunnels;
	uint64_t lost; /* clients that were silent too long */
	uint64_t no_client[NO_CLIENTS];
	uint64_t no_tunnel[NO_TUNNELS];
	uint64_t verdicts[VERDICTS];
	uint64_t journal[LINES];           /* lines of the access log */
	uint64_t requests;                 /* over http and https, let through to a client */
	uint64_t answers[COUNTED_CLASSES]; /* to them */
	struct histogram first_byte;       /* from a request's head to its answer's */
	uint64_t in_flight;                /* now: requests whose answer is not complete */
	/* From a request's head to its answer's end. */
	struct histogram whole[COUNTED_METHODS][COUNTED_CLASSES];
};

/* The statuses of pages, the first for any other. */
extern const char *const counted_pages[COUNTED_PAGES];
/* A page with this status was sent. */
void count_page(struct counters *c, int status);
/* An answer with this status has begun, us microseconds after its request; 0: not measured. */
void count_answer(struct counters *c, int status, uint64_t us);
extern const char *const counted_methods[COUNTED_METHODS];
extern const char *const counted_classes[COUNTED_CLASSES];
/* The row of this method. */
int counted_method(const char *method, size_t len);
/* And of this status. */
int counted_class(int status);
/* Of all rows. */
uint64_t counted_sum(const uint64_t *rows, size_t n);

#endif
