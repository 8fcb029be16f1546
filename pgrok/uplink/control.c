/* The control connection as such. */
#include "pgrok/uplink/control.h"

#include <stdio.h>

#include "common/base/log.h"
#include "pgrok/config/limits.h"

static void lose(struct control *c, const char *why, bool garbage)
{
	/* The text may be the channel's, which closing frees. */
	char text[ERR_TEXT];

	snprintf(text, sizeof(text), "%s", why);
	c->hooks->on_lost(c->arg, text, garbage);
}

static void want(struct control *c)
{
	stream_want(c->s, STREAM_READ | (chan_waiting(c->chan) ? STREAM_WRITE : 0));
}

bool control_send(struct control *c, const struct msg *m)
{
	char why[ERR_TEXT];

	if (chan_send(c->chan, m)) {
		want(c);
		return true;
	}
	snprintf(why, sizeof(why), "sending %s: %s", msg_type_name(m->type), chan_error(c->chan));
	lose(c, why, false);
	return false;
}

static void on_ready(void *arg, int dirs)
{
	struct control *c = arg;
	struct stream *here = c->s;
	struct msg m;

	if (chan_flush(c->chan) == STREAM_ABORT) {
		lose(c, chan_error(c->chan), false);
		return;
	}
	for (int i = 0; i < LIMIT_MESSAGES; i++) {
		enum chan_rc rc = chan_recv(c->chan, &m);
		if (rc == CHAN_NULL)
			continue;
		if (rc == CHAN_AGAIN)
			break;
		if (rc != CHAN_OK) {
			lose(c, rc == CHAN_EOF ? "closed by the server" : chan_error(c->chan),
			     rc == CHAN_BAD);
			return;
		}
		c->hooks->on_msg(c->arg, &m);
		msg_free(&m);
		/* The message may have ended this connection. */
		if (c->s != here)
			return;
	}
	want(c);
}

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct control *c = arg;

	c->attempt = NULL;
	if (!s) {
		lose(c, error, false);
		return;
	}
	c->s = s;
	c->chan = chan_new(s);
	stream_on_ready(s, on_ready, c);
	c->hooks->on_connected(c->arg);
	if (c->s == s)
		on_ready(c, STREAM_READ);
}

void control_open(struct control *c, struct connector *connector, const struct control_hooks *hooks,
		  void *arg)
{
	*c = (struct control){.hooks = hooks, .arg = arg};
	c->attempt = connect_start(connector, on_connected, c);
}

void control_close(struct control *c)
{
	if (c->attempt)
		connect_cancel(c->attempt);
	c->attempt = NULL;
	chan_free(c->chan);
	c->chan = NULL;
	if (c->s)
		stream_close(c->s, false);
	c->s = NULL;
}
