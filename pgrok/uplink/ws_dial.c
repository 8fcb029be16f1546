/* From a connection to a WebSocket over it. */
#include "pgrok/uplink/ws_dial.h"

#include "common/base/err.h"
#include "common/http/upgrade.h"
#include "common/stream/ws.h"

#define ANSWER_MAX (16u << 10)

struct ws_dial {
	struct stream *s;
	ws_dial_fn *fn;
	void *arg;
	struct text out, in; /* what is left of the request, what has come of the answer */
	struct http_head head;
	char key[UPGRADE_KEY];
};

static void dial_free(void *p)
{
	struct ws_dial *d = p;

	text_free(&d->out);
	text_free(&d->in);
	free(d);
}

void ws_dial_cancel(struct ws_dial *d)
{
	struct loop *l = stream_loop(d->s);

	stream_close(d->s, false);
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
	const char *refused = upgrade_refused(d->in.p, &d->head, d->key);
	struct stream *s = d->s;
	struct err why;

	if (refused) {
		err_set(&why, "%s (status %d)", refused, d->head.status);
		fail(d, why.text);
		return;
	}
	stream_on_ready(s, NULL, NULL);
	s = stream_ws_new(s, WS_CLIENT, d->in.p + d->head.head_len, d->in.len - d->head.head_len);
	loop_free_later(stream_loop(s), d, dial_free);
	d->fn(d->arg, s, NULL);
}

static void hear(struct ws_dial *d)
{
	size_t n;

	while (d->in.len < ANSWER_MAX) {
		size_t most = ANSWER_MAX - d->in.len;

		switch (stream_read(d->s, text_room(&d->in, most), most, &n)) {
		case STREAM_OK:
			d->in.len += n;
			break;
		case STREAM_AGAIN:
			stream_want(d->s, STREAM_READ | (d->out.len ? STREAM_WRITE : 0));
			return;
		case STREAM_EOF:
			fail(d, "closed by the server without an answer");
			return;
		case STREAM_ABORT:
			fail(d, stream_error(d->s));
			return;
		}
		switch (http_response_scan(&d->head, d->in.p, d->in.len)) {
		case HTTP_OK:
			judge(d);
			return;
		case HTTP_BAD:
			fail(d, "what the server says is not HTTP");
			return;
		case HTTP_MORE:
			break;
		}
	}
	fail(d, "the server's answer is too long");
}

static void on_ready(void *arg, int dirs)
{
	struct ws_dial *d = arg;
	enum stream_rc rc = STREAM_OK;
	size_t n;

	while (d->out.len && rc == STREAM_OK) {
		rc = stream_write(d->s, d->out.p, d->out.len, &n);
		if (rc == STREAM_OK)
			text_drop(&d->out, n);
	}
	if (rc == STREAM_ABORT)
		fail(d, stream_error(d->s));
	else
		hear(d);
}

struct ws_dial *ws_dial_start(struct stream *s, const char *host, const char *target,
			      const char *more, ws_dial_fn *fn, void *arg)
{
	struct ws_dial *d = xcalloc(1, sizeof(*d));

	d->s = s;
	d->fn = fn;
	d->arg = arg;
	d->out.secret = true; /* it may have a token */
	upgrade_key(d->key);
	upgrade_request(&d->out, host, target, d->key, more);
	stream_on_ready(s, on_ready, d);
	stream_want(s, STREAM_WRITE);
	return d;
}
