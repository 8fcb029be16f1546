/* Requests of one visitor, and their answers, changed on their way as the tunnel wants it. */
#ifndef PGROK_VISIT_EDIT_H
#define PGROK_VISIT_EDIT_H

#include "common/base/text.h"
#include "common/http/track.h"
#include "common/stream/pair.h"
#include "pgrok/config/config.h"

struct edit;

/* Whose requests they are. Borrowed. */
struct edit_conf {
	const struct config_tunnel *tunnel;
	enum proto proto;
	const char *url;  /* of the tunnel */
	const char *peer; /* the visitor, "203.0.113.9:40112" */
};

/* The tunnel stays borrowed. Returns owned; NULL: nothing is to be changed. */
struct edit *edit_new(const struct edit_conf *c);
/* NULL is fine. */
void edit_free(struct edit *e);
/*
 * As the pair's hooks; edit_made() right behind edit_judge(), for the bytes that pass. *release:
 * the visitor's side may go on.
 */
enum judge edit_judge(struct edit *e, enum side from, const char *buf, size_t len, size_t *pass,
		      bool *release) MUSTCHECK;
const char *edit_made(struct edit *e, enum side from, size_t len, size_t *made);

/* A side has ended; what becomes of the pair? */
enum edit_end {
	EDIT_PASS, /* the other side is told */
	EDIT_HOLD, /* ... nothing yet */
	EDIT_CUT,  /* pair_cut(): edit_result() says what then */
	EDIT_FAIL  /* pair_fail() */
};
enum edit_end edit_eof(struct edit *e, enum side from, bool *release) MUSTCHECK;

/* Does it follow one request and its answer (one_request), for a stream that ends with them? */
bool edit_single(const struct edit *e);
/* Has a request passed? */
bool edit_asked(const struct edit *e);
/* Single: its pair was cut. */
enum edit_result {
	EDIT_ANSWERED,
	EDIT_BROKEN,    /* what has passed of the answer must not look whole */
	EDIT_UNANSWERED /* there is room for a page */
};
enum edit_result edit_result(const struct edit *e);
/* Single: the service is lost. Is there room for a page? */
bool edit_lost(struct edit *e, const char *why) MUSTCHECK;
/* Is it a HEAD that is to be answered? */
bool edit_head_only(const struct edit *e);
/* What was wrong, for the log. Borrowed. */
const char *edit_error(const struct edit *e);
/* A request that was captured, changed in the same way. */
void edit_request(struct text *out, const struct edit_conf *c, const char *request, size_t len);

#endif
