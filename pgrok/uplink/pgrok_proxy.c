/*
 * One proxy connection, from top to bottom: connect -> RegProxy -> wait for StartProxy -> find the
 * tunnel -> dial the local service -> join both -> done.
 */
#include "pgrok/uplink/pgrok_proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/net/dial.h"
#include "common/base/log.h"
#include "common/stream/pair.h"
#include "msg/pgrok/chan.h"
#include "pgrok/files/files.h"
#include "pgrok/uplink/reused.h"
#include "pgrok/config/config.h"
#include "pgrok/config/limits.h"

enum proxy_state {
	PROXY_CONNECTING, /* waits for the connector, which has a deadline */
	PROXY_WAITING,    /* waits for StartProxy, for ever: the server decides */
	PROXY_OPENED,     /* a stream of the mux session, StartProxy under way */
	PROXY_PARKED, /* waits for the NewTunnel that StartProxy overtook; timer: LIMIT_PARKED_MS */
	PROXY_DIALING,  /* waits for the local service, LIMIT_LOCAL_DIAL_MS */
	PROXY_JOINED,   /* waits for the pair's end */
	PROXY_REFUSING, /* writes the page that says the local service is not there */
	PROXY_CLOSED,
	PROXY_STATES
};

static const char *const state_names[PROXY_STATES] = {
	"connecting", "waiting", "opened", "parked", "dialling", "joined", "refusing", "closed"};

struct proxy {
	struct proxy *prev, *next;
	struct proxies *all;
	enum proxy_state state;
	char name[24];                /* prefix of log lines: "prx:17" */
	struct connect *attempt;      /* CONNECTING */
	struct stream *server;        /* until it is joined or closed */
	struct chan *chan;            /* WAITING */
	struct loop_timer *parked;    /* NULL until needed: there are many of these */
	const struct endpoint *local; /* of the tunnel's configuration, which lives longer */
	enum proto proto;
	char *url, *visitor;
	struct dial *dial;           /* DIALING */
	struct pair *pair;           /* JOINED */
	struct capture_conn *tapped; /* DIALING, JOINED; NULL: this one is not captured */
	char *page;                  /* REFUSING */
	size_t page_len, page_sent;
	uint64_t since; /* loop_now() when the visitor came */
	uint16_t near;  /* port of our end towards the inspector; 0: it leads elsewhere */
	bool counted;   /* in the model's open connections */
	bool reusable;  /* registered as such */
};

struct proxies {
	struct loop *loop;
	struct proxies_conf conf;
	struct proxy *first;
	unsigned count[PROXY_STATES];
	unsigned queued; /* asked for, not begun */
	char *client_id; /* what they register with; a credential */
	bool reuse;      /* the server knows connections that are used again */
	struct lanes *lanes;
	uint64_t ids;
	bool told_full;
};

static void begin_queued(struct proxies *all);

static void set_state(struct proxy *p, enum proxy_state state)
{
	log_debug(p->name, "%s -> %s", state_names[p->state], state_names[state]);
	p->all->count[p->state]--;
	p->all->count[state]++;
	p->state = state;
}

/* ---- the end ---- */

static void proxy_free(void *arg)
{
	struct proxy *p = arg;

	free(p->parked);
	free(p->url);
	free(p->visitor);
	free(p->page);
	free(p);
}

/* Everything that may call back or hold a connection. abort: who waits sees a reset. */
static void release(struct proxy *p, bool abort)
{
	if (p->attempt)
		connect_cancel(p->attempt);
	if (p->dial)
		dial_cancel(p->dial);
	if (p->parked)
		loop_timer_stop(p->parked);
	chan_free(p->chan);
	capture_conn_close(p->tapped, abort ? "the connection was cut" : NULL);
	if (p->pair)
		pair_close(p->pair, abort);
	if (p->server)
		stream_close(p->server, abort);
	p->attempt = NULL;
	p->dial = NULL;
	p->chan = NULL;
	p->tapped = NULL;
	p->pair = NULL;
	p->server = NULL;
}

/* Takes p. level: of the line that says why. */
static void proxy_close(struct proxy *p, enum log_level level, bool abort, const char *why)
{
	uint64_t in = 0, out = 0, age = p->since ? loop_now(p->all->loop) - p->since : 0;

	if (p->pair) {
		in = pair_bytes(p->pair, SIDE_VISITOR);
		out = pair_bytes(p->pair, SIDE_SERVICE);
	}
	if (log_wants(level))
		log_line(level, p->name, "closing (%s): %s; visitor=%s age=%.3fs in=%llu out=%llu",
			 state_names[p->state], why, p->visitor ? p->visitor : "none",
			 (double)age / 1000, (unsigned long long)in, (unsigned long long)out);
	release(p, abort);
	set_state(p, PROXY_CLOSED);
	p->all->count[PROXY_CLOSED]--;
	if (p->prev)
		p->prev->next = p->next;
	else
		p->all->first = p->next;
	if (p->next)
		p->next->prev = p->prev;
	if (p->counted)
		model_conn_end(p->all->conf.model, p->local, age, in, out);
	loop_free_later(p->all->loop, p, proxy_free);
	begin_queued(p->all);
}

/* ---- joined ---- */

static void on_pair_done(void *arg, enum pair_end why)
{
	static const char *const words[] = {"done", "cut", "aborted", "silent half-closed"};
	struct proxy *p = arg;
	const char *error = pair_error(p->pair);

	/* A side that had not ended must not take the rest for complete. */
	proxy_close(p, LOG_INFO, why == PAIR_ABORT || why == PAIR_SILENT,
		    why == PAIR_ABORT && *error ? error : words[why]);
}

static void on_tap(void *arg, enum side from, const char *buf, size_t len)
{
	struct proxy *p = arg;

	capture_conn_bytes(p->tapped, from, buf, len);
}

static bool on_eof(void *arg, enum side from)
{
	struct proxy *p = arg;

	capture_conn_eof(p->tapped, from);
	return true;
}

static const struct pair_hooks plain_hooks = {.done = on_pair_done};
static const struct pair_hooks tapped_hooks = {.eof = on_eof, .tap = on_tap, .done = on_pair_done};

static void join(struct proxy *p, struct stream *local)
{
	p->pair = pair_new(p->server, local, p->tapped ? &tapped_hooks : &plain_hooks, p);
	if (p->tapped)
		capture_conn_connected(p->tapped);
	p->server = NULL;
	p->counted = true;
	/* What is kept for as long as the visitor stays is kept small. */
	free(p->url);
	p->url = NULL;
	set_state(p, PROXY_JOINED);
	model_conn_begin(p->all->conf.model, p->local);
	pair_start(p->pair);
}

/* ---- nobody at the local address ---- */

static void write_page(void *arg, int dirs)
{
	struct proxy *p = arg;
	struct stream *s = p->server;
	size_t n;

	while (p->page_sent < p->page_len) {
		switch (stream_write(s, p->page + p->page_sent, p->page_len - p->page_sent, &n)) {
		case STREAM_OK:
			p->page_sent += n;
			break;
		case STREAM_AGAIN:
			stream_want(s, STREAM_WRITE);
			return;
		default:
			proxy_close(p, LOG_DEBUG, true, stream_error(s));
			return;
		}
	}
	/* The request is still coming in: closing now would let a reset overtake the page. */
	p->server = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_linger(s);
	proxy_close(p, LOG_DEBUG, false, "page sent");
}

static void refuse(struct proxy *p, const char *error)
{
	log_warn(p->name, "the local service of %s is not there: %s", p->url, error);
	model_conn_refused(p->all->conf.model);
	if (p->proto == PROTO_TCP) {
		proxy_close(p, LOG_DEBUG, true, "local service not there");
		return;
	}
	p->page = proxy_unavailable_page(p->url, p->local->text, &p->page_len);
	set_state(p, PROXY_REFUSING);
	stream_on_ready(p->server, write_page, p);
	write_page(p, STREAM_WRITE);
}

/* HTML text of what others chose. */
static void escape_html(const char *text, char *out, size_t cap)
{
	size_t used = 0;

	out[0] = '\0';
	for (; *text && used + 8 < cap; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = c >= ' ' && c != 0x7f && !strchr("<>&\"'", c);
		used += (size_t)snprintf(out + used, cap - used, plain ? "%c" : "&#%d;",
					 c < ' ' || c == 0x7f ? '?' : c);
	}
}

char *proxy_unavailable_page(const char *url, const char *local, size_t *len)
{
	char where[600], what[600];

	escape_html(url, what, sizeof what);
	escape_html(local, where, sizeof where);
	char *body = xasprintf("<!DOCTYPE html>\n"
			       "<html lang=\"en\"><head><meta charset=\"utf-8\">"
			       "<title>502 Bad Gateway</title></head>\n"
			       "<body style=\"font-family:sans-serif;max-width:36em;"
			       "margin:4em auto\">\n"
			       "<h1>The tunnel is up, the service is not</h1>\n"
			       "<p><b>%s</b> leads to <b>%s</b>, where nothing answers.</p>\n"
			       "<p>Start the local service and load this page again.</p>\n"
			       "</body></html>\n",
			       what, where);
	char *page = xasprintf("HTTP/1.1 502 Bad Gateway\r\n"
			       "Content-Type: text/html; charset=utf-8\r\n"
			       "Content-Length: %zu\r\n"
			       "Cache-Control: no-store\r\n"
			       "X-Content-Type-Options: nosniff\r\n"
			       "Connection: close\r\n"
			       "\r\n"
			       "%s",
			       strlen(body), body);

	free(body);
	*len = strlen(page);
	return page;
}

/* ---- a visitor ---- */

/*
 * Is it our own inspector that was dialled? Then it has to know who comes by a tunnel; and nothing
 * is captured, for each thing it shows would be a new one to show, and a token is on its way.
 */
static void mind_inspector(struct proxy *p, int fd)
{
	struct addr near, far;

	if (!p->all->conf.inspect_port || p->local->port != p->all->conf.inspect_port)
		return;
	near = addr_of_local(fd);
	far = addr_of_peer(fd);
	if (!addr_same_ip(&near, &far))
		return; /* another machine's port of that number */
	p->near = addr_get_port(&near);
	capture_conn_close(p->tapped, NULL);
	p->tapped = NULL;
}

static void on_local(void *arg, int fd, const char *error)
{
	struct proxy *p = arg;

	p->dial = NULL;
	if (fd < 0) {
		refuse(p, error);
		return;
	}
	mind_inspector(p, fd);
	join(p, stream_new(p->all->loop, fd, NULL));
}

/* Only what may be HTTP, and is not switched off for this tunnel. */
static struct capture_conn *tap(struct proxy *p, const struct model_tunnel *t)
{
	struct capture *capture = p->all->conf.capture;
	char name[CONFIG_NAME];

	if (!capture || !t->conf->inspect || t->proto == PROTO_TCP)
		return NULL;
	config_tunnel_name(t->conf, t->proto, name);
	return capture_conn_new(capture, &(struct capture_conn_info){.name = name,
								     .url = p->url,
								     .local = t->local->text,
								     .visitor = p->visitor,
								     .proto = t->proto});
}

/* The folder's own end of a connection is there at once. */
static void open_folder(struct proxy *p)
{
	char err[FILES_ERR];
	int fd = files_connect(p->all->loop, p->local->folder, err);

	on_local(p, fd, err);
}

static void serve(struct proxy *p, const struct model_tunnel *t)
{
	p->local = t->local;
	p->proto = t->proto;
	log_info(p->name, "%s from %s -> %s", p->url, p->visitor, p->local->text);
	p->tapped = tap(p, t);
	set_state(p, PROXY_DIALING);
	if (p->local->folder) {
		open_folder(p);
		return;
	}
	p->dial = dial_start(p->all->loop, p->local->host, p->local->port, LIMIT_LOCAL_DIAL_MS,
			     on_local, p);
}

static void on_parked(void *arg)
{
	proxy_close(arg, LOG_WARN, true, "no tunnel has this address");
}

/* The visitor's tunnel, by its exact URL. A StartProxy may overtake the NewTunnel it belongs to. */
static void find_tunnel(struct proxy *p)
{
	const struct proxies_conf *conf = &p->all->conf;
	const struct model_tunnel *t = model_find(conf->model, p->url);

	if (t) {
		if (p->parked)
			loop_timer_stop(p->parked);
		serve(p, t);
	} else if (p->state != PROXY_PARKED && conf->expects_tunnels(conf->arg)) {
		set_state(p, PROXY_PARKED);
		p->parked = xcalloc(1, sizeof(*p->parked));
		loop_timer_init(p->parked, p->all->loop, on_parked, p);
		loop_after(p->parked, LIMIT_PARKED_MS);
	} else if (p->state != PROXY_PARKED) {
		log_warn(p->name, "StartProxy for %s, which is no tunnel of ours", p->url);
		on_parked(p);
	}
}

/* The server agrees: from now on visitors come as streams. */
static void become_lane(struct proxy *p)
{
	struct stream *s = p->server;

	p->server = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	lanes_add(p->all->lanes, s);
	proxy_close(p, LOG_DEBUG, false, "will carry one visitor after the other");
}

static void take_start(struct proxy *p, const struct msg *m)
{
	if (m->type != MSG_START_PROXY) {
		proxy_close(p, LOG_WARN, true, "not a StartProxy");
		return;
	}
	if (p->reusable && strcmp(m->start_proxy.url, START_PROXY_MUX) == 0) {
		become_lane(p);
		return;
	}
	p->url = xstrdup(m->start_proxy.url);
	p->visitor = xstrdup(m->start_proxy.client_addr);
	p->since = loop_now(p->all->loop);
	chan_free(p->chan);
	p->chan = NULL;
	stream_on_ready(p->server, NULL, NULL);
	stream_want(p->server, 0);
	find_tunnel(p);
	begin_queued(p->all);
}

static void on_server_ready(void *arg, int dirs)
{
	struct proxy *p = arg;
	struct msg m;

	if (chan_flush(p->chan) == STREAM_ABORT) {
		proxy_close(p, LOG_DEBUG, true, chan_error(p->chan));
		return;
	}
	switch (chan_recv(p->chan, &m)) {
	case CHAN_OK:
		take_start(p, &m);
		msg_free(&m);
		return;
	case CHAN_AGAIN:
		stream_want(p->server, STREAM_READ | (chan_waiting(p->chan) ? STREAM_WRITE : 0));
		return;
	case CHAN_EOF:
		proxy_close(p, LOG_DEBUG, false, "not needed by the server");
		return;
	case CHAN_ABORT:
		/* A Go server that gives up a pooled connection leaves broken TLS behind. */
		proxy_close(p, LOG_DEBUG, true, chan_error(p->chan));
		return;
	case CHAN_NULL:
	case CHAN_BAD:
		proxy_close(p, LOG_WARN, true, "not a StartProxy");
		return;
	}
}

/* ---- registering ---- */

static void on_connected(void *arg, struct stream *s, const char *error)
{
	struct proxy *p = arg;
	struct proxies *all = p->all;
	struct msg m = msg_new(MSG_REG_PROXY);

	p->attempt = NULL;
	if (!s) {
		proxy_close(p, LOG_WARN, true, error);
		return;
	}
	p->server = s;
	p->chan = chan_new(s);
	set_state(p, PROXY_WAITING);
	m.reg_proxy.client_id = all->client_id;
	p->reusable = all->reuse;
	m.reg_proxy.mux = all->reuse ? MUX_REUSED : 0;
	if (!chan_send(p->chan, &m)) {
		proxy_close(p, LOG_WARN, true, chan_error(p->chan));
		return;
	}
	stream_on_ready(s, on_server_ready, p);
	on_server_ready(p, STREAM_READ);
	begin_queued(all);
}

static struct proxy *proxy_new(struct proxies *all, enum proxy_state state)
{
	struct proxy *p = xcalloc(1, sizeof *p);

	p->all = all;
	p->state = state;
	snprintf(p->name, sizeof p->name, "prx:%llu", (unsigned long long)++all->ids);
	p->next = all->first;
	if (p->next)
		p->next->prev = p;
	all->first = p;
	all->count[state]++;
	return p;
}

static void begin(struct proxies *all)
{
	struct proxy *p = proxy_new(all, PROXY_CONNECTING);

	p->attempt = connect_start(all->conf.connector, on_connected, p);
}

static void on_lane_stream(void *arg, struct stream *s)
{
	proxies_accept(arg, s);
	begin_queued(arg);
}

void proxies_accept(struct proxies *all, struct stream *s)
{
	struct proxy *p = proxy_new(all, PROXY_OPENED);

	p->server = s;
	p->chan = chan_new(s);
	stream_on_ready(s, on_server_ready, p);
	stream_want(s, STREAM_READ);
}

void proxies_adopt(struct proxies *all, struct stream *s, const struct msg *m)
{
	struct proxy *p = proxy_new(all, PROXY_WAITING);

	p->server = s;
	take_start(p, m);
}

static unsigned without_visitor_n(const struct proxies *all)
{
	return all->count[PROXY_WAITING] + all->count[PROXY_CONNECTING] + lanes_idle(all->lanes);
}

static void begin_queued(struct proxies *all)
{
	while (all->queued && all->count[PROXY_CONNECTING] < LIMIT_PROXIES_CONNECTING &&
	       without_visitor_n(all) < LIMIT_PROXIES_WAITING) {
		all->queued--;
		begin(all);
	}
}

void proxies_add(struct proxies *all, const char *client_id)
{
	if (!all->client_id || strcmp(all->client_id, client_id) != 0) {
		xfree_secret_str(all->client_id);
		all->client_id = xstrdup(client_id);
	}
	if (all->queued < LIMIT_PROXIES_QUEUED) {
		all->queued++;
		begin_queued(all);
	} else if (!all->told_full) {
		all->told_full = true;
		log_warn("proxies",
			 "the server asks for too many proxy connections: ignored from now on "
			 "while %d wait to be opened",
			 LIMIT_PROXIES_QUEUED);
	}
}

/* ---- all of them ---- */

struct proxies *proxies_new(struct loop *l, const struct proxies_conf *conf)
{
	struct proxies *all = xcalloc(1, sizeof *all);

	all->loop = l;
	all->conf = *conf;
	all->lanes = lanes_new(l, conf->memory, on_lane_stream, all);
	return all;
}

void proxies_tunnel_up(struct proxies *all)
{
	struct proxy *next;

	for (struct proxy *p = all->first; p; p = next) {
		next = p->next;
		if (p->state == PROXY_PARKED)
			find_tunnel(p);
	}
}

void proxies_bytes(const struct proxies *all, uint64_t *in, uint64_t *out)
{
	*in = *out = 0;
	for (const struct proxy *p = all->first; p; p = p->next) {
		if (!p->pair)
			continue;
		*in += pair_bytes(p->pair, SIDE_VISITOR);
		*out += pair_bytes(p->pair, SIDE_SERVICE);
	}
}

bool proxies_visit_inspector(const struct proxies *all, const struct addr *near)
{
	const struct proxy *p = all->first;

	while (p && (!p->near || p->near != addr_get_port(near)))
		p = p->next;
	return p;
}

bool proxies_serve(const struct proxies *all, const struct config_tunnel *t)
{
	for (const struct proxy *p = all->first; p; p = p->next) {
		for (int i = 0; i < PROTOS; i++) {
			if (p->local == &t->local[i])
				return true;
		}
	}
	return false;
}

static void close_where(struct proxies *all, bool (*which)(enum proxy_state), const char *why)
{
	struct proxy *next;

	all->queued = 0;
	for (struct proxy *p = all->first; p; p = next) {
		next = p->next;
		if (which(p->state))
			proxy_close(p, LOG_DEBUG, p->state > PROXY_WAITING, why);
	}
}

static bool without_visitor(enum proxy_state state)
{
	return state <= PROXY_PARKED;
}

static bool any(enum proxy_state state)
{
	return true;
}

void proxies_reuse(struct proxies *all)
{
	all->reuse = true;
}

void proxies_drop_waiting(struct proxies *all)
{
	all->reuse = false;
	lanes_drop(all->lanes);
	close_where(all, without_visitor, "the control connection is gone");
}

void proxies_close(struct proxies *all)
{
	close_where(all, any, "the client ends");
	lanes_free(all->lanes);
	xfree_secret_str(all->client_id);
	loop_free_later(all->loop, all, NULL);
}
