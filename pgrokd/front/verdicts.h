/* Who was let in lately by a service that decides, so that it is not asked at each request. */
#ifndef PGROKD_FRONT_VERDICTS_H
#define PGROKD_FRONT_VERDICTS_H

#include <stdint.h>

#include "common/http/fields.h"

#define VERDICT_KEY 32 /* bytes of a hash of what it depends on */

/* Of one worker, bounded: of two that meet in a place the later one stays. */
struct verdicts;

/* Each is kept for keep_ms. Returns owned. */
struct verdicts *verdicts_new(uint64_t keep_ms) MUSTCHECK;
/* Wipes and frees; NULL is fine. */
void verdicts_free(struct verdicts *v);
/* The fields to let it in with at `now` (milliseconds); NULL: not known. Until the next call. */
const struct http_fields *verdicts_find(struct verdicts *v, const unsigned char key[VERDICT_KEY],
					uint64_t now);
/* Takes what is in fields, which is empty then. */
void verdicts_add(struct verdicts *v, const unsigned char key[VERDICT_KEY], uint64_t now,
		  struct http_fields *fields);

#endif
