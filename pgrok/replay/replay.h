/*
 * Requests sent once more, as they were or changed: straight to the local service, not through the
 * server. What goes to and fro is captured like a visitor's.
 */
#ifndef PGROK_REPLAY_REPLAY_H
#define PGROK_REPLAY_REPLAY_H

#include "common/base/loop.h"
#include "pgrok/capture/capture.h"
#include "pgrok/config/config.h"

#define REPLAY_TIMES 100 /* of one job */
#define REPLAY_JOBS 16   /* at once */
#define REPLAY_MS 60000  /* one request, from the dial to the answer's end */

struct replays;

struct replays *replays_new(struct loop *l, struct capture *capture) MUSTCHECK;
/* Takes all (NULL is fine): what is under way is cut. */
void replays_close(struct replays *all);

/* Where to. Copied. */
struct replay_target {
	const char *name, *url; /* of the tunnel, see struct capture_conn_info */
	const struct config_tunnel *conf;
	enum proto proto;
	const char *visitor; /* who is said to have asked, if anyone is to be told */
};

struct replay_job {
	const char *request; /* what is sent, head and body */
	size_t len;
	const char *origin; /* id of a transaction; NULL: none */
	bool edited;
	unsigned times;    /* 1 to REPLAY_TIMES, one after the other */
	uint64_t delay_ms; /* between them */
};

/*
 * Begins a job; everything is copied. ids: room for job->times of them; the transactions will have
 * these. False: REPLAY_JOBS are under way.
 */
bool replay_start(struct replays *all, const struct replay_target *to, const struct replay_job *job,
		  char (*ids)[CAPTURE_ID]) MUSTCHECK;

/* What a request is changed to; NULL: as it was. Borrowed. */
struct replay_edit {
	const char *method, *path;
	const char *fields; /* all header lines, each with its CRLF */
	const char *body;   /* fields then need no length: it is set to fit */
	size_t body_len;
};

/*
 * The request that x is, with the changes in e; x may be NULL if e has method and path. host: what
 * to write into a missing Host field. Head and body in one piece of *len bytes, the body with its
 * length. Returns owned; NULL: *why says why not (static).
 */
char *replay_request(const struct capture_txn *x, const struct replay_edit *e, const char *host,
		     size_t *len, const char **why) MUSTCHECK;

#endif
