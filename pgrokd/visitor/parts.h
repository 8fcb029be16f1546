/* What the files of this folder share: a visitor, and how it is judged while it is joined. */
#ifndef PGROKD_VISITOR_PARTS_H
#define PGROKD_VISITOR_PARTS_H

#include "common/http/reframe.h"
#include "common/http/track.h"
#include "common/stream/pair.h"
#include "pgrokd/access/pace.h"
#include "pgrokd/core/journal.h"
#include "pgrokd/visitor/visitor.h"

enum visitor_state {
	VISITOR_NEW,     /* has its stream, waits for nothing */
	VISITOR_WAITING, /* for a stream to its client; timer: VISITOR_TIMER_WAIT */
	VISITOR_JOINED,  /* in a pair; timer: any of the others. May leave it: back to NEW */
	VISITOR_RESTING, /* single: between two requests, without a pair; timer: its own */
	VISITOR_CLOSED
};

enum visitor_timer {
	VISITOR_TIMER_NONE,
	VISITOR_TIMER_WAIT, /* LIMIT_WAIT_MS, then 504 */
	VISITOR_TIMER_HEAD, /* the rest of a later request head: LIMIT_HEAD_MS */
	VISITOR_TIMER_OWED, /* the answers owed after a refusal: LIMIT_OWED_MS */
	VISITOR_TIMER_FIN,  /* its end is held back: is it still there? LIMIT_GONE_MS */
	VISITOR_TIMER_REST  /* the next request: LIMIT_KEPT_MS */
};

/* Of a visitor whose tunnel has one_request. */
struct single {
	struct http_splice splice;  /* of the bytes at hand, from either side */
	struct http_reframe answer; /* to the request under way */
	bool told_to_go_on;         /* by a 100 of ours */
	bool untaken;               /* its client answered, and did not take all of the request */
	bool joined;                /* it was, at least once */
};

struct visitor {
	TAILQ_ENTRY(visitor) link;     /* of all on this worker */
	TAILQ_ENTRY(visitor) at_link;  /* of its tunnel, while that lives */
	TAILQ_ENTRY(visitor) new_link; /* of those joined lately, if it is one */
	struct worker *worker;
	struct visitors *at; /* NULL: its tunnel has closed */
	struct route *route; /* a reference: what it came for */
	struct tally *tally; /* a reference: it is counted there; NULL: nowhere */
	enum visitor_state state;
	enum visitor_timer timer_for;
	uint64_t id, born, joined;
	uint64_t bytes[2];   /* moved so far, for the log */
	uint64_t bulk_since; /* loop_now() of the last visitor_bulk() */
	uint64_t asked_us;   /* clock_us() of the request whose answer is awaited; 0: none */
	uint64_t timed_us;   /* the same of the one whose answer's end is; 0: none */
	uint8_t timed_method, timed_class; /* rows: what it asked with, and got */
	uint32_t in_flight;                /* its requests whose answer is not complete */
	struct journal_list entries;       /* requests without an answer, or a complete one */
	uint64_t told;                     /* the tracker's resp_at when the answer before ended */
	struct addr peer;                  /* of its connection */
	struct addr origin; /* of its request: peer, or whom a trusted proxy speaks of */
	struct seat seat;
	struct stream *stream; /* NULL while it is the pair's */
	char *unread;          /* until it is joined: bytes read already */
	size_t unread_len;
	struct carrier_waiter waiter;
	bool unheard;              /* nobody may know of it at its client yet, */
	uint8_t doubts;            /* who was asked so many times */
	bool half_close;           /* as its tunnel's */
	bool asked;                /* a request has gone over the stream to its client */
	bool again;                /* it leaves its pair for another one of the same tunnel */
	bool fin_held;             /* its end waits until the answers are out */
	bool bulk;                 /* its socket has a long queue; counted */
	bool end_at_rest;          /* the tunnel has closed: ends with the answer under way */
	struct single *single;     /* NULL: a stream carries any number of its requests */
	struct pair *pair;         /* VISITOR_JOINED */
	struct paced *paced;       /* JOINED, and its bandwidth is limited; else NULL */
	struct loop_timer *timer;  /* NULL: never needed yet */
	struct http_track track[]; /* one if it is http(s), none on TCP: there are many of these */
};

/* visitor.c */
void visitor_set_timer(struct visitor *v, enum visitor_timer what, uint64_t ms);
void visitor_no_timer(struct visitor *v);
/* Takes v, which has left its pair, or rested: it goes on with what of it is unread. */
void visitor_next(struct visitor *v);
/* Takes v. Its stream may be another's by now (NULL). */
void visitor_close(struct visitor *v, bool abort, const char *why);

/* speed.c */
/* Joined: it asks before it reads, if its tunnel has limits. */
void visitor_pace(struct visitor *v);
/* It leaves its pair. */
void visitor_unpace(struct visitor *v);
/* It has moved so many bytes, and v->paced is not NULL. */
void visitor_pay(struct visitor *v, enum side from, size_t len);
/* The tunnel closes; what its visitors still carry stays limited. */
void visitors_unlimit(struct visitors *at);

/* single.c; v->single is not NULL. */
void single_request(struct visitor *v, const struct http_head *h, const char *head);
void single_answer(struct visitor *v, const struct http_head *h, const char *head);
/* The service has said something, of which that is the verdict so far. */
enum judge single_answered(struct visitor *v, enum judge verdict);
/* Not raw: a side has ended. The other one is not told. */
void single_eof(struct visitor *v, enum side from);
/* The pair has aborted: is it the stream that is lost, so that a page can be said? */
bool single_lost(struct visitor *v);
/* Why its pair was cut, for the log. Static. */
const char *single_cut(const struct visitor *v);
/* VISITOR_RESTING begins. */
void single_rest(struct visitor *v);
/* A tracker's hook, and a pair's. */
void visitor_interim(void *arg, const struct http_head *h, const char *head);
const char *visitor_made(void *arg, enum side from, const char *buf, size_t len, size_t *made);

/* judge.c: hooks of a tracker and of a pair. arg is the visitor. */
/* Begins what is unread with the whole head of a request that its tunnel lets in? */
bool visitor_may_go_on(struct visitor *v);
int visitor_allow(void *arg, const struct http_head *h, const char *head);
void visitor_answer(void *arg, const struct http_head *h, const char *head);
void visitor_complete(void *arg);
/* So many of its requests have no complete answer now. */
void visitor_in_flight(struct visitor *v, uint32_t n);
enum judge visitor_judge(void *arg, enum side from, const char *buf, size_t len, size_t *pass);
bool visitor_eof(void *arg, enum side from);
/*
 * For the access log: the request whose answer is awaited gets a page, of that many bytes; NULL:
 * nobody waits, so that a request that could not be read gets it. All others are broken off.
 */
void visitor_paged(struct visitor *v, int status, size_t bytes);
void visitor_broken_off(struct visitor *v);
/* Counts what moves, for whoever may ask. */
void visitor_tap(void *arg, enum side from, const char *buf, size_t len);
/* bulk.c: LIMIT_BULK more bytes have gone to it. May they stand in a long queue? */
void visitor_bulk(struct visitor *v);
void visitor_bulk_end(struct visitor *v);

/* Half-closed, it waits for an answer like any other, unless its system knows that it has gone. */
bool visitor_awaited(void *arg);

#endif
