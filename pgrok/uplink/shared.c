/* The mux sessions to the server: each opened, lost, opened again. */
#include "pgrok/uplink/shared.h"

#include <stdlib.h>
#include <string.h>

#include "common/net/listener.h"
#include "common/base/log.h"
#include "common/mux/mux.h"
#include "msg/pgrok/chan.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/config/limits.h"

#define NAME "mux"

/*
 * On a long path one TCP connection is not enough: a lost packet stops all streams of its session
 * for a round trip, and one congestion window has to carry everything.
 */
#define SESSIONS 4
#define NEARLY_FULL (MUX_STREAMS_MAX / 4 * 3)
#define FAR_US 5000 /* round trip of a long path */

enum link_state {
	LINK_OFF,         /* not granted */
	LINK_CONNECTING,  /* waits for the connector, which has a deadline */
	LINK_REGISTERING, /* waits for StartProxy "mux:", for ever: see on_connected() */
	LINK_UP,          /* waits for streams */
	LINK_WAITING      /* waits to try again; timer */
};

struct mux_link;

/* One session. */
struct link {
	struct mux_link *all;
	enum link_state state;
	struct connect *attempt; /* CONNECTING */
	struct stream *stream;   /* REGISTERING */
	struct chan *chan;
	struct mux *mux; /* UP */
	bool judged;     /* is the path a long one? */
	struct loop_timer timer;
	struct backoff backoff;
};

struct mux_link {
	struct loop *loop;
	struct connector *connector;
	struct proxies *proxies;
	struct mux_account *memory;
	char *client_id; /* a credential */
	struct link link[SESSIONS];
};

static void begin(void *arg);

static void set_state(struct link *k, enum link_state state)
{
	static const char *const names[] = {"off", "connecting", "registering", "up", "waiting"};

	if (k->state != state)
		log_debug(NAME, "%d: %s -> %s", (int)(k - k->all->link), names[k->state],
			  names[state]);
	k->state = state;
}

static void arm(struct link *k, void (*fn)(void *arg), uint64_t ms)
{
	loop_timer_stop(&k->timer);
	loop_timer_init(&k->timer, k->all->loop, fn, k);
	loop_after(&k->timer, ms);
}

/* Whatever is under way ends. A session that is up takes no new visitors and ends with its last. */
static void drop(struct link *k, bool abort)
{
	if (k->attempt)
		connect_cancel(k->attempt);
	k->attempt = NULL;
	chan_free(k->chan);
	k->chan = NULL;
	if (k->stream)
		stream_close(k->stream, false);
	k->stream = NULL;
	if (k->mux)
		mux_close(k->mux, abort);
	k->mux = NULL;
	loop_timer_stop(&k->timer);
}

static void lose(struct link *k, const char *why)
{
	uint32_t ms = backoff_next(&k->backoff);

	/* First: the text may live in what is dropped. */
	log_info(NAME, "no session: %s; again in %.1f s", why, ms / 1000.0);
	drop(k, false);
	set_state(k, LINK_WAITING);
	arm(k, begin, ms);
}

/* ---- up ---- */

/*
 * The server gives a visitor to the session with the fewest, so if this one is nearly full, all
 * are. One at a time; when there are no more, visitors get connections of their own.
 */
static void open_another(struct mux_link *all)
{
	struct link *off = NULL;

	for (int i = 0; i < SESSIONS; i++) {
		struct link *k = &all->link[i];

		if (k->state == LINK_CONNECTING || k->state == LINK_REGISTERING)
			return;
		if (!off && k->state == LINK_OFF)
			off = k;
	}
	if (off)
		begin(off);
}

static void on_accepted(void *arg, struct stream *s)
{
	struct link *k = arg;

	if (mux_streams(k->mux) >= NEARLY_FULL)
		open_another(k->all);
	proxies_accept(k->all->proxies, s);
}

static void on_down(void *arg, const char *why)
{
	lose(arg, why);
}

/*
 * A long path gets all the sessions it may have. Judged once, when the session is new and its line
 * still quiet.
 */
static void on_measured(void *arg)
{
	struct link *k = arg;

	if (k->judged)
		return;
	k->judged = true;
	if (mux_rtt_us(k->mux) <= FAR_US)
		return;
	for (int i = 0; i < SESSIONS; i++)
		if (k->all->link[i].state == LINK_OFF)
			begin(&k->all->link[i]);
}

static const struct mux_hooks mux_hooks = {
	.accepted = on_accepted, .down = on_down, .measured = on_measured};

static void up(struct link *k)
{
	static const struct mux_conf conf = {.start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};
	struct stream *s = k->stream;

	loop_timer_stop(&k->timer);
	chan_free(k->chan);
	k->chan = NULL;
	k->stream = NULL;
	backoff_reset(&k->backoff);
	socket_always_read(stream_fd(s));
	socket_shared(stream_fd(s));
	k->mux = mux_new(s, &conf, k->all->memory, &mux_hooks, k);
	k->judged = false;
	set_state(k, LINK_UP);
}

/* ---- registering ---- */

static void take_answer(struct link *k, const struct msg *m)
{
	if (m->type != MSG_START_PROXY) {
		lose(k, "not a StartProxy");
		return;
	}
	if (strcmp(m->start_proxy.url, START_PROXY_MUX) == 0) {
		up(k);
		return;
	}
	/* A server without mux behind the same address: it took this for an ordinary proxy. */
	struct stream *s = k->stream;

	k->stream = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	proxies_adopt(k->all->proxies, s, m);
	lose(k, "the server took it for a proxy connection");
}

static void on_ready(void *arg, int dirs)
{
	struct link *k = arg;
	struct msg m;

	if (chan_flush(k->chan) == STREAM_ABORT) {
		lose(k, chan_error(k->chan));
		return;
	}
	switch (chan_recv(k->chan, &m)) {
	case CHAN_OK:
		take_answer(k, &m);
		msg_free(&m);
		return;
	case CHAN_AGAIN:
		stream_want(k->stream, STREAM_READ | (chan_waiting(k->chan) ? STREAM_WRITE : 0));
		return;
	case CHAN_EOF:
		lose(k, "closed by the server");
		return;
	default:
		lose(k, chan_error(k->chan));
	}
}

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct link *k = arg;
	struct msg m = msg_new(MSG_REG_PROXY);

	k->attempt = NULL;
	if (!s) {
		lose(k, error);
		return;
	}
	k->stream = s;
	k->chan = chan_new(s);
	set_state(k, LINK_REGISTERING);
	m.reg_proxy.client_id = k->all->client_id;
	m.reg_proxy.mux = MUX_SHARED;
	if (!chan_send(k->chan, &m)) {
		lose(k, chan_error(k->chan));
		return;
	}
	/* No deadline: a server without mux keeps it in its pool until a visitor comes. */
	stream_on_ready(s, on_ready, k);
	on_ready(k, STREAM_READ);
}

static void begin(void *arg)
{
	struct link *k = arg;

	set_state(k, LINK_CONNECTING);
	k->attempt = connect_start(k->all->connector, on_connected, k);
}

/* ---- granted and revoked ---- */

static void drop_all(struct mux_link *k, bool abort)
{
	for (int i = 0; i < SESSIONS; i++) {
		drop(&k->link[i], abort);
		set_state(&k->link[i], LINK_OFF);
		backoff_reset(&k->link[i].backoff);
	}
}

void mux_link_grant(struct mux_link *k, const char *client_id)
{
	drop_all(k, false);
	xfree_secret_str(k->client_id);
	k->client_id = xstrdup(client_id);
	begin(&k->link[0]);
}

void mux_link_revoke(struct mux_link *k)
{
	drop_all(k, false);
}

struct mux_link *mux_link_new(struct loop *l, struct connector *connector, struct proxies *proxies,
			      struct mux_account *memory)
{
	struct mux_link *k = xcalloc(1, sizeof(*k));

	k->loop = l;
	k->connector = connector;
	k->proxies = proxies;
	k->memory = memory;
	for (int i = 0; i < SESSIONS; i++) {
		k->link[i].all = k;
		loop_timer_init(&k->link[i].timer, l, begin, &k->link[i]);
	}
	return k;
}

uint32_t mux_link_rtt_us(const struct mux_link *k)
{
	return k->link[0].state == LINK_UP ? mux_rtt_us(k->link[0].mux) : 0;
}

void mux_link_close(struct mux_link *k)
{
	if (!k)
		return;
	drop_all(k, true);
	xfree_secret_str(k->client_id);
	loop_free_later(k->loop, k, NULL);
}
