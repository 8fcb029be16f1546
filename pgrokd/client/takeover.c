/* A client with the owner's token asks for the owner's name: is the owner still alive? */
#include "pgrokd/client/takeover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One that waits for the outcome. */
struct asker {
	TAILQ_ENTRY(asker) link;
	int home; /* its worker */
	uint64_t ticket;
	char key[ROUTE_KEY_MAX];
};

/* On the owner's home. Timer: LIMIT_TAKEOVER_MS for a sign of life. */
struct takeover {
	struct client *owner;
	TAILQ_HEAD(, asker) askers;
	struct loop_timer timer;
	bool doubted; /* its time is over: what may wait to be read is read first */
};

/* ---- messages ---- */

enum word { WORD_ASK, WORD_CANCEL, WORD_FREE, WORD_TAKEN };

/* ASK and CANCEL go to the owner's home, FREE and TAKEN back to the asker's. */
struct letter {
	struct loop_msg msg;
	enum word word;
	struct worker *to;
	int from; /* worker */
	uint64_t owner, ticket;
	char key[ROUTE_KEY_MAX];
};

static void take_ask(struct worker *w, const struct letter *l);
static void take_cancel(struct worker *w, const struct letter *l);
static void take_answer(struct worker *w, uint64_t id, bool is_free);

static void letter_drop(struct loop_msg *m)
{
	free((struct letter *)m);
}

static void letter_deliver(struct loop_msg *m, struct loop *loop)
{
	struct letter *l = (struct letter *)m;

	(void)loop;
	switch (l->word) {
	case WORD_ASK:
		take_ask(l->to, l);
		break;
	case WORD_CANCEL:
		take_cancel(l->to, l);
		break;
	case WORD_FREE:
	case WORD_TAKEN:
		take_answer(l->to, l->ticket, l->word == WORD_FREE);
		break;
	}
	free(l);
}

static void letter_send(struct worker *from, int to, enum word word, uint64_t owner,
			uint64_t ticket, const char *key)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	l->msg.deliver = letter_deliver;
	l->msg.drop = letter_drop;
	l->word = word;
	l->to = &from->core->worker[to];
	l->from = from->index;
	l->owner = owner;
	l->ticket = ticket;
	snprintf(l->key, sizeof(l->key), "%s", key);
	loop_post(l->to->loop, &l->msg);
}

/* ---- the asker's side ---- */

void takeover_ask(struct worker *w, const struct route *owner, struct takeover_ticket *ticket)
{
	ticket->id = id_next();
	ticket->home = owner->home;
	ticket->owner = owner->client;
	idmap_put(w->tickets, ticket->id, ticket);
	letter_send(w, owner->home, WORD_ASK, owner->client, ticket->id, owner->key);
}

void takeover_cancel(struct worker *w, struct takeover_ticket *ticket)
{
	if (!ticket->id)
		return;
	idmap_del(w->tickets, ticket->id);
	letter_send(w, ticket->home, WORD_CANCEL, ticket->owner, ticket->id, "");
	ticket->id = 0;
}

static void take_answer(struct worker *w, uint64_t id, bool is_free)
{
	struct takeover_ticket *ticket = idmap_get(w->tickets, id);

	if (!ticket)
		return; /* it was cancelled meanwhile */
	idmap_del(w->tickets, id);
	ticket->id = 0;
	ticket->done(ticket->arg, is_free);
}

/* ---- the owner's side ---- */

/* All that wait get the same answer. */
static void takeover_end(struct takeover *t, enum word answer)
{
	struct client *c = t->owner;
	struct asker *a;

	while ((a = TAILQ_FIRST(&t->askers))) {
		TAILQ_REMOVE(&t->askers, a, link);
		letter_send(c->worker, a->home, answer, c->id, a->ticket, a->key);
		free(a);
	}
	loop_timer_stop(&t->timer);
	c->takeover = NULL;
	loop_free_later(c->worker->loop, t, NULL);
}

static void takeover_timeout(void *arg)
{
	struct takeover *t = arg;
	struct client *c = t->owner;

	if (c->proto->seems_alive(c->session)) {
		takeover_end(t, WORD_TAKEN);
	} else if (!t->doubted) {
		/* After a pause of the whole server timers ring before all that came is read. */
		t->doubted = true;
		loop_after(&t->timer, LIMIT_DOUBT_MS);
	} else {
		client_lost(c, "no sign of life when its token asked for the name again");
	}
}

static struct takeover *takeover_start(struct client *c)
{
	struct takeover *t = xcalloc(1, sizeof(*t));

	t->owner = c;
	TAILQ_INIT(&t->askers);
	loop_timer_init(&t->timer, c->worker->loop, takeover_timeout, t);
	loop_after(&t->timer, LIMIT_TAKEOVER_MS);
	c->takeover = t;
	c->proto->ask_alive(c->session);
	return t;
}

static void take_ask(struct worker *w, const struct letter *l)
{
	struct client *c = idmap_get(w->clients, l->owner);
	struct asker *a;

	if (!c) {
		letter_send(w, l->from, WORD_FREE, l->owner, l->ticket, l->key);
		return;
	}
	struct takeover *t = c->takeover ? c->takeover : takeover_start(c);

	TAILQ_FOREACH(a, &t->askers, link)
	if (strcmp(a->key, l->key) == 0) { /* one at a time for each name */
		letter_send(w, l->from, WORD_TAKEN, l->owner, l->ticket, l->key);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->home = l->from;
	a->ticket = l->ticket;
	snprintf(a->key, sizeof(a->key), "%s", l->key);
	TAILQ_INSERT_TAIL(&t->askers, a, link);
}

static void take_cancel(struct worker *w, const struct letter *l)
{
	struct client *c = idmap_get(w->clients, l->owner);
	struct asker *a;

	if (!c || !c->takeover)
		return;
	TAILQ_FOREACH(a, &c->takeover->askers, link)
	if (a->ticket == l->ticket)
		break;
	if (a) {
		TAILQ_REMOVE(&c->takeover->askers, a, link);
		free(a);
	}
	if (TAILQ_EMPTY(&c->takeover->askers))
		takeover_end(c->takeover, WORD_TAKEN);
}

void takeover_alive(struct client *c)
{
	if (c->takeover)
		takeover_end(c->takeover, WORD_TAKEN);
}

void takeover_over(struct client *c, bool names_free)
{
	if (c->takeover)
		takeover_end(c->takeover, names_free ? WORD_FREE : WORD_TAKEN);
}
