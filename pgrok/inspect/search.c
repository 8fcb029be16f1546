/* GET /api/search: the ids of the transactions that have a text in their heads or bodies. */
#include <stdlib.h>
#include <string.h>

#include "pgrok/inspect/find.h"
#include "pgrok/inspect/parts.h"

#define TURN_BUDGET (1u << 20) /* bytes that are looked at in a turn of the loop */

struct search {
	struct inspect *i;
	struct httpd_req *r;
	struct loop_tick tick;
	struct finder find;
	struct walk walk;     /* over all, */
	char *ids, *ids_left; /* or over these; NULL: all */
	char id[CAPTURE_ID];  /* the one at hand; "": none */
	struct text t;
	bool any;
};

static const struct capture_txn *next_named(struct search *s)
{
	const struct capture_txn *x = NULL;

	while (!x && s->ids_left)
		x = capture_find(s->i->capture, strsep(&s->ids_left, ","));
	return x;
}

/* The one to go on with; NULL: that was the last. */
static const struct capture_txn *at_hand(struct search *s)
{
	const struct capture_txn *x = s->id[0] ? capture_find(s->i->capture, s->id) : NULL;

	if (x)
		return x;
	x = s->ids ? next_named(s) : walk_next(&s->walk);
	if (x) {
		memcpy(s->id, x->id, CAPTURE_ID);
		walk_to(&s->walk, x);
		find_begin(&s->find);
	}
	return x;
}

static void on_tick(void *arg)
{
	struct search *s = arg;

	httpd_resume(s->r);
}

static enum httpd_more produce(void *arg, struct httpd_req *r)
{
	struct search *s = arg;
	const struct capture_txn *x = NULL;
	size_t budget = TURN_BUDGET;

	while (budget && (x = at_hand(s))) {
		enum find_rc rc = find_step(&s->find, x, &budget);

		if (rc == FIND_MORE)
			break;
		if (rc == FIND_YES)
			text_fmt(&s->t, "%s\"%s\"", s->any ? "," : "", x->id);
		s->any |= rc == FIND_YES;
		s->id[0] = '\0';
	}
	if (!x)
		text_put(&s->t, "]}");
	httpd_write(r, s->t.p, s->t.len);
	s->t.len = 0;
	if (!x)
		return HTTPD_END;
	/* What passes through the tunnels has its turn first. */
	loop_next_tick(s->i->loop, &s->tick);
	return HTTPD_WAIT;
}

static void produced(void *arg, bool complete)
{
	struct search *s = arg;

	loop_tick_cancel(s->i->loop, &s->tick);
	find_free(&s->find);
	text_free(&s->t);
	free(s->ids);
	free(s);
}

static const struct httpd_producer producer = {produce, produced};

void api_search(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	const struct query *q = httpd_query(r);
	const char *in = query_get(q, "in"), *text = query_get(q, "text"),
		   *ids = query_get(q, "ids");
	bool bodies = in && strcmp(in, "body") == 0;
	struct finder find;
	struct search *s;

	if (!bodies && (!in || strcmp(in, "header") != 0)) {
		answer_error(r, 400, "in has to be header or body");
		return;
	}
	if (!text || !find_init(&find, text, bodies)) {
		answer_error(r, 400, "text has to have 1 to %d bytes", FIND_TEXT - 1);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->i = i;
	s->r = r;
	s->tick = (struct loop_tick){.fn = on_tick, .arg = s};
	s->find = find;
	s->walk.store = i->capture;
	s->ids = s->ids_left = ids ? xstrdup(ids) : NULL;
	text_put(&s->t, "{\"ids\":[");
	httpd_stream(r, 200, JSON_TYPE, &producer, s);
}
