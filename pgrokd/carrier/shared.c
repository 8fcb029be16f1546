/* The mux sessions of one control: from RegProxy to closed. */
#include "pgrokd/carrier/shared.h"

#include <stdlib.h>

#include "common/mux/mux.h"
#include "common/net/listener.h"
#include "pgrokd/client/client.h"

struct mux_link {
	TAILQ_ENTRY(mux_link) link;
	struct control *control;
	struct mux *mux;
	uint64_t born;
};

/* Takes k; open streams run on. */
static void mux_link_close(struct mux_link *k, const char *why)
{
	struct control *c = k->control;
	struct loop *l = c->worker->loop;

	log_debug(c->name, "A mux session closed: %s (age %llu s, %u visitors)", why,
		  (unsigned long long)((loop_now(l) - k->born) / 1000), mux_streams(k->mux));
	TAILQ_REMOVE(&c->links, k, link);
	c->n_links--;
	mux_close(k->mux, false);
	loop_free_later(l, k, NULL);
}

static void link_down(void *arg, const char *why)
{
	mux_link_close(arg, why);
}

static const struct mux_hooks mux_hooks = {.down = link_down};

/* "mux:" instead of a URL. */
bool mux_link_say(struct stream *s)
{
	struct msg m = msg_new(MSG_START_PROXY);
	size_t len, n = 0;
	char err[256];

	m.start_proxy.url = "mux:";
	char *frame = frame_make(&m, FRAME_GO_MAX, &len, err);
	bool ok = frame && stream_write(s, frame, len, &n) == STREAM_OK && n == len;

	free(frame);
	return ok;
}

void mux_link_add(struct control *c, struct stream *s)
{
	static const struct mux_conf conf = {.opens = true,
					     .first_id = 1,
					     .start_window = MUX_WINDOW_START,
					     .max_streams = MUX_STREAMS_MAX};

	if (c->n_links >= LIMIT_MUX || !mux_link_say(s)) {
		log_debug(c->name, "A mux session was refused: %s",
			  c->n_links >= LIMIT_MUX ? "one too many" : stream_error(s));
		stream_close(s, false);
		return;
	}
	struct mux_link *k = xcalloc(1, sizeof(*k));

	socket_always_read(stream_fd(s));
	socket_shared(stream_fd(s));
	k->control = c;
	k->born = loop_now(c->worker->loop);
	k->mux = mux_new(s, &conf, c->memory, &mux_hooks, k);
	TAILQ_INSERT_TAIL(&c->links, k, link);
	c->n_links++;
	log_debug(c->name, "A mux session is up");
	pool_mux_up(c);
}

struct stream *mux_link_open(struct control *c)
{
	struct mux_link *k, *best = NULL;

	TAILQ_FOREACH(k, &c->links, link)
	if (!best || mux_streams(k->mux) < mux_streams(best->mux))
		best = k;
	return best ? mux_open(best->mux) : NULL;
}

void mux_link_close_all(struct control *c)
{
	while (!TAILQ_EMPTY(&c->links))
		mux_link_close(TAILQ_FIRST(&c->links), "its control connection closed");
}
