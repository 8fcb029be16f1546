/* What may wait unread: the accounts behind the windows. mux's own; others see mux.h. */
#ifndef COMMON_MUX_MEMORY_H
#define COMMON_MUX_MEMORY_H

#include "common/mux/mux.h"

/* The two halves of the process's memory; neither can use up the other. */
enum memory {
	MEMORY_START, /* what the windows that streams begin with hold */
	MEMORY_GROWTH /* what windows may hold beyond that, whether they do or not */
};

#define MEMORY_KINDS 2

struct mux_account {
	uint32_t users;               /* its owner, and sessions */
	uint64_t used[MEMORY_KINDS];  /* bytes */
	uint64_t drawn[MEMORY_KINDS]; /* of that, what the process's total knows of */
};

/* A session uses a, or no longer does: then it is freed with its last user. */
void account_join(struct mux_account *a);
void account_leave(struct mux_account *a);
/* More bytes, or with by < 0 fewer. Never refuses: whoever takes more has asked before. */
void account_charge(struct mux_account *a, enum memory kind, int64_t by);
/* May another stream begin? Not while more waits here than is left for all others. */
bool account_admits(const struct mux_account *a) MUSTCHECK;
/* Bytes that one window may grow by; proven: its reader has kept up for long. */
uint64_t account_growth(const struct mux_account *a, bool proven) MUSTCHECK;
/* Is so little left for growth that windows which are not needed should shrink? */
bool account_short(const struct mux_account *a) MUSTCHECK;

#endif
