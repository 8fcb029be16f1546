/* Requests of one visitor, and their answers, changed on their way as the tunnel wants it. */
#ifndef PGROK_VISIT_EDIT_H
#define PGROK_VISIT_EDIT_H

#include "common/base/text.h"
#include "common/http/track.h"
#include "common/stream/pair.h"
#include "pgrok/config/config.h"

struct edit;

/*
 * peer: the visitor, "203.0.113.9:40112"; the others are borrowed. Returns owned; NULL: nothing is
 * to be changed.
 */
struct edit *edit_new(const struct config_tunnel *t, enum proto proto, const char *peer);
/* NULL is fine. */
void edit_free(struct edit *e);
/*
 * As the pair's hooks; edit_made() right behind edit_judge(), for the bytes that pass. *release:
 * the visitor's side may go on.
 */
enum judge edit_judge(struct edit *e, enum side from, const char *buf, size_t len, size_t *pass,
		      bool *release) MUSTCHECK;
const char *edit_made(struct edit *e, const char *buf, size_t len, size_t *made);
void edit_eof(struct edit *e, enum side from, bool *release);
/* What was wrong with a request that was not let pass, for the log. Static. */
const char *edit_error(const struct edit *e);
/* The request that was captured as that of a visitor at `peer`, changed in the same way. */
void edit_request(struct text *out, const struct config_tunnel *t, enum proto proto,
		  const char *peer, const char *request, size_t len);

#endif
