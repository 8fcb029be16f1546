/* One visitor whose tunnel is known: dial the local service -> join both -> done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "pgrok/config/limits.h"
#include "pgrok/visit/page.h"
#include "pgrok/visit/visit_in.h"

const char *visit_name(const struct visit *v, char buf[static VISIT_NAME])
{
	snprintf(buf, VISIT_NAME, "visit:%llu", (unsigned long long)v->id);
	return buf;
}

void visit_set_state(struct visit *v, enum visit_state state)
{
	static const char *const names[] = {"new",    "parked",   "dialling",
					    "joined", "refusing", "closed"};

	if (v->state != state)
		visit_log(v, LOG_DEBUG, "%s -> %s", names[v->state], names[state]);
	v->state = state;
}

void visit_wait(struct visit *v, uint64_t ms, void (*fn)(void *arg))
{
	if (v->timer)
		loop_timer_stop(v->timer);
	else
		v->timer = xmalloc(sizeof(*v->timer));
	*v->timer = (struct loop_timer){0};
	loop_timer_init(v->timer, v->all->loop, fn, v);
	loop_after(v->timer, ms);
}

/* ---- the end ---- */

static void visit_free(void *arg)
{
	struct visit *v = arg;

	free(v->timer);
	free(v->url);
	free(v->peer);
	edit_free(v->edit);
	free(v);
}

/* Everything that may call back or hold a connection. */
static void release(struct visit *v, bool abort)
{
	if (v->timer)
		loop_timer_stop(v->timer);
	if (v->dial)
		local_cancel(v->dial);
	capture_conn_close(v->tap, abort ? "the connection was cut" : NULL);
	if (v->pair)
		pair_close(v->pair, abort);
	if (v->page)
		page_cancel(v->page, abort);
	if (v->stream)
		stream_close(v->stream, abort);
	v->dial = NULL;
	v->tap = NULL;
	v->pair = NULL;
	v->page = NULL;
	v->stream = NULL;
}

void visit_close(struct visit *v, enum log_level level, bool abort, const char *why)
{
	uint64_t in = v->pair ? pair_bytes(v->pair, SIDE_VISITOR) : 0;
	uint64_t out = v->pair ? pair_bytes(v->pair, SIDE_SERVICE) : 0;
	uint64_t age = loop_now(v->all->loop) - v->since;

	visit_log(v, level, "Closed: %s (age %.1f s, %llu bytes in, %llu out)", why,
		  (double)age / 1000, (unsigned long long)in, (unsigned long long)out);
	release(v, abort);
	visit_set_state(v, VISIT_CLOSED);
	TAILQ_REMOVE(&v->all->list, v, link);
	if (v->counted)
		model_conn_end(v->all->conf.model, v->local, age, in, out);
	loop_free_later(v->all->loop, v, visit_free);
}

/* ---- joined, for one request ---- */

static bool is_single(const struct visit *v)
{
	return v->edit && edit_single(v->edit);
}

static void on_page_sent(void *arg, const char *error)
{
	struct visit *v = arg;

	v->page = NULL;
	visit_close(v, LOG_DEBUG, false, error ? error : "page sent");
}

/* The visitor, whose stream is s, gets a page. */
static void send_page(struct visit *v, struct stream *s, bool asked)
{
	const struct page_conf conf = {
		.url = v->url,
		.local = v->local->text,
		.asked = asked,
		.head_only = asked && edit_head_only(v->edit),
		.drain = is_single(v),
	};

	visit_set_state(v, VISIT_REFUSING);
	v->page = page_send(s, &conf, on_page_sent, v);
}

/* The service has said no answer, or none that can be passed on. */
static void has_no_answer(struct visit *v)
{
	visit_log(v, LOG_WARN, "Local service of %s: %s", v->url, edit_error(v->edit));
	send_page(v, pair_take(v->pair, SIDE_VISITOR), true);
}

/* What is under way to a server reaches it all, if the stream is not reset meanwhile. */
static void is_answered(struct visit *v)
{
	stream_linger_for(pair_take(v->pair, SIDE_VISITOR), LIMIT_DRAIN_MS, LIMIT_DRAIN);
	stream_close(pair_take(v->pair, SIDE_SERVICE), false);
	visit_close(v, LOG_INFO, false, "done");
}

static void on_not_asked(void *arg)
{
	struct visit *v = arg;

	if (!v->page && !edit_asked(v->edit))
		visit_close(v, LOG_INFO, false, "no request in time");
}

/* True: that was all about it. */
static bool single_done(struct visit *v, enum pair_end why)
{
	if (!is_single(v) || (why != PAIR_CUT && why != PAIR_ABORT))
		return false;
	bool cut = why == PAIR_CUT;
	bool lost = !cut && *stream_error(pair_stream(v->pair, SIDE_SERVICE)) &&
		    pair_heard(v->pair, SIDE_VISITOR) && edit_lost(v->edit, pair_error(v->pair));

	if (lost || (cut && edit_result(v->edit) == EDIT_UNANSWERED))
		has_no_answer(v);
	else if (cut && edit_result(v->edit) == EDIT_ANSWERED)
		is_answered(v);
	else
		visit_close(v, LOG_INFO, true,
			    *pair_error(v->pair) ? pair_error(v->pair) : edit_error(v->edit));
	return true;
}

/* ---- joined ---- */

static void on_pair_done(void *arg, enum pair_end why)
{
	static const char *const words[] = {[PAIR_DONE] = "done",
					    [PAIR_CUT] = "cut",
					    [PAIR_LEFT] = "left",
					    [PAIR_ABORT] = "aborted",
					    [PAIR_SILENT] = "silent half-closed"};
	struct visit *v = arg;
	const char *error = pair_error(v->pair);

	if (single_done(v, why))
		return;
	/* A side that had not ended must not take the rest for complete. */
	if (why == PAIR_CUT)
		visit_close(v, LOG_INFO, false, edit_error(v->edit));
	else
		visit_close(v, LOG_INFO, why == PAIR_ABORT || why == PAIR_SILENT,
			    why == PAIR_ABORT && *error ? error : words[why]);
}

static void on_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct visit *v = arg;

	capture_conn_bytes(v->tap, from, buf, len);
}

static bool on_eof(void *arg, enum side from)
{
	struct visit *v = arg;

	capture_conn_eof(v->tap, from);
	return true;
}

/* How long a visitor may wait that has said all is for the server to judge, which knows whether. */
static bool on_awaited(void *arg)
{
	return pair_ended(((struct visit *)arg)->pair, SIDE_VISITOR);
}

static const struct pair_hooks plain_hooks = {.awaited = on_awaited, .done = on_pair_done};
static const struct pair_hooks tapped_hooks = {
	.eof = on_eof, .awaited = on_awaited, .tap = on_tap, .done = on_pair_done};

/* ---- joined, with requests that are changed ---- */

static void release_if(struct visit *v, bool release)
{
	if (release)
		pair_release(v->pair, SIDE_VISITOR);
}

static enum judge on_judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass)
{
	struct visit *v = arg;
	bool release;
	enum judge verdict = edit_judge(v->edit, from, buf, len, pass, &release);

	release_if(v, release);
	return verdict;
}

static const char *on_edit(void *arg, enum side from, const char *buf, size_t len, size_t *made)
{
	struct visit *v = arg;

	return edit_made(v->edit, from, len, made);
}

/* What is captured is what the visitor said, and the service. */
static void on_edited_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct visit *v = arg;

	if (v->tap)
		capture_conn_bytes(v->tap, from, buf, len);
}

static bool on_edited_eof(void *arg, enum side from)
{
	struct visit *v = arg;
	bool release;

	if (v->tap)
		capture_conn_eof(v->tap, from);
	enum edit_end then = edit_eof(v->edit, from, &release);

	if (then == EDIT_CUT)
		pair_cut(v->pair);
	else if (then == EDIT_FAIL)
		pair_fail(v->pair);
	release_if(v, release);
	return then == EDIT_PASS;
}

static const struct pair_hooks edited_hooks = {.judge = on_judge,
					       .awaited = on_awaited,
					       .edit = on_edit,
					       .tap = on_edited_tap,
					       .eof = on_edited_eof,
					       .done = on_pair_done};

/* Nobody is there to say for how long, once it speaks another protocol. */
static const struct pair_hooks single_hooks = {.judge = on_judge,
					       .edit = on_edit,
					       .tap = on_edited_tap,
					       .eof = on_edited_eof,
					       .done = on_pair_done,
					       .ends_unheard = true};

static const struct pair_hooks *hooks_of(const struct visit *v)
{
	if (v->edit)
		return edit_single(v->edit) ? &single_hooks : &edited_hooks;
	return v->tap ? &tapped_hooks : &plain_hooks;
}

static void join(struct visit *v, struct stream *local)
{
	v->pair = pair_new(v->stream, local, hooks_of(v), v);
	if (v->tap)
		capture_conn_connected(v->tap);
	v->stream = NULL;
	v->counted = true;
	/* What is kept for as long as the visitor stays is kept small. */
	free(v->peer);
	v->peer = NULL;
	if (!is_single(v)) {
		free(v->url);
		v->url = NULL;
	}
	visit_set_state(v, VISIT_JOINED);
	model_conn_begin(v->all->conf.model, v->local);
	pair_start(v->pair);
}

/* ---- no service at the local address ---- */

static void refuse(struct visit *v, const char *error)
{
	visit_log(v, LOG_WARN, "Local service of %s not available: %s", v->url, error);
	model_conn_refused(v->all->conf.model);
	if (v->proto == PROTO_TCP) {
		visit_close(v, LOG_DEBUG, true, "local service not available");
		return;
	}
	struct stream *s = v->stream;

	v->stream = NULL;
	send_page(v, s, false);
}

/* ---- the local service ---- */

/*
 * Is it our own inspector that was dialled? Then it must know who comes by a tunnel; and nothing
 * is captured, for each thing it shows would be a new one to show, and a token is on its way.
 */
static void mind_inspector(struct visit *v, const struct stream *s)
{
	struct addr near, far;
	int fd = stream_fd(s);

	if (!v->all->conf.inspect_port || v->local->port != v->all->conf.inspect_port)
		return;
	near = addr_of_local(fd);
	far = addr_of_peer(fd);
	if (!addr_same_ip(&near, &far))
		return; /* another machine's port of that number */
	v->near = addr_get_port(&near);
	capture_conn_close(v->tap, NULL);
	v->tap = NULL;
}

static void on_local(void *arg, struct stream *s, const char *error)
{
	struct visit *v = arg;

	v->dial = NULL;
	if (!s) {
		refuse(v, error);
		return;
	}
	mind_inspector(v, s);
	join(v, s);
}

/* Only what may be HTTP, and is not switched off for this tunnel. */
static struct capture_conn *tap(const struct visit *v, const struct model_tunnel *t)
{
	struct capture *capture = v->all->conf.capture;
	char name[CONFIG_NAME];

	if (!capture || !t->conf->inspect || t->proto == PROTO_TCP)
		return NULL;
	config_tunnel_name(t->conf, t->proto, name);
	return capture_conn_new(capture, &(struct capture_conn_info){.name = name,
								     .url = v->url,
								     .local = t->local->text,
								     .visitor = v->peer,
								     .proto = t->proto});
}

void visit_serve(struct visit *v, const struct model_tunnel *t)
{
	v->local = t->local;
	v->proto = t->proto;
	visit_log(v, LOG_INFO, "%s from %s -> %s", v->url, v->peer, v->local->text);
	v->tap = tap(v, t);
	v->edit = edit_new(&(struct edit_conf){
		.tunnel = t->conf, .proto = t->proto, .url = v->url, .peer = v->peer});
	if (is_single(v))
		visit_wait(v, LIMIT_ASKED_MS, on_not_asked);
	visit_set_state(v, VISIT_DIALING);
	v->dial = local_open(v->all->loop, v->local, v->peer, on_local, v);
}
