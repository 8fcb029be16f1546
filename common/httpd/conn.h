/* What httpd's own files share: the server, a connection, a request. Others include httpd.h. */
#ifndef COMMON_HTTPD_CONN_H
#define COMMON_HTTPD_CONN_H

#include "common/base/text.h"
#include "common/http/head.h"
#include "common/httpd/httpd.h"

#define SESSION_BYTES 16
#define HOST_TEXT 256 /* a host name and NUL: at most 253 bytes (RFC 1035) */

enum conn_state {
	CONN_HEAD,    /* a head; idle until its first byte, from then on HTTPD_HEAD_MS */
	CONN_BODY,    /* the rest of a body; stall timer */
	CONN_HANDLER, /* the handler's answer; no timer */
	CONN_STREAM,  /* the producer's next piece, no timer; or room for the last, stall timer */
	CONN_FLUSH,   /* room for the rest of a whole answer; stall timer */
	CONN_WS,      /* the WebSocket's end: the stream is its own now */
	CONN_CLOSED   /* nothing: memory goes back on the next tick */
};

enum conn_timer { TIMER_NONE, TIMER_IDLE, TIMER_HEAD, TIMER_STALL };

struct note { /* a field's value, kept until the request ends */
	struct note *next;
	char text[];
};

struct httpd_req {
	struct conn *conn;
	uint64_t id;
	const struct httpd_route *route;
	struct http_head head; /* spans point into text */
	char *text;            /* the head, as it came */
	char *method, *host;
	char *path;                           /* decoded */
	struct http_span raw_path, raw_query; /* in text, as they came */
	struct query query;
	struct text body;
	struct text extra; /* header lines for the answer */
	struct note *notes;
	bool form;   /* the answer is a page with a form */
	bool cached; /* may be kept, and asked about */
	const struct httpd_producer *producer;
	void *producer_arg;
	bool producing; /* inside produce */
	bool waiting;   /* the producer said WAIT */
	bool resumed;   /* httpd_resume() came since produce was called */
};

struct conn {
	struct conn *next, **prev; /* oldest first */
	struct httpd *h;
	struct stream *s; /* NULL: taken */
	struct httpd_ws *ws;
	struct httpd_req *req;
	enum conn_state state;
	struct text in, out;
	struct http_head head;
	struct http_chunked chunks;
	struct loop_timer timer;
	struct loop_tick tick;
	struct addr peer;
	uint64_t body_left; /* of a body with a length */
	uint64_t body_raw;  /* of a chunked one: what came, framing included */
	enum conn_timer timer_runs;
	bool eof;       /* the client has ended its side */
	bool pumping;   /* inside conn_pump() */
	bool progress;  /* bytes moved since the stall timer was set */
	bool body_owed; /* the request's body is not all here */
	bool keep;      /* another request may follow */
	bool chunked;   /* the answer under way is */
	unsigned served;
};

struct allowed {
	struct allowed *next;
	bool token;
	char host[];
};

struct httpd {
	struct loop *loop;
	struct listener *ln;
	struct httpd_config conf;
	char *token;
	char cookie[32];                     /* its name: "pgrok_PORT", as cookies know no ports */
	char session[2 * SESSION_BYTES + 1]; /* its value, instead of the token */
	struct allowed *allowed;
	struct conn *first, **last;
	size_t count;
	bool closing;
};

/* httpd.c */
void conn_kick(
	struct conn *c); /* there is something to do: now if inside the pump, else next tick */
void conn_close(struct conn *c, const char *why);
/* httpd_request.c. From the head at the start of c->in; NULL: a target that makes no sense. */
struct httpd_req *req_new(struct conn *c);
void req_free(struct httpd_req *r); /* memory on the next tick */
/* The route, or NULL: 404 or 405 was answered. */
const struct httpd_route *req_route(struct httpd_req *r);
/* Is `word` an element of the comma-separated list (case ignored; NULL: no)? */
bool list_has(const char *list, const char *word);
/* httpd_guard.c. False: it has answered. */
bool httpd_guard(struct httpd_req *r);
void httpd_guard_init(struct httpd *h, uint16_t port);
void httpd_guard_free(struct httpd *h);
/* A Host or the rest of an Origin as a bare lower-case name. False: it is none. */
bool host_name(const char *text, size_t len, char out[static HOST_TEXT], int *port) MUSTCHECK;
/* httpd_answer.c */
void req_refuse(struct httpd_req *r, int status, const char *text);
/* What a producer's answer needs from the pump. */
void answer_produce(struct conn *c);
/* An answer without a request: to a head that can't be read. */
void answer_bad(struct conn *c, int status, const char *text);

#endif
