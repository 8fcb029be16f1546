/*
 * What passed through the http and https tunnels: requests with their answers, WebSocket messages
 * and server-sent events, kept for whoever looks (web page, terminal, API). A copy of the bytes
 * comes from a pair's tap; nothing here can block, slow or change the traffic, and what can't be
 * followed is left alone. All on one loop; ids, not pointers, are kept across its turns.
 *
 * Bounds. A body keeps its first max_body bytes; the rest is only counted. All that is kept, heads,
 * bodies, frames, with the memory management's share, is at most max_total bytes: to make room the
 * transactions that finished first go first, then the oldest open ones; pinned ones stay, and with
 * nothing left to give up, what is new is not kept. From the configuration: max_total is
 * inspect_max_total (64 MiB), or inspect_db_size (ngrok's name) if that is given and smaller;
 * inspect_db_size 0 means not given, -1 that nothing is captured.
 */
#ifndef PGROK_CAPTURE_CAPTURE_H
#define PGROK_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/http/head.h"
#include "common/stream/pair.h"
#include "msg/pgrok/proto.h"
#include "pgrok/capture/blob.h"

#define CAPTURE_ID 17 /* 16 hex digits and a NUL */
#define CAPTURE_MARK 17
#define CAPTURE_NOTE 1000
#define CAPTURE_INTERIM_MAX 8 /* 1xx answers kept of one request */

struct capture;
struct capture_conn;

/* The public side that a transaction came by. Shared, kept as long as one of them is. */
struct capture_tunnel {
	struct capture_tunnel *next;
	unsigned refs;
	char *name; /* as GET /api/tunnels has it: "web", "web (http)" */
	char *url, *local;
	enum proto proto;
	uint64_t finished; /* transactions, for metrics */
};

/* A request's or an answer's body, content encodings as they came. */
struct capture_body {
	struct blob blob; /* its first bytes */
	uint64_t size;    /* bytes that came */
	bool complete;    /* its end came */
};

/* A head as it was received (http_field() and its like read it), or a section of trailers. */
struct capture_head {
	char *text; /* a NUL stands behind it; NULL: none */
	uint32_t len;
};

struct capture_interim {
	int64_t at_ns; /* since the transaction's start */
	struct capture_head head;
};

enum capture_frame_type {
	CAPTURE_FRAME_TEXT,
	CAPTURE_FRAME_BINARY,
	CAPTURE_FRAME_PING,
	CAPTURE_FRAME_PONG,
	CAPTURE_FRAME_CLOSE,
	CAPTURE_FRAME_EVENT,   /* server-sent */
	CAPTURE_FRAME_COMMENT, /* server-sent, what keeps a connection alive */
	CAPTURE_FRAME_ERROR, /* nothing more can be read in this direction: the payload says why */
	CAPTURE_FRAME_TYPES
};

/* A WebSocket message or a server-sent event. */
struct capture_frame {
	struct capture_frame *next;
	uint64_t n;    /* 1, 2, 3 ... in their transaction */
	int64_t at_ns; /* since the transaction's start */
	enum capture_frame_type type;
	bool from_client;
	bool compressed; /* came so; what is kept is decoded */
	bool encoded;    /* ... but for this one, which could not be: what is kept is what came */
	bool complete;
	uint16_t code; /* CAPTURE_FRAME_CLOSE; 0: none */
	uint32_t fragments;
	uint64_t size; /* bytes of the payload, decoded */
	struct blob blob;
	char *event, *last_id; /* CAPTURE_FRAME_EVENT; NULL: not given */
	uint64_t retry_ms;     /* 0: not given */
};

enum capture_kind { CAPTURE_HTTP, CAPTURE_WEBSOCKET, CAPTURE_SSE };
enum capture_state {
	CAPTURE_OPEN, /* waits for the rest of request or answer */
	CAPTURE_DONE,
	CAPTURE_FAILED /* the connection ended before the answer was complete: error says why */
};

/* A request and its answer. Borrowed from the store until the loop's turn ends. */
struct capture_txn {
	struct capture_txn *prev, *next;             /* all, in the order they began */
	struct capture_txn *class_prev, *class_next; /* those that may go, in the order they may */
	uint8_t class;
	char id[CAPTURE_ID];
	uint64_t key; /* the id as a number */
	uint64_t seq; /* 1, 2, 3 ... */
	uint64_t rev; /* grows with each change */
	struct capture_tunnel *tunnel;
	struct capture_conn *conn; /* NULL: nothing comes any more */
	void (*forget)(struct capture_conn *conn, struct capture_txn *t); /* tells conn */
	char *visitor; /* "203.0.113.9:40112"; replays: "" */
	enum capture_kind kind;
	enum capture_state state;
	const char *error; /* static; NULL: none */

	struct capture_head req_head, resp_head, req_trailers, resp_trailers;
	struct http_span method, target; /* of req_head */
	int status;                      /* 0: no answer yet */
	bool method_head;                /* HEAD: its answer has no body */
	struct capture_body req, resp;
	struct capture_interim *interim;
	unsigned interim_n;

	struct capture_frame *frames, *frames_last;
	uint64_t frames_n;       /* all that came */
	uint64_t frames_dropped; /* of them not kept any more */
	size_t frames_memory;

	int64_t start_us;                   /* wall clock */
	uint64_t start_ns;                  /* monotonic; the four that follow are since then */
	int64_t connect_ns;                 /* 0: the connection was there already */
	int64_t sent_ns, first_ns, last_ns; /* -1: not yet. last: of the last byte so far */
	size_t memory;                      /* that it costs, of the store's total */
	bool pinned, edited;
	char mark[CAPTURE_MARK];
	char *note;
	char origin[CAPTURE_ID]; /* "": not a replay */
};

/* ---- the store ---- */

struct capture_limits {
	uint64_t max_body, max_total; /* bytes */
};

struct capture_stats {
	uint64_t begun, evicted; /* transactions */
	uint64_t lost;           /* not kept: no room */
	uint64_t unfollowed;     /* connections that spoke something else */
	size_t entries, pinned, memory;
};

/* Returns owned. */
struct capture *capture_new(const struct capture_limits *limits) MUSTCHECK;
/* Takes s. All its connections have been closed. */
void capture_free(struct capture *s);

enum capture_event {
	CAPTURE_EV_BEGUN,
	CAPTURE_EV_HEAD,     /* the answer's head came */
	CAPTURE_EV_GREW,     /* one of its bodies: called for every piece of data: keep it cheap */
	CAPTURE_EV_FRAME,    /* frame is new or has grown */
	CAPTURE_EV_FINISHED, /* done or failed */
	CAPTURE_EV_CHANGED,  /* pin, mark, note */
	CAPTURE_EV_EVICTED,  /* txn is still there during the call */
	CAPTURE_EV_CLEARED   /* txn NULL: all that is not there any more; no EVICTED for each */
};

/* Embedded in the listener. fn may read, and may call capture_find(), nothing else of this. */
struct capture_watch {
	struct capture_watch *next;
	void (*fn)(void *arg, enum capture_event ev, const struct capture_txn *txn,
		   const struct capture_frame *frame);
	void *arg;
};

void capture_watch(struct capture *s, struct capture_watch *w);
void capture_unwatch(struct capture *s, struct capture_watch *w);

const struct capture_limits *capture_limits_of(const struct capture *s);
void capture_stats(const struct capture *s, struct capture_stats *out);
/* In the order they began: newest first by prev, oldest first by next. NULL: none. */
const struct capture_txn *capture_newest(const struct capture *s);
const struct capture_txn *capture_oldest(const struct capture *s);
/* By id; NULL: it left the store, or there was none. */
const struct capture_txn *capture_find(const struct capture *s, const char *id);
/* The words behind the answer's status, "" if there are none. Returns owned. */
char *capture_reason(const struct capture_txn *t) MUSTCHECK;
/* Since its start: to the last byte, or to now while it is open. */
uint64_t capture_duration_ns(const struct capture_txn *t);

/* False: not there. NULL text: leave it. Too long ones are cut at a character's border. */
bool capture_annotate(struct capture *s, const char *id, const bool *pinned, const char *mark,
		      const char *note) MUSTCHECK;
bool capture_delete(struct capture *s, const char *id) MUSTCHECK;
void capture_clear(struct capture *s, bool keep_pinned);
/* An id that no transaction has yet. */
void capture_new_id(struct capture *s, char out[static CAPTURE_ID]);

/* ---- what feeds it ---- */

/* A proxied connection, before its local service is dialled. Everything is copied. */
struct capture_conn_info {
	const char *name; /* the tunnel's, see config_tunnel_name() */
	const char *url, *local, *visitor;
	enum proto proto;
	/* Replays: */
	const char *id;     /* for its transaction; NULL: any */
	const char *origin; /* NULL: none */
	bool edited;
};

/* Returns owned. */
struct capture_conn *capture_conn_new(struct capture *s,
				      const struct capture_conn_info *info) MUSTCHECK;
/* The local service has answered the dial. */
void capture_conn_connected(struct capture_conn *c);
/* As pair_hooks.tap. */
void capture_conn_bytes(struct capture_conn *c, enum side from, const char *buf, size_t len);
/* That side ended cleanly. */
void capture_conn_eof(struct capture_conn *c, enum side from);
/* Takes c (NULL is fine). error: static, why what is open now failed; NULL: it just ended. */
void capture_conn_close(struct capture_conn *c, const char *error);
/* Is something still kept of what comes? */
bool capture_conn_followed(const struct capture_conn *c);

#endif
