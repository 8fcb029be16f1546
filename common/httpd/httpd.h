/*
 * A small HTTP/1.1 server for the tools of this machine (inspector, admin pages): one loop, a
 * route table, answers whole, piece by piece, or later; WebSocket. Not for visitors of tunnels.
 *
 * Before any route is looked up a request must pass the guard. Its Host must be localhost, a
 * loopback address, the address that was connected to, or listed: else any web page could reach
 * the tool through a name of its own that resolves to 127.0.0.1. An Origin, if sent with anything
 * but GET, HEAD or OPTIONS or with an upgrade, must be the same host and port, and
 * Sec-Fetch-Site not cross-site. Where a token is asked for, it comes as "Authorization: Bearer
 * T", or once as ?token=T, which is answered with a session cookie.
 */
#ifndef COMMON_HTTPD_HTTPD_H
#define COMMON_HTTPD_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/http/query.h"
#include "common/httpd/ws.h"
#include "common/net/listener.h"
#include "common/base/loop.h"

#define HTTPD_CONNECTIONS 64      /* at once; an idle one makes room for a new one, else 503 */
#define HTTPD_BODY_MAX (1u << 20) /* of a request, unless the config says otherwise */
#define HTTPD_IDLE_MS 60000       /* between requests; and a peer that takes or sends nothing */
#define HTTPD_HEAD_MS 10000       /* from a head's first byte to its last */

struct httpd;
/* A request, from its last byte until it is answered or its client is gone. */
struct httpd_req;

/* Answers r, now or later: by httpd_answer() and its like, httpd_stream() or httpd_upgrade(). */
typedef void httpd_handler_fn(void *arg, struct httpd_req *r);

struct httpd_route {
	const char *method; /* a row with NULL ends the table; GET rows serve HEAD too */
	const char *path;   /* decoded; "/x/" and a '*' at its end: whatever starts so */
	httpd_handler_fn *handler;
};

struct httpd_config {
	const char *name; /* log prefix; borrowed */
	/*
	 * Borrowed. The longest path that fits is taken, an exact one before all; then the method
	 * decides: 405 with Allow if no row of that path has it. No path: 404.
	 */
	const struct httpd_route *routes;
	void *arg; /* for handlers and guard; borrowed */
	/* May be NULL. Asked after the built-in guard, before the body; false: it has answered. */
	bool (*guard)(void *arg, struct httpd_req *r);
	/*
	 * May be NULL: plain text. How the server itself refuses a request whose head made sense.
	 */
	void (*refuse)(void *arg, struct httpd_req *r, int status, const char *text);
	size_t body_max;   /* of a request, bytes; more is 413; 0: HTTPD_BODY_MAX */
	const char *token; /* copied; NULL or "": none */
	bool token_local;  /* asked for even from loopback names and the address connected to */
	SSL_CTX *tls;      /* NULL: plain HTTP; its own reference is taken */
};

/* Takes the sockets. Returns owned. */
struct httpd *httpd_start(struct loop *l, struct listener_fds *fds,
			  const struct httpd_config *conf) MUSTCHECK;
/* For connections from now on, instead of conf->tls. */
void httpd_set_tls(struct httpd *h, SSL_CTX *tls);
/* Ends the listener and every connection (WebSockets with 1001). Memory on the next tick. */
void httpd_close(struct httpd *h);
/*
 * Host names (without port, case ignored) that may be asked for; token: only with the token, not at
 * all if there is none. Listed again: the later word counts.
 */
void httpd_allow_host(struct httpd *h, const char *host, bool token);
void httpd_disallow_host(struct httpd *h, const char *host);

/* ---- what is asked; all borrowed until r is answered ---- */

uint64_t httpd_id(const struct httpd_req *r);
/*
 * For answers that come later. NULL: it was answered, or its client is gone. A client that ends its
 * side while it is owed an answer that does not come at once is taken to be gone.
 */
struct httpd_req *httpd_find(struct httpd *h, uint64_t id);

const char *httpd_path(const struct httpd_req *r); /* decoded, without the query */
const char *httpd_rest(
	const struct httpd_req *r); /* the part of it that the route's '*' stands for */
const struct query *httpd_query(const struct httpd_req *r);
const char *httpd_body(const struct httpd_req *r, size_t *len); /* NUL behind it; "" if none */
/* The body as a form into *q, the caller's to free. False: it is none. */
bool httpd_form(const struct httpd_req *r, struct query *q) MUSTCHECK;
/* A header field's value; NULL: absent. */
const char *httpd_field(struct httpd_req *r, const char *name);
const char *httpd_host(const struct httpd_req *r); /* as asked, port included */
const struct addr *httpd_peer(const struct httpd_req *r);

/* ---- answers: each takes r ---- */

/* Before the answer: a header field more. Control characters in value become blanks. */
void httpd_header(struct httpd_req *r, const char *name, const char *value);
/* mime NULL: none. body is copied. */
void httpd_answer(struct httpd_req *r, int status, const char *mime, const void *body, size_t len);
/* A page whose form may be sent to us, with a style of its own and no script. */
void httpd_form_page(struct httpd_req *r, int status, const void *body, size_t len);
void httpd_text(struct httpd_req *r, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* 302, with the body that Go's http.Redirect sends. location: a path of ours, already encoded. */
void httpd_redirect(struct httpd_req *r, const char *location);
/*
 * What may be kept as long as it is asked about: 304 if the client has that etag (quotes
 * included).
 */
void httpd_cached(struct httpd_req *r, const char *mime, const char *etag, const void *body,
		  size_t len);

/* What a producer says. */
enum httpd_more {
	HTTPD_MORE, /* call again as soon as there is room */
	HTTPD_WAIT, /* nothing now: call again after httpd_resume() */
	HTTPD_END,  /* the answer is complete */
	HTTPD_FAIL  /* cut the connection, so that the client sees that something is missing */
};

/*
 * An answer piece by piece (chunked). produce is called from the loop, only when there is room,
 * and may call httpd_write() as often as it likes: what it writes in one call is what waits in
 * memory, so pieces of up to 64 KiB do. done is called exactly once, never from inside
 * httpd_stream(); complete: all was written. r lives until then. A HEAD is answered without a
 * call of produce.
 */
struct httpd_producer {
	enum httpd_more (*produce)(void *arg, struct httpd_req *r);
	void (*done)(void *arg, bool complete); /* may be NULL */
};
/* p and arg are borrowed. */
void httpd_stream(struct httpd_req *r, int status, const char *mime, const struct httpd_producer *p,
		  void *arg);
void httpd_write(struct httpd_req *r, const void *data, size_t len); /* from inside produce alone */
void httpd_resume(struct httpd_req *r);

/*
 * Answers 101; what follows is in httpd_ws.h. NULL: no WebSocket handshake (RFC 6455 section
 * 4.2.1), and 400 or 426 was the answer. hooks and arg are borrowed.
 */
struct httpd_ws *httpd_upgrade(struct httpd_req *r, const struct httpd_ws_hooks *hooks, void *arg);

#endif
