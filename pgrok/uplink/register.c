/* RegProxy out, StartProxy in. */
#include "pgrok/uplink/register.h"

#include <string.h>

#include "msg/pgrok/chan.h"

bool register_is_mux(const struct msg_start_proxy *start)
{
	return strcmp(start->url, START_PROXY_MUX) == 0;
}

/* Nothing calls back any more, the stream is the caller's. */
static struct stream *let_go(struct registration *r)
{
	struct stream *s = r->s;

	if (s) {
		stream_on_ready(s, NULL, NULL);
		stream_want(s, 0);
	}
	r->s = NULL;
	return s;
}

static void end(struct registration *r, enum register_end how, const struct msg_start_proxy *start,
		const char *why)
{
	struct chan *chan = r->chan;

	/* The hook may begin another one here; `why` may be the channel's. */
	r->chan = NULL;
	r->hooks->on_end(r->arg, how, let_go(r), start, why);
	chan_free(chan);
}

static void take(struct registration *r, struct msg *m)
{
	if (m->type == MSG_START_PROXY)
		end(r, REGISTER_OK, &m->start_proxy, NULL);
	else
		end(r, REGISTER_BAD, NULL, "not a StartProxy");
	msg_free(m);
}

static void on_ready(void *arg, int dirs)
{
	struct registration *r = arg;
	struct msg m;

	if (chan_flush(r->chan) == STREAM_ABORT) {
		end(r, REGISTER_ABORT, NULL, chan_error(r->chan));
		return;
	}
	switch (chan_recv(r->chan, &m)) {
	case CHAN_OK:
		take(r, &m);
		return;
	case CHAN_AGAIN:
		stream_want(r->s, STREAM_READ | (chan_waiting(r->chan) ? STREAM_WRITE : 0));
		return;
	case CHAN_EOF:
		end(r, REGISTER_EOF, NULL, "closed by the server");
		return;
	case CHAN_ABORT:
		end(r, REGISTER_ABORT, NULL, chan_error(r->chan));
		return;
	case CHAN_NULL:
	case CHAN_BAD:
		end(r, REGISTER_BAD, NULL, "not a StartProxy");
		return;
	}
}

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct registration *r = arg;
	struct msg m = msg_new(MSG_REG_PROXY);

	r->attempt = NULL;
	if (!s) {
		end(r, REGISTER_UNCONNECTED, NULL, error);
		return;
	}
	r->s = s;
	r->chan = chan_new(s);
	m.reg_proxy.client_id = r->client_id;
	m.reg_proxy.mux = r->mux;
	if (!chan_send(r->chan, &m)) {
		end(r, REGISTER_ABORT, NULL, chan_error(r->chan));
		return;
	}
	stream_on_ready(s, on_ready, r);
	if (r->hooks->on_registered)
		r->hooks->on_registered(r->arg);
	on_ready(r, STREAM_READ);
}

void register_connect(struct registration *r, struct connector *c, const char *client_id,
		      int64_t mux, const struct register_hooks *hooks, void *arg)
{
	*r = (struct registration){.hooks = hooks, .arg = arg, .client_id = client_id, .mux = mux};
	r->attempt = connect_start(c, on_connected, r);
}

void register_stream(struct registration *r, struct stream *s, const struct register_hooks *hooks,
		     void *arg)
{
	*r = (struct registration){.hooks = hooks, .arg = arg, .s = s, .chan = chan_new(s)};
	stream_on_ready(s, on_ready, r);
	stream_want(s, STREAM_READ);
}

void register_cancel(struct registration *r, bool abort)
{
	struct stream *s = let_go(r);

	if (r->attempt)
		connect_cancel(r->attempt);
	r->attempt = NULL;
	chan_free(r->chan);
	r->chan = NULL;
	if (s)
		stream_close(s, abort);
}
