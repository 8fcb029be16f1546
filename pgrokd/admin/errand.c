/* What a request needs of a worker: there and back by message. */
#include "pgrokd/admin/parts.h"

static void deliver(struct loop_msg *m, struct loop *l)
{
	struct errand *e = (struct errand *)m;

	(void)l;
	e->back(e, httpd_find(e->admin->httpd, e->request));
}

/* The program ends. */
static void drop(struct loop_msg *m)
{
	struct errand *e = (struct errand *)m;

	e->drop(e);
}

/* On the worker, from here on until it is back. */
static void work(struct worker *w, void *arg)
{
	struct errand *e = arg;

	e->work(e, w);
	loop_post(e->admin->loop, &e->msg);
}

static void leave(void *arg)
{
	struct errand *e = arg;

	loop_post(e->admin->loop, &e->msg);
}

void errand_init(struct errand *e, struct admin *a, const struct httpd_req *r)
{
	e->msg.deliver = deliver;
	e->msg.drop = drop;
	e->admin = a;
	e->request = httpd_id(r);
}

void errand_send(struct errand *e, int worker)
{
	worker_call(&e->admin->core->worker[worker], work, leave, e);
}
