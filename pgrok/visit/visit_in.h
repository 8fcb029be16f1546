/* Inside of the visits: one of them, and the list of all. Others use visit.h. */
#ifndef PGROK_VISIT_VISIT_IN_H
#define PGROK_VISIT_VISIT_IN_H

#include <sys/queue.h>

#include "common/base/log.h"
#include "common/stream/pair.h"
#include "pgrok/config/config.h"
#include "pgrok/visit/edit.h"
#include "pgrok/visit/local.h"
#include "pgrok/visit/visit.h"

enum visit_state {
	VISIT_NEW,      /* waits for nothing */
	VISIT_PARKED,   /* waits for the tunnel, which its visitor overtook; LIMIT_PARKED_MS */
	VISIT_DIALING,  /* waits for the local service, LIMIT_LOCAL_DIAL_MS */
	VISIT_JOINED,   /* waits for the pair's end */
	VISIT_REFUSING, /* writes the page that says the local service is not there */
	VISIT_CLOSED
};

struct visit {
	TAILQ_ENTRY(visit) link;
	struct visits *all;
	enum visit_state state;
	uint64_t id;           /* 1, 2, 3 ... */
	struct stream *stream; /* to the visitor; NULL: joined or closed */
	/* PARKED, or until its one request is there; NULL until needed: there are many of these. */
	struct loop_timer *timer;
	struct local *dial;           /* DIALING */
	struct edit *edit;            /* DIALING, JOINED; NULL: its requests are not changed */
	struct pair *pair;            /* JOINED */
	struct capture_conn *tap;     /* DIALING, JOINED; NULL: this one is not captured */
	const struct endpoint *local; /* of the tunnel's configuration, which lives longer */
	enum proto proto;
	char *url, *peer;  /* NULL once it is joined; single: peer alone */
	struct page *page; /* REFUSING */
	uint64_t since;    /* loop_now() when it came */
	uint16_t near;     /* port of our end towards the inspector; 0: it leads elsewhere */
	bool counted;      /* in the model's open connections */
};

struct visits {
	struct loop *loop;
	struct visits_conf conf;
	TAILQ_HEAD(, visit) list;
	uint64_t ids;
};

/* Its prefix of log lines: "visit:17". Returns buf. */
#define VISIT_NAME 28
const char *visit_name(const struct visit *v, char buf[static VISIT_NAME]);
#define visit_log(v, level, ...)                                            \
	do {                                                                \
		char name_[VISIT_NAME];                                     \
		if (log_wants(level))                                       \
			log_line(level, visit_name(v, name_), __VA_ARGS__); \
	} while (0)

void visit_set_state(struct visit *v, enum visit_state state);
/* fn(v) is called then, unless it is closed before, or waits for something else. */
void visit_wait(struct visit *v, uint64_t ms, void (*fn)(void *arg));
/* Its tunnel is known. */
void visit_serve(struct visit *v, const struct model_tunnel *t);
/* Takes v. level: of the line that says why. abort: the visitor sees a reset. */
void visit_close(struct visit *v, enum log_level level, bool abort, const char *why);

#endif
