/* Connections whose first bytes have not decided yet what they are. */
#include "pgrokd/front/lobby.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/net/nets.h"
#include "common/net/proxy_head.h"
#include "common/net/tls.h"
#include "pgrokd/access/guesses.h"
#include "pgrokd/core/settings.h"
#include "pgrokd/front/door.h"
#include "pgrokd/front/guest.h"

#define GUEST_BUF 2048 /* at first; grows to what is asked for */
/*
 * So many bytes tell one protocol from another: no more are read before, since a protocol may want
 * to leave what comes behind in the connection.
 */
#define GUEST_FIRST_BYTES 8

/* ---- in and out ---- */

static void guest_heard(struct guest *g)
{
	if (g->silent)
		TAILQ_REMOVE(&g->worker->silent, g, silent_link);
	g->silent = false;
}

struct stream *guest_leave(struct guest *g)
{
	struct stream *s = g->stream;

	loop_timer_stop(&g->timer);
	guest_heard(g);
	TAILQ_REMOVE(&g->worker->guests, g, link);
	g->worker->n_guests--;
	loop_tick_cancel(g->worker->loop, &g->soon);
	if (g->counted)
		door_leave(g->worker->core->door, &g->peer);
	crowd_leave(g->worker->core->crowd, &g->seat);
	if (g->own)
		g->own_free(g->own);
	if (g->buf)
		xfree_secret(g->buf, g->len); /* a head may carry a password */
	stream_want(s, 0);
	stream_on_ready(s, NULL, NULL);
	loop_free_later(g->worker->loop, g, NULL);
	return s;
}

void guest_close(struct guest *g, enum log_level level, const char *why)
{
	static const char *const at[PORTS] = {"http", "https", "tunnel"};
	static struct log_kind kinds[LOG_ERROR + 1]; /* by level: one floods none of another */
	char text[ADDR_TEXT];

	if (log_wants(level) && log_may(&kinds[level], level, "lobby"))
		log_line(level, "lobby", "Closed %s on the %s port: %s", addr_text(&g->peer, text),
			 at[g->port], why);
	stream_close(guest_leave(g), false);
}

static void guest_time_out(void *arg)
{
	struct guest *g = arg;
	static const char *const late[] = {
		[GUEST_PROXIED] = "no PROXY head in time",
		[GUEST_HANDSHAKE] = "no TLS handshake in time",
		[GUEST_FIRST] = "no first bytes in time",
	};

	if (g->alarm) {
		g->alarm(g);
		return;
	}
	guest_close(g, LOG_DEBUG, g->state == GUEST_HELLO ? g->proto->late : late[g->state]);
}

/* ---- first bytes ---- */

bool guest_read(struct guest *g, size_t max)
{
	size_t n = 0;

	if (g->len == g->cap) {
		g->cap = g->cap ? g->cap * 2 : GUEST_BUF;
		g->buf = xrealloc(g->buf, g->cap);
	}
	if (max > g->cap)
		max = g->cap;
	switch (stream_read(g->stream, g->buf + g->len, max - g->len, &n)) {
	case STREAM_OK:
		g->len += n;
		return true;
	case STREAM_AGAIN:
		stream_want(g->stream, STREAM_READ);
		return false;
	case STREAM_EOF:
		guest_close(g, LOG_DEBUG, "left before its first words were complete");
		return false;
	case STREAM_ABORT:
		guest_close(g, LOG_DEBUG, stream_error(g->stream));
		return false;
	}
	return false;
}

/* The first row that does not say no. NULL: all do. */
static const struct proto_ops *first_likely(const struct guest *g, enum looks *looks)
{
	const struct proto_ops *const *row = g->worker->core->spoken[g->port];

	for (; *row; row++) {
		*looks = (*row)->looks_like(g->buf, g->len);
		if (*looks != LOOKS_NO)
			break;
	}
	return *row;
}

/* Which protocol is it? False: more bytes have to come, or it is gone. */
static bool guest_decide(struct guest *g)
{
	const struct proto_ops *const *rows = g->worker->core->spoken[g->port];
	enum looks looks = LOOKS_YES;

	g->proto = rows[0];
	while (rows[1] && (g->proto = first_likely(g, &looks)) && looks == LOOKS_MORE)
		if (!guest_read(g, GUEST_FIRST_BYTES))
			return false;
	if (!g->proto) {
		guest_close(g, LOG_DEBUG, "no protocol of this port begins like that");
		return false;
	}
	g->state = GUEST_HELLO;
	return true;
}

/* ---- what a trusted proxy says first ---- */

/* Before it costs anything: its address has guessed at tokens too often lately. */
static bool shut_out(struct worker *w, enum port port, const struct addr *peer)
{
	struct guesses *g = w->core->guesses;

	if (port != PORT_TUNNEL || !w->settings->tokens || !g ||
	    !guesses_must_wait(g, peer, GUESS_TOKENS, loop_now(w->loop)))
		return false;
	w->count.shed[SHED_GUESSES]++;
	return true;
}

bool guest_is_from(struct guest *g, const struct addr *from)
{
	struct worker *w = g->worker;

	if (g->counted)
		door_leave(w->core->door, &g->peer);
	g->peer = g->origin = *from;
	g->counted = door_enter(w->core->door, from);
	enum shed why = SHED_ADDRESS;
	bool in = g->counted && crowd_move(w->core->crowd, from, &g->seat, &why);

	if (!in)
		w->count.shed[why]++;
	else if (!shut_out(w, g->port, from))
		return true;
	guest_close(g, LOG_DEBUG, "too many connections of its address, or wrong tokens");
	return false;
}

/* Looks before it reads, so that no byte of what follows is taken. */
static bool read_proxy_head(struct guest *g, struct proxy_head *h)
{
	int fd = stream_fd(g->stream);

	if (!g->buf)
		g->buf = xmalloc(g->cap = PROXY_HEAD_MAX);
	ssize_t n = recv(fd, g->buf + g->len, g->cap - g->len, MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* as a proxy does that only looks */
		guest_close(g, LOG_DEBUG, "left before its PROXY head was complete");
		return false;
	}
	enum proxy_rc rc = proxy_head_scan(h, g->buf, g->len + (size_t)n);

	if (rc == PROXY_BAD) {
		char why[128];

		snprintf(why, sizeof(why), "a trusted proxy must begin with a PROXY head: %s",
			 h->error);
		guest_close(g, LOG_WARN, why);
		return false;
	}
	size_t mine = rc == PROXY_OK ? h->len - g->len : (size_t)n;

	if (recv(fd, g->buf + g->len, mine, MSG_DONTWAIT) != (ssize_t)mine) {
		guest_close(g, LOG_DEBUG, "left with its PROXY head");
		return false;
	}
	g->len += mine;
	return rc == PROXY_OK;
}

/* False: more must come, or the guest is gone. */
static bool guest_learn_origin(struct guest *g)
{
	struct proxy_head h;

	if (!read_proxy_head(g, &h))
		return false;
	free(g->buf);
	g->buf = NULL;
	g->len = g->cap = 0;
	g->state = GUEST_HANDSHAKE;
	return !h.from.len || guest_is_from(g, &h.from);
}

/* ---- events ---- */

static void guest_ready(void *arg, int dirs);

/* A method begins with a letter, no TLS record does: such a guest gets its answer without TLS. */
static void guest_look(struct guest *g)
{
	char first;
	SSL *ssl;
	int fd;

	if (g->port != PORT_HTTPS || g->looked ||
	    recv(stream_fd(g->stream), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
		return;
	g->looked = true;
	g->plain = isalpha((unsigned char)first);
	if (!g->plain)
		return;
	stream_detach(g->stream, &fd, &ssl);
	SSL_free(ssl);
	g->stream = stream_new_direct(g->worker->loop, fd, NULL);
	stream_on_ready(g->stream, guest_ready, g);
}

static void guest_ready(void *arg, int dirs)
{
	struct guest *g = arg;

	(void)dirs;
	guest_heard(g);
	if (g->again) { /* a bufferevent can't be moved from inside its own callback */
		guest_soon(g);
		return;
	}
	if (g->state == GUEST_PROXIED && !guest_learn_origin(g))
		return;
	if (g->state == GUEST_HANDSHAKE) {
		guest_look(g);
		switch (stream_handshake(g->stream)) {
		case STREAM_AGAIN:
			return;
		case STREAM_OK:
			break;
		case STREAM_EOF:
		case STREAM_ABORT:
			guest_close(g, LOG_DEBUG, stream_error(g->stream));
			return;
		}
		g->state = GUEST_FIRST;
	}
	if (g->state == GUEST_HELLO || guest_decide(g))
		g->proto->hello(g);
}

/*
 * The oldest goes, as the likeliest to mean no good; rather one that has sent nothing, if it had
 * the time to.
 */
static void lobby_shed(struct worker *w)
{
	struct guest *silent = TAILQ_FIRST(&w->silent), *g = TAILQ_FIRST(&w->guests);

	if (silent && loop_now(w->loop) - silent->since >= loop_scaled(LIMIT_SILENT_MS))
		g = silent;
	w->count.shed[SHED_HALF_OPEN]++;
	guest_close(g, LOG_DEBUG, "too many half-open connections");
}

static void guest_turn(void *arg)
{
	struct guest *g = arg;

	g->proto->hello(g);
}

void guest_soon(struct guest *g)
{
	loop_next_tick(g->worker->loop, &g->soon);
}

void guest_becomes(struct guest *g, struct stream *s, const struct proto_ops *proto)
{
	xfree_secret(g->buf, g->len);
	g->buf = NULL;
	g->len = g->cap = 0;
	g->stream = s;
	g->proto = proto;
	stream_on_ready(s, guest_ready, g);
	stream_want(s, STREAM_READ);
}

struct guest *guest_new(struct worker *w, enum port port, struct stream *s, const struct addr *peer)
{
	if (w->n_guests >= door_share(w->core->door, w->core->n_workers))
		lobby_shed(w);
	struct guest *g = xcalloc(1, sizeof(*g));

	g->worker = w;
	g->port = port;
	g->state = GUEST_HANDSHAKE;
	g->peer = g->origin = *peer;
	g->stream = s;
	g->soon = (struct loop_tick){.fn = guest_turn, .arg = g};
	TAILQ_INSERT_TAIL(&w->guests, g, link);
	w->n_guests++;
	loop_timer_init(&g->timer, w->loop, guest_time_out, g);
	stream_on_ready(s, guest_ready, g);
	return g;
}

/* Counts it in; false: why not has been counted. */
static bool let_in(struct worker *w, enum port port, const struct addr *peer, struct seat *seat)
{
	const struct core *core = w->core;
	enum shed why = SHED_MEMORY;
	bool ok = !memory_short();

	*seat = (struct seat){0};
	if (ok && port != PORT_TUNNEL)
		ok = crowd_enter(core->crowd, peer, seat, &why);
	if (ok && !door_enter(core->door, peer)) {
		crowd_leave(core->crowd, seat);
		why = SHED_ADDRESS;
		ok = false;
	}
	if (!ok)
		w->count.shed[why]++;
	return ok;
}

void lobby_accept(struct worker *w, enum port port, int fd, const struct addr *peer)
{
	struct seat seat;

	w->count.accepted[port]++;
	if (shut_out(w, port, peer) || !let_in(w, port, peer, &seat)) {
		close(fd);
		return;
	}
	SSL_CTX *tls = w->settings->tls[port];
	struct stream *s = stream_new_direct(w->loop, fd, tls ? tls_accept_ssl(tls) : NULL);
	struct guest *g = guest_new(w, port, s, peer);

	g->seat = seat;
	g->counted = g->silent = true;
	if (w->core->proxy_heads[port] && nets_have(w->core->trusted, peer))
		g->state = GUEST_PROXIED;
	g->since = loop_now(w->loop);
	TAILQ_INSERT_TAIL(&w->silent, g, silent_link);
	loop_after(&g->timer, LIMIT_FIRST_MS);
	stream_want(s, STREAM_READ);
}

static void accept_http(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_HTTP, fd, peer);
}

static void accept_https(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_HTTPS, fd, peer);
}

static void accept_tunnel(void *arg, int fd, const struct addr *peer)
{
	lobby_accept(arg, PORT_TUNNEL, fd, peer);
}

struct listener *lobby_listen(struct worker *w, enum port p, struct listener_fds *fds)
{
	static listener_accept_fn *const accept_fn[PORTS] = {accept_http, accept_https,
							     accept_tunnel};

	struct listener *ln = listener_start(w->loop, fds, accept_fn[p], w);

	worker_listens(w, ln, p != PORT_TUNNEL);
	return ln;
}

void lobby_close_all(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->guests))
		guest_close(TAILQ_FIRST(&w->guests), LOG_DEBUG, "the server stops");
}
