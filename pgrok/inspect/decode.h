/* Content-Encoding undone (RFC 9110 section 8.4), bounded against bombs. Pure. */
#ifndef PGROK_INSPECT_DECODE_H
#define PGROK_INSPECT_DECODE_H

#include "common/base/text.h"

#define DECODE_MAX (16u << 20) /* bytes that may come out for a person */

struct decoded {
	struct text text;    /* what came out, until an error */
	struct text codings; /* "gzip, br": what was undone, in the order it was; "" if nothing */
	const char *error;   /* static; NULL: none */
	bool truncated;      /* max reached, or the input ended too early */
};

/*
 * coding: the field's value of coding_len bytes. max: bytes that may come out. To be freed with
 * decoded_free().
 */
void decode(struct decoded *d, const char *coding, size_t coding_len, const char *in, size_t len,
	    size_t max);
void decoded_free(struct decoded *d);
/* What this build knows; ended by NULL. Static. */
const char *const *decode_codings(void);

#endif
