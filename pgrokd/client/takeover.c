/* Somebody with the owner's token wants the owner's name: does the owner still live? */
#include "pgrokd/client/takeover.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/socket.h"

/* One bid that waits for the outcome. */
struct asker {
	TAILQ_ENTRY(asker) link;
	int home; /* worker of the bid */
	uint64_t bid;
	char key[ROUTE_KEY_MAX];
};

/* On the owner's home. Timer: LIMIT_CHALLENGE_MS for a sign of life. */
struct challenge {
	struct control *owner;
	TAILQ_HEAD(, asker) askers;
	struct loop_timer timer;
};

/* ---- messages ---- */

enum news_kind { NEWS_ASK, NEWS_CANCEL, NEWS_FREE, NEWS_TAKEN };

/* ASK and CANCEL go to the owner's home, FREE and TAKEN back to the bid's. */
struct news {
	struct loop_msg msg;
	enum news_kind kind;
	struct worker *to;
	int from; /* worker */
	uint64_t control, bid;
	char key[ROUTE_KEY_MAX];
};

static void take_ask(struct worker *w, const struct news *news);
static void take_cancel(struct worker *w, const struct news *news);

static void news_drop(struct loop_msg *m)
{
	free((struct news *)m);
}

static void news_deliver(struct loop_msg *m, struct loop *l)
{
	struct news *news = (struct news *)m;
	struct bid *b;

	(void)l;
	switch (news->kind) {
	case NEWS_ASK:
		take_ask(news->to, news);
		break;
	case NEWS_CANCEL:
		take_cancel(news->to, news);
		break;
	case NEWS_FREE:
	case NEWS_TAKEN:
		b = idmap_get(news->to->bids, news->bid);
		if (b)
			bid_resume(b, news->kind == NEWS_FREE);
		break;
	}
	free(news);
}

static void news_send(struct worker *from, int to, enum news_kind kind, uint64_t control,
		      uint64_t bid, const char *key)
{
	struct news *news = xcalloc(1, sizeof(*news));

	news->msg.deliver = news_deliver;
	news->msg.drop = news_drop;
	news->kind = kind;
	news->to = &from->core->worker[to];
	news->from = from->index;
	news->control = control;
	news->bid = bid;
	snprintf(news->key, sizeof(news->key), "%s", key);
	loop_post(news->to->loop, &news->msg);
}

/* ---- the bid's side ---- */

void challenge_ask(struct bid *b, const struct route *owner)
{
	struct worker *w = b->control->worker;

	b->challenged_home = owner->home;
	b->challenged_control = owner->control_id;
	log_info(b->control->name, "Wants %s: asking whether its owner still lives", owner->url);
	news_send(w, owner->home, NEWS_ASK, owner->control_id, b->id, owner->key);
}

void challenge_cancel(struct bid *b)
{
	news_send(b->control->worker, b->challenged_home, NEWS_CANCEL, b->challenged_control, b->id,
		  "");
}

/* ---- the owner's side ---- */

/* Everybody who waits gets the same answer. */
static void challenge_end(struct challenge *ch, enum news_kind answer)
{
	struct control *c = ch->owner;
	struct asker *a;

	while ((a = TAILQ_FIRST(&ch->askers))) {
		TAILQ_REMOVE(&ch->askers, a, link);
		news_send(c->worker, a->home, answer, c->id, a->bid, a->key);
		free(a);
	}
	loop_timer_stop(&ch->timer);
	c->challenge = NULL;
	loop_free_later(c->worker->loop, ch, NULL);
}

/*
 * A client that knows no Ping was sent a Pong, which it ignores: its system, at least, must have
 * acknowledged it.
 */
static bool acknowledged(const struct control *c)
{
	return !chan_waiting(c->chan) && socket_unacknowledged(stream_fd(c->stream)) == 0;
}

static void challenge_timeout(void *arg)
{
	struct challenge *ch = arg;

	if (!ch->owner->feature_ping && acknowledged(ch->owner))
		challenge_end(ch, NEWS_TAKEN);
	else
		control_close(ch->owner, "silent when its name was wanted by its own token");
}

static struct challenge *challenge_start(struct control *c)
{
	struct challenge *ch = xcalloc(1, sizeof(*ch));
	struct msg m = msg_new(c->feature_ping ? MSG_PING : MSG_PONG);

	ch->owner = c;
	TAILQ_INIT(&ch->askers);
	loop_timer_init(&ch->timer, c->worker->loop, challenge_timeout, ch);
	loop_after(&ch->timer, LIMIT_CHALLENGE_MS);
	c->challenge = ch;
	control_send(c, &m);
	return ch;
}

static void take_ask(struct worker *w, const struct news *news)
{
	struct control *c = idmap_get(w->controls, news->control);
	struct asker *a;

	if (!c) {
		news_send(w, news->from, NEWS_FREE, news->control, news->bid, news->key);
		return;
	}
	struct challenge *ch = c->challenge ? c->challenge : challenge_start(c);

	TAILQ_FOREACH(a, &ch->askers, link)
	if (strcmp(a->key, news->key) == 0) { /* one at a time for each name */
		news_send(w, news->from, NEWS_TAKEN, news->control, news->bid, news->key);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->home = news->from;
	a->bid = news->bid;
	snprintf(a->key, sizeof(a->key), "%s", news->key);
	TAILQ_INSERT_TAIL(&ch->askers, a, link);
}

static void take_cancel(struct worker *w, const struct news *news)
{
	struct control *c = idmap_get(w->controls, news->control);
	struct asker *a;

	if (!c || !c->challenge)
		return;
	TAILQ_FOREACH(a, &c->challenge->askers, link)
	if (a->bid == news->bid)
		break;
	if (a) {
		TAILQ_REMOVE(&c->challenge->askers, a, link);
		free(a);
	}
	if (TAILQ_EMPTY(&c->challenge->askers))
		challenge_end(c->challenge, NEWS_TAKEN);
}

void challenge_alive(struct control *c)
{
	if (c->challenge && c->feature_ping)
		challenge_end(c->challenge, NEWS_TAKEN);
}

void challenge_over(struct control *c, bool names_free)
{
	if (c->challenge)
		challenge_end(c->challenge, names_free ? NEWS_FREE : NEWS_TAKEN);
}
