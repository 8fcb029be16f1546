/*
 * The WebSockets: /_ws gets each finished transaction in pgrok's form, at once; /api/ws gets events
 * gathered for a tenth of a second, so that a page sees ten messages a second whatever the traffic.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/idmap.h"
#include "pgrok/inspect/parts.h"

#define GATHER_MS 100
#define FRAMES_MAX (2u << 20) /* bytes of frames kept for one page's next message */
#define STATE_MS 1000         /* between two states that differ in counters alone */

struct socket {
	struct socket *prev, *next;
	struct live *live;
	struct httpd_ws *ws;
	bool compat;
	char watched[CAPTURE_ID]; /* whose frames are sent; "": nobody's */
	struct text frames;       /* of it, since the last message */
};

/* What happened to a transaction since the last message. */
struct change {
	char id[CAPTURE_ID];
	uint64_t key;
	bool begun, finished, gone;
};

struct live {
	struct inspect *i;
	struct socket *first;
	unsigned pages, tools; /* how many of each kind */
	struct change *changes;
	size_t changes_n, changes_cap;
	struct idmap *by_key; /* index + 1 into changes */
	bool cleared, state_due, counters_due;
	struct loop_timer gather, state;
};

/* ---- sockets ---- */

static void on_closed(void *arg, struct httpd_ws *ws, const char *why)
{
	struct socket *s = arg;
	struct live *v = s->live;

	*(s->prev ? &s->prev->next : &v->first) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	if (s->compat)
		v->tools--;
	else
		v->pages--;
	text_free(&s->frames);
	loop_free_later(v->i->loop, s, NULL);
}

static void send_all(struct live *v, bool compat, const struct text *t)
{
	/* Nothing is closed from inside a send: a slow reader is told of later. */
	for (struct socket *s = v->first; s; s = s->next) {
		if (s->compat == compat)
			(void)httpd_ws_send(s->ws, t->p, t->len, false);
	}
}

static void arm(struct live *v)
{
	if (!loop_timer_pending(&v->gather))
		loop_after(&v->gather, GATHER_MS);
}

/* {"watch":"ID"} or {"watch":null} */
static void on_message(void *arg, struct httpd_ws *ws, const char *msg, size_t len, bool binary)
{
	struct socket *s = arg;
	json_t *o = json_loadb(msg, len, 0, NULL);
	const char *id = json_string_value(json_object_get(o, "watch"));
	const struct capture_txn *x = id ? capture_find(s->live->i->capture, id) : NULL;

	if (json_is_object(o) && json_object_get(o, "watch")) {
		*s->watched = '\0';
		s->frames.len = 0;
		if (x)
			memcpy(s->watched, x->id, CAPTURE_ID);
	}
	json_decref(o);
}

static struct socket *upgrade(struct inspect *i, struct httpd_req *r, bool compat)
{
	static const struct httpd_ws_hooks tool = {.closed = on_closed};
	static const struct httpd_ws_hooks page = {.message = on_message, .closed = on_closed};
	struct live *v = i->live;
	struct socket *s = xcalloc(1, sizeof(*s));

	s->live = v;
	s->compat = compat;
	s->ws = httpd_upgrade(r, compat ? &tool : &page, s);
	if (!s->ws) {
		free(s);
		return NULL;
	}
	s->next = v->first;
	if (s->next)
		s->next->prev = s;
	v->first = s;
	if (compat)
		v->tools++;
	else
		v->pages++;
	return s;
}

void live_compat_upgrade(void *arg, struct httpd_req *r)
{
	(void)upgrade(arg, r, true);
}

void live_upgrade(void *arg, struct httpd_req *r)
{
	struct inspect *i = arg;
	struct socket *s = upgrade(i, r, false);
	struct text t = {0};

	if (!s)
		return;
	text_put(&t, "{\"events\":[{\"ev\":\"hello\",\"state\":");
	form_state(i, &t);
	text_put(&t, "}]}");
	(void)httpd_ws_send(s->ws, t.p, t.len, false);
	text_free(&t);
}

/* ---- gathering ---- */

static struct change *change_of(struct live *v, const struct capture_txn *x)
{
	uintptr_t at = (uintptr_t)idmap_get(v->by_key, x->key);

	if (at)
		return &v->changes[at - 1];
	if (v->changes_n == v->changes_cap) {
		v->changes_cap = v->changes_cap ? v->changes_cap * 2 : 64;
		v->changes = xrealloc(v->changes, v->changes_cap * sizeof(*v->changes));
	}
	struct change *c = &v->changes[v->changes_n++];

	*c = (struct change){.key = x->key};
	memcpy(c->id, x->id, CAPTURE_ID);
	idmap_put(v->by_key, x->key, (void *)(uintptr_t)v->changes_n);
	return c;
}

static void forget_changes(struct live *v)
{
	for (size_t k = 0; k < v->changes_n; k++)
		idmap_del(v->by_key, v->changes[k].key);
	v->changes_n = 0;
}

static void tell_tools(struct live *v, const struct capture_txn *x)
{
	struct text t = {0};

	form_compat(&t, x);
	send_all(v, true, &t);
	text_free(&t);
}

/* For the pages that wait for it. One that gets too much asks for the rest when it looks. */
static void keep_frame(struct live *v, const struct capture_txn *x, const struct capture_frame *f)
{
	for (struct socket *s = v->first; s; s = s->next) {
		if (strcmp(s->watched, x->id) != 0 || s->frames.len > FRAMES_MAX)
			continue;
		if (s->frames.len)
			text_put(&s->frames, ",");
		text_fmt(&s->frames, "{\"ev\":\"frame\",\"id\":\"%s\",\"frame\":", x->id);
		form_frame(&s->frames, f);
		text_put(&s->frames, "}");
	}
}

void live_capture(struct live *v, enum capture_event ev, const struct capture_txn *x,
		  const struct capture_frame *f)
{
	/* A WebSocket's handshake is what counts as answered; its end is none. */
	if (v->tools && ((ev == CAPTURE_EV_FINISHED && x->status && x->status != 101) ||
			 (ev == CAPTURE_EV_HEAD && x->status == 101)))
		tell_tools(v, x);
	if (!v->pages)
		return;
	if (ev == CAPTURE_EV_CLEARED) {
		forget_changes(v);
		v->cleared = true;
	} else {
		struct change *c = change_of(v, x);

		c->begun |= ev == CAPTURE_EV_BEGUN;
		c->finished |= ev == CAPTURE_EV_FINISHED;
		c->gone |= ev == CAPTURE_EV_EVICTED;
	}
	if (ev == CAPTURE_EV_FRAME)
		keep_frame(v, x, f);
	arm(v);
}

/* ---- sending ---- */

static void put_cleared(struct live *v, struct text *t)
{
	text_comma(t);
	text_put(t, "{\"ev\":\"cleared\",\"kept\":[");
	for (const struct capture_txn *x = capture_oldest(v->i->capture); x; x = x->next) {
		text_comma(t);
		text_json_str(t, x->id);
	}
	text_put(t, "]}");
}

static void put_changes(struct live *v, struct text *t)
{
	size_t gone = 0;

	for (size_t k = 0; k < v->changes_n; k++) {
		struct change *c = &v->changes[k];
		const struct capture_txn *x = c->gone ? NULL : capture_find(v->i->capture, c->id);

		gone += c->gone && !c->begun;
		if (!x)
			continue;
		text_comma(t);
		text_fmt(t, "{\"ev\":\"%s\",\"entry\":",
			 c->finished ? "finished"
			 : c->begun  ? "begun"
				     : "updated");
		form_entry(t, x);
		text_put(t, "}");
	}
	if (!gone)
		return;
	text_comma(t);
	text_put(t, "{\"ev\":\"evicted\",\"ids\":[");
	for (size_t k = 0; k < v->changes_n; k++) {
		if (!v->changes[k].gone || v->changes[k].begun)
			continue;
		text_comma(t);
		text_json_str(t, v->changes[k].id);
	}
	text_put(t, "]}");
}

static void put_state(struct live *v, struct text *t)
{
	text_comma(t);
	text_put(t, "{\"ev\":\"state\",\"state\":");
	form_state(v->i, t);
	text_put(t, "}");
}

static void flush(void *arg)
{
	static const char head[] = "{\"events\":[";
	struct live *v = arg;
	struct text t = {0};
	size_t shared;

	text_put(&t, head);
	if (v->cleared)
		put_cleared(v, &t);
	put_changes(v, &t);
	if (v->state_due)
		put_state(v, &t);
	v->cleared = v->state_due = false;
	forget_changes(v);
	shared = t.len;
	for (struct socket *s = v->first; s; s = s->next) {
		if (s->compat)
			continue;
		t.len = shared;
		if (s->frames.len) {
			text_comma(&t);
			text_add(&t, s->frames.p, s->frames.len);
			s->frames.len = 0;
		}
		if (t.len == sizeof(head) - 1)
			continue;
		text_put(&t, "]}");
		(void)httpd_ws_send(s->ws, t.p, t.len, false);
	}
	text_free(&t);
}

static void on_state_timer(void *arg)
{
	struct live *v = arg;

	if (!v->counters_due)
		return;
	v->counters_due = false;
	v->state_due = true;
	arm(v);
	loop_after(&v->state, STATE_MS);
}

void live_state(struct live *v, bool now)
{
	if (!v->pages)
		return;
	if (now) {
		v->state_due = true;
		arm(v);
		return;
	}
	v->counters_due = true;
	if (!loop_timer_pending(&v->state))
		loop_after(&v->state, STATE_MS);
}

/* ---- begin, end ---- */

struct live *live_new(struct inspect *i)
{
	struct live *v = xcalloc(1, sizeof(*v));

	v->i = i;
	v->by_key = idmap_new();
	loop_timer_init(&v->gather, i->loop, flush, v);
	loop_timer_init(&v->state, i->loop, on_state_timer, v);
	return v;
}

static void live_free(void *arg)
{
	struct live *v = arg;

	free(v->changes);
	idmap_free(v->by_key);
	free(v);
}

void live_close(struct live *v)
{
	loop_timer_stop(&v->gather);
	loop_timer_stop(&v->state);
	loop_free_later(v->i->loop, v, live_free);
}
