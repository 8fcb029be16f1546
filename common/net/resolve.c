/* Names to addresses: getaddrinfo on a few short-lived threads, the answer through the inbox. */
#include "common/net/resolve.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

#define THREADS_MAX 16   /* a dead name server holds each for up to 30 s */
#define HOST_MAX_LEN 253 /* RFC 1035, without the trailing dot */

/*
 * QUEUED -> RUNNING (a helper works on it, outside the lock) -> POSTED (in the loop's inbox). In
 * QUEUED and POSTED the look-up belongs to the loop's thread, in RUNNING to the helper. NUMERIC
 * ones see no helper.
 */
enum job_state { JOB_NUMERIC, JOB_QUEUED, JOB_RUNNING, JOB_POSTED };

struct resolve {
	struct loop_msg msg; /* first: what is posted */
	enum job_state state;
	struct loop *loop; /* NULL: cancelled, nobody waits any more */
	void (*fn)(void *arg, const struct resolve_result *r);
	void *arg;
	struct loop_tick tick; /* NUMERIC */
	struct loop_exit exit; /* the loop goes before the answer comes */
	struct resolve *next;  /* QUEUED */
	uint16_t port;
	char *host;
	char error[ERRNO_TEXT];
	struct resolve_result result;
};

/* Guards what follows, and state and loop of every look-up that is not NUMERIC. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct resolve *queue, **queue_end = &queue;
static int threads;

static void job_free(void *p)
{
	struct resolve *r = p;

	free(r->host);
	free(r);
}

/* ---- the loop's side ---- */

/* The answer reaches its owner, who may start and cancel other look-ups. */
static void answer(struct resolve *r)
{
	loop_exit_del(r->loop, &r->exit);
	loop_free_later(r->loop, r, job_free);
	r->fn(r->arg, &r->result);
}

static void on_tick(void *arg)
{
	answer(arg);
}

/* The helper may still be inside loop_post(): the loop must not go before it has come out. */
static void wait_for_helper(void)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
}

static void on_deliver(struct loop_msg *m, struct loop *l)
{
	struct resolve *r = (struct resolve *)m;

	wait_for_helper();
	/* Only this thread cancels, so loop can be read without the lock. */
	if (r->loop)
		answer(r);
	else
		job_free(r);
}

static void on_drop(struct loop_msg *m)
{
	struct resolve *r = (struct resolve *)m;

	wait_for_helper();
	if (r->loop)
		loop_exit_del(r->loop, &r->exit);
	job_free(r);
}

static void unqueue(struct resolve *r)
{
	struct resolve **at = &queue;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (!*at)
		queue_end = at;
}

void resolve_cancel(struct resolve *r)
{
	struct loop *l = r->loop;
	enum job_state was;

	assert(l);
	loop_exit_del(l, &r->exit);
	pthread_mutex_lock(&lock);
	was = r->state;
	r->loop = NULL;
	if (was == JOB_QUEUED)
		unqueue(r);
	pthread_mutex_unlock(&lock);
	/* RUNNING and POSTED: whoever has it now finds that nobody waits, and frees it. */
	if (was == JOB_NUMERIC)
		loop_tick_cancel(l, &r->tick);
	if (was == JOB_NUMERIC || was == JOB_QUEUED)
		loop_free_later(l, r, job_free);
}

static void on_loop_exit(void *arg)
{
	resolve_cancel(arg);
}

/* ---- the helper's side ---- */

static void keep_error(struct resolve *r, int rc, int sys)
{
	switch (rc) {
	case EAI_NONAME:
#ifdef EAI_NODATA
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
#endif
		snprintf(r->error, sizeof(r->error), "no such host");
		break;
	case EAI_SYSTEM:
		errno_text(sys, r->error);
		break;
	default:
		snprintf(r->error, sizeof(r->error), "%s", gai_strerror(rc));
	}
	r->result.error = r->error;
}

static void look_up(struct resolve *r)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", r->port);
	/* Without a host getaddrinfo gives the loopback addresses. */
	rc = getaddrinfo(r->host[0] ? r->host : NULL, port, &hints, &list);
	if (rc != 0) {
		keep_error(r, rc, errno);
		return;
	}
	for (struct addrinfo *ai = list; ai && r->result.n < RESOLVE_MAX; ai = ai->ai_next) {
		struct addr *a = &r->result.addr[r->result.n++];

		memcpy(&a->sa, ai->ai_addr, ai->ai_addrlen);
		a->len = ai->ai_addrlen;
	}
	freeaddrinfo(list);
}

/* The next queued look-up, or NULL: then this thread has ceased to count. */
static struct resolve *take_job(void)
{
	struct resolve *r;

	pthread_mutex_lock(&lock);
	r = queue;
	if (r) {
		queue = r->next;
		if (!queue)
			queue_end = &queue;
		r->state = JOB_RUNNING;
	} else {
		threads--;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void hand_back(struct resolve *r)
{
	bool wanted;

	pthread_mutex_lock(&lock);
	wanted = r->loop != NULL;
	/* Under the lock: whoever frees the loop cancels first, and waits here for the post. */
	if (wanted) {
		r->state = JOB_POSTED;
		loop_post(r->loop, &r->msg);
	}
	pthread_mutex_unlock(&lock);
	if (!wanted)
		job_free(r);
}

static void *helper(void *arg)
{
	struct resolve *r;

	while ((r = take_job())) {
		look_up(r);
		hand_back(r);
	}
	return NULL;
}

/* Called with the lock held. Signals are for the program's own threads. */
static int start_thread(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t t;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&t, &attr, helper, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

/* ---- start ---- */

/* An answer that needs no thread comes on the next tick. */
static void answer_soon(struct resolve *r, const char *error)
{
	r->state = JOB_NUMERIC;
	if (error) {
		snprintf(r->error, sizeof(r->error), "%s", error);
		r->result.error = r->error;
	}
	r->tick.fn = on_tick;
	r->tick.arg = r;
	loop_next_tick(r->loop, &r->tick);
}

static void enqueue(struct resolve *r)
{
	char why[ERRNO_TEXT];
	int rc = 0;

	pthread_mutex_lock(&lock);
	r->state = JOB_QUEUED;
	*queue_end = r;
	queue_end = &r->next;
	if (threads < THREADS_MAX) {
		rc = start_thread();
		if (rc == 0)
			threads++;
		else if (threads == 0)
			unqueue(r);
	}
	/* With another helper at work the job stays queued: it will take it. */
	rc = threads ? 0 : rc;
	pthread_mutex_unlock(&lock);
	if (rc)
		answer_soon(r, errno_text(rc, why));
}

struct resolve *resolve_start(struct loop *l, const char *host, uint16_t port,
			      void (*fn)(void *arg, const struct resolve_result *r), void *arg)
{
	struct resolve *r = xcalloc(1, sizeof(*r));

	r->msg.deliver = on_deliver;
	r->msg.drop = on_drop;
	r->loop = l;
	r->fn = fn;
	r->arg = arg;
	r->port = port;
	r->host = xstrdup(host);
	r->exit.fn = on_loop_exit;
	r->exit.arg = r;
	loop_exit_add(l, &r->exit);
	if (addr_numeric(host, port, &r->result.addr[0])) {
		r->result.n = 1;
		answer_soon(r, NULL);
	} else if (strlen(host) > HOST_MAX_LEN + 1) {
		answer_soon(r, "no such host");
	} else {
		enqueue(r);
	}
	return r;
}
