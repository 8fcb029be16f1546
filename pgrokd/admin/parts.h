/* What the files of this folder share: the listener, and what it gives the workers to do. */
#ifndef PGROKD_ADMIN_PARTS_H
#define PGROKD_ADMIN_PARTS_H

#include "common/httpd/httpd.h"
#include "pgrokd/admin/admin.h"
#include "pgrokd/client/client.h"
#include "pgrokd/core/census.h"

LIST_HEAD(ask_list, ask);

struct admin {
	struct loop *loop;
	const struct core *core;
	struct httpd *httpd;
	int64_t started_us; /* since 1970 */
	bool stopping;
	const struct admin_hooks *hooks;
	void *hooks_arg;
	struct ask_list asks; /* requests that wait for a census */
};

/*
 * What a request needs of a worker: work() is done there, then back() here, which may send it
 * again. Between the two it belongs to the worker. First member of what it is about.
 */
struct errand {
	struct loop_msg msg;
	struct admin *admin;
	uint64_t request; /* httpd_id() */
	void (*work)(struct errand *e, struct worker *w);
	/* r NULL: who asked has gone. */
	void (*back)(struct errand *e, struct httpd_req *r);
	void (*drop)(struct errand *e); /* instead of back(): the program ends */
};

/* errand.c: to this worker and back; one that has ended does nothing. work, back, drop are set. */
void errand_init(struct errand *e, struct admin *a, const struct httpd_req *r);
void errand_send(struct errand *e, int worker);

/* Of a census_row: one number, or several that a label tells apart. */
struct number {
	const char *name, *help;
	enum metric_type type;
	size_t at;                 /* in the row */
	const char *label;         /* NULL: one number */
	const char *const *values; /* of the label, [n] */
	size_t n;
};

#define AT(member) offsetof(struct census_row, member)
#define ONE(member) AT(member), NULL, NULL, 1
#define MANY(member, label, values) AT(member), label, values, sizeof(values) / sizeof((values)[0])

/* numbers.c: a row's numbers as metrics. */
void numbers_put(struct metrics *m, const struct number *numbers, size_t n,
		 const struct census_row *row);
/* A census as JSON, without the bracket at its end, and as metrics. */
void numbers_json(const struct admin *a, struct text *t, const struct census *c);
void numbers_metrics(const struct admin *a, struct text *t, const struct census *c);

/* owners.c */
httpd_handler_fn owners_list, owners_revoke;
/* What each has now, LIMIT_TOKENS of them at most; nothing if tokens are not checked. */
void owners_metrics(const struct admin *a, struct text *t);

/* page.c: the page, its files, and how it is asked for the token. */
httpd_handler_fn page_index, page_static;
void page_refuse(void *arg, struct httpd_req *r, int status, const char *text);

/*
 * drip.c: what Drip's server tells, beside our own: in GET /health, in the JSON of GET /stats, and,
 * if the prefix is "drip", in GET /metrics, behind t. The last two take r (and t).
 */
void drip_health(const struct admin *a, struct text *t);
void drip_stats(struct admin *a, struct httpd_req *r, const struct census *c);
void drip_metrics(struct admin *a, struct httpd_req *r, struct text t, const struct census *c);
/* Its metrics of a census. */
void drip_numbers(const struct admin *a, struct text *t, const struct census *c);

/* How an answer that tells of each tunnel is written; arg is its own. */
struct listing_form {
	const char *mime;
	bool json; /* its rows are those of a JSON array */
	/* One tunnel; on its home. */
	void (*row)(void *arg, struct text *out, const struct worker *w,
		    const struct tunnel_view *v);
	/* What follows the last of n rows; on the main loop. */
	void (*end)(void *arg, struct text *out, size_t n);
	void (*free)(void *arg); /* NULL: there is nothing to free */
};

/* tunnels.c: takes r, head (what precedes the first row) and arg. */
void tunnels_tell(struct admin *a, struct httpd_req *r, const struct listing_form *form,
		  struct text head, void *arg);
httpd_handler_fn tunnels_list, tunnels_close;

#endif
