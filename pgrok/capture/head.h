/* What a captured head says: its start line, its fields in order. */
#ifndef PGROK_CAPTURE_HEAD_H
#define PGROK_CAPTURE_HEAD_H

#include "pgrok/capture/capture.h"

struct head_part {
	const char *p;
	size_t len;
};

/* "200 OK", "404 Nope": the start line of an answer without its version. */
struct head_part head_status(const struct capture_head *h);
/* The blank-separated word number n (0, 1, 2) of the start line; the last one takes the rest. */
struct head_part head_word(const struct capture_head *h, int n);
/* The first field of that name (case ignored), trimmed; len 0: none. */
struct head_part head_field(const struct capture_head *h, const char *name);
/* A Content-Type without its parameters. */
struct head_part head_type(const struct capture_head *h);

/*
 * The fields one after another, names as sent; *at 0 to begin with. trailers: there is no start
 * line. False: no more.
 */
bool head_next(const struct capture_head *h, bool trailers, size_t *at, struct head_part *name,
	       struct head_part *value);

/* From there to there without blanks around it. */
struct head_part head_trimmed(const char *from, const char *to);
bool head_part_is(struct head_part p, const char *text); /* ASCII case ignored */

#endif
