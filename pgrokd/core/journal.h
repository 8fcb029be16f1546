/*
 * The access log: a line for each request that has been answered, or broken off. Workers gather
 * their lines and write several at a time; what can't be written at once is lost, and counted.
 */
#ifndef PGROKD_CORE_JOURNAL_H
#define PGROKD_CORE_JOURNAL_H

#include <sys/queue.h>

#include "common/base/addr.h"
#include "common/base/logfile.h"
#include "common/base/loop.h"
#include "common/http/head.h"
#include "pgrokd/core/counters.h"

#define JOURNAL_MS 500 /* so long a line may wait to be written */

enum journal_form {
	JOURNAL_COMBINED, /* that of web servers, with more at the end */
	JOURNAL_JSON      /* an object a line */
};

/* What all workers share. Set before the first of them runs. */
struct journal_conf {
	struct logfile *file;
	enum journal_form form;
	bool query; /* with the query of targets and referers */
};

/* Of one worker; NULL wherever one is wanted: there is no access log. */
struct journal;

/* conf, l and the counters are borrowed. Returns owned. */
struct journal *journal_new(const struct journal_conf *conf, struct loop *l,
			    struct counters *count) MUSTCHECK;
/* Writes what waits. On the loop's thread, or after it. */
void journal_free(struct journal *j);

enum journal_text {
	JOURNAL_METHOD,
	JOURNAL_TARGET,
	JOURNAL_HOST,
	JOURNAL_REFERER,
	JOURNAL_AGENT,
	JOURNAL_OWNER,
	JOURNAL_TEXTS
};

/* One request, from its head to its line. The user's until journal_end(). */
struct journal_entry {
	STAILQ_ENTRY(journal_entry) link; /* the user's, as is: */
	uint64_t mark;
	uint64_t began_us, first_us; /* clock_us() of its head and of its answer's; 0: none came */
	struct addr peer;
	int status; /* of its answer; 0: none came */
	bool https, http10;
	uint16_t len[JOURNAL_TEXTS];
	char text[];
};
STAILQ_HEAD(journal_list, journal_entry);

struct journal_request {
	const struct addr *peer;
	const char *owner;            /* of its tunnel; "": it has none, or none is known */
	const struct http_head *head; /* as far as it could be read; NULL: not at all */
	const char *bytes;            /* of the head */
	bool https;
	uint64_t began_us; /* clock_us() */
};

/* Copies what is wanted of it, within bounds. j is not NULL. Returns owned. */
struct journal_entry *journal_begin(const struct journal *j,
				    const struct journal_request *r) MUSTCHECK;
/* Its answer begins. */
void journal_answer(struct journal_entry *e, int status, uint64_t now_us);
/* Takes e: its line, with the bytes from the visitor and to it. */
void journal_end(struct journal *j, struct journal_entry *e, uint64_t in, uint64_t out);

#endif
