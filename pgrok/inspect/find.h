/* Looks for a text in captured transactions, a bounded piece of work at a time. Pure. */
#ifndef PGROK_INSPECT_FIND_H
#define PGROK_INSPECT_FIND_H

#include "pgrok/capture/capture.h"

#define FIND_TEXT 256              /* bytes of a text, its NUL included */
#define FIND_DECODE_MAX (2u << 20) /* bytes of a coded body that are decoded and looked at */

enum find_rc {
	FIND_NO,
	FIND_YES,
	FIND_MORE /* the budget is used up: call again with another one */
};

/* The case of ASCII letters does not matter. */
struct finder {
	char text[FIND_TEXT];
	size_t len;
	bool bodies;  /* in bodies, WebSocket messages and events, decoded; else in "Name: value" */
	char *window; /* owned */
	int part;     /* of the transaction at hand: how far it has been looked through */
	uint64_t frame;
	size_t at;
};

/* False: text is empty or too long. To be freed with find_free(). */
bool find_init(struct finder *f, const char *text, bool bodies) MUSTCHECK;
void find_free(struct finder *f);
/* The next step begins a transaction. */
void find_begin(struct finder *f);
/*
 * Goes on with x, which may have grown since the last step. Takes from *budget about as many bytes
 * as were looked at, a decoded one counts for several; one coded body may overdraw it.
 */
enum find_rc find_step(struct finder *f, const struct capture_txn *x, size_t *budget);

#endif
