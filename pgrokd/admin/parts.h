/* What the files of this folder share: the listener, and what it gives the workers to do. */
#ifndef PGROKD_ADMIN_PARTS_H
#define PGROKD_ADMIN_PARTS_H

#include "common/httpd/httpd.h"
#include "pgrokd/admin/admin.h"
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

/* numbers.c: a census as JSON, and as metrics. */
void numbers_json(const struct admin *a, struct text *t, const struct census *c);
void numbers_metrics(const struct admin *a, struct text *t, const struct census *c);

/* owners.c */
httpd_handler_fn owners_list, owners_revoke;

/* page.c: the page, its files, and how it is asked for the token. */
httpd_handler_fn page_index, page_static;
void page_refuse(void *arg, struct httpd_req *r, int status, const char *text);

/* tunnels.c */
httpd_handler_fn tunnels_list, tunnels_close;

#endif
