/*
 * A ready TLS connection to the server. Steps: (look-up for a SOCKS proxy) -> dial -> (TLS to an
 * https proxy) -> (CONNECT) -> TLS to the server -> check of the server.
 */
#include "pgrok/uplink/connect.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net/dial.h"
#include "common/net/resolve.h"
#include "common/http/head.h"
#include "common/base/log.h"
#include "common/stream/pair.h"
#include "pgrok/config/limits.h"
#include "pgrok/uplink/socks.h"

struct connector {
	struct loop *loop;
	struct connector_conf conf;
	SSL_CTX *ctx;
	SSL_CTX *proxy_ctx; /* towards an https proxy; else NULL */
	struct tls_client_conf proxy_tls;
	SSL_SESSION *session; /* the newest: saves the next handshake most of its work */
	int group;            /* what the server chose for the last key exchange; 0: not known */
	char pin[TLS_PIN_TEXT];
	struct relay *relays;
};

enum connect_state {
	CONNECT_RESOLVING, /* waits for the server's address, for a SOCKS proxy */
	CONNECT_DIALING,
	CONNECT_PROXY_TLS,   /* waits for the https proxy's handshake */
	CONNECT_PROXY_SAYS,  /* CONNECT is being sent */
	CONNECT_PROXY_HEARS, /* waits for the proxy's answer */
	CONNECT_TLS,         /* waits for the server's handshake */
	CONNECT_DONE
};

static const char *const state_names[] = {"look-up",
					  "dialling",
					  "TLS handshake with the proxy",
					  "CONNECT",
					  "waiting for the proxy's answer",
					  "TLS handshake",
					  "done"};

struct connect {
	struct connector *c;
	enum connect_state state;
	connect_fn *fn;
	void *arg;
	struct dial *dial;
	struct stream *s;
	struct loop_timer deadline; /* over all states */
	bool offered;               /* an earlier TLS session */
	struct text say;            /* to the proxy; it may hold a password */
	char *reply;                /* what the proxy said and was not used yet */
	size_t reply_len;
	struct http_head head; /* of an HTTP proxy's answer */
	struct socks socks;
	struct resolve *lookup;
	char *address; /* of the server, looked up for a SOCKS proxy; NULL: its name */
	struct err error;
};

/* ---- TLS sessions ---- */

static int session_index = -1; /* of the connector in its SSL_CTX */

/*
 * A private copy: OpenSSL marks a session as not resumable when a connection that uses it breaks,
 * which says nothing about the ticket.
 */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct connector *c = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), session_index);
	SSL_SESSION *copy = c ? SSL_SESSION_dup(session) : NULL;

	if (copy) {
		SSL_SESSION_free(c->session);
		c->session = copy;
	}
	return 0;
}

/* What earlier handshakes taught, so that this one is cheap. True: a session is offered. */
static bool use_experience(const struct connector *c, SSL *ssl)
{
	SSL_SESSION *copy = c->session ? SSL_SESSION_dup(c->session) : NULL;

	if (c->group)
		tls_first_group(ssl, c->group);
	if (!copy)
		return false;
	/* Refused (expired, another version): a full handshake follows. */
	bool offered = SSL_set_session(ssl, copy) == 1;
	SSL_SESSION_free(copy);
	return offered;
}

/*
 * A server that does not know its own ticket is another one, which may like a better group than the
 * one before: the next time it is asked without prejudice.
 */
static void note_experience(struct connector *c, SSL *ssl, bool offered)
{
	if (!offered || SSL_session_reused(ssl)) {
		c->group = tls_group(ssl);
		return;
	}
	c->group = 0;
	SSL_SESSION_free(c->session);
	c->session = NULL;
}

/* ---- relays: through an https proxy, TLS runs inside TLS ---- */

/*
 * The outer connection is joined with one end of a socket pair, whose other end is the socket that
 * the inner TLS is spoken on: the two layers stay strangers.
 */
struct relay {
	struct relay *prev, *next;
	struct connector *c;
	struct pair *pair; /* SIDE_VISITOR: us, SIDE_SERVICE: the proxy */
};

static void relay_close(struct relay *k, bool abort, const char *why)
{
	log_debug("proxy", "Closed: %s (%llu bytes in, %llu out)", why,
		  (unsigned long long)pair_bytes(k->pair, SIDE_SERVICE),
		  (unsigned long long)pair_bytes(k->pair, SIDE_VISITOR));
	pair_close(k->pair, abort);
	if (k->prev)
		k->prev->next = k->next;
	else
		k->c->relays = k->next;
	if (k->next)
		k->next->prev = k->prev;
	loop_free_later(k->c->loop, k, NULL);
}

static void on_relay_done(void *arg, enum pair_end why)
{
	bool abort = why == PAIR_ABORT || why == PAIR_SILENT;

	relay_close(arg, abort, abort ? "the connection was cut" : "done");
}

static const struct pair_hooks relay_hooks = {.done = on_relay_done};

/* Takes outer; the inner socket, or -1. */
static int relay_new(struct connector *c, struct stream *outer)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds)) {
		stream_close(outer, true);
		return -1;
	}
	struct relay *k = xcalloc(1, sizeof(*k));
	k->c = c;
	k->pair =
		pair_new(stream_new(c->loop, fds[0], NULL), stream_settle(outer), &relay_hooks, k);
	k->next = c->relays;
	if (k->next)
		k->next->prev = k;
	c->relays = k;
	pair_start(k->pair);
	return fds[1];
}

/* ---- the connector ---- */

static void connector_free(struct connector *c)
{
	if (c->ctx)
		SSL_CTX_set_ex_data(c->ctx, session_index, NULL);
	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->ctx);
	SSL_CTX_free(c->proxy_ctx);
	free(c);
}

struct connector *connector_new(struct loop *l, const struct connector_conf *conf, struct err *err)
{
	struct connector *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->conf = *conf;
	c->ctx = tls_client_ctx(&c->conf.tls, err);
	if (!c->ctx)
		goto fail;
	if (conf->proxy && conf->proxy->tls) {
		c->proxy_tls = (struct tls_client_conf){.host_roots = true,
							.root_cas = conf->tls.root_cas};
		c->proxy_ctx = tls_client_ctx(&c->proxy_tls, err);
		if (!c->proxy_ctx)
			goto fail;
	}
	if (session_index < 0)
		session_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_CTX_set_ex_data(c->ctx, session_index, c);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	return c;
fail:
	connector_free(c);
	return NULL;
}

void connector_close(struct connector *c, const char *reason)
{
	if (!c)
		return;
	while (c->relays)
		relay_close(c->relays, true, reason);
	connector_free(c);
}

bool connector_trusts_any(const struct connector *c, char note[static CONNECTOR_NOTE])
{
	const struct tls_client_conf *tls = &c->conf.tls;

	if (tls->host_roots || tls->root_cas || tls->pin)
		return false;
	snprintf(note, CONNECTOR_NOTE,
		 "The server's certificate is not checked. To accept only the one that answers "
		 "now, put this into the configuration: server_pin: %s",
		 c->pin);
	return true;
}

/* ---- one attempt ---- */

static void connect_free(void *p)
{
	struct connect *a = p;

	text_free(&a->say);
	free(a->reply);
	free(a->address);
	free(a);
}

/* Nothing calls back any more. */
static void quiet(struct connect *a)
{
	assert(a->state != CONNECT_DONE);
	if (a->dial)
		dial_cancel(a->dial);
	if (a->lookup)
		resolve_cancel(a->lookup);
	a->dial = NULL;
	a->lookup = NULL;
	loop_timer_stop(&a->deadline);
	a->state = CONNECT_DONE;
	loop_free_later(a->c->loop, a, connect_free);
}

void connect_cancel(struct connect *a)
{
	if (a->s)
		stream_close(a->s, true);
	quiet(a);
}

PRINTF_LIKE(2, 3)
static void fail(struct connect *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(&a->error, fmt, ap);
	va_end(ap);
	if (a->s)
		stream_close(a->s, true);
	quiet(a);
	a->fn(a->arg, NULL, a->error.text);
}

static void on_deadline(void *arg)
{
	struct connect *a = arg;

	fail(a, "connect to %s: no answer within %d s (%s)", a->c->conf.server->text,
	     LIMIT_CONNECT_MS / 1000, state_names[a->state]);
}

static void succeed(struct connect *a)
{
	struct stream *s = a->s;

	a->s = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	quiet(a);
	a->fn(a->arg, s, NULL);
}

/* ---- TLS with the server ---- */

/* It is not who it should be. A file made for the Go client may ask for more than was checked. */
static void mistrust(struct connect *a, const char *whom, const struct tls_client_conf *tls,
		     const char *why)
{
	static const char hint[] =
		" (trust_host_root_certs, which the Go client ignored, asks for a certificate that "
		"this machine's CAs vouch for; server_pin or root_cas trust another)";
	bool old_key = tls == &a->c->conf.tls && tls->host_roots && !tls->root_cas;

	fail(a, "%s: %s%s", whom, why, old_key ? hint : "");
}

/* The handshake failed. If it was over who the server is, that is the reason to tell. */
static void tls_failed(struct connect *a, const char *whom, const struct tls_client_conf *tls)
{
	char pin[TLS_PIN_TEXT];
	struct err err;
	SSL *ssl = stream_ssl(a->s);

	if (ssl && !tls_check_server(ssl, tls, pin, &err) && *err.text)
		mistrust(a, whom, tls, err.text);
	else
		fail(a, "TLS handshake with %s: %.120s%s", whom, stream_error(a->s),
		     strstr(stream_error(a->s), "wrong version number")
			     ? " (no TLS there; is it the right port?)"
			     : "");
}

/* Is the handshake over, and with whom it should be? False: not yet, or it failed. */
static bool tls_shaken(struct connect *a, const char *whom, const struct tls_client_conf *tls,
		       char pin[static TLS_PIN_TEXT])
{
	SSL *ssl = stream_ssl(a->s);
	struct err err;

	switch (stream_handshake(a->s)) {
	case STREAM_AGAIN:
		return false;
	case STREAM_OK:
		break;
	default:
		tls_failed(a, whom, tls);
		return false;
	}
	if (!ssl || tls_check_server(ssl, tls, pin, &err))
		return true;
	mistrust(a, whom, tls, err.text);
	return false;
}

static void on_tls_ready(void *arg, int dirs)
{
	struct connect *a = arg;
	const struct connector_conf *conf = &a->c->conf;

	if (!tls_shaken(a, conf->server->text, &conf->tls, a->c->pin))
		return;
	note_experience(a->c, stream_ssl(a->s), a->offered);
	succeed(a);
}

/* Takes fd. */
static void start_tls(struct connect *a, int fd)
{
	struct connector *c = a->c;
	SSL *ssl = tls_connect_ssl(c->ctx, &c->conf.tls, c->conf.server->host);

	if (!ssl) {
		close(fd);
		fail(a, "%s: no name that a certificate could have", c->conf.server->host);
		return;
	}
	a->offered = use_experience(c, ssl);
	a->state = CONNECT_TLS;
	a->s = stream_new(c->loop, fd, ssl);
	stream_on_ready(a->s, on_tls_ready, a);
	on_tls_ready(a, 0);
}

/* ---- the proxy ---- */

/* The status line without version: "407 Proxy Authentication Required". */
static void refused_by_proxy(struct connect *a)
{
	char *line = a->reply;
	size_t len = strcspn(line, "\r\n");

	line[len] = '\0';
	const char *status = strchr(line, ' ');
	fail(a, "Non-200 response from proxy server: %.100s", status ? status + 1 : line);
}

/* It has let us through: TLS with the server begins. */
static void through_proxy(struct connect *a)
{
	struct stream *s = a->s;
	int fd;
	SSL *ssl;

	/* The server speaks only when it was spoken to. */
	if (a->reply_len) {
		fail(a, "the proxy sent more than its answer to CONNECT");
		return;
	}
	a->s = NULL;
	stream_on_ready(s, NULL, NULL);
	stream_want(s, 0);
	if (stream_ssl(s))
		fd = relay_new(a->c, s);
	else
		stream_detach(s, &fd, &ssl);
	if (fd < 0)
		fail(a, "socketpair: %s", strerror(errno));
	else
		start_tls(a, fd);
}

static void use_reply(struct connect *a, size_t n)
{
	a->reply_len -= n;
	memmove(a->reply, a->reply + n, a->reply_len);
}

/* Passes over interim answers. */
static enum http_rc scan_reply(struct connect *a)
{
	enum http_rc rc = http_connect_scan(&a->head, a->reply, a->reply_len);

	while (rc == HTTP_OK && a->head.status < 200 && a->head.status != 101) {
		use_reply(a, a->head.head_len);
		a->head = (struct http_head){0};
		rc = http_connect_scan(&a->head, a->reply, a->reply_len);
	}
	return rc;
}

/* True: more must come. */
static bool heard_http(struct connect *a)
{
	enum http_rc rc = scan_reply(a);

	if (rc == HTTP_OK && a->head.status / 100 == 2) {
		use_reply(a, a->head.head_len);
		through_proxy(a);
	} else if (rc == HTTP_OK) {
		refused_by_proxy(a);
	} else if (rc == HTTP_BAD || a->reply_len == LIMIT_CONNECT_REPLY) {
		fail(a, "the proxy's answer to CONNECT is not HTTP");
	} else {
		return true;
	}
	return false;
}

static void ask_proxy(struct connect *a);

/* True: more must come. An answer is a few bytes: they never fill the buffer. */
static bool heard_socks(struct connect *a)
{
	struct err err;
	size_t used;
	enum socks_rc rc = socks_hear(&a->socks, a->reply, a->reply_len, &used, &a->say, &err);

	use_reply(a, used);
	switch (rc) {
	case SOCKS_MORE:
		return true;
	case SOCKS_SAY:
		ask_proxy(a);
		return false;
	case SOCKS_DONE:
		through_proxy(a);
		return false;
	default:
		fail(a, "%s", err.text);
		return false;
	}
}

static void hear_proxy(struct connect *a)
{
	bool more = true;
	size_t n;

	while (more) {
		switch (stream_read(a->s, a->reply + a->reply_len,
				    LIMIT_CONNECT_REPLY - a->reply_len, &n)) {
		case STREAM_AGAIN:
			stream_want(a->s, STREAM_READ);
			return;
		case STREAM_OK:
			break;
		default:
			fail(a, "the proxy closed the connection without an answer to CONNECT");
			return;
		}
		a->reply_len += n;
		more = a->c->conf.proxy->socks ? heard_socks(a) : heard_http(a);
	}
}

static void ask_proxy(struct connect *a)
{
	size_t n;

	a->state = CONNECT_PROXY_SAYS;
	while (a->say.len) {
		switch (stream_write(a->s, a->say.p, a->say.len, &n)) {
		case STREAM_OK:
			text_drop(&a->say, n);
			break;
		case STREAM_AGAIN:
			stream_want(a->s, STREAM_WRITE);
			return;
		default:
			fail(a, "proxy: %.200s", stream_error(a->s));
			return;
		}
	}
	if (!a->reply)
		a->reply = xmalloc(LIMIT_CONNECT_REPLY + 1);
	a->state = CONNECT_PROXY_HEARS;
	hear_proxy(a);
}

static void greet_http(struct connect *a)
{
	char *request = http_proxy_request(a->c->conf.proxy, a->c->conf.server->text);

	text_put(&a->say, request);
	xfree_secret_str(request);
}

static void greet_socks(struct connect *a)
{
	const struct http_proxy *p = a->c->conf.proxy;
	const struct endpoint *server = a->c->conf.server;

	a->socks = (struct socks){.user = p->user,
				  .password = p->password,
				  .host = a->address ? a->address : server->host,
				  .port = server->port};
	socks_begin(&a->socks, &a->say);
}

static void greet_proxy(struct connect *a)
{
	char pin[TLS_PIN_TEXT];

	if (!tls_shaken(a, "the proxy", &a->c->proxy_tls, pin))
		return;
	a->say.secret = true;
	if (a->c->conf.proxy->socks)
		greet_socks(a);
	else
		greet_http(a);
	ask_proxy(a);
}

static void on_proxy_ready(void *arg, int dirs)
{
	struct connect *a = arg;

	if (a->state == CONNECT_PROXY_TLS)
		greet_proxy(a);
	else if (a->state == CONNECT_PROXY_SAYS)
		ask_proxy(a);
	else
		hear_proxy(a);
}

/* Always a direct stream: a plain one is taken apart again for the TLS inside it. */
static void start_proxy(struct connect *a, int fd)
{
	const struct http_proxy *p = a->c->conf.proxy;
	SSL *ssl = p->tls ? tls_connect_ssl(a->c->proxy_ctx, &a->c->proxy_tls, p->host) : NULL;

	if (p->tls && !ssl) {
		close(fd);
		fail(a, "proxy %s: no name that a certificate could have", p->host);
		return;
	}
	a->state = CONNECT_PROXY_TLS;
	a->s = stream_new_direct(a->c->loop, fd, ssl);
	stream_on_ready(a->s, on_proxy_ready, a);
	greet_proxy(a);
}

/* ---- dialling ---- */

static void on_dialed(void *arg, int fd, const char *error)
{
	struct connect *a = arg;

	a->dial = NULL;
	if (fd < 0)
		fail(a, "%s%s", a->c->conf.proxy ? "http_proxy: " : "", error);
	else if (a->c->conf.proxy)
		start_proxy(a, fd);
	else
		start_tls(a, fd);
}

static void start_dial(struct connect *a)
{
	const struct http_proxy *p = a->c->conf.proxy;
	const struct endpoint *server = a->c->conf.server;

	a->state = CONNECT_DIALING;
	a->dial = dial_start(a->c->loop, p ? p->host : server->host, p ? p->port : server->port,
			     LIMIT_CONNECT_MS, on_dialed, a);
}

/* For a SOCKS proxy that is to be given an address. */
static void on_resolved(void *arg, const struct resolve_result *r)
{
	struct connect *a = arg;
	char ip[ADDR_TEXT];

	a->lookup = NULL;
	if (r->error) {
		fail(a, "dial tcp: lookup %s: %s", a->c->conf.server->host, r->error);
		return;
	}
	a->address = xstrdup(addr_ip_text(&r->addr[0], ip));
	start_dial(a);
}

struct connect *connect_start(struct connector *c, connect_fn *fn, void *arg)
{
	struct connect *a = xcalloc(1, sizeof(*a));
	const struct http_proxy *p = c->conf.proxy;
	struct addr ignored;

	a->c = c;
	a->fn = fn;
	a->arg = arg;
	loop_timer_init(&a->deadline, c->loop, on_deadline, a);
	loop_after(&a->deadline, LIMIT_CONNECT_MS);
	if (p && p->socks && !p->look_up && !addr_numeric(c->conf.server->host, 0, &ignored))
		a->lookup = resolve_start(c->loop, c->conf.server->host, c->conf.server->port,
					  on_resolved, a);
	else
		start_dial(a);
	return a;
}
