/* From a connection to a WebSocket over it. */
#include "pgrok/uplink/ws_dial.h"

#include "common/base/err.h"
#include "common/http/upgrade.h"
#include "common/stream/ws.h"
#include "pgrok/uplink/question.h"

#define ANSWER_MAX (16u << 10)

struct ws_dial {
	struct question q;
	ws_dial_fn *fn;
	void *arg;
	struct http_head head;
	char key[UPGRADE_KEY];
};

static void dial_free(void *p)
{
	struct ws_dial *d = p;

	question_end(&d->q);
	free(d);
}

void ws_dial_cancel(struct ws_dial *d)
{
	struct loop *l = stream_loop(d->q.s);

	stream_close(d->q.s, false);
	loop_free_later(l, d, dial_free);
}

static void fail(struct ws_dial *d, const char *error)
{
	struct err why; /* the text may be the stream's, which closing frees */

	err_set(&why, "%s", error);
	ws_dial_cancel(d);
	d->fn(d->arg, NULL, why.text);
}

/* The answer's head is whole. */
static void judge(struct ws_dial *d)
{
	const struct text *in = &d->q.in;
	const char *refused = upgrade_refused(in->p, &d->head, d->key);
	struct stream *s = d->q.s;
	struct err why;

	if (refused) {
		err_set(&why, "%s (status %d)", refused, d->head.status);
		fail(d, why.text);
		return;
	}
	stream_on_ready(s, NULL, NULL);
	s = stream_ws_new(s, WS_CLIENT, in->p + d->head.head_len, in->len - d->head.head_len);
	loop_free_later(stream_loop(s), d, dial_free);
	d->fn(d->arg, s, NULL);
}

static bool heard(void *arg)
{
	struct ws_dial *d = arg;

	switch (http_response_scan(&d->head, d->q.in.p, d->q.in.len)) {
	case HTTP_OK:
		judge(d);
		return true;
	case HTTP_BAD:
		fail(d, "what the server says is not HTTP");
		return true;
	case HTTP_MORE:
		break;
	}
	return false;
}

static void ended(void *arg, const char *why)
{
	fail(arg, why ? why : "closed by the server without an answer");
}

struct ws_dial *ws_dial_start(struct stream *s, const char *host, const char *target,
			      const char *more, ws_dial_fn *fn, void *arg)
{
	struct ws_dial *d = xcalloc(1, sizeof(*d));

	d->q = (struct question){
		.s = s, .most = ANSWER_MAX, .heard = heard, .ended = ended, .arg = d};
	d->fn = fn;
	d->arg = arg;
	d->q.out.secret = true; /* it may have a token */
	upgrade_key(d->key);
	upgrade_request(&d->q.out, host, target, d->key, more);
	question_ask(&d->q);
	return d;
}
