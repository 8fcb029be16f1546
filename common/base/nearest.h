/* Which word was meant: the one of a list that a mistyped word is nearest to. */
#ifndef COMMON_BASE_NEAREST_H
#define COMMON_BASE_NEAREST_H

#include <stddef.h>

struct nearest {
	const char *word; /* that was typed */
	const char *best; /* the nearest so far; NULL: none is near */
	size_t distance;
};

/* {.word = word} at first, then each candidate; near is at most one slip in three letters. */
void nearest_try(struct nearest *n, const char *candidate);

#endif
