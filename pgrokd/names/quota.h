/*
 * Who has how many of something, and which of them is the oldest: so that one who has too many
 * loses some of his own instead of others theirs.
 */
#ifndef PGROKD_NAMES_QUOTA_H
#define PGROKD_NAMES_QUOTA_H

#include <sys/queue.h>

#include "common/base/xalloc.h"

struct quota;
struct quota_group;

/* Embedded in what is counted. Zeroed memory is not counted anywhere. */
struct quota_seat {
	TAILQ_ENTRY(quota_seat) link;
	struct quota_group *group;
	void *item; /* whose seat it is */
};

/* max: for each who. */
struct quota *quota_new(int max) MUSTCHECK;
/* All seats have been left. */
void quota_free(struct quota *q);
/* The item that must go before `who` may have another: his oldest. NULL: there is room. */
void *quota_full(const struct quota *q, const char *who);
/* Counts item as the youngest of `who`; "": not at all. s is borrowed until quota_leave(). */
void quota_enter(struct quota *q, const char *who, struct quota_seat *s, void *item);
/* Nothing if it is not counted. */
void quota_leave(struct quota *q, struct quota_seat *s);

#endif
