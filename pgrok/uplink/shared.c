/* The mux sessions that all visitors share: each opened, lost, opened again. */
#include "pgrok/uplink/shared.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/mux/mux.h"
#include "common/net/socket.h"
#include "pgrok/uplink/backoff.h"
#include "pgrok/uplink/register.h"

#define NAME "shared"

/*
 * On a long path one TCP connection is not enough: a lost packet stops all streams of its session
 * for a round trip, and one congestion window carries everything.
 */
#define SESSIONS 4
/*
 * Visitors in one session. Thousands of them may come while the next session is made, on a long
 * path some round trips, and those who find none full ones have to wait for connections of their
 * own.
 */
#define MANY (MUX_STREAMS_MAX / 16)
#define FAR_US 5000 /* round trip of a long path */

enum link_state {
	LINK_OFF,         /* not granted */
	LINK_CONNECTING,  /* waits for the connector, which has a deadline */
	LINK_REGISTERING, /* waits for StartProxy; a server without mux keeps it in its pool */
	LINK_UP,          /* waits for streams */
	LINK_WAITING      /* waits to try again; timer */
};

/* One session. */
struct link {
	struct shared *all;
	enum link_state state;
	struct registration reg; /* CONNECTING, REGISTERING */
	struct mux *mux;         /* UP */
	bool judged;             /* is the path a long one? */
	uint64_t since;          /* UP: loop_now() */
	struct loop_timer timer;
	struct backoff backoff;
};

struct shared {
	struct loop *loop;
	struct connector *connector;
	struct visits *visits;
	struct mux_account *memory;
	shared_fn *fn;
	void *arg;
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

/* Whatever is under way ends. A session that is up takes no new visitors and ends with its last. */
static void drop(struct link *k, bool abort, const char *why)
{
	register_cancel(&k->reg, false);
	if (k->mux) {
		log_debug(NAME, "%d: Closed: %s (age %.1f s)", (int)(k - k->all->link), why,
			  (double)(loop_now(k->all->loop) - k->since) / 1000);
		mux_close(k->mux, abort);
	}
	k->mux = NULL;
	loop_timer_stop(&k->timer);
}

static void lose(struct link *k, const char *why)
{
	uint32_t ms = backoff_next(&k->backoff);

	/* First: the text may live in what is dropped. */
	log_info(NAME, "No session: %s; again in %.1f s", why, ms / 1000.0);
	drop(k, false, why);
	set_state(k, LINK_WAITING);
	loop_after(&k->timer, ms);
}

/* ---- up ---- */

/*
 * The server gives a visitor to the session with the fewest, so if this one has many, all have. One
 * at a time; when there are no more, visitors get connections of their own.
 */
static void open_another(struct shared *all)
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

	if (mux_streams(k->mux) >= MANY)
		open_another(k->all);
	k->all->fn(k->all->arg, s);
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

/* Takes s, which speaks yamux from here on. */
static void up(struct link *k, struct stream *s)
{
	static const struct mux_conf conf = {.start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};

	backoff_reset(&k->backoff);
	socket_always_read(stream_fd(s));
	socket_short_queue(stream_fd(s));
	k->mux = mux_new(s, &conf, k->all->memory, &mux_hooks, k);
	k->judged = false;
	k->since = loop_now(k->all->loop);
	set_state(k, LINK_UP);
}

/* ---- registering ---- */

static void on_registered(void *arg)
{
	set_state(arg, LINK_REGISTERING);
}

static void on_end(void *arg, enum register_end how, struct stream *s,
		   const struct msg_start_proxy *start, const char *why)
{
	struct link *k = arg;

	if (how != REGISTER_OK) {
		lose(k, why);
		if (s)
			stream_close(s, false);
	} else if (register_is_mux(start)) {
		up(k, s);
	} else {
		/* A server without mux behind the same address. */
		visit_accept(k->all->visits, s,
			     &(struct visit_info){.url = start->url, .peer = start->client_addr});
		lose(k, "the server took it for a proxy connection");
	}
}

static const struct register_hooks register_hooks = {.on_registered = on_registered,
						     .on_end = on_end};

static void begin(void *arg)
{
	struct link *k = arg;

	set_state(k, LINK_CONNECTING);
	register_connect(&k->reg, k->all->connector, k->all->client_id, MUX_SHARED, &register_hooks,
			 k);
}

/* ---- granted and revoked ---- */

static void drop_all(struct shared *all, bool abort, const char *why)
{
	for (int i = 0; i < SESSIONS; i++) {
		drop(&all->link[i], abort, why);
		set_state(&all->link[i], LINK_OFF);
		backoff_reset(&all->link[i].backoff);
	}
}

void shared_grant(struct shared *all, const char *client_id)
{
	drop_all(all, false, "granted again");
	xfree_secret_str(all->client_id);
	all->client_id = xstrdup(client_id);
	begin(&all->link[0]);
}

void shared_revoke(struct shared *all)
{
	drop_all(all, false, "the control connection is gone");
}

struct shared *shared_new(struct loop *l, struct connector *connector, struct visits *visits,
			  struct mux_account *memory, shared_fn *fn, void *arg)
{
	struct shared *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->connector = connector;
	all->visits = visits;
	all->memory = memory;
	all->fn = fn;
	all->arg = arg;
	for (int i = 0; i < SESSIONS; i++) {
		all->link[i].all = all;
		loop_timer_init(&all->link[i].timer, l, begin, &all->link[i]);
	}
	return all;
}

uint32_t shared_rtt_us(const struct shared *all)
{
	return all->link[0].state == LINK_UP ? mux_rtt_us(all->link[0].mux) : 0;
}

void shared_close(struct shared *all, const char *reason)
{
	drop_all(all, true, reason);
	xfree_secret_str(all->client_id);
	loop_free_later(all->loop, all, NULL);
}
