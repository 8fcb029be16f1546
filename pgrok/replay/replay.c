/* Requests sent once more, from top to bottom: made up -> dialled -> written -> answered. */
#include "pgrok/replay/replay.h"

#include <stdlib.h>
#include <string.h>

#include "common/http/head.h"
#include "common/base/log.h"
#include "common/stream/stream.h"
#include "pgrok/capture/head.h"
#include "common/base/text.h"
#include "pgrok/visit/edit.h"
#include "pgrok/visit/local.h"

#define READ_SIZE (64u << 10)
#define READS_PER_TURN 4

struct replay {
	struct replay *prev, *next;
	struct replays *all;
	struct text request; /* as it is captured */
	struct text wire;    /* as the service of this tunnel gets it */
	size_t sent;
	char *name, *url, *visitor;
	struct endpoint local;
	enum proto proto;
	char origin[CAPTURE_ID];
	bool edited;
	char (*ids)[CAPTURE_ID];
	unsigned times, done;
	uint64_t delay_ms;
	/* of the one under way */
	struct local *dial;
	struct stream *stream;
	struct capture_conn *tapped;
	struct loop_timer timer; /* its end, or the next one's beginning */
};

struct replays {
	struct loop *loop;
	struct capture *capture;
	struct replay *first;
	unsigned n;
};

/* ---- what is sent ---- */

/* Fields that say how long the body is: ours say it. An Expect would be answered too late. */
static bool says_length(struct head_part name)
{
	return head_part_is(name, "content-length") || head_part_is(name, "transfer-encoding") ||
	       head_part_is(name, "expect");
}

static void put_fields(struct text *t, const struct capture_head *h, bool trailers, bool *host,
		       bool *had_length)
{
	struct head_part name, value;

	for (size_t at = 0; head_next(h, trailers, &at, &name, &value);) {
		*host |= head_part_is(name, "host");
		*had_length |= head_part_is(name, "content-length") ||
			       head_part_is(name, "transfer-encoding");
		if (says_length(name))
			continue;
		text_add(t, name.p, name.len);
		text_put(t, ": ");
		text_add(t, value.p, value.len);
		text_put(t, "\r\n");
	}
}

static void put_start_line(struct text *t, const struct capture_txn *x, const struct replay_edit *e)
{
	if (e->method)
		text_put(t, e->method);
	else
		text_add(t, x->req_head.text + x->method.off, x->method.len);
	text_put(t, " ");
	if (e->path)
		text_put(t, e->path);
	else
		text_add(t, x->req_head.text + x->target.off, x->target.len);
	text_put(t, " HTTP/1.1\r\n");
}

static void put_body(struct text *t, const struct capture_txn *x, const struct replay_edit *e,
		     bool had_length)
{
	size_t len = e->body ? e->body_len : x ? x->req.blob.len : 0;

	if (len || had_length)
		text_fmt(t, "Content-Length: %zu\r\n", len);
	text_put(t, "\r\n");
	if (e->body)
		text_add(t, e->body, len);
	else if (x)
		t->len += blob_read(&x->req.blob, 0, text_room(t, len), len);
}

char *replay_request(const struct capture_txn *x, const struct replay_edit *e, const char *host,
		     size_t *len, const char **why)
{
	struct text t = {0};
	struct http_head h = {0};
	bool has_host = false, had_length = false;

	*why = NULL;
	if (!(x && x->req_head.text) && !(e->method && e->path))
		*why = "method and path are needed";
	else if (!e->body && x && (x->req.size > x->req.blob.len || !x->req.complete))
		*why = "the body was not kept whole";
	if (*why)
		return NULL;
	put_start_line(&t, x, e);
	struct capture_head given = {
		.text = (char *)(uintptr_t)e->fields,
		.len = e->fields ? (uint32_t)strlen(e->fields) : 0,
	};

	if (e->fields)
		put_fields(&t, &given, true, &has_host, &had_length);
	else if (x)
		put_fields(&t, &x->req_head, false, &has_host, &had_length);
	if (!has_host)
		text_fmt(&t, "Host: %s\r\n", host);
	put_body(&t, x, e, had_length);
	/* Nothing that is sent may be taken for two requests, or for none. */
	if (http_request_scan(&h, t.p, t.len) != HTTP_OK) {
		*why = h.error ? h.error : "not a request";
		text_free(&t);
		return NULL;
	}
	*len = t.len;
	return t.p;
}

/* ---- one after the other ---- */

static void begin_one(void *arg);

/* Ends the one under way. error: static; NULL: it just ended. */
static void end_one(struct replay *r, const char *error)
{
	loop_timer_stop(&r->timer);
	if (r->dial)
		local_cancel(r->dial);
	r->dial = NULL;
	if (r->stream)
		stream_close(r->stream, false);
	r->stream = NULL;
	capture_conn_close(r->tapped, error);
	r->tapped = NULL;
}

static void replay_free(void *arg)
{
	struct replay *r = arg;

	text_free(&r->request);
	text_free(&r->wire);
	free(r->name);
	free(r->url);
	free(r->visitor);
	endpoint_free(&r->local);
	free(r->ids);
	free(r);
}

static void close_job(struct replay *r, const char *error)
{
	end_one(r, error);
	*(r->prev ? &r->prev->next : &r->all->first) = r->next;
	if (r->next)
		r->next->prev = r->prev;
	r->all->n--;
	log_debug("replay", "Closed: %u of %u sent to %s", r->done, r->times, r->url);
	loop_free_later(r->all->loop, r, replay_free);
}

static void next_one(struct replay *r, const char *error)
{
	end_one(r, error);
	r->done++;
	if (r->done == r->times) {
		close_job(r, NULL);
		return;
	}
	loop_timer_init(&r->timer, r->all->loop, begin_one, r);
	loop_after(&r->timer, r->delay_ms);
}

/* Is the answer complete, or something that never ends? */
static bool answered(const struct replay *r)
{
	const struct capture_txn *t = capture_find(r->all->capture, r->ids[r->done]);

	return t && (t->state != CAPTURE_OPEN || t->kind == CAPTURE_WEBSOCKET);
}

static void write_request(struct replay *r)
{
	size_t n;

	while (r->sent < r->wire.len) {
		switch (stream_write(r->stream, r->wire.p + r->sent, r->wire.len - r->sent, &n)) {
		case STREAM_OK:
			r->sent += n;
			break;
		case STREAM_AGAIN:
			return;
		default:
			/* It may have answered before it stopped reading: that is read yet. */
			r->sent = r->wire.len;
		}
	}
}

/* False: it is over, r may be gone. */
static bool read_answer(struct replay *r)
{
	static char buf[READ_SIZE];
	size_t n;

	for (int i = 0; i < READS_PER_TURN; i++) {
		switch (stream_read(r->stream, buf, sizeof(buf), &n)) {
		case STREAM_OK:
			capture_conn_bytes(r->tapped, SIDE_SERVICE, buf, n);
			break;
		case STREAM_AGAIN:
			return true;
		case STREAM_EOF:
			capture_conn_eof(r->tapped, SIDE_SERVICE);
			next_one(r, NULL);
			return false;
		default:
			next_one(r, "the local service cut the connection");
			return false;
		}
		if (answered(r)) {
			next_one(r, NULL);
			return false;
		}
	}
	return true;
}

static void on_ready(void *arg, int dirs)
{
	struct replay *r = arg;

	write_request(r);
	if (!read_answer(r))
		return;
	stream_want(r->stream, STREAM_READ | (r->sent < r->wire.len ? STREAM_WRITE : 0));
}

static void on_dialled(void *arg, struct stream *s, const char *error)
{
	struct replay *r = arg;

	r->dial = NULL;
	if (s)
		capture_conn_connected(r->tapped);
	capture_conn_bytes(r->tapped, SIDE_VISITOR, r->request.p, r->request.len);
	if (!s) {
		log_warn("replay", "Local service of %s not available: %s", r->url, error);
		next_one(r, "the local service is not there");
		return;
	}
	r->stream = s;
	stream_on_ready(r->stream, on_ready, r);
	stream_want(r->stream, STREAM_READ | STREAM_WRITE);
}

static void on_late(void *arg)
{
	next_one(arg, "no complete answer in time");
}

static void begin_one(void *arg)
{
	struct replay *r = arg;

	r->sent = 0;
	r->tapped = capture_conn_new(r->all->capture,
				     &(struct capture_conn_info){.name = r->name,
								 .url = r->url,
								 .local = r->local.text,
								 .visitor = "",
								 .proto = r->proto,
								 .id = r->ids[r->done],
								 .origin = r->origin,
								 .edited = r->edited});
	loop_timer_init(&r->timer, r->all->loop, on_late, r);
	loop_after(&r->timer, REPLAY_MS);
	r->dial = local_open(r->all->loop, &r->local, r->visitor, on_dialled, r);
}

bool replay_start(struct replays *all, const struct replay_target *to, const struct replay_job *job,
		  char (*ids)[CAPTURE_ID])
{
	struct replay *r;

	if (all->n == REPLAY_JOBS)
		return false;
	r = xcalloc(1, sizeof(*r));
	r->all = all;
	text_add(&r->request, job->request, job->len);
	edit_request(&r->wire,
		     &(struct edit_conf){.tunnel = to->conf,
					 .proto = to->proto,
					 .url = to->url,
					 .peer = to->visitor},
		     job->request, job->len);
	r->name = xstrdup(to->name);
	r->url = xstrdup(to->url);
	r->visitor = xstrdup(to->visitor ? to->visitor : "");
	r->local = endpoint_copy(&to->conf->local[to->proto]);
	r->proto = to->proto;
	if (job->origin)
		memcpy(r->origin, job->origin, strnlen(job->origin, CAPTURE_ID - 1));
	r->edited = job->edited;
	r->times = job->times;
	r->delay_ms = job->delay_ms;
	r->ids = xcalloc(job->times, sizeof(*r->ids));
	for (unsigned i = 0; i < job->times; i++) {
		capture_new_id(all->capture, r->ids[i]);
		memcpy(ids[i], r->ids[i], CAPTURE_ID);
	}
	r->next = all->first;
	if (r->next)
		r->next->prev = r;
	all->first = r;
	all->n++;
	begin_one(r);
	return true;
}

struct replays *replays_new(struct loop *l, struct capture *capture)
{
	struct replays *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->capture = capture;
	return all;
}

void replays_close(struct replays *all)
{
	if (!all)
		return;
	while (all->first)
		close_job(all->first, "the client ends");
	free(all);
}
