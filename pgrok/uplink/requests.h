/* The ReqTunnels of one control connection, and what came of them. */
#ifndef PGROK_UPLINK_REQUESTS_H
#define PGROK_UPLINK_REQUESTS_H

#include <stddef.h>

#include "pgrok/config/config.h"

struct request {
	char id[17];                        /* 16 hex digits */
	const struct config_tunnel *tunnel; /* borrowed */
	bool answered[PROTOS];
	bool ordered; /* at run time: its client waits to hear how it ended */
};

/* Zeroed memory is none. Pointers to one are valid until the next call that adds or forgets. */
struct requests {
	struct request *list;
	size_t n;
	unsigned owed; /* URLs asked for that the server has not opened yet */
};

/* A new one, with a new id, all of its answers owed. */
struct request *requests_add(struct requests *all, const struct config_tunnel *t, bool ordered);
/* NULL: there is none of that id. */
struct request *requests_find(struct requests *all, const char *id);
/*
 * What a refusal with that id is about, if it was ordered; NULL: it is about the session. A Go
 * server names no id: then it is what was ordered last, as long as nothing else is owed.
 */
struct request *requests_refused(struct requests *all, const char *id);
/*
 * What a refusal for p leaves out: the oldest whose protocols are the default and that has another
 * one. NULL: the refusal counts.
 */
struct request *requests_optional(struct requests *all, enum proto p);
/* Its URL for p is open, or there will be none. */
void requests_answer(struct requests *all, struct request *r, enum proto p);
/* Have all answers to r come? */
bool requests_complete(const struct request *r);
/* Is one for t among them? */
bool requests_ask_for(const struct requests *all, const struct config_tunnel *t);
void requests_forget(struct requests *all, struct request *r);
/* All that are for t. */
void requests_forget_tunnel(struct requests *all, const struct config_tunnel *t);
void requests_free(struct requests *all);

#endif
