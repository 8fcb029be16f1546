/* The list of all tunnels, piece by piece, and the end of one. */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "pgrokd/admin/parts.h"
#include "pgrokd/client/client.h"

#define PIECE 128 /* tunnels told of in a turn of a worker: about half a millisecond */

/* ---- all of them ---- */

/* One worker after the other is asked, each piece when the one before it has been written. */
struct listing {
	struct errand errand;
	const struct listing_form *form;
	void *arg; /* the form's */
	int worker;
	bool asked;    /* the worker, already: */
	uint64_t *ids; /* of its tunnels then; those that have closed since are left out */
	size_t n, next;
	struct text rows; /* the piece at hand; at first the head */
	size_t told;      /* rows */
	bool away;        /* with a worker, or on its way back */
	bool over;        /* ... and the request has ended */
};

static void listing_free(struct errand *e)
{
	struct listing *l = (struct listing *)e;

	if (l->form->free)
		l->form->free(l->arg);
	text_free(&l->rows);
	free(l->ids);
	free(l);
}

static void take_id(void *value, void *arg)
{
	const struct visitors *at = value;
	struct listing *l = arg;

	l->ids[l->n++] = at->route->tunnel_id;
}

static void listing_work(struct errand *e, struct worker *w)
{
	struct listing *l = (struct listing *)e;
	struct tunnel_view v;

	if (!l->ids) {
		l->ids = xcalloc(idmap_count(w->tunnels) + 1, sizeof(*l->ids));
		idmap_each(w->tunnels, take_id, l);
	}
	for (int i = 0; i < PIECE && l->next < l->n; i++) {
		if (!client_tunnel_view(w, l->ids[l->next++], &v))
			continue;
		if (l->form->json)
			text_put(&l->rows, l->told ? ",\n" : "\n");
		l->form->row(l->arg, &l->rows, w, &v);
		l->told++;
	}
}

static void listing_back(struct errand *e, struct httpd_req *r)
{
	struct listing *l = (struct listing *)e;

	l->away = false;
	if (l->over)
		listing_free(e);
	else
		httpd_resume(r);
}

/* Its request may be there still: then it frees it. */
static void listing_drop(struct errand *e)
{
	struct listing *l = (struct listing *)e;

	l->away = false;
	if (l->over)
		listing_free(e);
}

static void write_rows(struct listing *l, struct httpd_req *r)
{
	httpd_write(r, l->rows.p, l->rows.len);
	text_free(&l->rows);
}

static enum httpd_more listing_produce(void *arg, struct httpd_req *r)
{
	struct listing *l = arg;

	if (l->away)
		return HTTPD_WAIT;
	write_rows(l, r);
	if (l->asked && l->next == l->n) { /* the next worker */
		free(l->ids);
		l->ids = NULL;
		l->n = l->next = 0;
		l->worker++;
	}
	if (l->worker == l->errand.admin->core->n_workers) {
		l->form->end(l->arg, &l->rows, l->told);
		write_rows(l, r);
		return HTTPD_END;
	}
	l->asked = l->away = true;
	errand_send(&l->errand, l->worker);
	return HTTPD_WAIT;
}

static void listing_done(void *arg, bool complete)
{
	struct listing *l = arg;

	l->over = true;
	if (!l->away)
		listing_free(&l->errand);
}

void tunnels_tell(struct admin *a, struct httpd_req *r, const struct listing_form *form,
		  struct text head, void *arg)
{
	static const struct httpd_producer producer = {listing_produce, listing_done};
	struct listing *l = xcalloc(1, sizeof(*l));

	errand_init(&l->errand, a, r);
	l->errand.work = listing_work;
	l->errand.back = listing_back;
	l->errand.drop = listing_drop;
	l->form = form;
	l->arg = arg;
	l->rows = head;
	httpd_stream(r, 200, form->mime, &producer, l);
}

/* ---- GET /tunnels ---- */

static void put_number(struct text *t, const char *key, uint64_t n)
{
	text_key(t, key);
	text_fmt(t, "%llu", (unsigned long long)n);
}

static void put_text(struct text *t, const char *key, const char *value)
{
	text_key(t, key);
	text_json_str(t, value);
}

/* at: loop_now() of a moment ago, or long ago. */
static void put_time(struct text *t, const char *key, const struct worker *w, uint64_t at)
{
	text_key(t, key);
	text_time(t, clock_wall_us() - (int64_t)(loop_now(w->loop) - at) * 1000);
}

static void put_row(void *arg, struct text *t, const struct worker *w, const struct tunnel_view *v)
{
	text_put(t, "{");
	put_text(t, "name", v->name);
	put_text(t, "url", v->url);
	put_text(t, "owner", v->owner);
	put_time(t, "since", w, v->born);
	put_number(t, "visitors_now", v->visitors_now);
	put_number(t, "visitors", v->count.visitors);
	put_number(t, "bytes_in", v->count.bytes[SIDE_VISITOR]);
	put_number(t, "bytes_out", v->count.bytes[SIDE_SERVICE]);
	if (v->last)
		put_time(t, "last_request", w, v->last);
	else
		text_put(t, ",\"last_request\":null");
	text_key(t, "rtt_ms");
	if (v->rtt_us)
		text_fmt(t, "%.3f", v->rtt_us / 1000.0);
	else
		text_put(t, "null");
	text_put(t, "}");
}

static void put_end(void *arg, struct text *t, size_t n)
{
	text_put(t, "\n]}\n");
}

void tunnels_list(void *arg, struct httpd_req *r)
{
	static const struct listing_form form = {
		.mime = "application/json; charset=utf-8",
		.json = true,
		.row = put_row,
		.end = put_end,
	};
	struct text head = {0};

	text_put(&head, "{\"tunnels\":[");
	tunnels_tell(arg, r, &form, head, NULL);
}

/* ---- DELETE /tunnels/NAME ---- */

/* Those of one worker at once, or a client could give one back when it hears of the other. */
struct closing {
	struct errand errand;
	struct route *route[PROTOS]; /* by protocol, a reference each; NULL: none, or done with */
	int home;                    /* the worker whose turn it is */
	struct text closed;          /* their URLs */
};

static void closing_free(struct errand *e)
{
	struct closing *c = (struct closing *)e;

	for (int p = 0; p < PROTOS; p++)
		route_unref(c->route[p]);
	text_free(&c->closed);
	free(c);
}

static void closing_work(struct errand *e, struct worker *w)
{
	struct closing *c = (struct closing *)e;

	for (int p = 0; p < PROTOS; p++) {
		const struct route *route = c->route[p];

		if (!route || route->home != w->index ||
		    !client_withdraw(w, route->tunnel_id, "closed by the operator"))
			continue;
		text_put(&c->closed, c->closed.len ? "," : "{\"closed\":[");
		text_json_str(&c->closed, route->url);
	}
}

/* To the home of one that is left. False: none is. */
static bool closing_send(struct closing *c)
{
	int p = 0;

	while (p < PROTOS && !c->route[p])
		p++;
	if (p == PROTOS)
		return false;
	c->home = c->route[p]->home;
	errand_send(&c->errand, c->home);
	return true;
}

static void closing_back(struct errand *e, struct httpd_req *r)
{
	struct closing *c = (struct closing *)e;

	for (int p = 0; p < PROTOS; p++) {
		if (c->route[p] && c->route[p]->home == c->home) {
			route_unref(c->route[p]);
			c->route[p] = NULL;
		}
	}
	if (closing_send(c))
		return;
	if (r && c->closed.len) {
		text_put(&c->closed, "]}\n");
		httpd_answer(r, 200, "application/json; charset=utf-8", c->closed.p, c->closed.len);
	} else if (r) {
		httpd_text(r, 404, "It has closed meanwhile.\n");
	}
	closing_free(e);
}

/* NULL: there is no such tunnel. */
static struct route *find(struct registry *r, enum proto p, const char *name)
{
	char key[ROUTE_KEY_MAX];
	int port = *name == ':' ? addr_port(name + 1) : 0;

	if (p == PROTO_TCP && port > 0)
		snprintf(key, sizeof(key), "tcp://:%d", port);
	else if (p == PROTO_TCP || !route_key(p, name, strlen(name), key))
		return NULL;
	return registry_find(r, key);
}

void tunnels_close(void *arg, struct httpd_req *r)
{
	struct admin *a = arg;
	struct closing *c = xcalloc(1, sizeof(*c));

	errand_init(&c->errand, a, r);
	c->errand.work = closing_work;
	c->errand.back = closing_back;
	c->errand.drop = closing_free;
	for (int p = 0; p < PROTOS; p++)
		c->route[p] = find(a->core->registry, (enum proto)p, httpd_rest(r));
	if (closing_send(c))
		return;
	httpd_text(r, 404, "No tunnel has this name.\n");
	closing_free(&c->errand);
}
