/* A request over a connection that nothing else uses yet, and what comes back, read as it comes. */
#ifndef PGROK_UPLINK_QUESTION_H
#define PGROK_UPLINK_QUESTION_H

#include "common/base/text.h"
#include "common/stream/stream.h"

/* Embedded. Zeroed at first, out filled by its owner; question_end() wipes and frees both texts. */
struct question {
	struct stream *s;    /* borrowed */
	struct text out, in; /* what is left of the request, what has come of the answer */
	size_t most;         /* bytes of an answer */
	/* Called from the loop. More has come. True: that is all, nothing more is read. */
	bool (*heard)(void *arg);
	/* Nothing more will come; why: NULL: the peer ended. Else borrowed from s, or static. */
	void (*ended)(void *arg, const char *why);
	void *arg;
};

/* s, most, the hooks and out are set. Nothing is called from inside. */
void question_ask(struct question *q);
/* The stream is its owner's alone again: to be closed, or to go on with. */
void question_end(struct question *q);

#endif
